"""Compares replies with the documented fields."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Any, NamedTuple

from redeemctl.acceptance.fields import (
    BY_PATH,
    CALLS,
    KNOWN_VALUES,
    Kind,
    Presence,
    Type,
    children_of,
    type_of,
)
from redeemctl.acceptance.sanitizer import safe_name


class DeviationKind(StrEnum):
    """How a reply differs from the document."""

    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    OTHER_TYPE = "other_type"
    NEW_ENUM_VALUE = "new_enum_value"
    ORDER_CUT = "order_cut"
    NOT_JSON = "not_json"


class Deviation(NamedTuple):
    """One kind of difference. `detail` never contains a value, except the number of an enumeration."""

    kind: DeviationKind
    call: str
    path: str
    detail: str


class Comparison:
    """What was seen in all replies of a run."""

    def __init__(self) -> None:
        self.deviations: Counter[Deviation] = Counter()
        self.enum_values: dict[str, Counter[str]] = {}
        self._seen: dict[str, set[str]] = {}

    def add(self, call: str, reply: Any, *, is_success: bool) -> None:
        """Compare a reply with the documented fields of its call."""
        if not isinstance(reply, dict):
            self.report(DeviationKind.NOT_JSON, call, "", "the reply is not a JSON object")
            return
        self._seen.setdefault(call, set())
        self._add_object(call, "", reply, is_success=is_success)

    def report(self, kind: DeviationKind, call: str, path: str, detail: str) -> None:
        """Count a deviation."""
        self.deviations[Deviation(kind, call, path, detail)] += 1

    def unseen_fields(self) -> list[tuple[str, str]]:
        """Return call and path of the documented optional fields that no reply had.

        Not those of a certificate of order_can_use: that is one of the listed certificates.
        """
        return [
            (call, field.path)
            for call, seen in self._seen.items()
            for field in CALLS[call]
            if field.presence is Presence.SOMETIMES and field.path not in seen
            if not field.path.startswith("data.certificates[].")
        ]

    def _add_object(self, call: str, path: str, value: dict[str, Any], *, is_success: bool) -> None:
        required = {Presence.ALWAYS, Presence.ON_SUCCESS} if is_success else {Presence.ALWAYS}
        for field in children_of(call, path):
            name = field.path.rpartition(".")[2]
            if name not in value and field.presence in required:
                self.report(DeviationKind.MISSING_FIELD, call, field.path, "documented field is missing")
        for name, part in value.items():
            part_path = f"{path}.{name}" if path else name
            if part_path in BY_PATH[call]:
                self._add_value(call, part_path, part, is_success=is_success)
            else:
                shown = f"{path}.{safe_name(name)}" if path else safe_name(name)
                self.report(DeviationKind.UNKNOWN_FIELD, call, shown, f"a field of type {type_of(part)}")

    def _add_value(self, call: str, path: str, value: Any, *, is_success: bool) -> None:
        field = BY_PATH[call][path]
        self._seen[call].add(path)
        found = type_of(value)
        if found is not field.type:
            self.report(DeviationKind.OTHER_TYPE, call, path, f"{found} instead of {field.type}")
        if field.kind is Kind.ENUM and found in (Type.INTEGER, Type.TEXT):
            self._add_enum_value(call, path, value)
        if found is Type.OBJECT and field.type is Type.OBJECT:
            self._add_object(call, path, value, is_success=is_success)
        if found is Type.LIST and field.type is Type.LIST:
            for element in value:
                self._add_value(call, f"{path}[]", element, is_success=is_success)

    def _add_enum_value(self, call: str, path: str, value: Any) -> None:
        name = path.rpartition(".")[2].removesuffix("[]")
        shown = safe_name(str(value)) if isinstance(value, str) else str(value) if abs(value) < 10**5 else "(large)"
        self.enum_values.setdefault(name, Counter())[shown] += 1
        if name in KNOWN_VALUES and value not in KNOWN_VALUES[name]:
            self.report(DeviationKind.NEW_ENUM_VALUE, call, path, f"value {shown}")
