"""Removes everything personal and secret from replies, and keeps what tests need.

Kept: structure, types, booleans, and of documented fields their names, error codes, enumeration values, counts and
hours of a day. Epoch times keep their order and their time of day; the days are replaced by consecutive ones, so that
no known time, such as that of the run, leads to another. All the rest is replaced by a hash, the same value always by
the same. The key of the hash is forgotten with the run.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any

from redeemctl.acceptance.fields import ENUMERATIONS, FIELDS, name_of, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY_SECONDS = 24 * 3600
FIRST_DAY = 20_000
"""The day, since 1970, that replaces the earliest one."""

MILLISECONDS_FROM, TIME_LIMIT = 10**11, 10**14
"""Larger numbers are epoch milliseconds, and no epoch times."""

TIMES = frozenset({"start_time", "expire_time", "end_time", "sold_start_time", "now"})
COUNTS = frozenset({
    "total", "expires_in", "total_times", "usable_times", "total_times_serial_nums", "used_times_serial_nums",
    "locked_times_serial_nums", "seq",
})  # fmt: skip
KEPT_BELOW = {
    **dict.fromkeys(ENUMERATIONS | COUNTS, 10**5),
    **dict.fromkeys(("error_code", "sub_error_code", "err_no"), 10**9),
}
"""Numbers of these fields are kept below a limit."""

KEPT_TEXTS = frozenset({"", "success", "error"})
_HOURS = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", re.ASCII)
_SHORT_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)

MIN_DIGITS = 6
"""A replacement of fewer digits would be found in other numbers by chance."""


class Sanitizer:
    """Replaces values consistently in all `replies` of a run: (call, reply)."""

    def __init__(self, replies: Iterable[tuple[str, Any]]) -> None:
        self._key = secrets.token_bytes()
        found = [(path, value) for call, reply in replies for path, value in walk(call, reply)]
        days = {_day(value) for path, value in found if _is_time(name_of(path), value)}
        self._days = {day: FIRST_DAY + number for number, day in enumerate(sorted(days))}

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
        name = name_of(path) if path in FIELDS[call] else ""
        if is_kept(name, value):
            return value
        if _is_time(name, value):
            day = _day(value)
            # Milliseconds have three digits more.
            return value + (self._days[day] - day) * DAY_SECONDS * (1000 if abs(value) >= MILLISECONDS_FROM else 1)
        return self._hash(value, "商品" if name == "title" else "text-")

    def _hash(self, value: Any, prefix: str = "name-") -> Any:
        """Return a replacement of the same type. An id has the same digits as text and as a number."""
        text = str(value)
        digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
        if isinstance(value, float):
            return int.from_bytes(digest[:4]) + 0.5
        if isinstance(value, int) or (text.isascii() and text.isdecimal()):
            first = 10 ** (max(MIN_DIGITS, len(text.lstrip("-"))) - 1)
            number = first + int.from_bytes(digest) % (9 * first)
            return number if isinstance(value, int) else str(number)
        return prefix + digest[:8].hex()


def _day(time: float) -> int:
    return int((time / 1000 if abs(time) >= MILLISECONDS_FROM else time) // DAY_SECONDS)


def _is_time(name: str, value: Any) -> bool:
    """Return whether a value is an epoch time, in a field where one belongs."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and name in TIMES and abs(value) < TIME_LIMIT


def is_kept(name: str, value: Any) -> bool:
    """Return whether a value says nothing about a person, a merchant or a product.

    `name` is the name of a documented field, or empty.
    """
    if value is None or isinstance(value, bool) or value in (0, -1):
        return True
    if isinstance(value, str):
        if value in KEPT_TEXTS or (name.endswith("_time") and _HOURS.fullmatch(value)):
            return True
        return _SHORT_NUMBER.fullmatch(value) is not None and int(value) < KEPT_BELOW.get(name, 0)
    return isinstance(value, int) and abs(value) < KEPT_BELOW.get(name, 0)
