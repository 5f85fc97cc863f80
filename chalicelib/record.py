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
    #: How long the call took.
    seconds: float = 0.0
    #: `ok`, the `reason` of an error of this service, or the type of any other error; "" while the call runs.
    outcome: str = ""
    #: What the platform's response has reported.
    upstream: UpstreamCodes = NO_CODES


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Base class of what a request or run has done. The log line has the fields of a report."""

    #: What failed, by its name, though the run went on. The first error is the outcome of the run.
    failed: dict[str, ServiceError] = {}

    def metrics(self) -> dict[str, tuple[str, float]]:
        """Return the metrics of the report, by name: unit and value."""
        return {}


class Outcome(msgspec.Struct, frozen=True):
    """How a request ended, or the list in a login."""

    #: `ok`, the code of the problem, or `failed` for a warm-up.
    code: str = "ok"
    is_callers_mistake: bool = False
    #: The error that caused the problem.
    error: BaseException | None = None
    #: That of the problem: `api.problems.ProblemType`.
    needs_operator: bool = False


class RequestRecord(msgspec.Struct):
    """What happened in one HTTP request or scheduled run. There is one per request; its parts share it.

    `Telemetry` decides which fields are logged. A new field is not logged by itself.

    Each record has lists of its own: msgspec copies an empty default.

    Every part may append to the two logs, `calls` and `warnings`, from any thread (list.append is atomic). The other
    facts are stored by the thread of the request, where they become known.
    """

    request_id: str = ""
    #: API Gateway's second id of the request. The client can choose the first one, but not the second.
    extended_request_id: str = ""
    #: When the request or run started, in epoch seconds.
    started: float = msgspec.field(default_factory=time.time)
    calls: list[Call] = []
    #: What went wrong without failing the request.
    warnings: list[str] = []
    #: Whether this is a job (a run of a function without a route), not a request.
    is_job: bool = False
    #: The app of the login, or of the session.
    app_id: str = ""
    #: The path parameters, or the ids of the list in a login. Log line and trace have each of them.
    ids: dict[str, str] = {}
    #: The salted hash of the user's open_id. Its name in the log line is `user`.
    user_hash: str = ""
    #: Whether the request is a check: by `redeemctl doctor` or the smoke test, or any call of /v1/health. It counts in
    #: no metric. Its name in the log line is `probe`.
    is_probe: bool = False
    outcome: Outcome = Outcome()
    #: How the list in a login ended.
    list_outcome: Outcome | None = None
    #: What the request or run has done, for example the list that it has returned.
    report: Report = Report()
