"""What was seen in the replies, field by field, and how it differs from the documents."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

from redeemctl.acceptance.fields import ENUM, FIELDS, type_of, walk
from redeemctl.acceptance.sanitizer import is_kept

NOT_DOCUMENTED, OTHER_TYPE, VALUES, NOT_SEEN = "not documented", "other type", "values", "not seen"


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
            field = FIELDS[call].get(path)
            self._types[call, path][type_of(value)] += 1
            if field == ENUM and isinstance(value, int | str):
                self._values[call, path][value if is_kept(field, value) else "(other)"] += 1

    def types(self, call: str, path: str) -> Counter[str]:
        """Return the types that a field had."""
        return self._types.get((call, path), Counter())

    def is_always_present(self, call: str, path: str) -> bool:
        """Return whether a field was in each object where it belongs, and not null."""
        found = self.types(call, path)
        return found.total() - found["null"] == self.types(call, path.rpartition(".")[0])["object"]

    def notes(self) -> list[FieldNote]:
        """Return what is not as documented, the values of enumerations, and what no reply had.

        Of a field that no reply had, the fields inside are not listed. Nor are those of a certificate of order_can_use:
        it is one of the listed certificates.
        """
        notes = [FieldNote(VALUES, *key, _count(values)) for key, values in self._values.items()]
        for (call, path), types in self._types.items():
            field = FIELDS[call].get(path)
            if field is None:
                notes.append(FieldNote(NOT_DOCUMENTED, call, path, _count(types)))
            elif types.keys() - {field.type}:
                notes.append(FieldNote(OTHER_TYPE, call, path, f"{_count(types)}; documented: {field.type}"))
        for call, path in [(call, path) for call, fields in FIELDS.items() for path in fields]:
            parent = path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]
            is_unseen = (call, path) not in self._types and (call, parent) in self._types
            if is_unseen and not path.startswith("data.certificates[]."):
                notes.append(FieldNote(NOT_SEEN, call, path, ""))
        return sorted(notes)


def _count(counter: Counter[Any]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in sorted(counter.items(), key=str))
