"""Telemetry: one log line, metrics in EMF, a trace when the request is sampled, and no secret in any of them."""

from __future__ import annotations

import json
import logging
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.api import problems
from chalicelib.api import telemetry as telemetry_module
from chalicelib.api.telemetry import WITHHELD, Telemetry
from chalicelib.context import ABANDONED, Call, ListRecord, RequestRecord
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.protocol import CertificatesQuery, Selection
from chalicelib.errors import (
    ConfigurationError,
    Evidence,
    InvalidRequestError,
    RedemptionError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    WrongAppError,
)
from chalicelib.settings import TelemetrySettings
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.unit.fakes import APP_ID, APP_SECRET, NOW, OPEN_ID, FakeTransport, json_response, make_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.api.problems import ProblemType

SAMPLED = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


class Output:
    """What a Telemetry object has written."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def entries(self) -> list[dict[str, Any]]:
        """Return all lines since the last call."""
        return [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]

    def log_lines(self) -> list[dict[str, Any]]:
        return [entry for entry in self.entries() if "_aws" not in entry]

    def metrics(self) -> dict[str, tuple[list[float], list[set[str]], str]]:
        """Return values, dimension sets and unit of each metric."""
        found = {}
        for entry in self.entries():
            if "_aws" not in entry:
                continue
            [directive] = entry["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == "Space"
            for metric in directive["Metrics"]:
                dimensions = [set(names) for names in directive["Dimensions"]]
                found[metric["Name"]] = (entry[metric["Name"]], dimensions, metric["Unit"])
        return found


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    return Output(capsys)


def make_telemetry(stage: str = "", *, is_cold: bool = False) -> Telemetry:
    telemetry = Telemetry(TelemetrySettings("unit-test", "Space", stage))
    telemetry._cold = is_cold
    return telemetry


def make_record(**fields: Any) -> RequestRecord:
    return RequestRecord(**{"started": NOW, **fields})


def full_record() -> RequestRecord:
    return make_record(
        account_id=ACCOUNT_ID,
        user="0123456789abcdef",
        listing=ListRecord(
            POI_ID,
            pages=4,
            certificates=200,
            malformed=2,
            malformed_fields=["orders.certificates.start_time"],
            lost_page_error=UpstreamRejectedError("2119001", evidence=Evidence(2119001, 0, "20260101L")),
            received=200,
            total=210,
        ),
        warnings=["the cached secret is used: timeout"],
        calls=[
            Call("dynamodb", "GetItem", NOW, 0.0121, "ok"),
            Call("douyin", "query_user_certificates", NOW, 0.25, "2119001", 2119001, 7, "20260101L"),
        ],
    )


def test_one_line_has_everything_about_a_request(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry_module, "time", SimpleNamespace(time=lambda: NOW + 1.23456))
    make_telemetry().report("GET /x", full_record(), status=200, request_id="r")
    [line] = output.log_lines()
    for name in ("timestamp", "level", "service"):
        assert line.pop(name)
    assert line == {
        "message": "GET /x",
        "outcome": "ok",
        "status": 200,
        "request_id": "r",
        "cold_start": False,
        "account_id": ACCOUNT_ID,
        "poi_id": POI_ID,
        "user": "0123456789abcdef",
        "ms": 1234.6,
        "pages": 4,
        "certificates": 200,
        "malformed": 2,
        "malformed_fields": ["orders.certificates.start_time"],
        "warnings": ["the cached secret is used: timeout"],
        "received": 200,
        "total": 210,
        "lost_page": "error_code=2119001 sub_error_code=0 logid=20260101L",
        "calls": [
            {"call": "dynamodb.GetItem", "ms": 12.1, "outcome": "ok"},
            {
                "call": "douyin.query_user_certificates",
                "ms": 250.0,
                "outcome": "2119001",
                "error_code": 2119001,
                "sub_error_code": 7,
                "logid": "20260101L",
            },
        ],
        "failed_calls": "douyin.query_user_certificates 2119001/7 logid 20260101L",
    }


@pytest.mark.parametrize(
    ("list_error", "list_outcome", "level", "text"),
    [
        (None, "ok", "INFO", None),
        (WrongAppError("merchant 7"), "wrong_app", "WARNING", "WrongAppError: merchant 7"),
        (ValueError("planted"), "internal_error", "ERROR", "ValueError at "),
    ],
)
def test_a_login_with_a_list_is_one_line_with_both_outcomes(
    output: Output, list_error: Exception | None, list_outcome: str, level: str, text: str | None
) -> None:
    record = make_record(listing=ListRecord(POI_ID, is_first=True, error=list_error))
    make_telemetry().report("POST /v1/sessions", record)
    [line] = output.log_lines()
    assert (line["outcome"], line["list_outcome"], line["level"]) == ("ok", list_outcome, level)
    assert line.get("list_error") == text


def test_empty_fields_are_omitted_but_no_certificates_are_logged_as_zero(output: Output) -> None:
    record = make_record(listing=ListRecord("", is_first=True, certificates=0))
    make_telemetry().report("GET /x", record, problems.UNAUTHENTICATED)
    [line] = output.log_lines()
    assert set(line) == {"timestamp", "level", "service", "message", "outcome", "ms", "cold_start", "certificates"}
    assert line["certificates"] == 0


@pytest.mark.parametrize(
    ("error", "level", "text"),
    [
        (None, "INFO", None),
        (InvalidRequestError("cursor", "is wrong"), "WARNING", "InvalidRequestError: cursor is wrong"),
        (ValueError("planted"), "ERROR", "ValueError at "),
    ],
)
def test_an_error_of_ours_is_logged_with_its_message_as_a_warning(
    output: Output, error: Exception | None, level: str, text: str | None
) -> None:
    make_telemetry().report("GET /x", make_record(), problems.INTERNAL_ERROR, error)
    [line] = output.log_lines()
    assert (line["level"], line.get("error")) == (level, text)


def fail_deeply(depth: int) -> None:
    if depth:
        fail_deeply(depth - 1)
    raise ValueError("planted message")


def test_a_foreign_exception_is_logged_with_its_type_and_place_only(output: Output) -> None:
    try:
        fail_deeply(9)
    except ValueError as error:
        make_telemetry().report("GET /x", make_record(), problems.INTERNAL_ERROR, error)
    [line] = output.log_lines()
    assert line["error"].startswith("ValueError at test_telemetry.py:")
    assert line["error"].count("fail_deeply") == 6, "the innermost frames are enough"
    assert "planted" not in json.dumps(line)


def test_a_failed_warm_up_is_logged_without_metrics(output: Output) -> None:
    make_telemetry(is_cold=True).report_warmup_failure(make_record(), ConfigurationError("TABLE_NAME is missing"))
    [line] = output.entries()
    assert (line["message"], line["outcome"], line["level"]) == ("warmup", "failed", "WARNING")
    assert line["error"] == "ConfigurationError: TABLE_NAME is missing"


def test_a_warning_belongs_to_no_request(output: Output) -> None:
    make_telemetry(is_cold=True).warn("the bundle's SDK data does not fit")
    [line] = output.entries()
    assert (line["message"], line["level"]) == ("the bundle's SDK data does not fit", "WARNING")
    assert "outcome" not in line


def test_the_first_report_of_an_instance_is_a_cold_start(output: Output) -> None:
    telemetry = Telemetry(TelemetrySettings("unit-test", "Space", ""))
    telemetry.report_warmup_failure(make_record(), ConfigurationError("x"))
    output.entries()
    for is_cold in (True, False, False):
        telemetry.report("GET /x", make_record())
        entries = output.entries()
        assert [line["cold_start"] for line in entries if "_aws" not in line] == [is_cold]
        assert [line["ColdStart"] for line in entries if "_aws" in line] == ([[1.0]] if is_cold else [])


SERVICE = [{"service"}]


def calls(*outcomes: str, service: str = "douyin", name: str = "query_user_certificates") -> list[Call]:
    return [Call(service, name, NOW, 0.25, outcome) for outcome in outcomes]


CALLERS_PROBLEM = {"Problems": ([1.0], [{"service"}, {"service", "code"}], "Count")}


@pytest.mark.parametrize(
    ("fields", "problem", "expected"),
    [
        ({}, None, {}),
        ({"token_seconds_left": 0}, None, {"TokenSecondsLeft": ([0.0], SERVICE, "Seconds")}),
        ({"is_secret_stale": True}, None, {"StaleSecret": ([1.0], SERVICE, "Count")}),
        ({"calls": calls("ok", ABANDONED)}, None, {"UpstreamLatency": ([250.0], SERVICE, "Milliseconds")}),
        ({"calls": calls(ABANDONED, name="client_token")}, None, {}),
        ({"calls": calls("StorageUnavailableError", service="dynamodb", name="GetItem")}, None, {}),
        (
            {"calls": calls("2100004", "2100004", "ok")},
            None,
            {
                "UpstreamLatency": ([250.0] * 3, SERVICE, "Milliseconds"),
                "UpstreamErrors": ([2.0], [{"service"}, {"service", "error_code"}], "Count"),
            },
        ),
        (
            {"calls": calls("ok", name="client_token")},
            None,
            {"TokenMints": ([1.0], SERVICE, "Count"), "UpstreamLatency": ([250.0], SERVICE, "Milliseconds")},
        ),
        (
            {"calls": calls("10013", name="client_token")},
            problems.TOKEN_UNAVAILABLE,
            {
                "TokenMintFailures": ([1.0], SERVICE, "Count"),
                "UpstreamLatency": ([250.0], SERVICE, "Milliseconds"),
                "UpstreamErrors": ([1.0], [{"service"}, {"service", "error_code"}], "Count"),
                "Problems": ([1.0], [{"service"}, {"service", "code"}], "Count"),
            },
        ),
        ({"listing": ListRecord(POI_ID, is_first=True, error=WrongAppError("7"))}, None, CALLERS_PROBLEM),
        ({}, problems.INVALID_REQUEST, CALLERS_PROBLEM),
    ],
)
def test_metrics_follow_from_the_record(
    output: Output, fields: dict[str, Any], problem: ProblemType | None, expected: dict[str, Any]
) -> None:
    make_telemetry().report("GET /x", make_record(**fields), problem)
    assert output.metrics() == expected


@pytest.mark.parametrize(
    ("listing", "returned", "malformed"),
    [
        (None, None, None),
        (ListRecord(POI_ID, malformed=2), None, None),
        (ListRecord(POI_ID, certificates=0, malformed=2), [0.0], [2.0]),
    ],
)
def test_certificates_are_counted_when_a_list_was_returned(
    output: Output, listing: ListRecord | None, returned: list[float] | None, malformed: list[float] | None
) -> None:
    make_telemetry().report("GET /x", make_record(listing=listing))
    metrics = output.metrics()
    for name, values in (("CertificatesReturned", returned), ("CertificatesMalformed", malformed)):
        assert metrics.get(name) == (None if values is None else (values, SERVICE, "Count"))


@pytest.mark.parametrize(
    ("listing", "problem", "failed"),
    [
        (ListRecord(POI_ID), None, [0.0]),
        (ListRecord(POI_ID), problems.RATE_LIMITED, [1.0]),
        (ListRecord(POI_ID), problems.UNAUTHENTICATED, None),
        (None, problems.UNAVAILABLE, None),
        (ListRecord(POI_ID, error=UpstreamTimeoutError("budget")), None, [1.0]),
        (ListRecord(POI_ID, error=WrongAppError("7")), None, None),
    ],
)
def test_a_list_that_fails_is_counted_unless_it_is_the_callers_mistake(
    output: Output, listing: ListRecord | None, problem: ProblemType | None, failed: list[float] | None
) -> None:
    make_telemetry().report("GET /x", make_record(listing=listing), problem)
    metrics = output.metrics()
    assert metrics.get("ListFailed") == (None if failed is None else (failed, SERVICE, "Count"))
    assert ("ListSlow" in metrics) == ("ListFailed" in metrics)


@pytest.mark.parametrize(("seconds", "slow"), [(1.9, [0.0]), (2.1, [1.0])])
def test_a_list_over_two_seconds_is_slow(output: Output, seconds: float, slow: list[float]) -> None:
    make_telemetry().report("GET /x", make_record(listing=ListRecord(POI_ID), started=time.time() - seconds))
    assert output.metrics()["ListSlow"] == (slow, SERVICE, "Count")


def test_every_failed_call_is_in_one_text_for_queries(output: Output) -> None:
    limited = Call("douyin", "query_user_certificates", NOW, 0.1, "2119003", 2119003, 12001, "log1")
    make_telemetry().report("GET /x", make_record(calls=[*calls("ok", ABANDONED, "timeout"), limited]))
    [line] = output.log_lines()
    query = "douyin.query_user_certificates"
    assert line["failed_calls"] == f"{query} timeout; {query} 2119003/12001 logid log1"


def test_errors_of_the_platform_are_counted_by_reason(output: Output) -> None:
    make_telemetry().report("GET /x", make_record(calls=calls("timeout", "2100004", "timeout")))
    counts = {entry["error_code"]: entry["UpstreamErrors"] for entry in output.entries() if "UpstreamErrors" in entry}
    assert counts == {"timeout": [2.0], "2100004": [1.0]}


def test_dimensions_are_service_stage_and_problem_and_do_not_leak_into_the_next_report(output: Output) -> None:
    telemetry = make_telemetry("prod")
    telemetry.report("GET /x", make_record(), problems.RATE_LIMITED)
    [entry] = [entry for entry in output.entries() if "_aws" in entry]
    assert (entry["service"], entry["stage"], entry["code"]) == ("unit-test", "prod", "rate_limited")
    [directive] = entry["_aws"]["CloudWatchMetrics"]
    assert [set(names) for names in directive["Dimensions"]] == [{"service", "stage"}, {"service", "stage", "code"}]
    telemetry.report("GET /x", make_record(listing=ListRecord(POI_ID, certificates=1)))
    assert output.metrics()["CertificatesReturned"] == ([1.0], [{"service", "stage"}], "Count")


@pytest.mark.parametrize("name", ["urllib3.connection", "", "unit-test.child"])
def test_no_other_logger_writes_what_it_was_given(caplog: pytest.LogCaptureFixture, name: str) -> None:
    make_telemetry()
    logger = logging.getLogger(name)
    with caplog.at_level(logging.DEBUG, name):
        try:
            raise ValueError("planted exception")
        except ValueError:
            logger.debug("planted %s", "planted argument", exc_info=True, stack_info=True)
    assert "planted" not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]
    assert f"{WITHHELD}{name or 'root'}" in caplog.text


PLANTED = {
    "access token": "clt.access-token-planted",
    "app secret": APP_SECRET,
    "open_id": OPEN_ID,
    "login code": "login-code-planted",
    "coupon code": "10815coupon-planted7001",
    "message of the platform": "description-planted",
}
COUPON = {"code": PLANTED["coupon code"]}


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"orders": [{"order_id": "1", "certificates": [COUPON, 7]}]}, "extra": {}},
        {"data": {"error_code": 2100005}, "extra": {"error_code": 2100005}},
        {"data": {"error_code": 10013}, "extra": {"logid": "description-planted!"}},
        {"data": 7, "extra": {}},
        {"data": {"access_token": "clt.access-token-planted", "expires_in": 7200, "openid": OPEN_ID}, "extra": {}},
        {"data": {"access_token": "clt.access-token-planted", "expires_in": "description-planted"}, "extra": {}},
    ],
)
def test_no_secret_is_reported(output: Output, caplog: pytest.LogCaptureFixture, body: dict[str, Any]) -> None:
    """Each call of the client, with every logger at DEBUG, whether it succeeds or fails."""
    for part in ("data", "extra"):
        if isinstance(body[part], dict):
            body[part]["description"] = "description-planted"
    client = DouyinClient(FakeTransport(json_response(body)), "https://open", "https://login", lambda _: None)
    context = make_context()
    query = CertificatesQuery(Selection(ACCOUNT_ID, POI_ID), OPEN_ID)
    calls_of_client: list[Callable[[], object]] = [
        lambda: client.query_user_certificates(query, 1, PLANTED["access token"], context),
        lambda: client.mint_token(APP_ID, APP_SECRET, context),
        lambda: client.login(APP_ID, APP_SECRET, PLANTED["login code"], context),
    ]
    telemetry = make_telemetry()
    with caplog.at_level(logging.DEBUG):
        for call in calls_of_client:
            error: Exception | None = None
            try:
                call()
            except RedemptionError as raised:
                error = raised
            telemetry.report("GET /x", context.record, error=error)
    written = json.dumps(output.entries(), ensure_ascii=False) + caplog.text
    assert "douyin.jscode2session" in written
    assert {name for name, value in PLANTED.items() if value in written} == set()


class Recorder:
    """The X-Ray recorder, as far as it is used: keeps the finished segments."""

    def __init__(self, *, is_sampled: bool = True) -> None:
        self.is_sampled = is_sampled
        self.open: list[SimpleNamespace] = []
        self.finished: list[SimpleNamespace] = []

    def begin_subsegment(self, name: str, namespace: str = "local") -> Any:
        if not self.is_sampled:
            return None
        segment = SimpleNamespace(name=name, namespace=namespace, annotations={}, flags=set(), end=None)
        segment.put_annotation = segment.annotations.__setitem__
        segment.add_fault_flag = lambda: segment.flags.add("fault")
        segment.add_error_flag = lambda: segment.flags.add("error")
        self.open.append(segment)
        return segment

    def end_subsegment(self, end: float | None = None) -> None:
        segment = self.open.pop()
        segment.end = end
        self.finished.append(segment)


@pytest.fixture
def recorder(output: Output, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recorder that Powertools' Tracer uses; this request is sampled."""
    del output
    recorder = Recorder()

    class Tracer:
        def __init__(self, service: str, *, auto_patch: bool) -> None:
            assert (service, auto_patch) == ("unit-test", False)
            self.provider = recorder

        def put_annotation(self, name: str, value: str) -> None:
            recorder.open[-1].put_annotation(name, value)

    monkeypatch.setattr("aws_lambda_powertools.Tracer", Tracer)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", SAMPLED)
    return recorder


