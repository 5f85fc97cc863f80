"""The shape of a reply has every field and no value, except the numbers of enumerations."""

import json
from typing import Any

import pytest

from redeemctl.shapes import compare_shapes, find_shape


@pytest.mark.parametrize(
    ("path", "value", "form"),
    [
        ("data", "7200000000000000001", "text, digits 19"),
        ("data", "张三 13800000000", "text, length 14"),
        ("data", "１２３", "text, length 3"),
        ("data", "", "text, length 0"),
        ("data", 1713146529, "integer, digits 10"),
        ("data", -1713146529000, "integer, digits 13"),
        ("data", 44.99, "fraction, digits 4"),
        ("data", True, "boolean"),
        ("data", None, "null"),
        ("data", {}, "object"),
        ("data", [], "list"),
        ("sku_info.groupon_type", 9, "integer 9"),
        ("lock_info_extra.lock_scene", "1000", "text 1000"),
        ("lock_info_extra.lock_status", -1, "integer -1"),
        ("times_card_info.ladder_times_card_info[].status", 2, "integer 2"),
        ("sku_info.groupon_type", 123456, "integer, digits 6"),
        ("sku_info.groupon_type", "张三", "text, length 2"),
        ("sku_info.groupon_type", [9], "list"),
        ("seller.status", 2, "integer, digits 1"),
    ],
)
def test_a_value_is_described_by_its_form_and_only_a_short_number_of_an_enumeration_is_shown(
    path: str, value: Any, form: str
) -> None:
    reply = value
    for name in reversed(path.split(".")):
        reply = {name.removesuffix("[]"): [reply] if name.endswith("[]") else reply}
    assert find_shape(reply)[path] == {form: 1}


def test_forms_are_counted_by_path_in_objects_and_lists() -> None:
    orders = [{"order_id": "1", "days": [1, 2]}, {"order_id": 1, "days": []}, None]
    assert find_shape({"data": {"orders": orders}}) == {
        "": {"object": 1},
        "data": {"object": 1},
        "data.orders": {"list": 1},
        "data.orders[]": {"object": 2, "null": 1},
        "data.orders[].days": {"list": 2},
        "data.orders[].days[]": {"integer, digits 1": 2},
        "data.orders[].order_id": {"text, digits 1": 1, "integer, digits 1": 1},
    }


def test_a_reply_that_is_nested_deeply_has_a_shape() -> None:
    assert len(find_shape(json.loads("[" * 900 + "]" * 900))) == 900


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        ("refund_status", True), ("v2_flag", True), ("7200000000000000001", False), ("_000open-id", False),
        ("a" * 41, False), ("姓名", False), ("order_2024_1234", False), ("a!", False), ("7200000000000000001.a", False),
    ],
)  # fmt: skip
def test_only_names_that_look_like_fields_are_shown(name: str, is_safe: bool) -> None:
    shown = name if is_safe else f"({len(name)} characters)"
    assert list(find_shape({"data": {name: 1}})) == ["", "data", f"data.{shown}"]


def test_what_differs_from_the_documents_is_named_by_its_type_and_a_time_by_its_digits() -> None:
    documented = {"id": "1", "end_time": 1713146529, "gone": 1, "maybe": 1}
    replies = [{"id": "22", "end_time": 1713146529, "maybe": None}, {"id": 7, "end_time": 1713146529000, "new": []}]
    assert compare_shapes(documented, replies) == {
        "end_time": "integer, digits 13; documented: integer, digits 10",
        "gone": "not seen",
        "id": "integer; documented: text",
        "new": "list; documented: nothing",
    }
