"""Telemetry: one log line, metrics in EMF, a trace when the request is sampled, and no secret in any of them."""

import importlib
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib import errors
from chalicelib.api import telemetry as telemetry_module
from chalicelib.api.problems import problem_for_error
from chalicelib.api.telemetry import WITHHELD, Telemetry
from chalicelib.certificates.listing import ListReport
from chalicelib.context import Call, Outcome, Report, RequestRecord
from chalicelib.settings import TelemetrySettings
from chalicelib.tokens.renewal import RenewalReport
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.unit.fakes import NOW

END = NOW + 1.23456
"""When every report is made."""

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


@pytest.fixture(autouse=True)
def restore_log_records() -> Iterator[None]:
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    monkeypatch.setattr(telemetry_module, "time", SimpleNamespace(time=lambda: END))
    return Output(capsys)


def make_telemetry(stage: str = "") -> Telemetry:
    """Return the telemetry of an instance that has reported before."""
    telemetry = Telemetry(TelemetrySettings("unit-test", "Space", stage))
    telemetry._cold = False
    return telemetry


def make_record(**fields: Any) -> RequestRecord:
    return RequestRecord(**{"started": NOW, **fields})


OK = Outcome()


def failed(error: Exception) -> Outcome:
    """Return the outcome of a request or list that ended with an error."""
    return problem_for_error(error).outcome


def full_record(outcome: Outcome = OK) -> RequestRecord:
    return make_record(
        request_id="r",
        extended_request_id="x=",
        outcome=outcome,
        ids={"account_id": ACCOUNT_ID, "poi_id": POI_ID},
        user="0123456789abcdef",
        report=ListReport(
            pages=4,
            certificates=200,
            malformed=2,
            malformed_fields=["orders.certificates.start_time"],
            lost_page=errors.UpstreamRejectedError("2119001", upstream=errors.UpstreamCodes(2119001, 0, "20260101L")),
        ),
        warnings=["the cached secret is used: timeout"],
        calls=[
            Call("dynamodb", "GetItem", NOW, 0.0121, "ok"),
            Call(
                "douyin", "query_user_certificates", NOW, 0.25, "2119001", errors.UpstreamCodes(2119001, 7, "20260101L")
            ),
            Call("douyin", "query_user_certificates", NOW, 0.1, "12001", errors.UpstreamCodes(0, 12001)),
            Call("douyin", "query_user_certificates", NOW, 0.1, "timeout"),
        ],
    )


def test_no_field_of_a_report_has_the_name_of_another_field_of_the_line() -> None:
    """Python's logging refuses some of these names, and others would replace a field in silence."""
    own = {"ms", "probe", "error", "list_error", "list_outcome", "failed_calls", "status", "cold_start", "message"}
    taken = own | {*RequestRecord.__struct_fields__} | vars(logging.makeLogRecord({})).keys()
    reports = Report.__subclasses__()
    assert {ListReport, RenewalReport} <= {*reports}
    assert [name for report in reports for name in report.__struct_fields__ if name in taken] == []


def test_one_line_has_everything_about_a_request(output: Output) -> None:
    make_telemetry().write("GET /x", full_record(), 200)
    [line] = output.log_lines()
    for name in ("timestamp", "level", "service"):
        assert line.pop(name)
    assert line == {
        "message": "GET /x",
        "outcome": "ok",
        "status": 200,
        "request_id": "r",
        "extended_request_id": "x=",
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
        "lost_page": "2119001",
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
            {"call": "douyin.query_user_certificates", "ms": 100.0, "outcome": "12001", "sub_error_code": 12001},
            {"call": "douyin.query_user_certificates", "ms": 100.0, "outcome": "timeout"},
        ],
        "failed_calls": (
            "douyin.query_user_certificates 2119001/7 logid 20260101L; douyin.query_user_certificates 0/12001; "
            "douyin.query_user_certificates timeout"
        ),
    }


