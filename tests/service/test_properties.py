"""Generated data from the platform: the response is the correct list or a valid problem."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings

from chalicelib.api.problems import ERROR_PROBLEMS
from chalicelib.certificates.views import build_view
from chalicelib.douyin import protocol
from chalicelib.errors import UpstreamError
from sandbox.sample_data import ACCOUNT_ID, CUSTOMER
from tests.harness import FAST_RETRIES, Api, Platform, assert_problem, certificate, certificate_ids, examples

# Thousands of examples: other tests measure the coverage.
pytestmark = pytest.mark.no_cover

STATUSES = {problem.code: problem.status for problem in ERROR_PROBLEMS.values()}
"""HTTP status by problem code."""

API_SETTINGS = settings(
    max_examples=examples(60),
    deadline=None,
    # All examples share the fixtures: each example sets the platform's data itself.
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


def full_response() -> dict[str, Any]:
    """Return a response of the platform with every field that the service reads."""
    coupon = certificate(
        "changed",
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
        {"order_id": "2", "can_use": True, "certificates": [certificate("valid")]},
    ]
    return {
        "data": {"orders": orders, "total": 2, "error_code": 0, "description": ""},
        "extra": {"error_code": 0, "sub_error_code": 0, "logid": "2026", "description": "", "now": 1},
    }


def with_value(path: list[str | int], value: Any) -> Any:
    """Return the full response with another value in one field."""
    if not path:
        return value
    response: Any = full_response()
    parent = response
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return response


@st.composite
def purchases(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Generate up to 60 orders of up to ten certificates, usable or not."""
    sizes = draw(st.lists(st.integers(0, 10), max_size=60))
    usable = draw(st.lists(st.sampled_from([True, True, False, None]), min_size=len(sizes), max_size=len(sizes)))
    expiries = draw(st.lists(st.integers(1, 5), min_size=1, max_size=7))
    return [
        {
            "account_id": ACCOUNT_ID,
            "order": {
                "order_id": f"o{n}",
                "can_use": can_use,
                "certificates": [certificate(f"c{n:03d}-{k}", expiries[(n + k) % len(expiries)]) for k in range(size)],
            },
        }
        for n, (size, can_use) in enumerate(zip(sizes, usable, strict=True))
    ]


@pytest.fixture
def logged_in(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr("chalicelib.douyin.client.RETRY_POLICY", FAST_RETRIES)
    api.login()
    return api


@API_SETTINGS
@given(entries=purchases())
def test_pagination_returns_each_usable_certificate_once_and_in_order(
    logged_in: Api, platform: Platform, entries: list[dict[str, Any]]
) -> None:
    platform.set_purchases(CUSTOMER, *entries)
    platform.server.calls.clear()
    # By number of the response: each has 200 certificates of the platform, sorted by expiry and id.
    expected: dict[int, list[tuple[int, str]]] = {}
    total = 0
    for entry in entries:
        for item in entry["order"]["certificates"]:
            if entry["order"]["can_use"] is True:
                expected.setdefault(total // 200, []).append((item["expire_time"], item["certificate_id"]))
            total += 1
    returned, query = [], ""
    while True:
        response = logged_in.list(query)
        assert response.status == 200
        returned.append(certificate_ids(response))
        if "next_cursor" not in response.json:
            break
        query = f"?cursor={response.json['next_cursor']}"
    # If the first page is full and there is no other, only the next response finds out.
    extra = int(total == 50)
    response_count, page_count = (max(1, math.ceil(total / size)) + extra for size in (200, 50))
    assert returned == [[item for _, item in sorted(expected.get(n, []))] for n in range(response_count)]
    pages = sorted(call["page"] for call in platform.calls("query_user_certificates"))
    assert pages == list(range(1, page_count + 1)), "each page is fetched once"


@API_SETTINGS
@given(path=st.sampled_from(PATHS), value=json_values)
@example(path=["data", "orders", 0, "certificates", 0, "amount", "pay_amount"], value=2**64)
@example(path=["data", "orders", 0, "certificates", 0, "sku_info", "title"], value="\ud800")
def test_any_value_in_any_field_gives_a_valid_list_or_a_valid_problem(
    logged_in: Api, platform: Platform, path: list[str | int], value: Any
) -> None:
    platform.clear_faults()
    platform.fail("body", body=json.dumps(with_value(path, value)))
    # A rate limit of the previous example must not affect this one.
    logged_in.clear_rate_limits()
    response = logged_in.list()
    if response.status == 200:
        assert set(response.json) <= {"account_id", "poi_id", "certificates", "unusable", "next_cursor"}
        if path[:2] == ["data", "orders"] and len(path) > 2:
            assert "valid" in certificate_ids(response), "a malformed part never hides a valid certificate"
    else:
        code = response.json["code"]
        assert code != "internal_error"
        assert_problem(response, STATUSES[code], code)
        assert len(path) <= 2 or path[1] == "error_code", "a malformed order never makes the response a problem"


@settings(max_examples=examples(1000), deadline=None)
@given(body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_parsed_or_raise_an_upstream_error(body: bytes) -> None:
    for status in (200, 500):
        response = protocol.Response(status, {}, body)
        for parse in (protocol.parse_certificates, protocol.parse_mint, protocol.parse_login):
            try:
                parse(response)
            except UpstreamError as error:
                assert error.reason  # noqa: PT017 - a result is right as well


@settings(max_examples=examples(500), deadline=None)
@given(path=st.sampled_from(PATHS), value=json_values)
def test_a_view_can_be_built_of_any_certificate_that_is_parsed(path: list[str | int], value: Any) -> None:
    try:
        page = protocol.parse_certificates(protocol.Response(200, {}, json.dumps(with_value(path, value)).encode()))
    except UpstreamError:
        return
    for order in page.orders:
        for parsed in order.certificates or ():
            msgspec.json.encode(build_view(parsed, str(order.order_id)))
