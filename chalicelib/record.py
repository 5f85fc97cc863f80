"""The record of one request or scheduled run. Log line, metrics and trace are written from it."""

import time

import msgspec

from chalicelib.errors import NO_CODES, ServiceError, UpstreamCodes


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

    Any thread may append to the lists `calls` and `warnings` (list.append is atomic). Only `app` and `api` set the
    other fields, in the thread of the request, as soon as they know them.
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