@pytest.mark.parametrize(
    ("outcome", "list_outcome", "expected"),
    [
        (OK, OK, ("INFO", "ok", "ok", None, None)),
        (OK, failed(errors.WrongAppError("7")), ("WARNING", "ok", "wrong_app", None, "WrongAppError: 7")),
        (OK, failed(ValueError("planted")), ("ERROR", "ok", "internal_error", None, "ValueError at ")),
        (
            failed(errors.UnauthenticatedError("x")),
            None,
            ("WARNING", "unauthenticated", None, "UnauthenticatedError: x", None),
        ),
        (failed(ValueError("planted")), None, ("ERROR", "internal_error", None, "ValueError at ", None)),
    ],
)
def test_the_line_of_a_login_with_a_list_has_both_outcomes_and_errors(
    output: Output, outcome: Outcome, list_outcome: Outcome | None, expected: tuple[str | None, ...]
) -> None:
    make_telemetry().write("POST /v1/sessions", make_record(outcome=outcome, list_outcome=list_outcome))
    [line] = output.log_lines()
    names = ("level", "outcome", "list_outcome", "error", "list_error")
    assert tuple(line.get(name) for name in names) == expected


def test_empty_fields_are_omitted_but_no_certificates_are_logged_as_zero(output: Output) -> None:
    make_telemetry().write("GET /x", make_record(report=ListReport(1, 0)))
    [line] = output.log_lines()
    names = {"timestamp", "level", "service", "message", "outcome", "ms", "cold_start", "pages", "certificates"}
    assert (set(line), line["certificates"]) == (names, 0)


def fail_deeply(depth: int) -> None:
    if depth:
        fail_deeply(depth - 1)
    raise ValueError("planted message")


def test_a_foreign_exception_is_logged_with_its_type_and_place_only(output: Output) -> None:
    try:
        fail_deeply(9)
    except ValueError as error:
        make_telemetry().write("GET /x", make_record(outcome=failed(error)))
    [line] = output.log_lines()
    assert line["error"].startswith("ValueError at test_telemetry.py:")
    assert line["error"].count("fail_deeply") == 6, "the innermost frames are enough"
    assert "planted" not in json.dumps(line)


def test_the_first_report_of_an_instance_is_a_cold_start_whatever_was_logged_before(output: Output) -> None:
    telemetry = Telemetry(TelemetrySettings("unit-test", "Space", ""))
    telemetry.warn("the bundle's SDK data does not fit")
    telemetry.write_warmup_failure(make_record(), errors.ConfigurationError("TABLE_NAME is missing"))
    warning, failure = output.entries()
    assert (warning["message"], warning["level"]) == ("the bundle's SDK data does not fit", "WARNING")
    assert "outcome" not in warning
    assert (failure["message"], failure["outcome"], failure["level"]) == ("warmup", "failed", "WARNING")
    assert failure["error"] == "ConfigurationError: TABLE_NAME is missing"
    for is_cold in (True, False, False):
        telemetry.write("GET /x", make_record())
        assert [line["cold_start"] for line in output.log_lines()] == [is_cold]


def count(value: float) -> tuple[list[float], list[set[str]], str]:
    return [value], [{"service", "stage"}], "Count"


