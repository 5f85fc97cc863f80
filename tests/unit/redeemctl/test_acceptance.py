"""The form of a reply has every field and no value, except for short numbers."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.douyin.calls import QUERY_USER_CERTIFICATES
from redeemctl import acceptance
from redeemctl.acceptance import compare_forms, find_forms


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("7200000000000000001", "str with 19 digits"),
        ("张三 13800000000", "str with 14 characters"),
        ("１２", "str with 2 characters"),
        (1713146529, "int with 10 digits"),
        (44.99, "float with 5 characters"),
        (True, "bool"),
        (None, "NoneType"),
        ({}, "dict"),
        ([], "list"),
        (-1, "int -1"),
        ("10", "str 10"),
    ],
)
def test_a_value_is_described_by_its_form_and_only_a_short_number_is_shown(value: Any, form: str) -> None:
    assert find_forms({"data": value})["data"] == {form: 1}


def test_forms_are_counted_by_path_in_objects_and_lists() -> None:
    orders = [{"order_id": "1", "days": [1, 2]}, {"order_id": 1, "days": []}, None]
    assert find_forms({"data": {"orders": orders}}) == {
        "": {"dict": 1},
        "data": {"dict": 1},
        "data.orders": {"list": 1},
        "data.orders[]": {"dict": 2, "NoneType": 1},
        "data.orders[].days": {"list": 2},
        "data.orders[].days[]": {"int 1": 1, "int 2": 1},
        "data.orders[].order_id": {"str 1": 1, "int 1": 1},
    }


@pytest.mark.parametrize("reply", [None, [], {"data": "x", "extra": 1}, {"data": {"orders": 1}, "extra": []}])
def test_a_reply_of_any_form_is_reported(reply: Any) -> None:
    recorded = acceptance.RecordedReply(f"https://x{QUERY_USER_CERTIFICATES.path}", 0, 200, reply)
    [call] = acceptance.build_report([recorded])["calls"]
    assert call["reply"] == find_forms(reply)


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        ("refund_status", True), ("v2_flag", True), ("7200000000000000001", False), ("_000open-id", False),
        ("a" * 41, False), ("姓名", False), ("order_2024_1234", False), ("a!", False), ("7200000000000000001.a", False),
    ],
)  # fmt: skip
def test_only_names_that_look_like_fields_are_shown(name: str, is_safe: bool) -> None:
    shown = name if is_safe else f"({len(name)} characters)"
    assert list(find_forms({"data": {name: 1}})) == ["", "data", f"data.{shown}"]


def test_what_differs_from_the_documents_is_named_by_its_type_and_a_time_by_its_digits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    documented = {"id": "1", "end_time": 1713146529, "gone": 1, "maybe": 1}
    (tmp_path / "list.json").write_text(json.dumps(documented))
    monkeypatch.setattr(acceptance, "DOCUMENTED_LIST", tmp_path / "list.json")
    lists = [{"id": "22", "end_time": 1713146529, "maybe": None}, {"id": 7, "end_time": 1713146529000, "new": []}]
    assert compare_forms(lists) == {
        "end_time": "int with 13 digits; documented: int with 10 digits",
        "gone": "not seen",
        "id": "int; documented: str",
        "new": "list; documented: nothing",
    }
