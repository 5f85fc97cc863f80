"""The values that an operator gives, as arguments or in a file: rules, and Click's parameter types for them.

A rule takes text and returns the value, or raises ValueError. Its message says what is expected; Click and the reader
of a file add the name of the argument.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT_LENGTH = 200
MAX_SECRET_LENGTH = 256
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_DEGREES = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,15})?")
_SECRET = re.compile(r"[!-~]+")
_YES, _NO = frozenset({"true", "yes", "1", "是"}), frozenset({"false", "no", "0", "否"})


def check_id(text: str) -> str:
    """Return an account_id, app_id, poi_id or token_id."""
    if not _ID.fullmatch(text):
        raise ValueError(f"{text!r} is not an id: expected 1 to 64 letters, digits, '-' or '_'")
    return text


def check_text(text: str) -> str:
    """Return a name, address or phone number without surrounding blanks; may be empty."""
    text = text.strip()
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(f"longer than {MAX_TEXT_LENGTH} characters")
    if not text.isprintable():
        raise ValueError("contains a line break, a tab or another control character")
    return text


def check_name(text: str) -> str:
    """Return a store's name, which must not be empty."""
    text = check_text(text)
    if not text:
        raise ValueError("must not be empty")
    return text


def check_latitude(text: str) -> Decimal:
    """Return a latitude in degrees."""
    return _check_degrees(text, 90)


def check_longitude(text: str) -> Decimal:
    """Return a longitude in degrees."""
    return _check_degrees(text, 180)


def check_flag(text: str) -> bool:
    """Return a boolean written as true, yes, 1 or 是; false, no, 0 or 否."""
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise ValueError(f"{text!r} is not true or false")


def check_store(text: str) -> tuple[str, str]:
    """Return poi_id and name of a store that is written as POI_ID=NAME."""
    poi_id, separator, name = text.partition("=")
    if not separator:
        raise ValueError(f"{text!r} is not POI_ID=NAME, for example 6601=人民广场店")
    return check_id(poi_id), check_name(name)


def check_secret(text: str) -> str:
    """Return an app secret. The message never contains it."""
    if not text:
        raise ValueError("must not be empty")
    if len(text) > MAX_SECRET_LENGTH:
        raise ValueError(f"longer than {MAX_SECRET_LENGTH} characters")
    if not _SECRET.fullmatch(text):
        raise ValueError("must consist of visible ASCII characters, without blanks")
    return text


def _check_degrees(text: str, limit: int) -> Decimal:
    if not _DEGREES.fullmatch(text) or abs(Decimal(text)) > limit:
        raise ValueError(f"{text!r} is not a number of degrees from -{limit} to {limit}")
    return Decimal(text)


class Checked(click.ParamType[Any]):
    """A parameter type with a rule. With `or_empty`, an empty value is allowed: it removes an attribute."""

    def __init__(self, name: str, rule: Callable[[str], Any], *, or_empty: bool = False) -> None:
        self.name = name
        self._rule = rule
        self._or_empty = or_empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Apply the rule to text; Click converts a value that is no text a second time."""
        if not isinstance(value, str) or (self._or_empty and not value):
            return value
        try:
            return self._rule(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


ID = Checked("id", check_id)
ID_OR_EMPTY = Checked("id", check_id, or_empty=True)
TEXT = Checked("text", check_text)
LATITUDE = Checked("degrees", check_latitude, or_empty=True)
LONGITUDE = Checked("degrees", check_longitude, or_empty=True)
STORE = Checked("store", check_store)
