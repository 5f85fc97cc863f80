"""The Chalice application: events of API Gateway in, responses in the contract's form out, each one reported."""

import json
import traceback
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from chalice.app import BadRequestError, Chalice, Request

from chalicelib import errors
from chalicelib.api.application import Application
from chalicelib.context import Outcome, RequestContext, RequestRecord
from sandbox import gateway
from tests.unit.fakes import FakeTelemetry, LambdaContext


def make_event(method: str = "GET", resource: str = "/plain", **fields: Any) -> dict[str, Any]:
    """Return an event of API Gateway's REST API, with null where it sends null."""
    event = gateway.build_event(method, resource)
    event["requestContext"]["requestId"] = "gateway-id"
    return event | fields


class View(msgspec.Struct):
    """A view with a text that is no ASCII."""

    a: str = "券"


class App:
    """A service with a few routes. `view` is what the route /plain does."""

    def __init__(self) -> None:
        self.telemetry = FakeTelemetry()
        self.service = Application("test", self.telemetry)
        self.view: Callable[..., View] = lambda *_: View()
        self.seen: list[Any] = []

        @self.service.route("/plain", methods=["GET", "PUT"])
        def plain(request: Request, context: RequestContext) -> View:
            return self.view(request, context)

        @self.service.route("/a/{account_id}/b/{poi_id}", methods=["GET"])
        def nested(request: Request, context: RequestContext, account_id: str, poi_id: str) -> View:
            self.seen.append((request, context, account_id, poi_id))
            return View()

        @self.service.route("/cached", methods=["GET"], max_age=300)
        def cached(request: Request, context: RequestContext) -> View:
            return self.view(request, context)

        @self.service.route("/body", methods=["POST"], content_types=["application/json"])
        def body(request: Request, _context: RequestContext) -> View:
            self.seen.append(request)
            return View()

    def call(self, event: Any = None, context: Any = None) -> dict[str, Any]:
        return self.service(make_event() if event is None else event, context or LambdaContext())

    def written(self) -> tuple[str, RequestRecord, int | None]:
        [written] = self.telemetry.written
        return written


@pytest.fixture
def app() -> App:
    return App()


def assert_problem(response: dict[str, Any], status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response["body"])
    assert (response["statusCode"], body["status"], body["code"]) == (status, status, code)
    headers = response["headers"]
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Request-Id"] == body["request_id"]
    return body


def test_a_view_is_the_body_and_is_reported(app: App) -> None:
    response = app.call()
    assert (response["statusCode"], response["body"]) == (200, '{"a":"券"}')
    assert response["headers"] == {
        "Content-Type": "application/json; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Request-Id": "gateway-id",
    }
    operation, record, written_status = app.written()
    assert (operation, record.outcome) == ("GET /plain", Outcome())
    assert written_status == 200
    assert record.request_id == "gateway-id"


def test_chalice_does_not_log_by_itself() -> None:
    """Its own lines contain tracebacks, which may quote secrets."""
    assert Application("unlogged", FakeTelemetry()).log.handlers == []


@pytest.mark.parametrize("name", ["outcome", "message", "app_id", "request_id"])
def test_a_path_parameter_cannot_take_the_place_of_a_field_of_the_log_line(name: str) -> None:
    with pytest.raises(TypeError, match="a path parameter is an id"):
        Application("unlogged", FakeTelemetry()).route(f"/v1/{{account_id}}/{{{name}}}")


def test_a_view_gets_request_context_and_path_parameters_which_are_recorded(app: App) -> None:
    event = make_event(
        resource="/a/{account_id}/b/{poi_id}",
        pathParameters={"account_id": "7", "poi_id": "66%30"},
        headers={"Authorization": "Bearer x"},
        multiValueQueryStringParameters={"cursor": ["a", "b"]},
    )
    assert app.call(event, LambdaContext(3_000))["statusCode"] == 200
    [(request, context, account_id, poi_id)] = app.seen
    assert 0.5 < context.deadline.remaining() <= 2.5
    assert (account_id, poi_id) == tuple(context.record.ids.values()) == ("7", "660")
    assert request.headers["authorization"] == "Bearer x"
    assert request.query_params.getlist("cursor") == ["a", "b"]
    assert app.written()[1] is context.record


@pytest.mark.parametrize(
    ("request_context", "lambda_context", "request_id"),
    [
        ({"requestId": "gateway-id"}, LambdaContext(), "gateway-id"),
        ({"requestId": ""}, LambdaContext(), "lambda-id"),
        ({"requestId": 7}, LambdaContext(), "7"),
        ({}, object(), ""),
    ],
)
def test_the_request_id_is_the_gateways_or_lambdas(
    app: App, request_context: dict[str, Any], lambda_context: Any, request_id: str
) -> None:
    event = make_event(requestContext={"resourcePath": "/plain", "httpMethod": "GET", **request_context})
    assert app.call(event, lambda_context)["headers"]["X-Request-Id"] == request_id


