"""Dashboard, alarms, saved queries and runbook of the template, compared with what the code really emits."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import app as application
from chalicelib.api import problems
from chalicelib.api.telemetry import Telemetry
from chalicelib.context import RequestRecord
from chalicelib.douyin import codes
from chalicelib.settings import TelemetrySettings
from docs.tools.dashboard import build_lines, collect_metrics, read_dashboard
from infra.bundle import ROOT
from infra.cloudformation import TEMPLATE, read_template
from sandbox.emf import Datapoint, parse_metrics
from sandbox.sample_data import ACCOUNT_ID, CUSTOMER_WITH_MANY_COUPONS
from sandbox.stack import API_FUNCTION, RENEWAL_FUNCTION, STAGE
from tests.alarms import read_alarms
from tests.harness import TOKEN_ROW, Api, Aws, Platform, in_seconds, run_refresh_tokens
from tests.insights import run_query

NAMESPACE = "DouyinRedemption"
LAMBDA_METRICS = {"Invocations", "Errors", "Throttles", "Duration"}
API_METRICS = {"Count", "4XXError", "5XXError", "Latency"}
ACCESS_LOG_METRICS = {"ApiErrors", "ApiThrottled"}
"""Metrics that the stack's filters make of the access log."""

PROBLEM_CODES = {problem.code for problem in (*problems.ERROR_PROBLEMS.values(), *problems.FRAMEWORK_PROBLEMS.values())}


