"""Logs and metrics: one log line per request, metrics with the documented names, and no secret in either."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

import app as application
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    CUSTOMER,
    CUSTOMER_WITH_MALFORMED_DATA,
    CUSTOMER_WITHOUT_COUPONS,
    POI_ID,
)
from tests.harness import SESSION_KEY, TOKEN_ROW, Api, Aws, Platform, certificate, order

METRICS = {"ListFailed", "ListSlow",
    "CertificatesReturned", "CertificatesMalformed", "UpstreamLatency", "UpstreamErrors", "Problems", "TokenMints",
    "TokenMintFailures", "ColdStart",
}  # fmt: skip


def read_output(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the log lines and the metric lines since the previous call."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line]


def test_a_problem_is_logged_with_the_platforms_codes_and_logid(
    api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    api.login()
    platform.fail("code", code=2119005)
    capsys.readouterr()
    api.list()
    [line], _ = read_output(capsys)
    [call] = [call for call in line["calls"] if call["call"] == "douyin.query_user_certificates"]
    assert (line["level"], line["outcome"]) == ("WARNING", "merchant_not_authorized")
    assert (call["outcome"], call["error_code"]) == ("2119005", 2119005)
    assert call["logid"].startswith("20")


def test_a_user_is_logged_as_a_stable_hash(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    users = []
    for customer in (CUSTOMER, CUSTOMER, CUSTOMER_WITHOUT_COUPONS):
        api.login(customer)
        api.list()
        lines, _ = read_output(capsys)
        users.append({line["user"] for line in lines})
    assert users[0] == users[1] != users[2]
    assert all(len(hashes) == 1 for hashes in users)


def test_metrics_have_the_documented_names_namespace_and_dimensions(
    api: Api, platform: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application.app.telemetry, "_cold", True)
    api.login(CUSTOMER_WITH_MALFORMED_DATA)
    platform.fail("code", code=2100004, times=1)
    platform.fail("http", "client_token", status=500, times=1)
    api.list()
    platform.fail("code", code=2119005)
    api.list()
    _, lines = read_output(capsys)
    dimensions: dict[str, set[tuple[str, ...]]] = {}
    for line in lines:
        [directive] = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "DouyinRedemption"
        for metric in directive["Metrics"]:
            names = (tuple(sorted(names)) for names in directive["Dimensions"])
            dimensions.setdefault(metric["Name"], set()).update(names)
    assert set(dimensions) == METRICS
    assert dimensions.pop("Problems") == {("service",), ("code", "service")}
    assert dimensions.pop("UpstreamErrors") == {("service",), ("error_code", "service")}
    assert all(names == {("service",)} for names in dimensions.values())
    assert [line["CertificatesMalformed"] for line in lines if "CertificatesMalformed" in line] == [[2.0]]


@pytest.mark.parametrize("fault", [None, "code", "http", "reset", "truncate"])
def test_no_secret_is_logged_at_any_level(
    api: Api,
    platform: Platform,
    aws: Aws,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: str | None,
) -> None:
    """With every logger at DEBUG, no secret is in a log line, a metric or a response."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret-planted")
    with caplog.at_level(logging.DEBUG):
        platform.set_purchases(CUSTOMER, order("1", certificate("c", code="10815planted7001")))
        code = platform.issue_login_code()
        response = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP_ID, "code": code}))
        session = response.json["token"]
        api.headers = {"Authorization": f"Bearer {session}"}
        if fault is not None:
            platform.fail(fault, times=1)
            platform.fail(fault, "client_token", times=1)
        responses = [api.list().text, api.list().text]
        wanted = {"account_id": ACCOUNT_ID, "poi_id": POI_ID}
        second = {"app_id": APP_ID, "code": platform.issue_login_code(), "list": wanted}
        first_list = api.call("POST", "/v1/sessions", json.dumps(second)).json
        responses.append(json.dumps({name: part for name, part in first_list.items() if name != "token"}))
    captured = capsys.readouterr()
    output = captured.out + captured.err + caplog.text + "".join(responses)
    secrets = {
        "access token": aws.row(TOKEN_ROW).get("access_token", {}).get("S", "clt."),
        "app secret": platform.data.apps[APP_ID].app_secret,
        "open_id": platform.data.customers[CUSTOMER].open_ids[APP_ID],
        "session token": session,
        "session token of the login with a list": first_list["token"],
        "session key": SESSION_KEY,
        "login code": code,
        "login code of the login with a list": second["code"],
        "coupon code": "10815planted7001",
        "AWS key": "aws-secret-planted",
    }
    assert {name for name, value in secrets.items() if value in output} == set()
