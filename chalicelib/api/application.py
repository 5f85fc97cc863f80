"""The Chalice application: every response gets the documented format and headers; each request gets its telemetry."""

import functools
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from chalice.app import Chalice, Request, Response

from chalicelib.api.problems import (
    FRAMEWORK_PROBLEM_TYPES,
    INTERNAL_ERROR,
    Problem,
    problem_for_error,
    problem_for_type,
)
from chalicelib.api.telemetry import Telemetry
from chalicelib.api.validation import parse_path_ids
from chalicelib.context import Report, RequestContext, RequestRecord
from chalicelib.errors import NotFoundError, ServiceError, format_error

RouteFunction = Callable[..., msgspec.Struct]

_CONTEXT_KEY = "redemption"
"""Key of the RequestContext in Chalice's `request.context`, the event's `requestContext`."""

_EMPTY_EVENT = dict.fromkeys(["multiValueQueryStringParameters", "headers", "pathParameters", "body", "stageVariables"])
"""What Chalice requires in an event. API Gateway sends null for a part that a request does not have."""


class Application(Chalice):
    """A Chalice application with a RequestContext for each request and problem responses for all errors.

    An event passes `__call__`, Chalice, `_middleware`, Chalice's routing and `handle`, in this order. `handle` makes
    the response of a route, also if the route raises an error. `_middleware` makes the response of an error of Chalice.
    At the end, `_finish` adds the common headers, and writes the telemetry.
    """

    def __init__(self, app_name: str, telemetry: Telemetry) -> None:
        # Chalice's own log lines contain tracebacks, which may quote secrets.
        super().__init__(app_name, configure_logs=False)
        self.telemetry = telemetry
        self.middleware("http")(self._middleware)

    def __call__(self, event: Any, lambda_context: Any) -> dict[str, Any]:
        """Handle one event of API Gateway's REST API. In any other event, missing parts count as empty."""
        parts: dict[str, Any] = _EMPTY_EVENT | (event if isinstance(event, dict) else {})
        about_request = parts["requestContext"] if isinstance(parts.get("requestContext"), dict) else {}
        route = {name: str(about_request.get(name) or "") for name in ("resourcePath", "httpMethod")}
        context = RequestContext.for_lambda(lambda_context, request_id=about_request.get("requestId"))
        context.record.extended_request_id = str(about_request.get("extendedRequestId") or "")
        parts["requestContext"] = about_request | route | {_CONTEXT_KEY: context}
        try:
            return super().__call__(parts, lambda_context)
        except Exception as error:
            # Chalice failed outside of the middleware.
            response = _respond_to_error(error, context.record)
            result: dict[str, Any] = self._finish(response, "unknown", context.record).to_dict()
            return result

    def route(
        self, path: str, *, max_age: int | None = None, **options: Any
    ) -> Callable[[RouteFunction], RouteFunction]:
        """Register a function for a path, like Chalice's `route`, with error mapping.

        The function is called as `function(request, context, **path_parameters)`. Before that, the path parameters are
        checked as ids, and stored in the record. The function returns the view, a struct. It may raise any exception.

        Shared caches may store a successful response for `max_age` seconds. All other responses have `no-store`.
        """
        names = re.findall(r"{(\w+)}", path)
        if any(not name.endswith("_id") or name in RequestRecord.__struct_fields__ for name in names):
            raise TypeError(f"{path}: a path parameter is an id, …_id, and no field of the log line has its name")
        register = super().route(path, **options)
        headers: dict[str, str | list[str]] = {
            "Content-Type": "application/json; charset=utf-8",
            "Cache-Control": "no-store" if max_age is None else f"public, max-age={max_age}",
        }

        def decorate(function: RouteFunction) -> RouteFunction:
            @functools.wraps(function)
            def handle(**path_parameters: str) -> Response:
                request: Any = self.current_request
                context: RequestContext = request.context[_CONTEXT_KEY]
                try:
                    ids = parse_path_ids(path_parameters)
                    context.record.ids = ids
                    body = msgspec.json.encode(function(request, context, **ids)).decode()
                except Exception as error:
                    # Otherwise Chalice would turn the exception into its own response.
                    return _respond_to_error(error, context.record)
                return Response(body, dict(headers))

            register(handle)
            return function

        return decorate

    def run_job(self, name: str, lambda_context: Any, job: Callable[[RequestContext], Report | None]) -> None:
        """Run the job of a function without a route, within the function's remaining time, and write its telemetry.

        The job returns a report of what it has done. If its `failed` has errors, the first one is the outcome. Then
        the function returns normally, so Lambda does not repeat the run.

        An exception that the job raises is the outcome. Lambda gets the exception, counts the run as failed, and may
        repeat it. The runtime logs message and traceback, which may quote a secret, so a RuntimeError replaces an
        exception that is not a ServiceError.
        """
        context = RequestContext.for_lambda(lambda_context, max_seconds=float("inf"))
        context.record.is_job = True
        try:
            context.record.report = report = job(context) or Report()
            if report.failed:
                context.record.outcome = problem_for_error(next(iter(report.failed.values()))).outcome
        except Exception as raised:
            context.record.outcome = problem_for_error(raised).outcome
            if isinstance(raised, ServiceError):
                raise
            raise RuntimeError(f"{name} failed with {type(raised).__name__}; its log line says where") from None
        finally:
            self._write_telemetry(name, context.record)

    def _middleware(self, request: Request, get_response: Callable[[Request], Response]) -> Response:
        record: RequestRecord = request.context[_CONTEXT_KEY].record
        try:
            # For an unknown path, Chalice would answer 405.
            if request.path not in self.routes:
                raise NotFoundError("no such route")
            response = get_response(request)
        except Exception as error:
            # Chalice failed, for example for an event without the path parameters of its route.
            response = _respond_to_error(error, record)
        # Responses of routes and problems have a text. Chalice's own responses have a dict.
        if not isinstance(response.body, str):
            problem_type = FRAMEWORK_PROBLEM_TYPES.get(response.status_code, INTERNAL_ERROR)
            allow = {name: value for name, value in response.headers.items() if name == "Allow"}
            response = _respond_with(problem_for_type(problem_type, record.request_id), record, allow)
        return self._finish(response, f"{request.method} {request.path}", record)

    def _finish(self, response: Response, operation: str, record: RequestRecord) -> Response:
        """Add the headers that every response has, and write the telemetry of the request."""
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Request-Id"] = record.request_id
        self._write_telemetry(operation, record, response.status_code)
        return response

    def _write_telemetry(self, operation: str, record: RequestRecord, status: int | None = None) -> None:
        """Write the telemetry of a request or run. Raises nothing, so that the caller still returns its result."""
        try:
            self.telemetry.write(operation, record, status)
        except Exception as error:
            with suppress(Exception):
                self.telemetry.warn(f"the telemetry of {operation} {record.request_id} failed: {format_error(error)}")


def _respond_to_error(error: Exception, record: RequestRecord) -> Response:
    """Return the problem response of an error, and record the outcome."""
    return _respond_with(problem_for_error(error, record.request_id), record)


def _respond_with(
    problem: Problem, record: RequestRecord, headers: dict[str, str | list[str]] | None = None
) -> Response:
    """Return the response of a problem, and record the outcome."""
    record.outcome = problem.outcome
    problem_headers = {"Content-Type": "application/problem+json", **problem.headers, **(headers or {})}
    return Response(problem.body, problem_headers, problem.view.status)
