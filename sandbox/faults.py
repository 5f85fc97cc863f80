"""Fault injection: which calls of the mock platform fail, how often, and how."""

import copy
from dataclasses import dataclass, field
from typing import Any

from sandbox.mock_platform import CALL_PATHS

PLACES = ("data.error_code", "extra.error_code", "extra.sub_error_code", "err_no")
"""Response fields in which the platform reports an error code."""

FAULT_KINDS = (
    "code", "sub", "http", "body", "edit", "delay", "drip", "hang", "reset", "truncate",
)  # fmt: skip
"""README.md describes the kinds."""


@dataclass(frozen=True)
class CallDetails:
    """The details of a call that a fault rule can name. None: not part of this call, or unknown."""

    call: str
    page: int | None = None
    app_id: str | None = None
    account_id: str | None = None
    customer_key: str | None = None
    open_id: str | None = None


@dataclass
class FaultRule:
    """Which calls fail, how often, and how.

    `call` is a name in CALL_PATHS, or `*` for all. `page`, `app_id`, `account_id` and `customer` (a key or an open_id)
    restrict the rule further. It applies to the next `times` matching calls (None: to all).
    """

    kind: str
    call: str = "*"
    page: int | None = None
    app_id: str | None = None
    account_id: str | None = None
    customer: str | None = None
    times: int | None = None
    code: int = 2100004
    place: str = "data.error_code"
    sub_code: int = 0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    set_fields: dict[str, Any] = field(default_factory=dict)
    remove_fields: list[str] = field(default_factory=list)
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"kind must be one of {', '.join(FAULT_KINDS)}")
        if self.call != "*" and self.call not in CALL_PATHS:
            raise ValueError(f"call must be * or one of {', '.join(CALL_PATHS)}")
        if self.place not in PLACES:
            raise ValueError(f"place must be one of {', '.join(PLACES)}")

    def matches(self, details: CallDetails) -> bool:
        """Return whether the rule applies to this call."""
        return (
            self.call in ("*", details.call)
            and self.page in (None, details.page)
            and self.app_id in (None, details.app_id)
            and self.account_id in (None, details.account_id)
            and self.customer in (None, details.customer_key, details.open_id)
            and self.times != 0
        )

    def use(self) -> None:
        """Count a call to which the rule applies."""
        if self.times is not None:
            self.times -= 1

    def edit(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Return a copy of a response, changed as an `edit` rule says."""
        # The original shares its orders with the sample data.
        envelope = copy.deepcopy(reply)
        for path, value in self.set_fields.items():
            for parent, name in _find_fields(envelope, path):
                parent[name] = value
        for path in self.remove_fields:
            for parent, name in _find_fields(envelope, path):
                parent.pop(name, None)
        return envelope


def _find_fields(value: Any, path: str) -> list[tuple[dict[str, Any], str]]:
    """Return the objects that have, or can get, the member at a path, each with the member's name.

    In the path, `[]` stands for each element of a list.
    """
    name, _, rest = path.partition(".")
    if not isinstance(value, dict):
        return []
    if not rest:
        return [(value, name)]
    if not name.endswith("[]"):
        return _find_fields(value.get(name), rest)
    elements = value.get(name.removesuffix("[]"))
    return [place for element in elements or [] for place in _find_fields(element, rest)]
