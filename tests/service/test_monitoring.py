"""Dashboard, alarms, saved queries and runbook of the template, compared with what the code really emits."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import app as application
from chalicelib.api import problems
from chalicelib.douyin import codes
from chalicelib.settings import TelemetrySettings
from chalicelib.telemetry import Telemetry
from docs.tools.dashboard import build_series, read_dashboard
from infra.bundle import ROOT
from infra.cloudformation import TEMPLATE, read_template
from sandbox.emf import Datapoint, parse_metrics
from sandbox.sample_data import CUSTOMER_WITH_MANY_COUPONS
from sandbox.stack import API_FUNCTION, RENEWAL_FUNCTION, STAGE
from tests.harness import TOKEN_ROW, Api, Aws, Platform, in_seconds, run_refresh_tokens

NAMESPACE = "DouyinRedemption"
LAMBDA_METRICS = {"Invocations", "Errors", "Throttles", "Duration"}
PROBLEM_CODES = {problem.code for problem in (*problems.ERROR_PROBLEMS.values(), *problems.FRAMEWORK_PROBLEMS.values())}


def resolve(value: Any) -> str:
    """Return the text of a template value, with the stage filled in."""
    if not isinstance(value, dict):
        return str(value)
    return str(value.get("Sub", value.get("Ref"))).replace("${Stage}", STAGE).replace("Stage", STAGE)


def read_alarms() -> dict[str, dict[str, Any]]:
    resources = read_template()["Resources"]
    return {name: r["Properties"] for name, r in resources.items() if r["Type"] == "AWS::CloudWatch::Alarm"}


def alarm_metrics() -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Return namespace, name and dimensions of each metric that an alarm watches."""
    metrics = set()
    for alarm in read_alarms().values():
        for metric in [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m] or [alarm]:
            dimensions = tuple(sorted((d["Name"], resolve(d["Value"])) for d in metric["Dimensions"]))
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
                assert metric[0] == NAMESPACE or metric[1] in LAMBDA_METRICS
            else:
                shown |= {name for name in emitted if f'MetricName="{name}"' in metric[0]["expression"]}
    assert emitted == shown
    assert {name for namespace, name, _ in alarm_metrics() if namespace == NAMESPACE} <= emitted


def test_each_widget_has_data(datapoints: list[Datapoint]) -> None:
    """A widget with a wrong name, dimension or search expression would stay empty."""
    start = min(point.time for point in datapoints)
    lambda_datapoints = [
        Datapoint(start, "AWS/Lambda", name, (("FunctionName", function),), [1.0])
        for name in LAMBDA_METRICS
        for function in (API_FUNCTION, RENEWAL_FUNCTION)
    ]
    for widget in metric_widgets():
        series = build_series(widget, datapoints + lambda_datapoints, start)
        assert series, widget["properties"]["title"]
        assert all(line.values for line in series), widget["properties"]["title"]


def test_alarms_watch_dimensions_that_are_emitted(datapoints: list[Datapoint]) -> None:
    emitted = {(point.name, tuple(name for name, _ in point.dimensions)) for point in datapoints}
    for namespace, name, dimensions in alarm_metrics():
        if namespace == "AWS/Lambda":
            assert name in LAMBDA_METRICS
            assert {value for _, value in dimensions} <= {API_FUNCTION, RENEWAL_FUNCTION}
            continue
        values = dict(dimensions)
        assert (name, tuple(values)) in emitted
        assert (values["service"], values["stage"]) == ("douyin-redemption", STAGE)
        assert values.get("code", "internal_error") in PROBLEM_CODES


def test_each_alarm_says_what_to_do_first_and_sends_a_notification() -> None:
    alarms = read_alarms()
    assert len(alarms) == 12
    for name, alarm in alarms.items():
        assert "First:" in alarm["AlarmDescription"], name
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}], name
        assert len(alarm["AlarmDescription"]) <= 1024


def test_the_template_contains_no_partition_and_no_region() -> None:
    """The same template works in aws and in aws-cn."""
    text = TEMPLATE.read_text(encoding="utf-8")
    assert "arn:aws" not in text
    assert "us-east-1" not in text


def test_saved_queries_use_fields_that_are_logged(
    datapoints: list[Datapoint], api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
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
    platform.fail("http", page=2, status=404)
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    assert api.list().status == 200
    logged = {"@timestamp", "@message"}
    for line in capsys.readouterr().out.splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        logged |= set(entry)
        for index, call in enumerate(entry.get("calls", [])):
            logged |= {f"calls.{index}.{name}" for name in call}
    for resource in read_template()["Resources"].values():
        if resource["Type"] == "AWS::Logs::QueryDefinition":
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
    alarm_names = [alarm["AlarmName"]["Sub"].rpartition("}-")[2] for alarm in read_alarms().values()]
    assert not [name for name in alarm_names if f"`{name}`" not in text]
