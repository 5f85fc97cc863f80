"""Fault injection: which calls of the mock platform fail, how often, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CALLS = ("client_token", "jscode2session", "query_user_certificates")
PLACES = ("data.error_code", "extra.error_code", "extra.sub_error_code", "err_no")
"""Response fields in which the platform reports an error code."""

FAULT_KINDS: dict[str, str] = {
    "code": "return 200 with `code` in `place` (one of " + ", ".join(PLACES) + ")",
    "sub": "return 200 with `code` in data.error_code and extra.error_code, and `sub_code` in extra.sub_error_code",
    "http": "return `status`, `headers` and `body`",
    "body": "return 200 with `body` unchanged",
    "patch": "return the normal response with `patch` merged into its `data`",
    "delay": "process the call at once, send the response after `seconds`",
    "drip": "send the normal response `bytes` at a time, with a pause of `seconds` after each",
    "hang": "never respond",
    "reset": "close the connection without a response",
    "truncate": "send half of the normal response, then close the connection",
    "close": "send the normal response without `Connection: close`, then close the connection",
}


@dataclass
class Fault:
    """One fault rule.

    `call` is one of CALLS, or `*` for all; `page` and `app_id` restrict it further. The first `skip` matching calls
    are not affected; the next `times` calls are (None: all further calls).
    """

    kind: str
    call: str = "*"
    page: int | None = None
    app_id: str | None = None
    skip: int = 0
    times: int | None = None
    code: int = 2100004
    place: str = "data.error_code"
    sub_code: int = 0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    patch: dict[str, Any] = field(default_factory=dict)
    seconds: float = 1.0
    bytes: int = 1

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"kind must be one of {', '.join(FAULT_KINDS)}")
        if self.call != "*" and self.call not in CALLS:
            raise ValueError(f"call must be * or one of {', '.join(CALLS)}")
        if self.place not in PLACES:
            raise ValueError(f"place must be one of {', '.join(PLACES)}")

    def matches(self, call: str, page: int | None, app_id: str | None) -> bool:
        """Return whether the rule applies to this call."""
        return (
            self.call in ("*", call) and self.page in (None, page) and self.app_id in (None, app_id) and self.times != 0
        )


class FaultPlan:
    """The active fault rules; the first rule that matches a call applies."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def next_fault(self, call: str, page: int | None, app_id: str | None) -> Fault | None:
        """Return the fault for this call, or None, and update the rule's counters."""
        for fault in self.faults:
            if not fault.matches(call, page, app_id):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None
