"""Sanitized replies keep their structure, and no id, name, title, code, token or open_id of the original."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redeemctl.acceptance.fields import CODE, COUNT, ENUM, FIELDS, HOUR, TIME, Field
from redeemctl.acceptance.sanitizer import Sanitizer

LIST = "query_user_certificates"
EXAMPLES = 1000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 60
NOW = 1_800_000_000

# Texts of at least eight characters: a shorter one may be part of another text by chance.
SECRETS = st.one_of(
    st.integers(10**7, 10**19).map(str),
    st.integers(10**9, 10**19),
    st.text(st.characters(codec="utf-8", exclude_characters='\\"'), min_size=8, max_size=40),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(1.5, 9.5) | SECRETS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SECRETS.map(str), inner, max_size=3),
    max_leaves=6,
)


def sanitize(call: str, *replies: Any) -> list[Any]:
    sanitizer = Sanitizer([(call, reply) for reply in replies])
    return [sanitizer.sanitize(call, reply) for reply in replies]


def put(call: str, path: str, value: Any) -> dict[str, Any]:
    """Return a reply with a value at a documented path, and nothing else."""
    assert path in FIELDS[call]
    for name in reversed(path.split(".")):
        lists = name.count("[]")
        for _ in range(lists):
            value = [value]
        value = {name.removesuffix("[]"): value}
    found: dict[str, Any] = value
    return found


def get(reply: Any, path: str) -> Any:
    """Return the value at a documented path in a reply of `put`."""
    for name in path.split("."):
        reply = reply[name.removesuffix("[]")]
        reply = reply[0] if name.endswith("[]") else reply
    return reply


def originals(value: Any) -> set[str]:
    """Return every text, name and number in JSON data that is long enough to be recognized."""
    if isinstance(value, dict):
        return {name for name in value if len(name) > 7} | {text for part in value.values() for text in originals(part)}
    if isinstance(value, list):
        return {text for part in value for text in originals(part)}
    return set() if value is None or isinstance(value, bool | float) else {str(value)}


def shape(value: Any) -> Any:
    """Return the structure, with types in place of values and without names."""
    if isinstance(value, dict):
        return ["object", *map(shape, value.values())]
    return ["list", *map(shape, value)] if isinstance(value, list) else type(value).__name__


ALL_PATHS = [(call, path) for call, fields in FIELDS.items() for path in fields if path]
# A replaced time has digits that other numbers have by chance; it has a test of its own.
PATHS_WITHOUT_TIMES = [(call, path) for call, path in ALL_PATHS if FIELDS[call][path] != TIME]


@pytest.mark.parametrize(
    "secret", ["7200000000000000001", 7200000000000000001, "张三的券 13800000000", "12:30 张三", "13800000"]
)
def test_a_secret_survives_in_no_field_whatever_its_documented_type(secret: Any) -> None:
    for call, path in ALL_PATHS:
        for value in (secret, [secret], {"a": secret}, {str(secret): True}):
            [after] = sanitize(call, put(call, path, value))
            assert str(secret) not in json.dumps(after, ensure_ascii=False), path


@settings(max_examples=EXAMPLES, deadline=None)
@given(place=st.sampled_from(PATHS_WITHOUT_TIMES), parts=st.lists(JSON, min_size=1, max_size=3))
def test_no_original_survives_and_the_structure_is_the_same(place: tuple[str, str], parts: list[Any]) -> None:
    call, path = place
    replies = [put(call, path, part) for part in parts]
    for before, after, part in zip(replies, sanitize(call, *replies), parts, strict=True):
        assert shape(before) == shape(after)
        written = json.dumps(get(after, path), ensure_ascii=False)
        assert [text for text in originals(part) if text in written] == []


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (ENUM, [1, 1000, "3"]),
        (COUNT, [0, 5000]),
        (CODE, [0, 2100004, 28001003]),
        (HOUR, ["00:00", "23:59:59"]),
        (Field("text"), ["", "success"]),
    ],
)
def test_what_tests_need_is_kept(field: Field, values: list[Any]) -> None:
    places = [(call, path) for call, path in ALL_PATHS if FIELDS[call][path] == field]
    assert places
    for call, path in places:
        for value in (*values, True, None):
            assert sanitize(call, put(call, path, value)) == [put(call, path, value)]


def certificate(**fields: Any) -> dict[str, Any]:
    return {"data": {"orders": [{"order_id": "2000000000001", "certificates": [fields]}]}}


def sanitize_certificates(*fields: dict[str, Any]) -> list[dict[str, Any]]:
    replies = sanitize(LIST, *(certificate(**values) for values in fields))
    return [reply["data"]["orders"][0]["certificates"][0] for reply in replies]


def test_the_same_value_has_the_same_replacement_in_all_replies_but_not_in_all_runs() -> None:
    values = {"certificate_id": "7200000000000000001", "amount": {"pay_amount": 4499, "original_amount": 0}}
    first, second = sanitize_certificates(values, {**values, "certificate_id": 7200000000000000001})
    assert isinstance(second["certificate_id"], int)
    assert str(second["certificate_id"]) == first["certificate_id"] != "7200000000000000001"
    assert first["amount"] == second["amount"]
    assert first["amount"]["original_amount"] == 0
    [other_run] = sanitize_certificates(values)
    assert other_run["certificate_id"] != first["certificate_id"]


def test_times_keep_their_order_only() -> None:
    """Neither date, time of day nor distance: the time of the run is known, and must not lead to the others."""
    times = [1_744_300_799, 1_713_146_529, 1_713_146_530, 1_900_000_000, 1_713_146_529]
    replaced = [after["start_time"] for after in sanitize_certificates(*({"start_time": time} for time in times))]
    assert [time / 86400 for time in replaced] == [20_002, 20_000, 20_001, 20_003, 20_000]
    assert sanitize_certificates({"start_time": -1, "expire_time": 0}) == [{"start_time": -1, "expire_time": 0}]


def test_milliseconds_stay_milliseconds() -> None:
    [after] = sanitize_certificates({"start_time": NOW * 1000})
    assert after["start_time"] != NOW * 1000
    assert 10**12 <= after["start_time"] < 10**13


def test_every_time_is_replaced() -> None:
    places = [place for place in ALL_PATHS if place not in PATHS_WITHOUT_TIMES]
    assert {path.rpartition(".")[2] for _, path in places} == {
        "start_time", "expire_time", "end_time", "sold_start_time", "now"}  # fmt: skip
    for call, path in places:
        for now in (NOW, NOW * 1000, float(NOW), str(NOW)):
            assert str(now) not in json.dumps(sanitize(call, put(call, path, now)))


def test_a_sanitized_reply_is_json() -> None:
    fields = {"sku_info": {"title": "\udc80 invalid"}, "\udc81key": float("inf")}
    json.dumps(sanitize_certificates(fields), ensure_ascii=False, allow_nan=False).encode()
