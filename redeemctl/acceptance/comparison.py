"""What was seen in the replies, field by field, and how it differs from the documents."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from redeemctl.acceptance.fields import ENUMERATIONS, FIELDS, NULL, OBJECT, name_of, type_of, walk
from redeemctl.acceptance.sanitizer import is_kept

NOT_DOCUMENTED, OTHER_TYPE, VALUES, NOT_SEEN = "not documented", "other type", "values", "not seen"

_FIELD_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)
_MAX_NAME_LENGTH = 40
_MAX_NAME_DIGITS = 2


class FieldNote(NamedTuple):
    """Something about a field. `detail` contains no value, except the number of an enumeration."""

    kind: str
    call: str
    field: str
    detail: str


class Comparison:
    """Counts the types of each field, and the values of enumerations, in all replies of a run."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._values: dict[tuple[str, str], Counter[Any]] = defaultdict(Counter)

    def add(self, call: str, reply: dict[str, Any]) -> None:
        """Add a reply without an error: others need not have the documented fields."""
        for path, value in walk(call, reply):
            shown = path if not path or path in FIELDS[call] else _shown_path(path)
            self._types[call, shown][type_of(value)] += 1
            if shown in FIELDS[call] and name_of(path) in ENUMERATIONS and isinstance(value, int | str):
                self._values[call, path][value if is_kept(name_of(path), value) else "(other)"] += 1

    def types(self, call: str, path: str) -> Counter[str]:
        """Return the types that a field had."""
        return self._types.get((call, path), Counter())

    def is_always_present(self, call: str, path: str) -> bool:
        """Return whether a field was in each object where it belongs, and not null."""
        found = self.types(call, path)
        return found.total() - found[NULL] == self.types(call, path.rpartition(".")[0])[OBJECT]

    def notes(self) -> list[FieldNote]:
        """Return what is not as documented, the values of enumerations, and what no reply had.

        Of a field that no reply had, the fields inside are not listed. Nor are those of a certificate of order_can_use:
        it is one of the listed certificates.
        """
        notes = [FieldNote(VALUES, *key, _count(values)) for key, values in self._values.items()]
        for (call, path), types in self._types.items():
            documented = FIELDS[call].get(path) if path else OBJECT
            if documented is None:
                notes.append(FieldNote(NOT_DOCUMENTED, call, path, _count(types)))
            elif types.keys() - {documented}:
                notes.append(FieldNote(OTHER_TYPE, call, path, f"{_count(types)}; documented: {documented}"))
        for call, path in [(call, path) for call, fields in FIELDS.items() for path in fields]:
            parent = path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]
            is_unseen = (call, path) not in self._types and (call, parent) in self._types
            if is_unseen and not path.startswith("data.certificates[]."):
                notes.append(FieldNote(NOT_SEEN, call, path, ""))
        return sorted(notes)


def safe_name(name: str) -> str:
    """Return an unknown field name if it looks like one; a map's key may be an id."""
    digits = sum(character.isdigit() for character in name)
    if len(name) <= _MAX_NAME_LENGTH and digits <= _MAX_NAME_DIGITS and _FIELD_NAME.fullmatch(name):
        return name
    return f"({len(name)} characters)"


def _shown_path(path: str) -> str:
    parent, dot, name = path.rpartition(".")
    return f"{parent}{dot}{safe_name(name)}"


def _count(counter: Counter[Any]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in sorted(counter.items(), key=str))
