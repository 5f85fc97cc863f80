"""What is watched is what is told: dashboard and alarms against the metrics that the code really emits."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

import app as application
from chalicelib import codes, problems
from chalicelib.settings import TelemetrySettings
from chalicelib.telemetry import Telemetry
from infra.bundle import ROOT
from infra.cloudformation import TEMPLATE, read_template
from sandbox import gateway
from sandbox.dashboard import Point, body, emitted, series_of
from tests.conftest import APP, Api, Aws, Context, Platform

STAGE = "dev"
NAMESPACE = "DouyinRedemption"
FUNCTIONS = {f"douyin-redemption-{STAGE}", f"douyin-redemption-{STAGE}-refresh_tokens"}
LAMBDAS = {"Invocations", "Errors", "Throttles", "Duration"}

CODES = {kind.code for kind in (*problems.KINDS.values(), *problems.FRAMEWORK_KINDS.values())}


def resolved(value: Any) -> str:
    text = value.get("Sub", value.get("Ref")) if isinstance(value, dict) else value
    return str(text).replace("${Stage}", STAGE).replace("Stage", STAGE) if isinstance(value, dict) else str(text)


def alarms() -> dict[str, dict[str, Any]]:
    resources = read_template()["Resources"]
    return {name: r["Properties"] for name, r in resources.items() if r["Type"] == "AWS::CloudWatch::Alarm"}


def watched_by_alarms() -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
    found = set()
    for alarm in alarms().values():
        for metric in [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m] or [alarm]:
            dimensions = tuple(sorted((d["Name"], resolved(d["Value"])) for d in metric["Dimensions"]))
            found.add((metric["Namespace"], metric["MetricName"], dimensions))
    return found


def widgets() -> list[dict[str, Any]]:
    return [widget for widget in body(STAGE, "us-east-1")["widgets"] if widget["type"] == "metric"]


@pytest.fixture
def points(
    api: Api, aws: Aws, platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[Point]:
    """Every metric there is, from real requests: a list, malformed parts, a problem, mints good and bad, a renewal."""
    telemetry = Telemetry(TelemetrySettings("douyin-redemption", NAMESPACE, STAGE))
    monkeypatch.setattr(application.app, "telemetry", telemetry)
    api.login()
    platform.fail("code", "client_token", code=10013)
    assert api.list().json["code"] == "token_unavailable"
    platform.server.plan.faults.clear()
    aws.put(f"TOKEN#{APP}", access_token=platform.mint(), expires_at=int(time.time()) + 60)
    application.refresh_tokens(gateway.scheduled(), Context(60_000))
    api.forget_tokens()
    assert api.list().status == 200
    platform.fail("code", code=2100005)
    assert api.list().status == 502
    return emitted(capsys.readouterr().out.splitlines())


def test_every_metric_on_the_dashboard_or_in_an_alarm_is_emitted_and_the_reverse(points: list[Point]) -> None:
    told = {point.name for point in points if point.namespace == NAMESPACE}
    shown = set()
    for widget in widgets():
        for metric in widget["properties"]["metrics"]:
            if isinstance(metric[0], str):
                shown |= {metric[1]} if metric[0] == NAMESPACE else set()
                assert metric[0] == NAMESPACE or metric[1] in LAMBDAS
            else:
                shown |= {name for name in told if f'MetricName="{name}"' in metric[0]["expression"]}
    alarmed = {name for namespace, name, _ in watched_by_alarms() if namespace == NAMESPACE}
    assert told == shown
    assert alarmed <= told


def test_every_widget_draws_something_of_what_is_emitted(points: list[Point]) -> None:
    """Names, dimensions and searches are right to the letter, or the widget would stay empty."""
    begun = min(point.at for point in points)
    lambdas = [
        Point(begun, "AWS/Lambda", name, (("FunctionName", function),), [1.0])
        for name in LAMBDAS
        for function in FUNCTIONS
    ]
    for widget in widgets():
        series = series_of(widget, points + lambdas, begun)
        assert series, widget["properties"]["title"]
        assert all(line.values for line in series), widget["properties"]["title"]


def test_alarms_watch_dimensions_that_exist(points: list[Point]) -> None:
    emitted_with = {(point.name, tuple(name for name, _ in point.dimensions)) for point in points}
    for namespace, name, dimensions in watched_by_alarms():
        if namespace == "AWS/Lambda":
            assert name in LAMBDAS
            assert {value for _, value in dimensions} <= FUNCTIONS
            continue
        given = dict(dimensions)
        assert (name, tuple(given)) in emitted_with
        assert (given["service"], given["stage"]) == ("douyin-redemption", STAGE)
        assert given.get("code", "internal_error") in CODES


def test_every_alarm_says_what_to_do_first_and_tells_somebody() -> None:
    assert len(alarms()) == 12
    for name, alarm in alarms().items():
        assert "First:" in alarm["AlarmDescription"], name
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}], name
        assert len(alarm["AlarmDescription"]) <= 1024


def test_the_template_names_no_partition_and_no_region() -> None:
    """It works in aws and in aws-cn."""
    text = TEMPLATE.read_text(encoding="utf-8")
    assert "arn:aws" not in text
    assert "us-east-1" not in text


def test_saved_queries_ask_for_fields_that_are_logged(
    points: list[Point], api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    del points
    assert api.list().status == 502
    platform.server.plan.faults.clear()
    assert api.list().status == 200
    platform.fail("patch", patch={"orders": [None]})
    assert api.list().status == 200
    platform.server.plan.faults.clear()
    platform.fail("sub", code=2100004, sub_code=11006)
    assert api.list().status == 403
    platform.server.plan.faults.clear()
    platform.fail("http", page=2, status=404)
    api.login("zhou")
    assert api.list().status == 200
    logged = {"@timestamp", "@message"}
    for line in capsys.readouterr().out.splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        logged |= set(entry)
        for at, call in enumerate(entry.get("calls", [])):
            logged |= {f"calls.{at}.{name}" for name in call}
    for resource in read_template()["Resources"].values():
        if resource["Type"] == "AWS::Logs::QueryDefinition":
            first = resource["Properties"]["QueryString"].splitlines()[0]
            if first.startswith("fields "):
                assert set(first.removeprefix("fields ").split(", ")) <= logged


def test_the_runbook_knows_every_problem_and_every_code_of_the_platform() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert not [code for code in CODES if f"`{code}`" not in text]
    tables = (codes.DOCUMENTED, codes.COMMON_CODES, codes.SUB_CODES, codes.LOGIN_CODES, codes.MINT_CODES)
    numbers = {str(row.code) for table in tables for row in table}
    assert not [number for number in numbers if not re.search(rf"(?<!\d){re.escape(number)}(?!\d)", text)]
    assert not [name for name in alarms() if f"`{alarms()[name]['AlarmName']['Sub'].rpartition('}-')[2]}`" not in text]