def test_a_sampled_request_is_traced_from_its_call_log(recorder: Recorder) -> None:
    make_telemetry().report("GET /x", full_record(), problems.UPSTREAM_REJECTED)
    assert recorder.open == []
    read, page, root = recorder.finished
    assert (root.name, root.start_time, root.end, root.flags) == ("## GET /x", NOW, None, {"error"})
    assert root.annotations == {"account_id": ACCOUNT_ID, "poi_id": POI_ID, "outcome": "upstream_rejected"}
    assert (read.name, read.namespace, read.flags) == ("dynamodb GetItem", "aws", set())
    assert (read.start_time, read.end) == (NOW, NOW + 0.0121)
    assert read.annotations == {"outcome": "ok"}
    assert (page.name, page.namespace, page.flags) == ("douyin query_user_certificates", "remote", {"fault"})
    assert page.annotations == {"outcome": "2119001", "logid": "20260101L"}


@pytest.mark.parametrize(
    ("list_error", "list_outcome", "flags"), [(None, "ok", set()), (WrongAppError("7"), "wrong_app", {"error"})]
)
def test_the_first_list_of_a_login_is_an_annotation_and_flags_its_problem(
    recorder: Recorder, list_error: Exception | None, list_outcome: str, flags: set[str]
) -> None:
    record = make_record(listing=ListRecord(POI_ID, is_first=True, error=list_error))
    make_telemetry().report("POST /x", record)
    [root] = recorder.finished
    expected = {"outcome": "ok", "list_outcome": list_outcome, "poi_id": POI_ID}
    assert (root.flags, root.annotations) == (flags, expected)


def test_a_request_that_is_not_sampled_is_not_traced(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", SAMPLED.replace("Sampled=1", "Sampled=0"))
    make_telemetry().report("GET /x", full_record())
    assert recorder.finished == []


def test_outside_of_a_segment_nothing_is_traced(recorder: Recorder) -> None:
    recorder.is_sampled = False
    make_telemetry().report("GET /x", full_record())
    assert (recorder.open, recorder.finished) == ([], [])


def test_without_the_xray_sdk_one_warning_is_logged(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**_: Any) -> None:
        raise ImportError("aws_xray_sdk")

    monkeypatch.setattr("aws_lambda_powertools.Tracer", missing)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", SAMPLED)
    telemetry = make_telemetry()
    for _ in range(2):
        telemetry.report("GET /x", make_record())
    messages = [line["message"] for line in output.log_lines()]
    assert [message for message in messages if "X-Ray SDK is not in the bundle" in message] == messages[1:2]
    assert len(messages) == 3
