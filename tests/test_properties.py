"""Whatever the platform says, for the whole handler: every usable certificate once and in order, or a valid problem."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings

from chalicelib import douyin
from chalicelib.errors import UpstreamError
from chalicelib.problems import KINDS
from chalicelib.views import view_of
from tests.conftest import MERCHANT
from tests.test_contract import assert_problem, certificate, ids

if TYPE_CHECKING:
    from tests.conftest import Api, Platform

WHOLE_HANDLER = settings(
    max_examples=60,
    deadline=None,
    # The fixtures are the servers; each example arranges them anew.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

PATHS: list[Any] = [
    [],
    ["data"],
    ["extra"],
    ["data", "error_code"],
    ["extra", "error_code"],
    ["extra", "sub_error_code"],
    ["extra", "logid"],
    ["data", "total"],
    ["data", "orders"],
    ["data", "orders", 0],
    *(["data", "orders", 0, name] for name in ("order_id", "can_use", "certificates")),
    ["data", "orders", 0, "certificates", 0],
    *(
        ["data", "orders", 0, "certificates", 0, *path]
        for path in (
            ["certificate_id"], ["code"], ["start_time"], ["expire_time"], ["is_transfer_asset"], ["amount"],
            ["amount", "pay_amount"], ["sku_info"], ["sku_info", "title"], ["sku_info", "groupon_type"],
            ["sku_info", "sku_id"], ["sku_info", "voucher_info"],
            ["sku_info", "voucher_info", "dynamic_par_rule_struct"],
            ["sku_info", "voucher_info", "dynamic_par_rule_struct", "dynamic_par_min_amount"],
            ["times_card_info"], ["times_card_info", "total_times_serial_nums"], ["times_card_info", "usable_times"],
            ["lock_info_extra"], ["lock_info_extra", "lock_status"], ["off_peak_discount_detail"],
            ["off_peak_discount_detail", "off_peak_time"],
            ["off_peak_discount_detail", "off_peak_time", "week_day_list"],
            ["off_peak_discount_detail", "off_peak_time", "daily_time_range_list"],
        )
    ),
]  # fmt: skip


def full_reply() -> dict[str, Any]:
    """A reply with every field that is read."""
    coupon = certificate(
        "bad",
        code="1234567890",
        start_time=1,
        is_transfer_asset=True,
        amount={"pay_amount": 1, "original_amount": 2},
        sku_info={
            "sku_id": "1", "title": "券", "groupon_type": 2, "market_price": 3,
            "voucher_info": {"voucher_type": 1, "dynamic_par_rule_struct": {
                "dynamic_par_rule_desc": "x", "dynamic_par_min_amount": 1, "dynamic_par_max_amount": 2,
                "dynamic_par_rule_item_list": [{"deductible_amount": 1, "day_of_week": [1], "time_period": {}}]}},
        },
        times_card_info={"total_times": 3, "usable_times": 1, "total_times_serial_nums": [1, 2, 3],
                         "used_times_serial_nums": [1], "locked_times_serial_nums": [2],
                         "ladder_times_card_info": [{"seq": 1}]},
        lock_info_extra={"lock_status": 1, "lock_scene": 0},
        off_peak_discount_detail={"has_off_peak_discount": True, "off_peak_time_limit_type": 1, "off_peak_time": {
            "week_day_list": [1], "daily_time_range_list": [{"start_time": "14:00", "end_time": "17:00"}]}},
    )  # fmt: skip
    orders = [
        {"order_id": "1", "can_use": True, "certificates": [coupon]},
        {"order_id": "2", "can_use": True, "certificates": [certificate("good")]},
    ]
    return {
        "data": {"orders": orders, "total": 2, "error_code": 0, "description": ""},
        "extra": {"error_code": 0, "sub_error_code": 0, "logid": "2026", "description": "", "now": 1},
    }


def with_value(path: list[str | int], value: Any) -> Any:
    """The full reply, with something else at one place."""
    if not path:
        return value
    reply: Any = full_reply()
    place = reply
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return reply


@st.composite
def purchases(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Orders of one to ten certificates, usable or not, up to a few hundred in all."""
    sizes = draw(st.lists(st.integers(0, 10), max_size=60))
    usable = draw(st.lists(st.sampled_from([True, True, False, None]), min_size=len(sizes), max_size=len(sizes)))
    ends = draw(st.lists(st.integers(1, 5), min_size=1, max_size=7))
    return [
        {
            "account_id": MERCHANT,
            "order": {
                "order_id": f"o{n}",
                "can_use": can_use,
                "certificates": [certificate(f"c{n:03d}-{k}", ends[(n + k) % len(ends)]) for k in range(size)],
            },
        }
        for n, (size, can_use) in enumerate(zip(sizes, usable, strict=True))
    ]


