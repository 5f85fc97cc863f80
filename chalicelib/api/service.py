"""The Chalice application: it gives every outcome the contract's shape and headers, and reports it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from chalice.app import Chalice, ChaliceUnhandledError, Response

from chalicelib.api.problems import (
    FRAMEWORK_PROBLEMS,
    INTERNAL_ERROR,
    problem_for_error,
    problem_for_type,
    problem_type_of,
)
from chalicelib.context import RequestContext
from chalicelib.errors import RedemptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalice.app import Request

    from chalicelib.api.problems import Problem
    from chalicelib.telemetry import Telemetry

    View = Callable[..., str]


class _ViewError(ChaliceUnhandledError):
    """Carries a view's exception through Chalice, which turns any other class into a response before middleware."""


class Service(Chalice):
    """A Chalice application with a RequestContext for each request and problem responses for all errors."""

    def __init__(self, app_name: str, telemetry: Telemetry) -> None:
        # Chalice's own log lines contain tracebacks, which may quote secrets.
        super().__init__(app_name, configure_logs=False)
        self.telemetry = telemetry
        self.middleware("http")(self._middleware)

    def __call__(self, event: Any, lambda_context: Any) -> dict[str, Any]:
        """Handle one event of API Gateway."""
        event = _normalize_event(event)
        context = RequestContext.for_lambda(lambda_context)
        context.request_id = str(event["requestContext"].get("requestId") or context.request_id)
        # Chalice passes this object on unchanged as `request.lambda_context`: here it is our own context.
        return super().__call__(event, context)

    def route(self, path: str, **options: Any) -> Callable[[View], View]:
        """Register a view for a path, like Chalice's `route`, with error mapping.

        The view is called as `view(request, context, **path_parameters)`. It returns JSON text and may raise anything.
        """
        register = super().route(path, **options)

        def decorate(view: View) -> View:
            @functools.wraps(view)
            def handle(**path_parameters: str) -> Response:
                request: Any = self.current_request
                try:
                    body = view(request, request.lambda_context, **path_parameters)
                except Exception as error:
                    raise _ViewError from error
                return Response(body, {"Content-Type": "application/json; charset=utf-8"})

            register(handle)
            return view

        return decorate

    def run_job(self, name: str, lambda_context: Any, job: Callable[[RequestContext], dict[str, Any]]) -> None:
        """Run a scheduled job within the function's whole time, and report it with the fields that it returns."""
        context = RequestContext.for_lambda(lambda_context, max_seconds=float("inf"))
        try:
            fields = job(context)
        except RedemptionError as error:
            self.telemetry.report(name, problem_type_of(error).code, context, error)
            raise
        self.telemetry.report(name, "ok", context, None, **fields)

    def _middleware(self, request: Request, get_response: Callable[[Request], Response]) -> Response:
        context: RequestContext = request.lambda_context  # type: ignore[assignment]  # see __call__
        error: BaseException | None = None
        problem: Problem | None = None
        allow: dict[str, str | list[str]] = {}
        try:
            response = get_response(request) if request.path in self.routes else Response({}, status_code=404)
        except Exception as raised:
            error = (raised.__cause__ if isinstance(raised, _ViewError) else None) or raised
            problem = problem_for_error(error, context.request_id)
        else:
            # Views return text; a dict is a response of the framework.
            if not isinstance(response.body, str):
                problem_type = FRAMEWORK_PROBLEMS.get(response.status_code, INTERNAL_ERROR)
                problem = problem_for_type(problem_type, context.request_id)
                allow = {name: value for name, value in response.headers.items() if name == "Allow"}
        if problem is not None:
            headers = {"Content-Type": "application/problem+json", **problem.headers, **allow}
            response = Response(problem.body, headers, problem.type.status)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Request-Id"] = context.request_id
        self.telemetry.report(
            f"{request.method} {request.path}",
            "ok" if problem is None else problem.type.code,
            context,
            error,
            status=response.status_code,
            request_id=context.request_id,
        )
        return response


def _normalize_event(event: Any) -> dict[str, Any]:
    """Return the event with every part that Chalice requires; API Gateway omits some or sends null."""
    fields = event if isinstance(event, dict) else {}
    request_context = fields.get("requestContext") or {}
    query = fields.get("queryStringParameters") or {}
    return {
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
        "pathParameters": None,
        "body": None,
        "stageVariables": None,
        **fields,
        "headers": fields.get("headers") or {},
        "requestContext": {
            **request_context,
            "httpMethod": request_context.get("httpMethod") or "",
            "resourcePath": request_context.get("resourcePath") or "",
        },
    }
