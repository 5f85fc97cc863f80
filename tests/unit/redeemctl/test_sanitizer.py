"""Sanitized replies keep their structure, and no id, name, title, code, token or open_id of the original."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redeemctl.acceptance.fields import BY_PATH, CALLS, Field, Kind, Type
from redeemctl.acceptance.sanitizer import Sanitizer, safe_name

LIST = "query_user_certificates"
EXAMPLES = 600 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 30
SECRET_KINDS = {Kind.ID, Kind.OPEN_ID, Kind.TITLE, Kind.CODE, Kind.TOKEN, Kind.LOGID}

# Texts of at least eight characters: a shorter one may be part of another text by chance.
SECRETS = st.one_of(
    st.integers(10**7, 10**19).map(str),
    st.text(st.characters(codec="utf-8", exclude_characters='\\"'), min_size=8, max_size=40),
    st.text("abcdef_-0123456789", min_size=8, max_size=40),
    st.sampled_from(["fixturelogid", "clt.fixture", "id-000001", "900000000001", "00000000", "code-00000001"]),
)
ENUMS = st.integers(0, 9)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    **dict.fromkeys(SECRET_KINDS, SECRETS | st.integers(10**8, 10**19)),
    Kind.AMOUNT: st.integers(0, 10**7) | st.floats(0, 1000, allow_nan=False),
    Kind.TIME: st.integers(1_700_000_000, 1_900_000_000) | st.integers(1_700_000_000_000, 1_900_000_000_000),
    Kind.HOURS: st.sampled_from(["00:00", "12:30", "23:59:59"]),
    Kind.ENUM: ENUMS,
    Kind.COUNT: st.integers(0, 5000),
    Kind.FLAG: st.booleans(),
    Kind.ERROR_CODE: st.sampled_from([0, 2100004, 28001003, 11006]),
    Kind.MESSAGE: st.sampled_from(["", "success"]) | SECRETS,
}
UNKNOWN = st.recursive(
    st.none() | st.booleans() | st.integers(10**8, 10**18) | SECRETS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SECRETS | st.just("new_field"), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def objects(draw: st.DrawFn, call: str, path: str = "") -> dict[str, Any]:
    """Return an object with some of the documented fields, and sometimes an unknown one."""
    prefix = f"{path}." if path else ""
    inside = [f for f in CALLS[call] if f.path.startswith(prefix) and "." not in f.path[len(prefix) :]]
    built = {}
    for field in inside:
        if field.path.endswith("[]") or not draw(st.integers(0, 4)):
            continue
        built[field.path[len(prefix) :]] = draw(values(call, field))
    if draw(st.booleans()):
        built[draw(SECRETS | st.just("unknown_field"))] = draw(UNKNOWN)
    return built


def values(call: str, field: Field) -> st.SearchStrategy[Any]:
    if field.type is Type.OBJECT:
        return objects(call, field.path)
    if field.type is Type.LIST:
        return st.lists(values(call, BY_PATH[call][f"{field.path}[]"]), max_size=2)
    return VALUES[field.kind]


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for name, part in value.items() for leaf in leaves(part, f"{path}.{name}" if path else name)]
    if isinstance(value, list):
        return [leaf for part in value for leaf in leaves(part, f"{path}[]")]
    return [(path, value)]


def shape(call: str, value: Any, path: str = "") -> Any:
    """Return the structure with types in place of values, and placeholders for unknown names."""
    if isinstance(value, dict):
        parts = [
            (name if f"{path}{name}" in BY_PATH[call] else "?", shape(call, part, f"{path}{name}."))
            for name, part in value.items()
        ]
        return [len(parts), parts]
    if isinstance(value, list):
        return ["list", [shape(call, part, f"{path.removesuffix('.')}[].") for part in value]]
    return type(value).__name__


def secrets_in(call: str, value: Any, path: str = "") -> set[str]:
    """Return the secret values, and the names that do not look like fields."""
    if isinstance(value, dict):
        found: set[str] = set()
        for name, part in value.items():
            part_path = f"{path}.{name}" if path else name
            found |= secrets_in(call, part, part_path)
            found |= {name} if part_path not in BY_PATH[call] and safe_name(name) != name else set()
        return found
    if isinstance(value, list):
        return {text for part in value for text in secrets_in(call, part, f"{path}[]")}
    field = BY_PATH[call].get(path)
    is_secret = field is None or field.kind in SECRET_KINDS or (field.kind is Kind.MESSAGE and value != "success")
    return {str(value)} if is_secret and value not in (None, "", True, False) else set()


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_no_original_survives_and_the_structure_is_the_same(call: str, data: st.DataObject) -> None:
    replies = data.draw(st.lists(objects(call), min_size=1, max_size=3))
    sanitizer = Sanitizer([(call, reply) for reply in replies])
    sanitized = [sanitizer.sanitize(call, reply) for reply in replies]
    originals = {text for reply in replies for text in secrets_in(call, reply) if not _is_name(text)}
    for before, after in zip(replies, sanitized, strict=True):
        assert shape(call, before) == shape(call, after)
        texts = [str(value) for path, value in leaves(after) if _may_be_secret(call, path)]
        texts += [part for path, _ in leaves(after) for part in path.split(".")]
        for original in originals:
            assert [text for text in texts if original in text] == []


def _may_be_secret(call: str, path: str) -> bool:
    """Return whether the generated value at this path was secret, or any."""
    field = BY_PATH[call].get(path)
    return field is None or field.kind in SECRET_KINDS or field.kind is Kind.MESSAGE


def _is_name(text: str) -> bool:
    """Return whether a text is one that documented paths and kept names contain anyway."""
    names = [*(path for call in BY_PATH.values() for path in call), "unknown_field", "new_field"]
    return any(text in name for name in names)


@settings(max_examples=EXAMPLES, deadline=None)
@given(reply=objects(LIST))
def test_what_tests_need_is_kept(reply: dict[str, Any]) -> None:
    after = dict_of_leaves(Sanitizer([(LIST, reply)]).sanitize(LIST, reply))
    kept = {Kind.HOURS, Kind.ENUM, Kind.COUNT, Kind.FLAG, Kind.ERROR_CODE}
    for path, values_before in dict_of_leaves(reply).items():
        field = BY_PATH[LIST].get(path)
        if field is not None and field.kind in kept:
            assert after[path] == values_before


def dict_of_leaves(value: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for path, leaf in leaves(value):
        found.setdefault(path, []).append(leaf)
    return found


def certificate(**fields: Any) -> dict[str, Any]:
    return {"data": {"orders": [{"order_id": "2000000000001", "certificates": [fields]}]}}


def sanitize(*replies: dict[str, Any], more: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    sanitizer = Sanitizer([(LIST, reply) for reply in replies], more, random.Random(1))  # noqa: S311 - not a secret
    return [sanitizer.sanitize(LIST, reply)["data"]["orders"][0]["certificates"][0] for reply in replies]


def test_the_same_value_has_the_same_replacement_in_all_replies() -> None:
    first, second = sanitize(
        certificate(certificate_id="7200000000000000001", amount={"pay_amount": 4499, "original_amount": 4500}),
        certificate(certificate_id=7200000000000000001, amount={"pay_amount": 4499, "original_amount": 0}),
    )
    assert isinstance(second["certificate_id"], int)
    assert str(second["certificate_id"]) == first["certificate_id"] != "7200000000000000001"
    assert (
        first["amount"]["pay_amount"]
        == second["amount"]["pay_amount"]
        not in (4499, first["amount"]["original_amount"])
    )
    assert second["amount"]["original_amount"] == 0


def test_times_keep_their_order_and_time_of_day_only() -> None:
    """The time of the run is known: it must not lead to the others."""
    times = [1_713_146_529, 1_713_146_530, 1_744_300_799, 1_900_000_000, 1_713_146_529_000]
    replaced = [sanitized["start_time"] for sanitized in sanitize(*(certificate(start_time=time) for time in times))]
    assert replaced[:4] == sorted(replaced[:4])
    assert [time % 86400 for time in replaced[:4]] == [time % 86400 for time in times[:4]]
    assert replaced[4] == replaced[0] * 1000
    days = [time // 86400 for time in replaced[:4]]
    assert days == [20_000, 20_000, 20_001, 20_002], "neither dates nor distances"
    assert sanitize(certificate(start_time=-1, expire_time=0)) == [{"start_time": -1, "expire_time": 0}]


def test_only_what_is_documented_survives() -> None:
    fields: dict[str, Any] = {
        "zhangsan": {"lisi": 1},
        "new_number": 42,
        "lock_info_extra": {"lock_status": "ZHANG_SAN", "lock_scene": 1000},
        "is_transfer_asset": True,
    }
    [after] = sanitize(certificate(**fields))
    written = json.dumps(after)
    assert not [text for text in ("zhangsan", "lisi", "new_number", "42", "ZHANG") if text in written]
    assert after["lock_info_extra"]["lock_scene"] == 1000
    assert after["is_transfer_asset"] is True


@pytest.mark.parametrize(
    "fields",
    [
        {"start_time": 7200000000000000001}, {"lock_info_extra": {"lock_status": 7200000000000000001}},
        {"times_card_info": {"total_times": 7200000000000000001}}, {"is_transfer_asset": "7200000000000000001"},
        {"lock_info_extra": {"lock_status": "7200000000000000001"}}, {"amount": "7200000000000000001"},
        {"amount": {"pay_amount": 7200000000000000001}}, {"off_peak_discount_detail": ["7200000000000000001"]},
        {"sku_info": {"voucher_info": {"voucher_type": {"id": "7200000000000000001"}}}},
    ],
)  # fmt: skip
def test_an_id_in_a_wrong_place_is_replaced(fields: dict[str, Any]) -> None:
    assert "7200000000000" not in json.dumps(sanitize(certificate(**fields)))


def test_a_reply_that_contains_a_readable_replacement_gets_another_one() -> None:
    titles = ["商品1", "商品商品", "id-000001", "code-0000"]
    [after] = sanitize(certificate(sku_info={"title": titles[0]}, code="code-00000001"), more=tuple(titles))
    assert after["sku_info"]["title"] not in titles
    assert "code-0000" not in after["code"]


def test_text_is_scrubbed_except_what_is_public() -> None:
    sanitizer = Sanitizer([(LIST, certificate(code="1081500017001"))], ("public-id",))
    assert sanitizer.scrub("code 1081500017001, public-id", {"public-id"}) == "code …, public-id"
    assert sanitizer.finds_original("x1081500017001x")


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        ("refund_status", True), ("v2_flag", True), ("7200000000000000001", False), ("_000open-id", False),
        ("a" * 41, False), ("姓名", False), ("order_2024_1234", False), ("a_" * 19 + "!", False),
    ],
)  # fmt: skip
def test_only_names_that_look_like_fields_are_shown(name: str, is_safe: bool) -> None:
    assert (safe_name(name) == name) is is_safe


def test_a_sanitized_reply_is_json() -> None:
    reply = certificate(sku_info={"title": "\udc80 invalid"}, **{"\udc81key": float("inf")})
    json.dumps(sanitize(reply), ensure_ascii=False).encode()