SUCCESS = {"RequestFailed": count(0)}
FAILURE = {"RequestFailed": count(1)}
REFUSAL = {"Refused": count(1)}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # Whatever its route is.
        ({}, SUCCESS),
        ({"outcome": failed(errors.StorageUnavailableError("x"))}, FAILURE),
        ({"list_outcome": failed(errors.DeadlineExceededError("budget"))}, FAILURE),
        # A caller's mistake is neither a success nor a failure.
        ({"outcome": failed(errors.UnauthenticatedError("x"))}, {}),
        ({"list_outcome": failed(errors.WrongAppError("7"))}, {}),
        ({"report": ListReport(1, 3, malformed=2)}, SUCCESS | {"CertificatesReturned": count(3)}),
        # A refused app or merchant, also in a login.
        ({"outcome": failed(errors.MerchantNotAuthorizedError("2119005"))}, FAILURE | REFUSAL),
        ({"list_outcome": failed(errors.AppNotPermittedError("28001014"))}, FAILURE | REFUSAL),
        # What our own rows refuse is no failure: an invented id must not use up the objective.
        ({"outcome": failed(errors.UnknownAppError("x"))}, REFUSAL),
        ({"list_outcome": failed(errors.StoreNotFoundError("7"))}, REFUSAL),
        # What no customer has sent.
        ({"is_probe": True, "outcome": failed(errors.MerchantNotAuthorizedError("2119005"))}, {}),
        # A run of the schedule.
        ({"is_job": True, "outcome": failed(errors.TokenUnavailableError("x"))}, {}),
        ({"is_job": True, "report": RenewalReport()}, {}),
        (
            {"is_job": True, "report": RenewalReport(seconds_left=0)},
            {"TokenSecondsLeft": ([0.0], [{"service", "stage"}], "Seconds")},
        ),
    ],
)
def test_metrics_follow_from_the_record(output: Output, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    make_telemetry("prod").write("GET /x", make_record(**fields))
    assert output.metrics() == expected


@pytest.mark.parametrize("name", ["urllib3.connection", "", "unit-testing"])
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


@pytest.fixture
def recorder(output: Output, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The recorder of the X-Ray SDK as on Lambda, which appends what it would send to `sent`."""
    del output
    monkeypatch.setenv("LAMBDA_TASK_ROOT", "/var/task")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", SAMPLED)
    recorder = importlib.import_module("aws_xray_sdk.core").xray_recorder
    monkeypatch.setattr(recorder, "sent", [], raising=False)
    emitter = SimpleNamespace(send_entity=lambda entity: recorder.sent.append(entity.to_dict()))
    monkeypatch.setattr(recorder, "_emitter", emitter)
    return recorder


def test_a_sampled_request_is_traced_from_its_call_log(recorder: Any) -> None:
    make_telemetry().write("GET /x", full_record(failed(errors.UpstreamRejectedError("2119001"))))
    read, page, *_, root = recorder.sent
    assert (root["name"], root["start_time"], root["error"], "fault" in root) == ("## GET /x", NOW, True, False)
    assert "end_time" in root
    assert root["annotations"] == {"account_id": ACCOUNT_ID, "poi_id": POI_ID, "outcome": "upstream_rejected"}
    assert (read["name"], read["namespace"], "fault" in read) == ("dynamodb GetItem", "aws", False)
    assert (read["start_time"], read["end_time"], read["parent_id"]) == (NOW, NOW + 0.0121, root["id"])
    assert read["annotations"] == {"outcome": "ok"}
    assert (page["name"], page["namespace"], page["fault"]) == ("douyin query_user_certificates", "remote", True)
    assert page["annotations"] == {"outcome": "2119001", "logid": "20260101L"}


def test_a_request_that_is_not_sampled_is_not_traced(recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", SAMPLED.replace("Sampled=1", "Sampled=0"))
    make_telemetry().write("GET /x", full_record())
    assert recorder.sent == []


def test_outside_of_a_segment_nothing_is_traced(recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "begin_subsegment", lambda *_: None)
    make_telemetry().write("GET /x", full_record())
    assert recorder.sent == []


@pytest.mark.parametrize("name", ["unit-test", "unit-test.orders"])
def test_the_services_loggers_keep_their_messages_and_tracebacks(name: str, caplog: pytest.LogCaptureFixture) -> None:
    make_telemetry()
    try:
        int("no number")
    except ValueError:
        logging.getLogger(name).exception("my %s", "message")
    assert "my message" in caplog.text
    assert "invalid literal" in caplog.text