def alarm_metrics() -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Return namespace, name and dimensions of each metric that an alarm watches."""
    metrics = set()
    for alarm in read_alarms({"OpensAtUtc": "2", "ClosesAtUtc": "14"}).values():
        for metric in [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m] or [alarm]:
            dimensions = tuple(sorted((d["Name"], d["Value"]) for d in metric["Dimensions"]))
            metrics.add((metric["Namespace"], metric["MetricName"], dimensions))
    return metrics


def metric_widgets() -> list[dict[str, Any]]:
    return [widget for widget in read_dashboard(STAGE, "us-east-1")["widgets"] if widget["type"] == "metric"]


@pytest.fixture
def datapoints(
    api: Api, aws: Aws, platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[Datapoint]:
    """Every metric, from real requests: lists, problems, a failed and a successful mint, a renewal."""
    telemetry = Telemetry(TelemetrySettings("douyin-redemption", NAMESPACE, STAGE))
    monkeypatch.setattr(application.app, "telemetry", telemetry)
    api.login()
    platform.fail("code", "client_token", code=10013)
    assert api.list().json["code"] == "token_unavailable"
    platform.clear_faults()
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(60))
    run_refresh_tokens()
    api.clear_tokens()
    assert api.list().status == 200
    platform.fail("code", code=2100005)
    assert api.list().status == 502
    secret = RequestRecord()
    secret.is_secret_stale = True
    telemetry.report("list_certificates", secret)
    return parse_metrics(capsys.readouterr().out.splitlines())


def test_the_dashboard_shows_exactly_the_emitted_metrics_and_alarms_watch_only_those(
    datapoints: list[Datapoint],
) -> None:
    emitted = {point.name for point in datapoints if point.namespace == NAMESPACE}
    shown = set()
    for widget in metric_widgets():
        for metric in widget["properties"]["metrics"]:
            if isinstance(metric[0], str):
                shown |= {metric[1]} if metric[0] == NAMESPACE else set()
                assert metric[0] == NAMESPACE or metric[1] in LAMBDA_METRICS | API_METRICS
            else:
                shown |= {name for name in emitted if f'MetricName="{name}"' in metric[0]["expression"]}
    assert emitted | ACCESS_LOG_METRICS == shown
    assert {name for namespace, name, _ in alarm_metrics() if namespace == NAMESPACE} <= shown


def test_each_widget_has_data(datapoints: list[Datapoint]) -> None:
    """A widget with a wrong name, dimension or expression would stay empty."""
    start = min(point.time for point in datapoints)
    gateway_dimensions = (("ApiName", API_FUNCTION), ("Stage", "api"))
    stage_dimensions = (("service", "douyin-redemption"), ("stage", STAGE))
    datapoints += [
        Datapoint(start, namespace, name, dimensions, [1.0])
        for namespace, names, all_dimensions in (
            ("AWS/Lambda", LAMBDA_METRICS, [(("FunctionName", f),) for f in (API_FUNCTION, RENEWAL_FUNCTION)]),
            ("AWS/ApiGateway", API_METRICS, [gateway_dimensions]),
            (NAMESPACE, ACCESS_LOG_METRICS, [stage_dimensions]),
        )
        for name in names
        for dimensions in all_dimensions
    ]
    metrics = collect_metrics(datapoints, start)
    for widget in metric_widgets():
        lines = build_lines(widget["properties"], metrics)
        assert lines, widget["properties"]["title"]
        visible = sum(
            metric[-1].get("visible", True) if isinstance(metric[-1], dict) else True
            for metric in widget["properties"]["metrics"]
        )
        assert len(lines) >= visible, widget["properties"]["title"]


def test_alarms_watch_dimensions_that_are_emitted(datapoints: list[Datapoint]) -> None:
    emitted = {(point.name, tuple(name for name, _ in point.dimensions)) for point in datapoints}
    emitted |= {(name, ("service", "stage")) for name in ACCESS_LOG_METRICS}
    for namespace, name, dimensions in alarm_metrics():
        values = dict(dimensions)
        if namespace == "AWS/Lambda":
            assert name in LAMBDA_METRICS
            assert set(values.values()) <= {API_FUNCTION, RENEWAL_FUNCTION}
        elif namespace == "AWS/ApiGateway":
            assert name in API_METRICS
            assert values == {"ApiName": API_FUNCTION, "Stage": "api"}
        else:
            assert (name, tuple(values)) in emitted
            assert (values["service"], values["stage"]) == ("douyin-redemption", STAGE)
            assert values.get("code", "internal_error") in PROBLEM_CODES


def test_each_list_counts_in_the_objective(datapoints: list[Datapoint]) -> None:
    by_list = {name: [v for p in datapoints if p.name == name for v in p.values] for name in ("ListFailed", "ListSlow")}
    assert by_list["ListFailed"] == [1.0, 0.0, 1.0], "the three lists of the fixture; the login does not count"
    assert len(by_list["ListSlow"]) == 3


def test_each_alarm_says_what_to_do_first_and_notifies() -> None:
    for name, alarm in read_alarms({"OpensAtUtc": "2", "ClosesAtUtc": "14"}).items():
        assert "First:" in alarm["AlarmDescription"], name
        assert alarm["AlarmActions"] == alarm["OKActions"] == ["AlarmTopic"], name
        assert len(alarm["AlarmDescription"]) <= 1024


def test_the_template_contains_no_partition_and_no_region() -> None:
    """The same template works in aws and in aws-cn."""
    text = TEMPLATE.read_text(encoding="utf-8")
    assert "arn:aws" not in text
    assert "us-east-1" not in text


@pytest.fixture
def lines(
    datapoints: list[Datapoint], api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    """Log lines of real requests: a success, a failure after retries, malformed data, a lost page, a refusal."""
    del datapoints
    assert api.list().status == 502
    platform.clear_faults()
    assert api.list().status == 200
    platform.fail("patch", patch={"orders": [None]})
    assert api.list().status == 200
    platform.clear_faults()
    platform.fail("sub", code=2100004, sub_code=11006)
    assert api.list().status == 403
    platform.clear_faults()
    platform.fail("patch", patch={"total": 9})
    assert api.list().status == 200
    platform.clear_faults()
    platform.fail("http", page=2, status=404)
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    assert api.list().status == 200
    output = capsys.readouterr().out.splitlines()
    found = [json.loads(line) for line in output if line.startswith("{") and "_aws" not in line]
    return [{"@timestamp": index, "@message": json.dumps(line), **line} for index, line in enumerate(found)]


ACCESS_LOG = [
    {"@timestamp": 0, "request_id": "r1", "method": "GET", "route": "/v1/health", "status": 200, "error": "-",
     "integration_status": 200, "ms": 12, "ip": "203.0.113.7"},
    {"@timestamp": 1, "request_id": "r2", "method": "GET", "route": "/v1/health", "status": 503, "error": "-",
     "integration_status": 200, "ms": 12, "ip": "203.0.113.7"},
    {"@timestamp": 2, "request_id": "r3", "method": "GET", "route": "/v1/health", "status": 500, "error": "DEFAULT_5XX",
     "integration_status": 200, "ms": 12, "ip": "203.0.113.7"},
    {"@timestamp": 3, "request_id": "r4", "method": "GET", "route": "/v1/health", "status": 429, "error": "THROTTLED",
     "integration_status": "-", "ms": 1, "ip": "203.0.113.8"},
]  # fmt: skip


def test_saved_queries_find_what_they_are_for(lines: list[dict[str, Any]]) -> None:
    queries = {
        resource["Properties"]["Name"]["Fn::Sub"].rpartition("/")[2]: resource["Properties"]["QueryString"]
        for resource in read_template()["Resources"].values()
        if resource["Type"] == "AWS::Logs::QueryDefinition"
    }
    results = {
        name: run_query(query, ACCESS_LOG if name.startswith("api ") else lines) for name, query in queries.items()
    }
    assert {row["outcome"] for row in results["problems"]} == {"upstream_rejected", "merchant_not_authorized"}
    assert results["slow"] == []
    assert run_query(queries["slow"], [{**lines[0], "ms": 2001}])[0]["ms"] == 2001
    failures = [row["failed_calls"] for row in results["upstream"]]
    assert any("query_user_certificates" in text and "2100005/0 logid " in text for text in failures)
    assert any("2100004/11006" in text for text in failures)
    [merchant] = results["merchants"]
    assert (merchant["account_id"], merchant["requests"], merchant["problems"]) == (ACCOUNT_ID, 6, 2)
    assert {bool(row["malformed"]) for row in results["malformed"]} == {True, False}, "malformed data, and a lost page"
    request_id = results["problems"][0]["request_id"]
    one = run_query(queries["one request"].replace("<X-Request-Id>", request_id), lines)
    assert [row["outcome"] for row in one] == [results["problems"][0]["outcome"]]
    assert [row["received"] < row["total"] for row in results["incomplete"]] == [True, True], "orders or total changed"
    assert [row["request_id"] for row in results["api errors"]] == ["r3"]
    assert results["api throttled"] == [{"ip": "203.0.113.8", "route": "/v1/health", "requests": 1}]


def test_saved_queries_use_fields_that_are_logged(lines: list[dict[str, Any]]) -> None:
    logged = {name for line in lines for name in line} | {"list_outcome", "list_error", "error", "malformed_fields.0"}
    for resource in read_template()["Resources"].values():
        if resource["Type"] == "AWS::Logs::QueryDefinition" and resource["Properties"]["LogGroupNames"] == [
            {"Ref": "ApiLogs"}
        ]:
            first_line = resource["Properties"]["QueryString"].splitlines()[0]
            if first_line.startswith("fields "):
                assert set(first_line.removeprefix("fields ").split(", ")) <= logged


@pytest.mark.parametrize("page", ["operate.md", "operate.zh-CN.md"])
def test_the_runbook_has_every_problem_every_platform_code_and_every_alarm(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert not [code for code in PROBLEM_CODES if f"`{code}`" not in text]
    tables = (codes.CERTIFICATE_CODES, codes.COMMON_CODES, codes.SUB_CODES, codes.LOGIN_CODES, codes.MINT_CODES)
    numbers = {str(row.code) for table in tables for row in table}
    assert not [number for number in numbers if not re.search(rf"(?<!\d){re.escape(number)}(?!\d)", text)]
    alarms = read_alarms({"OpensAtUtc": "2", "ClosesAtUtc": "14"})
    assert not [name for name in alarms if f"`{name}`" not in text]
    metrics = {name for namespace, name, _ in alarm_metrics() if namespace == NAMESPACE}
    assert not [name for name in metrics if f"`{name}`" not in text]