@pytest.fixture
def logged_in(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr("chalicelib.upstream.FIRST_WAIT_SECONDS", 0.0)
    api.login()
    return api


@WHOLE_HANDLER
@given(entries=purchases())
def test_walking_all_cursors_shows_exactly_the_usable_certificates_once_each_in_order(
    logged_in: Api, platform: Platform, entries: list[dict[str, Any]]
) -> None:
    platform.bought("lin", *entries)
    platform.server.calls.clear()
    expected: dict[int, list[tuple[int, str]]] = {}
    at = 0
    for entry in entries:
        for held in entry["order"]["certificates"]:
            if entry["order"]["can_use"] is True:
                expected.setdefault(at // 200, []).append((held["expire_time"], held["certificate_id"]))
            at += 1
    shown, query = [], ""
    while True:
        answer = logged_in.list(query)
        assert answer.status == 200
        shown.append(ids(answer))
        if "next_cursor" not in answer.json:
            break
        query = f"?cursor={answer.json['next_cursor']}"
    assert shown == [[held for _, held in sorted(expected.get(n, []))] for n in range(max(1, -(-at // 200)))]
    pages = sorted(call["page"] for call in platform.calls("query_user_certificates"))
    assert pages == list(range(1, max(1, -(-at // 50)) + 1)), "each page is asked for once"


@WHOLE_HANDLER
@given(path=st.sampled_from(PATHS), value=json_values)
@example(path=["data", "orders", 0, "certificates", 0, "amount", "pay_amount"], value=2**64)
@example(path=["data", "orders", 0, "certificates", 0, "sku_info", "title"], value="\ud800")
def test_any_value_at_any_place_is_a_valid_view_or_a_valid_problem(
    logged_in: Api, platform: Platform, path: list[str | int], value: Any
) -> None:
    platform.server.plan.faults.clear()
    platform.fail("body", body=json.dumps(with_value(path, value)))
    # Memory of "too often" is for the next request, and this is another platform's.
    logged_in.forget_limits()
    answer = logged_in.list()
    if answer.status == 200:
        assert set(answer.json) <= {"account_id", "poi_id", "certificates", "next_cursor"}
        if path[:2] == ["data", "orders"] and len(path) > 2:
            assert "good" in ids(answer), "one bad part never hides a good one"
    else:
        code = answer.json["code"]
        assert code != "internal_error"
        assert_problem(answer, next(kind.status for kind in KINDS.values() if kind.code == code), code)
        assert len(path) <= 2 or path[1] == "error_code", "what is below the orders never spoils the answer"


@settings(max_examples=3000, deadline=None)
@given(body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """The readers alone, many more inputs: nothing but an UpstreamError leaves them."""
    for status in (200, 500):
        reply = douyin.Reply(status, {}, body)
        for read in (douyin.read_certificates, douyin.read_mint, douyin.read_login):
            try:
                read(reply)
            except UpstreamError as error:
                assert error.reason  # noqa: PT017 - either way out is right


@settings(max_examples=2000, deadline=None)
@given(path=st.sampled_from(PATHS), value=json_values)
def test_any_reply_that_is_read_can_be_shaped(path: list[str | int], value: Any) -> None:
    try:
        page = douyin.read_certificates(douyin.Reply(200, {}, json.dumps(with_value(path, value)).encode()))
    except UpstreamError:
        return
    for order in page.orders:
        for held in order.certificates or ():
            msgspec.json.encode(view_of(held, str(order.order_id)))
