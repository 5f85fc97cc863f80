"""State of one request or scheduled run: the deadline of its work, and the record of what happens.

Log line, metrics and trace are written from the record.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from chalicelib.errors import NO_CODES, DeadlineExceededError, ServiceError, UpstreamCodes

REQUEST_SECONDS = 9.0
"""Time limit for the calls of one request. The response must leave within 10 s (docs/api.md).

The last second is for an attempt of AWS in progress, and for building the response.
"""

RESERVE_SECONDS = 1.0
"""Time reserved before Lambda's timeout, for a call of AWS in progress and for sending the response."""


class Deadline:
    """A point in time, `seconds` from now on the monotonic clock. No call is started after it."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._at = clock() + seconds

    def remaining(self) -> float:
        """Return the seconds left; negative after the deadline."""
        return self._at - self.clock()

    def require_remaining(self) -> float:
        """Return the seconds left, more than 0; raises DeadlineExceededError when the time is over."""
        remaining = self.remaining()
        if remaining <= 0:
            raise DeadlineExceededError("budget")
        return remaining


class Call(msgspec.Struct):
    """One entry of the call log: a call to another service."""

    service: str
    name: str
    #: When the call started, in epoch seconds.
    started: float
    #: How long the call took, in seconds.
    seconds: float = 0.0
    #: `ok`, the `reason` of a ServiceError, or the type of any other error; "" while the call runs.
    outcome: str = ""
    #: The error codes and the logid of the platform's reply.
    upstream: UpstreamCodes = NO_CODES


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Base class of reports: what a request or run has done. The log line gets all fields of the report."""

    #: The errors of parts that failed while the run went on, by name of the part. The first error is the run's outcome.
    failed: dict[str, ServiceError] = {}

    def metrics(self) -> dict[str, tuple[str, float]]:
        """Return the metrics of the report, by name: unit and value."""
        return {}


class Outcome(msgspec.Struct, frozen=True):
    """How a request, a run, or the list in a login ended."""

    #: `ok`, the code of the problem, or `failed` for a warm-up that failed.
    code: str = "ok"
    #: Whether the metric `RequestFailed` counts it: see `api.problems.ProblemType`.
    is_failure: bool = False
    #: The error that caused the problem.
    error: BaseException | None = None
    #: Whether the metric `Refused` counts it: see `api.problems.ProblemType`.
    is_refusal: bool = False


class RequestRecord(msgspec.Struct):
    """What happened in one HTTP request or scheduled run. All parts of the request share one record.

    `Telemetry` names the fields that it logs, so a new field is not logged until somebody adds it there. All
    fields of the report and all entries of `ids` are logged.

    Records do not share their lists, because msgspec copies an empty default.

    Any thread may append to the lists `calls` and `warnings` (list.append is atomic). The other fields are set in the
    thread of the request, as soon as they are known.
    """

    request_id: str = ""
    #: API Gateway's second id of the request. The client can choose the first one, but not the second.
    extended_request_id: str = ""
    #: When the request or run started, in epoch seconds.
    started: float = msgspec.field(default_factory=time.time)
    calls: list[Call] = []
    #: Faults that did not make the request fail.
    warnings: list[str] = []
    #: Whether this is a job: the run of a function without a route.
    is_job: bool = False
    #: The app of the login, or of the session.
    app_id: str = ""
    #: The path parameters, or the ids of the list in a login. Log line and trace have each of them.
    ids: dict[str, str] = {}
    #: The salted hash of the user's open_id.
    user: str = ""
    #: Whether this is a request of this project's own checks, or a call of /v1/health. Then it counts in no metric.
    is_probe: bool = False
    outcome: Outcome = Outcome()
    #: How the list in a login ended.
    list_outcome: Outcome | None = None
    #: What the request or run has done, for example how many certificates it has returned.
    report: Report = Report()


class RequestContext(msgspec.Struct, frozen=True):
    """The deadline of a piece of work, and the record of the request that it belongs to.

    Every function that gets a context may raise DeadlineExceededError; most docstrings do not repeat this. `douyin` and
    `aws` log their calls in the record. Retries and transport get only the deadline. A part of the work may have an
    earlier deadline. Its context then has the same record.
    """

    deadline: Deadline
    record: RequestRecord = msgspec.field(default_factory=RequestRecord)

    @classmethod
    def for_lambda(
        cls, lambda_context: Any, max_seconds: float = REQUEST_SECONDS, request_id: Any = None
    ) -> "RequestContext":
        """Create the context of one invocation.

        Its deadline is `max_seconds` from now, or RESERVE_SECONDS before Lambda's timeout if that is earlier.
        `lambda_context` is the object that Lambda passes to a handler, or None outside of Lambda. `request_id` replaces
        Lambda's own id.
        """
        remaining = getattr(lambda_context, "get_remaining_time_in_millis", None)
        # Outside of Lambda there is no timeout: assume a minute.
        seconds = 60.0 if remaining is None else remaining() / 1000
        request_id = request_id or getattr(lambda_context, "aws_request_id", "")
        return cls(Deadline(min(max_seconds, seconds - RESERVE_SECONDS)), RequestRecord(str(request_id)))

    def with_timeout(self, seconds: float) -> "RequestContext":
        """Return a context that ends in `seconds`, or with this one if that is earlier. It has the same record."""
        return RequestContext(Deadline(min(seconds, self.deadline.remaining()), self.deadline.clock), self.record)

    @contextmanager
    def record_call(self, service: str, name: str) -> Iterator[Call]:
        """Add a call to the call log, and return it. If an exception leaves the block, the call's outcome names it.

        Raises DeadlineExceededError if no time is left. Then no call is added, and the block does not run.
        """
        self.deadline.require_remaining()
        call = Call(service, name, time.time())
        self.record.calls.append(call)
        started = time.perf_counter()
        try:
            yield call
            call.outcome = "ok"
        except Exception as error:
            call.outcome = error.reason if isinstance(error, ServiceError) else type(error).__name__
            upstream = getattr(error, "upstream", NO_CODES)
            call.upstream = call.upstream if upstream is NO_CODES else upstream
            raise
        finally:
            call.seconds = time.perf_counter() - started
