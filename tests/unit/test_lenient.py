"""A usable certificate is shown whatever else is wrong with it."""

import json
import math
from typing import Annotated, Any, Literal

import msgspec
import pytest

from chalicelib import lenient
from chalicelib.certificates.views import BuiltViews, OffPeakView, TimesView, UnusableView, build_views
from chalicelib.douyin.protocol import HttpReply
from tests.sample_reply import MISSING, NOT_SHOWN_PATHS, SHOWN_PATHS, build_certificate, build_reply, set_path
from tests.unit.fakes import NOW, parse_page

WRONG_FOR_ALL = [None, {"x": 1}, [["x"]], 1.5, "\ud800", 10**500]
NO_NUMBERS = [math.nan, math.inf, -math.inf]
"""Written as NaN and so on, which is no JSON, but accepted."""

SERIAL_LISTS = [path for path in SHOWN_PATHS if path.endswith("_serial_nums")]


def wrong_values(path: str) -> list[Any]:
    """Return values whose type cannot be read as the type of the field at `path`."""
    right = SHOWN_PATHS[path]
    if path.endswith("_id"):
        # An id may be a number.
        return [True, [], {}, 1.5, "", "x" * 65]
    if isinstance(right, bool):
        return ["maybe", 7, [], {}, 1.5]
    if isinstance(right, int):
        return ["many", "null", "", "1.5", [], {}, 1.5, True, 2**63, -(2**63) - 1, *NO_NUMBERS]
    if isinstance(right, str):
        return [5, True, [], {}, 1.5, *NO_NUMBERS]
    if isinstance(right, list):
        return ["many", "null", 5, True, {}, *([["x"], ["\ud800"]] if right and not isinstance(right[0], dict) else [])]
    return ["many", 5, True, [], [{}]]


def read(certificate: Any, **options: Any) -> BuiltViews:
    reply = build_reply(certificate, **options)
    return build_views([parse_page(HttpReply(200, {}, json.dumps(reply).encode()))], NOW)


def to_json(built: BuiltViews) -> Any:
    return json.loads(msgspec.json.encode(built.views))


@pytest.mark.parametrize("path", SHOWN_PATHS)
def test_a_wrong_value_of_a_shown_field_counts_as_missing_and_is_reported(path: str) -> None:
    without = build_certificate()
    set_path(without, path, MISSING)
    if path in SERIAL_LISTS:
        # Never guessed: without one list the other two say nothing.
        for other in SERIAL_LISTS:
            if other != path:
                set_path(without, other, MISSING)
    expected = to_json(read(without))
    for value in wrong_values(path):
        wrong = build_certificate()
        set_path(wrong, path, value)
        built = read(wrong)
        assert to_json(built) == expected, value
        assert built.malformed == 1, value
        # A list with a malformed element is malformed.
        assert built.malformed_fields == ["orders.certificates." + path.partition(".0")[0]], value


def test_a_field_that_is_not_shown_cannot_affect_the_view() -> None:
    expected = to_json(read(build_certificate()))
    for path in NOT_SHOWN_PATHS:
        for value in WRONG_FOR_ALL:
            certificate = build_certificate()
            set_path(certificate, path, value)
            built = read(certificate)
            assert (to_json(built), built.malformed) == (expected, 0), (
                path,
                value,
                "NOT_SHOWN of sample_reply.py",
            )


def test_null_counts_as_missing_and_is_not_malformed() -> None:
    for path in SHOWN_PATHS:
        null, without = build_certificate(), build_certificate()
        set_path(null, path, None)
        set_path(without, path, MISSING)
        built = read(null)
        assert (to_json(built), built.malformed) == (to_json(read(without)), 0), path


@pytest.mark.parametrize("value", ["4499", "-1", 0, 2**63 - 1, -(2**63), 3.0])
def test_a_number_is_a_64_bit_integer_and_may_be_text(value: Any) -> None:
    [view] = read(build_certificate(start_time=value)).views
    assert view.start_time == int(value)


def test_a_boolean_and_each_number_of_a_list_may_have_another_form() -> None:
    """A list of any length is read at once."""
    numbers = [str(number) for number in range(20_000)]
    built = read(
        build_certificate(
            is_transfer_asset=1.0,
            off_peak_discount_detail={"has_off_peak_discount": "TRUE", "off_peak_time": {"week_day_list": ["1", 2.0]}},
            times_card_info={"total_times_serial_nums": numbers, "used_times_serial_nums": ["0", 1]},
        )
    )
    [view] = built.views
    assert (view.is_transfer_asset, view.off_peak, built.malformed) == (True, OffPeakView(weekdays=[1, 2]), 0)
    assert view.times == TimesView(usable_serials=list(range(2, 20_000)))


@pytest.mark.parametrize("can_use", [False, "false", 0])
@pytest.mark.parametrize(
    ("fields", "unusable", "malformed"),
    [
        ({}, UnusableView(other=1), 0),
        ({"start_time": "soon"}, UnusableView(other=1), 0),
        ({"start_time": "soon", "expire_time": "1713146529"}, UnusableView(expired=1), 0),
        ({"expire_time": {}, "start_time": int(NOW) + 1}, UnusableView(not_started=1), 0),
        ({"certificate_id": ""}, None, 1),
    ],
)
def test_a_certificate_of_an_order_that_is_not_usable_is_counted_by_what_is_readable(
    fields: dict[str, Any], unusable: UnusableView | None, malformed: int, can_use: Any
) -> None:
    built = read(None, order={"order_id": "1", "can_use": can_use, "certificates": [build_certificate(**fields)]})
    assert (built.views, built.unusable, built.malformed) == ([], unusable, malformed)


class Invented(msgspec.Struct):
    """Types that no model has yet: a field of them must not lose the certificate either."""

    natural: Annotated[int, msgspec.Meta(ge=0)] | None = None
    choice: Literal[1, 2] | None = None
    part: msgspec.defstruct("Part", [("name", str)]) | None = None  # type: ignore[valid-type]


def test_a_value_of_the_right_type_may_be_malformed() -> None:
    fields = {"natural": "-5", "choice": 3, "part": {}}
    assert lenient.parse_struct(fields, Invented) == (Invented(), ["natural", "choice", "part"])


BODY = json.dumps(build_reply(build_certificate(unknown=1)), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("written", "replacement", "title"),
    [
        (b"{", b"\xef\xbb\xbf{", "双人套餐"),
        *((b'"unknown": 1', b'"unknown": ' + number, "双人套餐") for number in (b"NaN", b"Infinity", b"-Infinity")),
        *(("双人".encode(), "双".encode() + raw + "人".encode(), f"双{shown}人套餐")
          for raw, shown in ((b"\t", "\t"), (b"\r\n", "\r\n"), (b"\x00", " "), (b"\x1f", " "), (b"\x7f", " "))),
        # It does not grow.
        *(("双".encode(), raw, f"{shown}人套餐")
          for raw, shown in ((b"\xff\xfe", "??"), (b"\\ud83d", "?"), (b"\xed\xa0\x80", "???"))),
    ],
)  # fmt: skip
def test_what_makes_a_text_no_json_or_no_utf8_hides_nothing(written: bytes, replacement: bytes, title: str) -> None:
    body = BODY.replace(written, replacement, 1)
    assert body != BODY
    built = build_views([parse_page(HttpReply(200, {}, body))], NOW)
    assert to_json(built) == to_json(
        read(build_certificate(sku_info={**build_certificate()["sku_info"], "title": title}))
    )
    assert built.malformed == 0


def test_a_body_that_is_nested_too_deeply_is_no_json() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        lenient.decode_json(b"[" * 100_000)
