"""One request's time budget, and the journal of what was done for it: log line, metrics and trace are drawn from it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from chalicelib.errors import RedemptionError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUDGET_SECONDS = 9.0
"""An answer leaves within 10 s whatever happens; the rest is for a last read of the table, shaping and sending."""

RESERVE_SECONDS = 0.5
"""Left over for the answer when the function's own deadline is the nearer one."""


class Deadline:
    """A moment on the monotonic clock, `seconds` from now, after which nothing is begun."""

    __slots__ = ("_at", "_clock")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    def remaining(self) -> float:
        """Seconds left; negative once it has passed."""
        return self._at - self._clock()


class Call(msgspec.Struct):
    """One call to another service: `service` and `name` say which, `started` is epoch seconds, `seconds` its length.

    `outcome` is `ok`, or the reason it failed; the rest is the platform's evidence.
    """

    service: str
    name: str
    started: float
    seconds: float = 0.0
    outcome: str = "ok"
    error_code: int = 0
    sub_error_code: int = 0
    logid: str = ""


class Scope(msgspec.Struct):
    """Carried through everything that one request does: how long it may take, and what it did.

    `calls` is appended to from the threads that fetch pages beside each other; list.append is atomic.
    """

    deadline: Deadline
    started: float = msgspec.field(default_factory=time.time)
    calls: list[Call] = []
    account_id: str = ""
    poi_id: str = ""
    user: str = ""
    returned: int | None = None
    malformed: int = 0
    pages: int = 0
    lost_page: RedemptionError | None = None
    token_seconds_left: int | None = None

    @classmethod
    def within(cls, milliseconds: float, cap: float = BUDGET_SECONDS) -> Scope:
        """A scope for a function that the runtime ends in `milliseconds`; never longer than `cap` seconds."""
        return cls(Deadline(min(cap, milliseconds / 1000 - RESERVE_SECONDS)))

    def within_seconds(self, seconds: float) -> Scope:
        """A part of this scope that may take so long at most; what it does is entered in the same journal."""
        return msgspec.structs.replace(self, deadline=Deadline(min(seconds, self.deadline.remaining())))

    @contextmanager
    def timed(self, service: str, name: str) -> Iterator[Call]:
        """Enter a call in the journal; an error that leaves the block names its outcome."""
        call = Call(service, name, time.time())
        self.calls.append(call)
        begun = time.perf_counter()
        try:
            yield call
        except UpstreamError as error:
            call.outcome = error.reason
            if error.evidence is not None:
                call.error_code = error.evidence.error_code
                call.sub_error_code = error.evidence.sub_error_code
                call.logid = error.evidence.logid
            raise
        except RedemptionError as error:
            call.outcome = type(error).__name__
            raise
        finally:
            call.seconds = time.perf_counter() - begun
