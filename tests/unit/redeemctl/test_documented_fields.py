"""The table of documented fields has exactly the fields of the document's sample, and those that the service reads."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.douyin import models
from redeemctl.acceptance.comparison import Comparison, Deviation, DeviationKind
from redeemctl.acceptance.fields import BY_PATH, CALLS, Type, type_of
from tests.sample_reply import build_certificate, build_reply

LIST = "query_user_certificates"


def full_reply() -> dict[str, Any]:
    """Return the document's sample reply: every field."""
    reply = build_reply(build_certificate())
    reply["extra"]["sub_description"] = ""
    return reply


def paths(value: Any, path: str = "") -> dict[str, Type]:
    """Return the path and type of every field and element in JSON data."""
    found: dict[str, Type] = {path: type_of(value)} if path else {}
    parts = value.items() if isinstance(value, dict) else []
    for name, part in parts:
        found |= paths(part, f"{path}.{name}" if path else name)
    for part in value if isinstance(value, list) else []:
        found |= paths(part, f"{path}[]")
    return found


def test_the_table_has_the_fields_of_the_documents_sample() -> None:
    assert {path: field.type for path, field in BY_PATH[LIST].items()} == paths(full_reply())


def test_the_service_reads_only_documented_fields() -> None:
    names = {path.rpartition(".")[2].removesuffix("[]") for path in BY_PATH[LIST]}
    structs = [models.Certificate, models.Order, models.CertificatesData, models.SkuInfo, models.TimesCardInfo]
    for struct in structs:
        read = set(struct.__struct_fields__) - {"sub_error_code", "logid"}
        assert read <= names


def test_each_field_stands_after_its_parent() -> None:
    for fields in CALLS.values():
        seen = {""}
        for field in fields:
            parent = field.path.removesuffix("[]") if field.path.endswith("[]") else field.path.rpartition(".")[0]
            assert parent in seen, field.path
            seen.add(field.path)


def test_a_reply_as_documented_has_no_deviation() -> None:
    comparison = Comparison()
    comparison.add(LIST, full_reply(), is_success=True)
    assert not comparison.deviations
    assert comparison.unseen_fields() == []


@pytest.mark.parametrize("reply", [None, [], "text"])
def test_a_reply_that_is_no_object_is_reported(reply: Any) -> None:
    comparison = Comparison()
    comparison.add(LIST, reply, is_success=False)
    assert [d.kind for d in comparison.deviations] == [DeviationKind.NOT_JSON]


def test_an_error_needs_only_the_envelope() -> None:
    codes = {"error_code": 2100004, "description": ""}
    extra = {**codes, "sub_error_code": 0, "sub_description": "", "logid": "1", "now": 1}
    comparison = Comparison()
    comparison.add(LIST, {"data": codes, "extra": extra}, is_success=False)
    assert not comparison.deviations


def test_a_deviation_is_counted_and_shows_no_value() -> None:
    reply = full_reply()
    for _ in range(2):
        reply["data"]["orders"].append({"order_id": 7200000000000000001, "can_use": True, "certificates": []})
    reply["data"]["7200000000000000001"] = "secret"
    comparison = Comparison()
    comparison.add(LIST, reply, is_success=True)
    assert comparison.deviations == {
        Deviation(DeviationKind.OTHER_TYPE, LIST, "data.orders[].order_id", "integer instead of text"): 2,
        Deviation(DeviationKind.UNKNOWN_FIELD, LIST, "data.(19 characters)", "a field of type text"): 1,
    }
