"""Removes everything personal and secret from replies, and keeps what tests need.

Kept: structure, types, booleans, and of documented fields their names, error codes, enumeration values and counts.
Replaced, the same value always by the same replacement: ids, titles, codes, tokens, log ids, amounts, and names and
values that are not documented. Epoch times keep their order and their time of day; the days are replaced by consecutive
ones, so that no known time, such as that of the run, leads to another.
"""

from __future__ import annotations

import functools
import random
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from redeemctl.acceptance.fields import BY_PATH, DOCUMENTED_MESSAGES, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

DAY_SECONDS = 24 * 3600
FIRST_DAY = 20_000
"""The day, since 1970, that replaces the earliest one."""

MILLISECONDS_FROM, TIME_LIMIT = 10**11, 10**14
"""Larger numbers are epoch milliseconds, and no epoch times."""

MIN_TRACED_LENGTH = 4
"""No replacement contains an original text of at least this length."""

MAX_ATTEMPTS = 1000
COUNTED_ATTEMPTS = 20

_SAFE_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)
_MAX_NAME_LENGTH = 40
_MAX_NAME_DIGITS = 2
_ENUM_TEXT = re.compile(r"[0-9]{1,5}", re.ASCII)
_HOURS = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", re.ASCII)
_LIMITS = {Kind.ERROR_CODE: 10**9, Kind.ENUM: 10**5, Kind.COUNT: 10**5}
"""Numbers of documented fields below these limits are kept."""

_PATTERNS = {
    Kind.ID: "id-{:06d}",
    Kind.NAME: "field-{:06d}",
    Kind.OPEN_ID: "_000fixture{:026d}",
    Kind.TITLE: "商品{}",
    Kind.CODE: "code-{:08d}",
    Kind.TOKEN: "clt.fixture{:026d}",
    Kind.LOGID: "fixturelogid{:020d}",
}


def safe_name(name: str) -> str:
    """Return an unknown field name if it looks like one; a map's key may be an id."""
    digits = sum(character.isdigit() for character in name)
    if len(name) <= _MAX_NAME_LENGTH and digits <= _MAX_NAME_DIGITS and _SAFE_NAME.fullmatch(name):
        return name
    return f"({len(name)} characters)"