@pytest.mark.parametrize(("extended", "logged"), [("Ab1=", "Ab1="), (None, ""), (7, "7")])
def test_the_extended_request_id_is_recorded(app: App, extended: Any, logged: str) -> None:
    event = make_event()
    event["requestContext"]["extendedRequestId"] = extended
    app.call(event)
    assert app.written()[1].extended_request_id == logged


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidRequestError("cursor", "is wrong"), 400, "invalid_request"),
        (errors.StorageUnavailableError("Throttling"), 503, "unavailable"),
        (ZeroDivisionError("planted"), 500, "internal_error"),
        # Chalice makes responses of its own errors; here they are no more than foreign exceptions.
        (BadRequestError("planted"), 500, "internal_error"),
    ],
)
def test_an_error_of_a_view_is_a_problem_and_is_reported_and_nothing_of_it_is_shown_or_logged(
    app: App,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    code: str,
) -> None:
    app.service.debug = True
    app.view = raising(error)
    with caplog.at_level("DEBUG"):
        response = app.call()
    assert assert_problem(response, status, code)["request_id"] == "gateway-id"
    out = capfd.readouterr()
    assert "planted" not in out.out + out.err + caplog.text + json.dumps(response)
    operation, record, written_status = app.written()
    assert (operation, written_status) == ("GET /plain", status)
    assert (record.outcome.code, record.outcome.error) == (code, error)


def test_only_the_success_of_a_route_with_a_max_age_may_be_cached(app: App) -> None:
    def cache_control(method: str = "GET", resource: str = "/cached") -> str:
        return str(app.call(make_event(method, resource))["headers"]["Cache-Control"])

    assert (cache_control(), cache_control("POST")) == ("public, max-age=300", "no-store")
    assert cache_control(resource="/plain") == "no-store"
    app.view = raising(errors.InvalidRequestError("x", "is wrong"))
    assert cache_control() == "no-store"


@pytest.mark.parametrize(
    ("call", "status", "code", "allow"),
    [
        ("GET /nothing", 404, "not_found", None),
        ("DELETE /plain", 405, "method_not_allowed", "GET, PUT"),
        ("POST /body", 415, "unsupported_media_type", None),
    ],
)
def test_a_refusal_of_the_framework_is_a_problem_and_is_reported(
    app: App, call: str, status: int, code: str, allow: str | None
) -> None:
    response = app.call(make_event(*call.split(), headers={"Content-Type": "text/plain"}, body='{"a":1}'))
    assert_problem(response, status, code)
    assert response["headers"].get("Allow") == allow
    operation, record, _ = app.written()
    assert (operation, record.outcome.code, record.outcome.is_failure) == (call, code, False)
    assert app.seen == []


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        {"requestContext": {"resourcePath": None, "httpMethod": ["GET"]}},
        {"version": "2.0", "routeKey": "GET /plain", "rawPath": "/plain"},
    ],
)
def test_what_is_no_request_of_the_rest_api_is_a_problem(app: App, event: Any) -> None:
    assert assert_problem(app.call(event), 404, "not_found")["request_id"] == "lambda-id"


def test_a_failure_outside_of_the_middleware_is_an_internal_error_in_our_form(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ZeroDivisionError("planted")
    monkeypatch.setattr(Chalice, "__call__", raising(error))
    response = app.call()
    assert_problem(response, 500, "internal_error")
    assert "planted" not in json.dumps(response)
    operation, record, written_status = app.written()
    assert (operation, written_status) == ("unknown", 500)
    assert record.outcome == Outcome("internal_error", is_failure=True, error=error)


@pytest.mark.parametrize("error", [None, OSError("planted")], ids=["logged", "no log either"])
def test_a_response_does_not_depend_on_its_report(
    app: App, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    warn = Mock(side_effect=error)
    monkeypatch.setattr(app.telemetry, "write", Mock(side_effect=ValueError("planted")))
    monkeypatch.setattr(app.telemetry, "warn", warn)
    response = app.call()
    assert (response["statusCode"], response["body"]) == (200, '{"a":"券"}')
    assert response["headers"]["X-Request-Id"] == "gateway-id"
    [warning] = warn.call_args.args
    assert warning.startswith("the telemetry of GET /plain gateway-id failed: ValueError at ")
    assert "planted" not in warning
    app.service.run_job("refresh_tokens", LambdaContext(), lambda _: None)


class TestJob:
    def test_a_job_has_the_functions_whole_time_and_is_reported(self, app: App) -> None:
        contexts: list[RequestContext] = []
        app.service.run_job("refresh_tokens", LambdaContext(60_000), contexts.append)
        record = contexts[0].record
        assert app.written() == ("refresh_tokens", record, None)
        assert (record.is_job, record.outcome) == (True, Outcome())
        assert record.request_id == "lambda-id"
        assert 57.5 < contexts[0].deadline.remaining() <= 59.5

    def test_a_failed_job_is_reported_and_fails(self, app: App) -> None:
        error = errors.StorageUnavailableError("x")
        with pytest.raises(errors.StorageUnavailableError):
            app.service.run_job("refresh_tokens", LambdaContext(), raising(error))
        _, record, written_status = app.written()
        assert (record.outcome, written_status) == (Outcome("unavailable", is_failure=True, error=error), None)

    def test_an_unforeseen_exception_of_a_job_is_reported_and_its_message_reaches_no_log(self, app: App) -> None:
        unforeseen = ValueError("clt.secret")
        with pytest.raises(RuntimeError, match="refresh_tokens failed with ValueError") as raised:
            app.service.run_job("refresh_tokens", LambdaContext(), raising(unforeseen))
        assert "clt.secret" not in "".join(traceback.format_exception(raised.value))
        assert app.written()[1].outcome == Outcome("internal_error", is_failure=True, error=unforeseen)
