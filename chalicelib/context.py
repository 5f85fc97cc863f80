"""State of one invocation: its deadline, and the call log from which log line, metrics and trace are written."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from chalicelib.errors import RedemptionError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUEST_SECONDS = 9.0
"""Time limit of one request. The remaining second of the 10 s is for building and sending the response."""

RESERVE_SECONDS = 0.5
"""Time reserved for sending the response before Lambda's timeout."""

_SECONDS_WITHOUT_LAMBDA = 60.0


class Deadline:
    """A point in time, `seconds` from now on the monotonic clock. No work is started after it.

    Cancelling it ends it at once and aborts the calls in progress.
    """

    __slots__ = ("_abort_callbacks", "_at", "_clock")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds
        self._abort_callbacks: set[Callable[[], None]] = set()

    def remaining(self) -> float:
        """Return the seconds left; negative after the deadline."""
        return self._at - self._clock()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._at == -math.inf

    def cancel(self) -> None:
        """End the deadline now and abort the blocking calls that registered with `aborting`."""
        self._at = -math.inf
        for abort in tuple(self._abort_callbacks):
            abort()

    @contextmanager
    def aborting(self, abort: Callable[[], None]) -> Iterator[None]:
        """Register `abort` for the time of the block: another thread calls it when the deadline is cancelled."""
        self._abort_callbacks.add(abort)
        try:
            # After the registration, so that a cancellation in between is not missed.
            if self.is_cancelled:
                abort()
            yield
        finally:
            self._abort_callbacks.discard(abort)


ABANDONED = "abandoned"


class Call(msgspec.Struct):
    """One entry of the call log: a call to another service.

    `started` is in epoch seconds, `seconds` is the duration. `outcome` is `ok`, the reason of the failure, or
    `abandoned` for a call that was aborted, or had not ended when the request was reported. The codes and the logid are
    the platform's.
    """

    service: str
    name: str
    started: float
    seconds: float = 0.0
    outcome: str = ABANDONED
    error_code: int = 0
    sub_error_code: int = 0
    logid: str = ""


class RequestContext(msgspec.Struct):
    """State of one HTTP request or scheduled run, passed to everything that it calls.

    `user` is the salted hash of the open_id. `malformed_fields` are paths in the platform's document. `warnings` are
    texts for the operator about what went wrong without failing the request. Several threads append to `calls`
    (list.append is atomic). `list_outcome` (`ok` or a problem code) and `list_error` belong to a login's first list.
    """

    deadline: Deadline
    request_id: str = ""
    started: float = msgspec.field(default_factory=time.time)
    calls: list[Call] = []
    account_id: str = ""
    poi_id: str = ""
    user: str = ""
    pages: int = 0
    certificates_returned: int | None = None
    certificates_malformed: int = 0
    malformed_fields: list[str] = []
    warnings: list[str] = []
    lost_page_error: RedemptionError | None = None
    list_outcome: str = ""
    list_error: BaseException | None = None
    token_seconds_left: int | None = None

    @classmethod
    def for_lambda(cls, lambda_context: Any, max_seconds: float = REQUEST_SECONDS) -> RequestContext:
        """Create the context of one invocation: at most `max_seconds`, and less when Lambda's own deadline is nearer.

        `lambda_context` is the object that Lambda passes to a handler, or None outside of Lambda.
        """
        remaining = getattr(lambda_context, "get_remaining_time_in_millis", None)
        seconds = _SECONDS_WITHOUT_LAMBDA if remaining is None else remaining() / 1000
        request_id = str(getattr(lambda_context, "aws_request_id", ""))
        return cls(Deadline(min(max_seconds, seconds - RESERVE_SECONDS)), request_id)

    def with_timeout(self, seconds: float) -> RequestContext:
        """Return a copy with an earlier deadline that writes to the same call log."""
        return msgspec.structs.replace(self, deadline=Deadline(min(seconds, self.deadline.remaining())))

    @contextmanager
    def record_call(self, service: str, name: str) -> Iterator[Call]:
        """Add a call to the call log. An error that leaves the block becomes its outcome."""
        call = Call(service, name, time.time())
        self.calls.append(call)
        begun = time.perf_counter()
        outcome = "ok"
        try:
            yield call
        except UpstreamError as error:
            outcome = error.reason
            if error.evidence is not None:
                call.error_code = error.evidence.error_code
                call.sub_error_code = error.evidence.sub_error_code
                call.logid = error.evidence.logid
            raise
        except RedemptionError as error:
            outcome = type(error).__name__
            raise
        finally:
            if self.deadline.is_cancelled:
                outcome = ABANDONED
            call.seconds = time.perf_counter() - begun
            call.outcome = outcome