class Sanitizer:
    """Replaces values consistently in all replies of a run.

    `replies` are (call, reply) of all replies: no replacement may equal or contain an original. `more` are other
    secrets.
    """

    def __init__(
        self, replies: Iterable[tuple[str, Any]], more: Iterable[str] = (), source: random.Random | None = None
    ) -> None:
        self._originals = {text for text in more if text}
        # The traced originals by their first characters, so that a text is searched in one pass.
        self._traced: dict[str, list[str]] = {}
        self._replacements: dict[tuple[str, str], Any] = {}
        self._amounts = 0
        self._count = 0
        self._random = source or random.SystemRandom()
        days: set[int] = set()
        for call, reply in replies:
            self._transform(call, "", reply, functools.partial(self._remember, days=days))
        self._days = {day: FIRST_DAY + number for number, day in enumerate(sorted(days))}
        traced: dict[str, list[str]] = defaultdict(list)
        for original in self._originals:
            if len(original) >= MIN_TRACED_LENGTH:
                traced[original[:MIN_TRACED_LENGTH]].append(original)
        self._traced = dict(traced)

    def sanitize(self, call: str, reply: Any) -> Any:
        """Return a copy without originals."""
        return self._transform(call, "", reply, self._replace)

    def scrub(self, text: str, public: Collection[str] = ()) -> str:
        """Return a text in which every original is replaced by an ellipsis, except those in `public`."""
        if text in public:
            return text
        for original in sorted(self._originals.difference(public), key=len, reverse=True):
            if len(original) >= MIN_TRACED_LENGTH:
                text = text.replace(original, "…")
        return text

    def finds_original(self, text: str, min_length: int = MIN_TRACED_LENGTH) -> bool:
        """Return whether a text contains an original of at least this length."""
        return any(
            text.startswith(original, start)
            for start in range(len(text) - MIN_TRACED_LENGTH + 1)
            for original in self._traced.get(text[start : start + MIN_TRACED_LENGTH], ())
            if len(original) >= min_length
        )

    def _transform(self, call: str, path: str, value: Any, leaf: Callable[[Kind | None, Any], Any]) -> Any:
        if isinstance(value, dict):
            parts = {}
            for name, part in value.items():
                part_path = f"{path}.{name}" if path else name
                # An unknown name may be data: a map's key.
                new_name = name if part_path in BY_PATH.get(call, {}) else leaf(Kind.NAME, name)
                parts[new_name] = self._transform(call, part_path, part, leaf)
            return parts
        if isinstance(value, list):
            return [self._transform(call, f"{path}[]", element, leaf) for element in value]
        field = BY_PATH.get(call, {}).get(path)
        return leaf(None if field is None else field.kind, value)

    def _remember(self, kind: Kind | None, value: Any, *, days: set[int]) -> Any:
        # The report shows the name of a new field.
        if kind is Kind.NAME and safe_name(value) == value:
            return value
        if _is_time(kind, value):
            days.add(int(_seconds(value) // DAY_SECONDS))
        # Amounts and times are numbers that other numbers contain by chance.
        if not _is_kept(kind, value) and not _is_time(kind, value) and not (kind is Kind.AMOUNT and _is_number(value)):
            self._originals.add(str(value))
        return value

    def _replace(self, kind: Kind | None, value: Any) -> Any:
        if _is_kept(kind, value) and not (isinstance(value, str) and value in self._originals):
            return value
        if _is_time(kind, value):
            day = int(_seconds(value) // DAY_SECONDS)
            # Milliseconds have three digits more.
            return value + (self._days[day] - day) * DAY_SECONDS * (1000 if abs(value) >= MILLISECONDS_FROM else 1)
        if kind is Kind.AMOUNT and _is_number(value):
            return self._amount(value)
        # An id may be text in one reply and a number in another.
        key = (type(value).__name__, str(value))
        if key not in self._replacements:
            self._replacements[key] = self._find_replacement(kind, value)
        return self._replacements[key]

    def _amount(self, value: float) -> float:
        key = ("amount", repr(value))
        if key not in self._replacements:
            self._amounts += 1
            self._replacements[key] = type(value)(1000 + 100 * self._amounts)
        return self._replacements[key]  # type: ignore[no-any-return]  # an amount

    def _find_replacement(self, kind: Kind | None, value: Any) -> Any:
        for other in ("int", "str"):
            found = self._replacements.get((other, str(value)))
            if isinstance(found, int) and isinstance(value, str):
                return str(found)
            if isinstance(found, str) and isinstance(value, int) and found.isdecimal():
                return int(found)
        for attempt in range(MAX_ATTEMPTS):
            self._count += 1
            candidate = self._candidate(kind, value, is_random=attempt >= COUNTED_ATTEMPTS)
            text = str(candidate)
            if text not in self._originals and not self.finds_original(text):
                return candidate
        raise ValueError("no replacement found: the originals contain almost every text")

    def _candidate(self, kind: Kind | None, value: Any, *, is_random: bool) -> Any:
        """Return a replacement of the same type. A random one if the readable ones contain an original by chance."""
        number = self._random.randrange(10**9) if is_random else self._count
        if isinstance(value, float):
            return number + 0.5
        text = str(value)
        if isinstance(value, int) or (text.isascii() and text.isdecimal()):
            # As many digits, but at least six, so that there are enough replacements.
            digits = max(6, len(text.lstrip("-")))
            number = (
                self._random.randrange(10 ** (digits - 1), 10**digits) if is_random else 9 * 10 ** (digits - 1) + number
            )
            return number if isinstance(value, int) else str(number)
        if is_random:
            return "".join(self._random.choices("ghijklmnopqrstuvwxyz", k=20))
        return _PATTERNS.get(kind or Kind.STRUCTURE, "文字{}").format(number)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _seconds(time: float) -> float:
    return time / 1000 if abs(time) >= MILLISECONDS_FROM else time


def _is_time(kind: Kind | None, value: Any) -> bool:
    """Return whether a value is an epoch time, where one belongs."""
    return kind is Kind.TIME and _is_number(value) and abs(value) < TIME_LIMIT


def _is_kept(kind: Kind | None, value: Any) -> bool:
    """Return whether a value says nothing about a person, a merchant or a product."""
    if value is None or isinstance(value, bool) or value in ("", 0, -1):
        return True
    if isinstance(value, str):
        return (
            (kind is Kind.HOURS and _HOURS.fullmatch(value) is not None)
            or (kind is Kind.ENUM and _ENUM_TEXT.fullmatch(value) is not None)
            or (kind is Kind.MESSAGE and value in DOCUMENTED_MESSAGES)
        )
    return isinstance(value, int) and kind is not None and abs(value) < _LIMITS.get(kind, 0)
