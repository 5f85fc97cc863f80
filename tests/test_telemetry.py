"""What an operator sees: one log line a request, the metrics, and no secret in either."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

import app as application
from chalicelib.scope import Scope
from chalicelib.settings import TelemetrySettings
from chalicelib.telemetry import Telemetry
from tests.conftest import APP, MERCHANT, SESSION_KEY, STORE
from tests.test_contract import certificate, order

if TYPE_CHECKING:
    from tests.conftest import Api, Aws, Platform

METRICS = {
    "CertificatesReturned", "CertificatesMalformed", "UpstreamLatency", "UpstreamErrors", "Problems", "TokenMints",
    "TokenMintFailures", "ColdStart",
}  # fmt: skip


def written(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The log lines and the metric lines since the last look."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line]


def test_one_line_a_request_tells_what_happened(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.login("zhou")
    capsys.readouterr()
    answer = api.list()
    [line], _ = written(capsys)
    assert line["message"] == "GET /v1/merchants/{account_id}/stores/{poi_id}/certificates"
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["account_id"], line["poi_id"], line["outcome"], line["status"]) == (MERCHANT, STORE, "ok", 200)
    assert (line["pages"], line["certificates"]) == (4, 200)
    assert line["ms"] > 0
    upstream = [call for call in line["calls"] if call["call"] == "douyin.query_user_certificates"]
    assert len(upstream) == 4


def test_a_problem_is_told_with_the_platforms_codes_and_log_ids(
    api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    api.login()
    platform.fail("code", code=2119005)
    capsys.readouterr()
    api.list()
    [line], _ = written(capsys)
    [call] = [call for call in line["calls"] if call["call"] == "douyin.query_user_certificates"]
    assert (line["level"], line["outcome"]) == ("WARNING", "merchant_not_authorized")
    assert (call["outcome"], call["error_code"]) == ("2119005", 2119005)
    assert call["logid"].startswith("20")


def test_a_lost_page_is_told(api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    api.login("zhou")
    platform.fail("code", page=3, code=2119001)
    capsys.readouterr()
    api.list()
    [line], _ = written(capsys)
    assert "2119001" in line["lost_page"]


def test_a_user_is_told_as_the_same_pseudonym_and_another_as_another(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    users = []
    for customer in ("lin", "lin", "wu"):
        api.login(customer)
        api.list()
        lines, _ = written(capsys)
        users.append({line["user"] for line in lines})
    assert users[0] == users[1] != users[2]
    assert all(len(found) == 1 for found in users)


def test_metrics_have_their_names_namespace_and_dimensions(
    api: Api, platform: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application.app.telemetry, "_cold", True)
    api.login("zheng")
    platform.fail("code", code=2100004, times=1)
    platform.fail("http", "client_token", status=500, times=1)
    api.list()
    platform.fail("code", code=2119005)
    api.list()
    _, lines = written(capsys)
    found: dict[str, set[tuple[str, ...]]] = {}
    for line in lines:
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "DouyinRedemption"
        for metric in directive["Metrics"]:
            found.setdefault(metric["Name"], set()).update(tuple(sorted(names)) for names in directive["Dimensions"])
    assert set(found) == METRICS
    assert found.pop("Problems") == {("service",), ("code", "service")}
    assert found.pop("UpstreamErrors") == {("service",), ("error_code", "service")}
    assert all(dimensions == {("service",)} for dimensions in found.values())
    [counted] = [line["CertificatesMalformed"] for line in lines if "CertificatesMalformed" in line]
    assert counted == [2.0]


def test_the_stage_is_a_dimension_where_it_is_configured(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry(TelemetrySettings.from_env({"STAGE": "prod"}))
    telemetry.report("x", "invalid_request", Scope.within(1000), None)
    _, [cold, problem] = written(capsys)
    assert cold["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stage", "service"]]
    assert problem["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stage", "service"], ["stage", "service", "code"]]


@pytest.mark.parametrize("fault", [None, "code", "http", "reset", "truncate"])
def test_no_secret_is_written_at_any_level(
    api: Api,
    platform: Platform,
    aws: Aws,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: str | None,
) -> None:
    """Every logger at DEBUG: the values that are money stand in no line, no metric and no answer."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret-planted")
    with caplog.at_level(logging.DEBUG):
        platform.bought("lin", order("1", certificate("c", code="10815planted7001")))
        code = platform.server.platform.issue_code(APP, "lin")
        answer = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP, "code": code}))
        session = answer.json["token"]
        api.headers = {"Authorization": f"Bearer {session}"}
        if fault is not None:
            platform.fail(fault, times=1)
            platform.fail(fault, "client_token", times=1)
        answers = [api.list().text, api.list().text]
    out = capsys.readouterr()
    everything = out.out + out.err + caplog.text + "".join(answers)
    planted = {
        "access token": aws.row(f"TOKEN#{APP}").get("access_token", {}).get("S", "clt."),
        "app secret": platform.world.apps[APP].app_secret,
        "open_id": platform.world.customers["lin"].open_ids[APP],
        "session token": session,
        "session key": SESSION_KEY,
        "login code": code,
        "coupon code": "10815planted7001",
        "AWS key": "aws-secret-planted",
    }
    assert {name for name, value in planted.items() if value in everything} == set()
