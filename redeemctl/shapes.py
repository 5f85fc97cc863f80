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


def _walk(reply: Any) -> Iterator[tuple[str, Any]]:
    """Return path and value of each part of a reply. The whole is at the empty path; `[]` stands for each element."""
    parts = [("", reply)]
    while parts:
        path, value = parts.pop()
        yield path, value
        if isinstance(value, dict):
            parts += [(f"{path}.{_show_name(name)}".removeprefix("."), part) for name, part in value.items()]
        elif isinstance(value, list):
            parts += [(f"{path}[]", part) for part in value]


def find_shape(*replies: Any) -> dict[str, dict[str, int]]:
    """Return how often each form occurs at each path, sorted by path. A number without a fraction is an integer."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for path, value in (part for reply in replies for part in _walk(reply)):
        forms[path][_describe(path, value)] += 1
    return {path: dict(found) for path, found in sorted(forms.items())}


def compare_shapes(documented: Any, replies: list[Any]) -> dict[str, str]:
    """Return by path how replies differ from a documented one: in their types, and of times also in the digits."""
    known, seen = find_shape(documented), find_shape(*replies)
    differences = {}
    for path in sorted({*known, *seen}):
        expected, found = ({_kind(path, form) for form in shape.get(path, ())} for shape in (known, seen))
        if not found:
            differences[path] = "not seen"
        elif others := found - expected - {"null"}:
            differences[path] = f"{', '.join(sorted(others))}; documented: {', '.join(sorted(expected)) or 'nothing'}"
    return differences


def _kind(path: str, form: str) -> str:
    return form if path.endswith("_time") else form.split(",", maxsplit=1)[0].split(maxsplit=1)[0]


def _show_name(name: str) -> str:
    return name if _FIELD_NAME.fullmatch(name) else f"({len(name)} characters)"


def _describe(path: str, value: Any) -> str:
    """Return the form of a value: type and length of a text, type and number of digits of a number, or the type."""
    kind, text = _TYPES[type(value)], str(value)
    if kind not in ("text", "integer", "fraction"):
        return kind
    if path.endswith(ENUMERATIONS) and _ENUMERATOR.fullmatch(text):
        return f"{kind} {text}"
    if kind == "text" and not (text.isascii() and text.isdigit()):
        return f"text, length {len(text)}"
    return f"{kind}, digits {sum(map(str.isdigit, text))}"
