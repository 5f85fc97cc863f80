"""Where Chalice ends and the service begins: every outcome gets one shape, one set of headers, one report."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from chalice.app import Chalice, ChaliceUnhandledError, Response

from chalicelib.errors import RedemptionError
from chalicelib.problems import FRAMEWORK_KINDS, INTERNAL_ERROR, kind_of, problem_of, problem_of_kind
from chalicelib.scope import BUDGET_SECONDS, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalice.app import Request

    from chalicelib.problems import Problem
    from chalicelib.telemetry import Telemetry

_NO_DEADLINE_MS = 60_000.0


class _UnhandledError(ChaliceUnhandledError):
    """Carries a view's error past Chalice, which makes any other into a response before middleware sees it."""


def answering(view: Callable[..., str]) -> Callable[..., Response]:
    """Make a view that returns JSON text and raises whatever it likes into one that Chalice can serve."""

    @functools.wraps(view)
    def answer(*args: Any, **kwargs: Any) -> Response:
        try:
            body = view(*args, **kwargs)
        except Exception as error:
            raise _UnhandledError from error
        return Response(body, {"Content-Type": "application/json; charset=utf-8"})

    return answer


class Service(Chalice):
    """A Chalice application in which a request has a scope, and API Gateway's odder events do no harm."""

    def __init__(self, app_name: str, telemetry: Telemetry) -> None:
        # Chalice's own log lines would stand beside ours, tracebacks and all.
        super().__init__(app_name, configure_logs=False)
        self.telemetry = telemetry
        self.scope = Scope.within(_NO_DEADLINE_MS)
        self.middleware("http")(self._middleware)

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Serve one event of API Gateway."""
        self.scope = _begin_scope(context)
        return super().__call__(_completed(event), context)

    def _middleware(self, request: Request, get_response: Callable[[Request], Response]) -> Response:
        request_id = str(request.context.get("requestId") or getattr(self.lambda_context, "aws_request_id", ""))
        error: BaseException | None = None
        problem: Problem | None = None
        allow: dict[str, str | list[str]] = {}
        try:
            response = get_response(request) if request.path in self.routes else Response({}, status_code=404)
        except Exception as raised:
            error = raised.__cause__ if isinstance(raised, _UnhandledError) else raised
            problem = problem_of(error or raised, request_id)
        else:
            # A view answers with text; a dict is the framework speaking.
            if not isinstance(response.body, str):
                problem = problem_of_kind(FRAMEWORK_KINDS.get(response.status_code, INTERNAL_ERROR), request_id)
                allow = {name: value for name, value in response.headers.items() if name == "Allow"}
        if problem is not None:
            headers = {"Content-Type": "application/problem+json", **problem.headers, **allow}
            response = Response(problem.body, headers, problem.kind.status)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Request-Id"] = request_id
        self.telemetry.report(
            f"{request.method} {request.path}",
            "ok" if problem is None else problem.kind.code,
            self.scope,
            error,
            status=response.status_code,
            request_id=request_id,
        )
        return response

    def run(self, what: str, context: Any, job: Callable[[Scope], dict[str, Any]]) -> None:
        """Run a scheduled job, given the whole time of the function, and report it with what it returns."""
        self.scope = _begin_scope(context, cap=float("inf"))
        try:
            done = job(self.scope)
        except RedemptionError as error:
            self.telemetry.report(what, kind_of(error).code, self.scope, error)
            raise
        self.telemetry.report(what, "ok", self.scope, None, **done)


def _begin_scope(context: Any, cap: float = BUDGET_SECONDS) -> Scope:
    """The scope of an invocation; `context` is Lambda's, and tells how long it may still take."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return Scope.within(float(remaining()) if remaining is not None else _NO_DEADLINE_MS, cap)


def _completed(event: Any) -> dict[str, Any]:
    """The event with the parts that API Gateway leaves out or sets to null, which Chalice takes for granted."""
    given = event if isinstance(event, dict) else {}
    context = given.get("requestContext") or {}
    query = given.get("queryStringParameters") or {}
    completed = {
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
        "pathParameters": None,
        "body": None,
        "stageVariables": None,
        **given,
        "headers": given.get("headers") or {},
    }
    completed["requestContext"] = {
        **context,
        "httpMethod": context.get("httpMethod") or "",
        "resourcePath": context.get("resourcePath") or "",
    }
    return completed
