"""The table of documented fields has exactly the fields of the document's sample, and those that the service reads."""

from __future__ import annotations

from typing import Any

import pytest

from redeemctl.acceptance.comparison import NOT_DOCUMENTED, OTHER_TYPE, VALUES, Comparison, FieldNote
from redeemctl.acceptance.fields import FIELDS, type_of, walk
from tests.sample_reply import build_certificate, build_reply

LIST = "query_user_certificates"


def full_reply() -> dict[str, Any]:
    """Return the document's sample reply: every field."""
    reply = build_reply(build_certificate())
    reply["extra"]["sub_description"] = ""
    return reply


def paths(value: Any, path: str = "") -> dict[str, str]:
    """Return the path and type of JSON data, and of every field and element in it."""
    found = {path: type_of(value)}
    parts = value.items() if isinstance(value, dict) else []
    for name, part in parts:
        found |= paths(part, f"{path}.{name}" if path else name)
    for part in value if isinstance(value, list) else []:
        found |= paths(part, f"{path}[]")
    return found


def notes(*replies: dict[str, Any]) -> list[FieldNote]:
    """Return what a comparison notes, without the values of enumerations."""
    comparison = Comparison()
    for reply in replies:
        comparison.add(LIST, reply)
    return [note for note in comparison.notes() if note.kind != VALUES]


def test_the_table_has_the_fields_of_the_documents_sample() -> None:
    assert {path: field.type for path, field in FIELDS[LIST].items()} == paths(full_reply())


def test_a_reply_as_documented_has_no_note() -> None:
    assert notes(full_reply()) == []


def test_a_note_counts_and_shows_no_value() -> None:
    reply = full_reply()
    for _ in range(2):
        reply["data"]["orders"].append({"order_id": 7200000000000000001, "can_use": True, "certificates": []})
    reply["data"]["7200000000000000001"] = {"secret": "secret"}
    assert notes(reply) == [
        FieldNote(NOT_DOCUMENTED, LIST, "data.(19 characters)", "object (1)"),
        FieldNote(OTHER_TYPE, LIST, "data.orders[].order_id", "integer (2), text (1); documented: text"),
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [(7, "7 (1)"), ("7", "7 (1)"), (10**6, "(other) (1)"), ("x", "(other) (1)")]
)
def test_only_the_number_of_an_enumeration_is_shown(value: Any, shown: str) -> None:
    comparison = Comparison()
    comparison.add(LIST, build_reply(build_certificate(sku_info={"groupon_type": value})))
    field = "data.orders[].certificates[].sku_info.groupon_type"
    assert FieldNote(VALUES, LIST, field, shown) in comparison.notes()


@pytest.mark.parametrize(("change", "is_present"), [({}, True), ({"expire_time": None}, False), ({"gone": 1}, False)])
def test_a_field_is_missing_if_one_object_lacks_it(change: dict[str, Any], is_present: bool) -> None:
    other = build_certificate(**change)
    if "gone" in change:
        del other["expire_time"]
    comparison = Comparison()
    comparison.add(LIST, build_reply(build_certificate(), other))
    assert comparison.is_always_present(LIST, "data.orders[].certificates[].expire_time") is is_present


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        ("refund_status", True), ("v2_flag", True), ("7200000000000000001", False), ("_000open-id", False),
        ("a" * 41, False), ("姓名", False), ("order_2024_1234", False), ("a!", False), ("7200000000000000001.a", False),
    ],
)  # fmt: skip
def test_only_names_that_look_like_fields_are_shown(name: str, is_safe: bool) -> None:
    shown = name if is_safe else f"({len(name)} characters)"
    assert list(walk(LIST, {"data": {name: 1}}))[-1] == (f"data.{shown}", 1)
