"""Faults on demand: which calls fail, how often, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CALLS = ("client_token", "jscode2session", "query_user_certificates")
PLACES = ("data.error_code", "extra.error_code", "extra.sub_error_code", "err_no")

KINDS: dict[str, str] = {
    "code": "answer 200 with `code` in `place` (one of " + ", ".join(PLACES) + ")",
    "sub": "answer 200 with `code` in data and extra, and `sub_code` below it",
    "http": "answer with `status`, `headers` and `body`",
    "body": "answer 200 with `body` as it is",
    "patch": "the true answer with `patch` merged into its `data`",
    "delay": "what was asked is done at once, the answer comes after `seconds`",
    "drip": "the true answer, `bytes` at a time with `seconds` between",
    "hang": "no answer, ever",
    "reset": "close the connection without an answer",
    "truncate": "half of the true answer, then close the connection",
    "close": "the true answer, then close the connection without saying so before",
}


@dataclass
class Fault:
    """One rule.

    `call` is one of CALLS or `*`; `page` and `app_id` narrow it; the first `skip` matching calls are spared, then
    `times` are hit (None: all that follow).
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
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        if self.call != "*" and self.call not in CALLS:
            raise ValueError(f"call must be * or one of {', '.join(CALLS)}")
        if self.place not in PLACES:
            raise ValueError(f"place must be one of {', '.join(PLACES)}")

    def matches(self, call: str, page: int | None, app_id: str | None) -> bool:
        """Whether the rule is about this call."""
        return (
            self.call in ("*", call) and self.page in (None, page) and self.app_id in (None, app_id) and self.times != 0
        )


class FaultPlan:
    """The rules in force; the first that matches a call decides."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def strike(self, call: str, page: int | None, app_id: str | None) -> Fault | None:
        """The fault that hits this call, if any; counts it."""
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
