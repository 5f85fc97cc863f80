"""Views: every field from its source, nothing that is empty, and which certificates are shown at all."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from chalicelib.certificates.views import ListView, UnusableView, build_view, build_views
from chalicelib.douyin.pages import Certificate, Page
from sandbox.sample_data import SKU_ID
from tests.sample_reply import build_certificate
from tests.unit.fakes import NOW, make_certificate, make_page


def view_of(certificate_id: str = "1", **fields: Any) -> dict[str, Any]:
    """Return the JSON of the view of a certificate with these fields of the platform."""
    view: dict[str, Any] = json.loads(msgspec.json.encode(build_view(make_certificate(certificate_id, "2", **fields))))
    return view


BARE = {"certificate_id": "1", "order_id": "2", "kind": "other"}
SERIALS = {"total_times_serial_nums": [1, 2], "used_times_serial_nums": [1]}


NO_HOURS = [{}, {"start_time": "14:00"}, {"start_time": "", "end_time": "09:00"}]
NIGHT = {"start_time": "22:00", "end_time": "02:00"}
HOURS = ["22:00", "02:00"]


def off_peak(is_off_peak: bool | None, **limits: Any) -> dict[str, Any]:
    return {"off_peak_discount_detail": {"has_off_peak_discount": is_off_peak, **limits}}


def test_every_field_has_its_source() -> None:
    certificate = make_certificate(**build_certificate())
    assert "None" not in repr(build_view(certificate)), "a field of the view is not filled"
    view = view_of(**build_certificate(certificate_id="1"))
    assert view == {
        "certificate_id": "1",
        "order_id": "2",
        "sku_id": SKU_ID,
        "title": "双人套餐",
        "kind": "voucher",
        "pay_amount": 4499,
        "original_amount": 4500,
        "market_price": 5000,
        "start_time": 1713146529,
        "expire_time": 1899999999,
        "code_tail": "7890",
        "times": {"usable": 7, "total": 10, "use_amount": 300, "type": 1, "usable_serials": [3, 4]},
        "voucher": {"description": "平日可抵100元", "min_amount": 8000, "max_amount": 10000},
        "lock": {"status": 1, "scene": 2},
        "off_peak": {
            "limit_type": 1,
            "start_time": 1713146529,
            "end_time": 1899999999,
            "weekdays": [1, 2],
            "hours": [["14:00", "17:00"]],
        },
        "is_transfer_asset": True,
    }
    assert list(view)[:2] == ["certificate_id", "order_id"]


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ({}, {}),
        # Times and amounts; 0 is a value.
        ({"start_time": 0}, {"start_time": 0}),
        ({"amount": {"pay_amount": 0}}, {"pay_amount": 0}),
        # The product.
        ({"sku_info": {"sku_id": int(SKU_ID)}}, {"sku_id": SKU_ID}),
        ({"sku_info": {"title": ""}}, {}),
        ({"sku_info": {"groupon_type": 1}}, {"kind": "groupon"}),
        ({"sku_info": {"groupon_type": 3}}, {"kind": "times_card"}),
        ({"sku_info": {"groupon_type": 4}}, {"kind": "other"}),
        # The tail of a code, never the whole code.
        ({"code": "12345"}, {"code_tail": "2345"}),
        ({"code": "1234"}, {}),
        # A flag is shown when it is set.
        ({"is_transfer_asset": False}, {}),
        # Lock.
        ({"lock_info_extra": {"lock_status": 0, "lock_scene": 0}}, {}),
        ({"lock_info_extra": {"lock_status": 1}}, {"lock": {"status": 1}}),
        ({"lock_info_extra": {"lock_status": 0, "lock_scene": 2}}, {"lock": {"status": 0, "scene": 2}}),
        # Voucher.
        ({"sku_info": {"voucher_info": {}}}, {}),
        ({"sku_info": {"voucher_info": {"dynamic_par_rule_struct": {"dynamic_par_rule_desc": ""}}}}, {}),
        (
            {"sku_info": {"voucher_info": {"dynamic_par_rule_struct": {"dynamic_par_min_amount": 0}}}},
            {"voucher": {"min_amount": 0}},
        ),
        # Times card.
        ({"times_card_info": {}}, {}),
        ({"times_card_info": {"usable_times": 0}}, {"times": {"usable": 0}}),
        ({"times_card_info": {"total_times_serial_nums": [3, 1, 2]}}, {"times": {"usable_serials": [3, 1, 2]}}),
        ({"times_card_info": SERIALS | {"locked_times_serial_nums": [2, 9]}}, {}),
        # Off-peak limits, when the certificate has any. Hours need a begin and an end.
        (off_peak(False, off_peak_time_limit_type=1), {}),
        (off_peak(None, off_peak_time_limit_type=1, off_peak_time={"start_time": 1}), {}),
        (off_peak(True, off_peak_time={}), {}),
        (off_peak(True, off_peak_time_limit_type=0), {"off_peak": {"limit_type": 0}}),
        (off_peak(True, off_peak_time={"start_time": 0}), {"off_peak": {"start_time": 0}}),
        (off_peak(True, off_peak_time={"daily_time_range_list": NO_HOURS}), {}),
        (off_peak(True, off_peak_time={"daily_time_range_list": [NIGHT]}), {"off_peak": {"hours": [HOURS]}}),
        # Some of the hours alone would be wrong.
        *((off_peak(True, off_peak_time={"daily_time_range_list": [NIGHT, span]}), {}) for span in NO_HOURS),
    ],
)
def test_a_field_is_added_when_it_has_a_value(fields: dict[str, Any], added: dict[str, Any]) -> None:
    assert view_of(**fields) == BARE | added


def page(*certificates: Certificate, unreadable: Sequence[str] = ()) -> Page:
    return Page(list(certificates), len(certificates), None, list(unreadable))


def unusable(certificate_id: str, **fields: Any) -> Certificate:
    return make_certificate(certificate_id, can_use=False, **fields)


def test_the_soonest_to_expire_is_first_then_the_smaller_id_and_no_expiry_last() -> None:
    """Each view has the id of its order."""
    times = [("b", "1", 20), ("0", "1", None), ("c", "1", 10), ("a", "2", 20), ("z", "2", 0), ("00", "2", None)]
    listed = [make_certificate(found, order_id, expire_time=expiry) for found, order_id, expiry in times]
    shown = [(view.certificate_id, view.order_id) for view in build_views([page(*listed)], NOW).views]
    assert shown == [("z", "2"), ("c", "1"), ("a", "2"), ("b", "1"), ("0", "1"), ("00", "2")]


def test_a_certificate_on_two_pages_is_shown_once_as_the_first_page_has_it() -> None:
    pages = [page(make_certificate("a", order_id, expire_time=int(order_id))) for order_id in "12"]
    views = build_views(pages, NOW).views
    assert [(view.certificate_id, view.order_id, view.expire_time) for view in views] == [("a", "1", 1)]


X = make_certificate("a", malformed_fields=["x"])


@pytest.mark.parametrize(
    ("pages", "malformed", "fields"),
    [
        ([page(unreadable=["x", "y", "x"])], 3, ["x", "y"]),
        ([page(X, make_certificate("b", malformed_fields=["x"]))], 2, ["x"]),
        ([page(X), page(make_certificate("b"), unreadable=["y"])], 2, ["y", "x"]),
        ([make_page("a"), page(X)], 0, []),
        ([page(unusable("a", malformed_fields=["x"]))], 0, []),
    ],
)
def test_malformed_parts_are_counted_and_named(pages: list[Page], malformed: int, fields: list[str]) -> None:
    built = build_views(pages, NOW)
    assert (built.malformed, set(built.malformed_fields)) == (malformed, set(fields))


PAST, FUTURE = int(NOW) - 1, int(NOW) + 1


@pytest.mark.parametrize(
    ("certificates", "expected"),
    [
        ([unusable("a", expire_time=PAST)], UnusableView(expired=1)),
        ([unusable("a", expire_time=int(NOW))], UnusableView(other=1)),
        ([unusable("a", start_time=FUTURE)], UnusableView(not_started=1)),
        ([unusable("a", start_time=int(NOW))], UnusableView(other=1)),
        # A certificate that has expired is that, whatever its start.
        ([unusable("a", start_time=FUTURE, expire_time=PAST)], UnusableView(expired=1)),
        ([unusable("7"), unusable("7"), unusable("8", expire_time=0)], UnusableView(expired=1, other=1)),
    ],
)
def test_what_is_not_usable_is_counted_by_its_reason(certificates: list[Certificate], expected: UnusableView) -> None:
    pages = [page(*certificates, make_certificate("usable", expire_time=PAST))]
    assert build_views(pages, NOW).unusable == expected


@pytest.mark.parametrize(
    ("pages", "count"),
    [
        ([], None),
        ([page()], None),
        # One certificate on two pages is one; another order may make it usable.
        ([page(unusable("a")), page(unusable("a"))], 1),
        ([page(unusable("a")), make_page("a")], None),
        ([make_page("a"), page(unusable("a"), unusable("b"))], 1),
    ],
)
def test_each_certificate_is_either_shown_or_counted_once(pages: list[Page], count: int | None) -> None:
    expected = None if count is None else UnusableView(other=count)
    assert build_views(pages, NOW).unusable == expected


def test_a_list_byte_for_byte() -> None:
    assert msgspec.json.encode(ListView("7", "6601", [])) == b'{"account_id":"7","poi_id":"6601","certificates":[]}'
    views = build_views([make_page("a")], NOW).views
    assert msgspec.json.encode(ListView("7", "6601", views, UnusableView(expired=2), "next")) == (
        b'{"account_id":"7","poi_id":"6601","certificates":[{"certificate_id":"a","order_id":"order-a","kind":"other"}],'
        b'"unusable":{"expired":2},"next_cursor":"next"}'
    )
