"""Removes everything personal and secret from replies, and keeps what tests need.

Kept: structure, types, booleans, and of documented fields their names, error codes, enumeration values, counts and
hours of a day. Of epoch times the order is kept: consecutive days replace them. All the rest is replaced by a hash, the
same value always by the same. The key of the hash is forgotten with the run.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any

from redeemctl.acceptance.fields import FIELDS, HOUR, TIME, Field, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY_SECONDS = 24 * 3600
FIRST_TIME = 20_000 * DAY_SECONDS
"""Replaces the earliest time."""

MAX_SECONDS = 10**11
"""An epoch time above is in milliseconds. It is hashed, which keeps the number of digits."""

KEPT_BELOW = {"code": 10**9, "count": 10**5, "enum": 10**5}
"""Numbers of these meanings are kept below a limit."""

KEPT_TEXTS = frozenset({"", "success", "error"})
_HOURS = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", re.ASCII)
_SHORT_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)

MIN_DIGITS = 6
"""A replacement of fewer digits would be found in other numbers by chance."""


class Sanitizer:
    """Replaces values consistently in all `replies` of a run: (call, reply)."""

    def __init__(self, replies: Iterable[tuple[str, Any]]) -> None:
        self._key = secrets.token_bytes()
        found = ((FIELDS[call].get(path), value) for call, reply in replies for path, value in walk(call, reply))
        times = sorted({value for field, value in found if _is_time(field, value)})
        self._times = {value: FIRST_TIME + number * DAY_SECONDS for number, value in enumerate(times)}

    def sanitize(self, call: str, value: Any, path: str = "") -> Any:
        """Return a copy of a reply, or of the part at a path, without originals."""
        if isinstance(value, dict):
            inside = ((name, f"{path}.{name}" if path else name, part) for name, part in value.items())
            # An unknown name may be data: a map's key.
            return {
                name if inner in FIELDS[call] else self._hash(name): self.sanitize(call, part, inner)
                for name, inner, part in inside
            }
        if isinstance(value, list):
            return [self.sanitize(call, element, f"{path}[]") for element in value]
        field = FIELDS[call].get(path)
        if is_kept(field, value):
            return value
        return self._times[value] if _is_time(field, value) else self._hash(value)

    def _hash(self, value: Any) -> Any:
        """Return a replacement of the same type. An id has the same digits as text and as a number."""
        text = str(value)
        digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
        if isinstance(value, float):
            return int.from_bytes(digest[:4]) + 0.5
        if isinstance(value, int) or (text.isascii() and text.isdecimal()):
            first = 10 ** (max(MIN_DIGITS, len(text.lstrip("-"))) - 1)
            number = first + int.from_bytes(digest) % (9 * first)
            return number if isinstance(value, int) else str(number)
        return f"text-{digest[:8].hex()}"


def _is_time(field: Field | None, value: Any) -> bool:
    return field == TIME and type(value) is int and 0 < value < MAX_SECONDS


def is_kept(field: Field | None, value: Any) -> bool:
    """Return whether a value says nothing about a person, a merchant or a product. `field`: None for an unknown one."""
    if value is None or isinstance(value, bool) or value in (0, -1):
        return True
    limit = KEPT_BELOW.get(field.meaning, 0) if field else 0
    if isinstance(value, str):
        if value in KEPT_TEXTS or (field == HOUR and _HOURS.fullmatch(value)):
            return True
        return _SHORT_NUMBER.fullmatch(value) is not None and int(value) < limit
    return isinstance(value, int) and abs(value) < limit
