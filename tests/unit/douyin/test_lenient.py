"""A usable certificate is shown whatever else is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from chalicelib.certificates.views import BuiltViews, UnusableView, build_views
from chalicelib.douyin import lenient, models
from chalicelib.douyin.protocol import Response, parse_certificates
from chalicelib.errors import UpstreamMalformedError
from tests.sample_reply import MISSING, NOT_SHOWN_PATHS, SHOWN_PATHS, build_certificate, build_reply, set_path
from tests.unit.fakes import NOW

WRONG_FOR_ALL = [{"x": 1}, [{}], [["x"]], 1.5, "\ud800", -(2**70), 10**500]
SERIAL_LISTS = [path for path in SHOWN_PATHS if path.endswith("_serial_nums")]


def wrong_values(value: Any) -> list[Any]:
    """Return values whose type cannot be read as the type of `value`."""
    if isinstance(value, bool):
        return ["maybe", 7, [], {}, 1.5]
    if isinstance(value, int):
        return ["many", "", [], {}, 1.5, True, 2**63]
    if isinstance(value, str):
        return [5, True, [], {}, 1.5]
    if isinstance(value, list):
        return ["many", 5, True, {}, *([["x"]] if value and not isinstance(value[0], dict) else [])]
    return ["many", 5, True, [], [{}]]


def read(certificate: Any, **options: Any) -> BuiltViews:
    return read_reply(build_reply(certificate, **options))


def read_reply(reply: Any) -> BuiltViews:
    page = parse_certificates(Response(200, {}, json.dumps(reply).encode()))
    return build_views([page], NOW)


def to_json(built: BuiltViews) -> Any:
    return json.loads(msgspec.json.encode(built.views))


WRONG_SHOWN = [
    pytest.param(path, value, id=f"{path}={value!r}"[:100])
    for path, right in SHOWN_PATHS.items()
    for value in wrong_values(right)
    # An id may be a number.
    if not (path == "sku_info.sku_id" and value == 5)
]


@pytest.mark.parametrize(("path", "value"), WRONG_SHOWN)
def test_a_wrong_value_of_a_shown_field_counts_as_missing_and_is_reported(path: str, value: Any) -> None:
    wrong, without = build_certificate(), build_certificate()
    set_path(wrong, path, value)
    set_path(without, path, MISSING)
    if path in SERIAL_LISTS:
        # Never guessed: without one list the other two say nothing.
        for other in SERIAL_LISTS:
            if other != path:
                set_path(without, other, MISSING)
    built = read(wrong)
    assert to_json(built) == to_json(read(without))
    assert built.malformed == 1
    assert built.malformed_fields == ["orders.certificates." + path.replace(".0", "")]


@pytest.mark.parametrize("path", NOT_SHOWN_PATHS)
def test_a_field_that_is_not_shown_cannot_affect_the_view(path: str) -> None:
    expected = to_json(read(build_certificate()))
    for value in [*WRONG_FOR_ALL, "", 5, True, None, [], {}]:
        certificate = build_certificate()
        set_path(certificate, path, value)
        built = read(certificate)
        assert to_json(built) == expected
        assert built.malformed == 0
        # Also when another field makes the page be read field by field.
        certificate["start_time"] = "soon"
        assert read(certificate).malformed_fields == ["orders.certificates.start_time"]


@pytest.mark.parametrize("path", SHOWN_PATHS)
def test_null_counts_as_missing_and_is_not_malformed(path: str) -> None:
    null, without = build_certificate(), build_certificate()
    set_path(null, path, None)
    set_path(without, path, MISSING)
    if path.endswith("daily_time_range_list"):
        without["off_peak_discount_detail"]["off_peak_time"].pop("daily_time_range_list", None)
    built = read(null)
    assert to_json(built) == to_json(read(without))
    assert built.malformed == 0


@pytest.mark.parametrize("value", [MISSING, None, "", True, 1.5, [], {}])
@pytest.mark.parametrize("name", ["certificate_id", "order_id"])
def test_only_an_unreadable_id_removes_a_certificate(name: str, value: Any) -> None:
    good = {"order_id": "2", "can_use": True, "certificates": [{"certificate_id": "good"}]}
    bad: dict[str, Any] = {"order_id": "1", "can_use": True, "certificates": [build_certificate()]}
    set_path(bad if name == "order_id" else bad["certificates"][0], name, value)
    reply = build_reply()
    reply["data"]["orders"] = [bad, good]
    built = read_reply(reply)
    assert [view.certificate_id for view in built.views] == ["good"]
    assert built.malformed == 1
    field = "orders.order_id" if name == "order_id" else "orders.certificates.certificate_id"
    assert built.malformed_fields == [field]


@pytest.mark.parametrize("value", ["x", 5, True, [], [5]])
def test_an_order_or_certificate_that_is_no_object_does_not_hide_the_others(value: Any) -> None:
    reply = build_reply(value, build_certificate())
    reply["data"]["orders"].append(value)
    built = read_reply(reply)
    assert len(built.views) == 1
    assert built.malformed == 2
    assert set(built.malformed_fields) == {"orders", "orders.certificates"}


def test_certificates_of_orders_that_are_not_usable_are_not_counted_as_malformed() -> None:
    order = {"order_id": "1", "can_use": False, "certificates": [build_certificate(start_time="soon")]}
    assert read(None, order=order).malformed == 0


@pytest.mark.parametrize(
    ("fields", "unusable"),
    [
        ({"start_time": "soon"}, UnusableView(other=1)),
        ({"expire_time": [], "title": 7}, UnusableView(other=1)),
        ({"start_time": "soon", "expire_time": "1713146529"}, UnusableView(expired=1)),
        ({"expire_time": {}, "start_time": int(NOW) + 1}, UnusableView(not_started=1)),
        ({"certificate_id": ""}, None),
    ],
)
def test_a_malformed_certificate_that_is_not_usable_is_counted_by_what_is_readable(
    fields: dict[str, Any], unusable: UnusableView | None
) -> None:
    order = {"order_id": "1", "can_use": None, "certificates": [build_certificate(**fields, code=[])]}
    assert read(None, order=order).unusable == unusable


def test_invalid_text_is_replaced_and_hides_nothing() -> None:
    body = json.dumps(build_reply(build_certificate()), ensure_ascii=False).encode()
    for broken in (b"\xff\xfe", b"\\ud83d", b"\xed\xa0\x80"):
        page = parse_certificates(Response(200, {}, body.replace("双人".encode(), broken)))
        [view] = build_views([page], NOW).views
        assert view.title is not None
        assert view.title.endswith("套餐")
        assert len(msgspec.json.encode(view.title)) <= len(broken) + len('"套餐"'.encode()), "it does not grow"


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b'{"a":Infinity}', b"[" * 100_000, b'"\xff', b"{}x"])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        lenient.decode_json(body)
    with pytest.raises(UpstreamMalformedError):
        parse_certificates(Response(200, {}, body))


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.integers(0, 99).map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(
    changes=st.lists(st.tuples(st.sampled_from([*SHOWN_PATHS, *NOT_SHOWN_PATHS, "certificate_id"]), values), max_size=4)
)
def test_reading_field_by_field_equals_the_fast_decoder_where_that_succeeds(changes: list[tuple[str, Any]]) -> None:
    certificate = build_certificate()
    for path, value in changes:
        try:
            set_path(certificate, path, value)
        except (KeyError, IndexError, TypeError, ValueError):
            continue
    malformed: list[str] = []
    found = lenient.read(json.loads(json.dumps(certificate)), models.Certificate, "", malformed)
    try:
        fast = msgspec.json.decode(json.dumps(certificate), type=models.Certificate, strict=False)
    except msgspec.MsgspecError:
        assert malformed
    else:
        assert msgspec.json.encode(found) == msgspec.json.encode(fast)
        assert not malformed
