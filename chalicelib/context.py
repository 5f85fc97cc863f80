"""State of one invocation: the deadline of its work, and the record of what happened.

Log line, metrics and trace are written from the record.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from chalicelib.errors import DeadlineExceededError, Evidence, RedemptionError

REQUEST_SECONDS = 9.0
"""Time limit of one request. A response leaves within 10 s: the last second is for building and sending it."""

RESERVE_SECONDS = 0.5
"""Time reserved for sending the response before Lambda's timeout."""

CANCEL_POLL_SECONDS = 0.1
"""Interval at which a thread that waits for another service checks whether its deadline was cancelled."""

_SECONDS_WITHOUT_LAMBDA = 60.0


class Deadline:
    """A point in time, `seconds` from now on the monotonic clock. No work is started after it.

    Cancelling it ends it at once. The calls in progress notice this within CANCEL_POLL_SECONDS.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds
        self._cancelled = threading.Event()

    def remaining(self) -> float:
        """Return the seconds left; negative after the deadline."""
        return -math.inf if self.is_cancelled else self._at - self._clock()

    def narrowed(self, seconds: float) -> "Deadline":
        """Return a new deadline, `seconds` from now but not after this one. They are cancelled independently."""
        return Deadline(min(seconds, self.remaining()), self._clock)

    def check(self) -> float:
        """Return the seconds left, more than 0; raises DeadlineExceededError when the time is over."""
        remaining = self.remaining()
        if remaining <= 0:
            raise DeadlineExceededError("budget")
        return remaining

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End the deadline now."""
        self._cancelled.set()

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than until the deadline is cancelled."""
        self._cancelled.wait(seconds)


ABANDONED = "abandoned"


class Call(msgspec.Struct):
    """One entry of the call log: a call to another service.

    The codes and the logid are the platform's.
    """

    service: str
    name: str
    #: In epoch seconds.
    started: float
    #: The duration.
    seconds: float = 0.0
    #: `ok`, the `reason` of an error of this service, the type of any other error, or `abandoned` for a call that was
    #: aborted, or had not ended at the report.
    outcome: str = ABANDONED
    error_code: int = 0
    sub_error_code: int = 0
    logid: str = ""


class ListReport(msgspec.Struct, frozen=True):
    """What a list has returned, and what was wrong with the platform's pages. Numbers are counts."""

    pages: int
    certificates: int
    malformed: int = 0
    #: Paths in the platform's document.
    malformed_fields: list[str] = []
    lost_page_error: RedemptionError | None = None
    #: This and `total` are there when the list ended with fewer certificates than the platform's total.
    received: int | None = None
    total: int | None = None


class Outcome(msgspec.Struct, frozen=True):
    """How a request ended, or the list in a login."""

    #: `ok`, or the code of the problem.
    code: str = "ok"
    is_callers_mistake: bool = False
    #: What caused the problem.
    error: BaseException | None = None


class OperatorWarning(msgspec.Struct, frozen=True):
    """Something that went wrong without failing the request."""

    #: For the operator.
    text: str
    #: The metric that counts the requests with such a warning, if there is one.
    metric: str = ""


class RequestRecord(msgspec.Struct):
    """What happened in one HTTP request or scheduled run. There is one per request; its parts share it.

    Every part may append to the two logs, `calls` and `warnings`, from any thread (list.append is atomic). All other
    facts are return values, which the route or the job, or the application that has called it, stores here.
    """

    request_id: str = ""
    #: API Gateway's. The client can choose the `request_id`, but not this one.
    extended_request_id: str = ""
    started: float = msgspec.field(default_factory=time.time)
    calls: list[Call] = []
    warnings: list[OperatorWarning] = []
    #: Only of a login.
    app_id: str = ""
    account_id: str = ""
    #: Only when a list was requested.
    poi_id: str = ""
    #: The salted hash of the open_id.
    user: str = ""
    #: Whether a check of this project has sent the request, which then counts in no metric of customers.
    is_probe: bool = False
    outcome: Outcome = Outcome()
    #: That of the list in a login.
    list_outcome: Outcome | None = None
    #: Only when a list was returned.
    list_report: ListReport | None = None
    token_seconds_left: int | None = None

    def add_warning(self, text: str, metric: str = "") -> None:
        """Add a warning."""
        self.warnings.append(OperatorWarning(text, metric))


class RequestContext(msgspec.Struct, frozen=True):
    """The deadline of a piece of work, and the record of the request that it belongs to.

    Every function that may call another service gets one, and may raise DeadlineExceededError. A part with less time
    gets the same record with a nearer deadline.
    """

    deadline: Deadline
    record: RequestRecord = msgspec.field(default_factory=RequestRecord)

    @classmethod
    def for_lambda(
        cls, lambda_context: Any, max_seconds: float = REQUEST_SECONDS, request_id: Any = None
    ) -> "RequestContext":
        """Create the context of one invocation: at most `max_seconds`, and less when Lambda's own deadline is nearer.

        `lambda_context` is the object that Lambda passes to a handler, or None outside of Lambda. `request_id` takes
        the place of Lambda's own id.
        """
        remaining = getattr(lambda_context, "get_remaining_time_in_millis", None)
        seconds = _SECONDS_WITHOUT_LAMBDA if remaining is None else remaining() / 1000
        request_id = request_id or getattr(lambda_context, "aws_request_id", "")
        return cls(Deadline(min(max_seconds, seconds - RESERVE_SECONDS)), RequestRecord(str(request_id)))

    def with_timeout(self, seconds: float) -> "RequestContext":
        """Return a context that ends in `seconds`, or with this one if that is earlier. It has the same record."""
        return RequestContext(self.deadline.narrowed(seconds), self.record)

    def cancellable(self) -> "RequestContext":
        """Return a context that ends at the same time, and that can be cancelled without ending this one."""
        return self.with_timeout(math.inf)

    @contextmanager
    def record_call(self, service: str, name: str) -> Iterator[None]:
        """Add a call to the call log. An exception that leaves the block becomes its outcome.

        Without time left, nothing is sent or added.
        """
        self.deadline.check()
        call = Call(service, name, time.time())
        self.record.calls.append(call)
        begun = time.perf_counter()
        try:
            yield
            call.outcome = "ok"
        except Exception as error:
            if not self.deadline.is_cancelled:
                call.outcome = error.reason if isinstance(error, RedemptionError) else type(error).__name__
            evidence: Evidence | None = getattr(error, "evidence", None)
            if evidence is not None:
                call.error_code = evidence.error_code
                call.sub_error_code = evidence.sub_error_code
                call.logid = evidence.logid
            raise
        finally:
            call.seconds = time.perf_counter() - begun
