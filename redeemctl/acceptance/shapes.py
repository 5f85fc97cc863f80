"""The shape of a reply: which fields are there, how often, and the form of their values. No value is in it.

The only values shown are the numbers of documented enumerations: most of their meanings are not published.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

_TYPES = {
    dict: "object", list: "list", str: "text", int: "integer", bool: "boolean", float: "fraction", type(None): "null",
}  # fmt: skip

ENUMERATIONS = (
    "groupon_type", "voucher_type", "times_card_type", "ladder_times_card_info[].status", "lock_status", "lock_scene",
    "off_peak_time_limit_type", "week_day_list[]", "day_of_week[]",
)  # fmt: skip
"""The documented enumerations, by the ends of their paths."""

_ENUMERATOR = re.compile(r"-?[0-9]{1,5}", re.ASCII)
_FIELD_NAME = re.compile(r"[a-z][a-z_]{0,19}[0-9]{0,2}[a-z_]{0,20}")
"""Another name may be the key of a map, for example an id. Only its length is shown."""


def type_of(value: object) -> str:
    """Return the type of a JSON value. A number without a fraction is an integer."""
    return _TYPES[type(value)]


def walk(reply: Any) -> Iterator[tuple[str, Any]]:
    """Return path and value of each part of a reply. The whole is at the empty path; `[]` stands for each element."""
    parts = [("", reply)]
    while parts:
        path, value = parts.pop()
        yield path, value
        if isinstance(value, dict):
            parts += [(f"{path}.{_show_name(name)}".removeprefix("."), part) for name, part in value.items()]
        elif isinstance(value, list):
            parts += [(f"{path}[]", part) for part in value]


def find_shape(reply: Any) -> dict[str, Counter[str]]:
    """Return how often each form occurs at each path, sorted by path."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for path, value in walk(reply):
        forms[path][_describe(path, value)] += 1
    return dict(sorted(forms.items()))


def _show_name(name: str) -> str:
    return name if _FIELD_NAME.fullmatch(name) else f"({len(name)} characters)"


def _describe(path: str, value: Any) -> str:
    """Return the form of a value: type and length of a text, type and number of digits of a number, or the type."""
    kind, text = type_of(value), str(value)
    if kind not in ("text", "integer", "fraction"):
        return kind
    if path.endswith(ENUMERATIONS) and _ENUMERATOR.fullmatch(text):
        return f"{kind} {text}"
    if kind == "text" and not (text.isascii() and text.isdigit()):
        return f"text, length {len(text)}"
    return f"{kind}, digits {sum(map(str.isdigit, text))}"
