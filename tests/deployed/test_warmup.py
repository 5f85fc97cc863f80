"""The warm-up of an instance: what is ready before its first request, and that it survives every failure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import app as application
from chalicelib.sessions import Session
from sandbox import gateway, stack
from sandbox.runtime import Instance
from sandbox.sample_data import APP_ID
from tests.harness import LIST_URL, MERCHANT_ROW, TOKEN_ROW, Api, Aws, Platform, in_seconds
from tests.policies import aws_calls

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def call(instance: Instance, method: str, url: str, **options: Any) -> gateway.Response:
    return gateway.parse_response(instance.invoke(gateway.build_event(method, url, **options)))


def login(instance: Instance, platform: Platform) -> dict[str, str]:
    """Log a customer in and return the headers of later requests."""
    body = json.dumps({"app_id": APP_ID, "code": platform.issue_login_code()})
    response = call(instance, "POST", "/v1/sessions", body=body)
    assert response.status == 200, response.text
    return {"Authorization": f"Bearer {response.json['token']}"}


def read_lines(output: Path) -> list[dict[str, Any]]:
    """Return the JSON lines that an instance has written."""
    return [json.loads(line) for line in output.read_text().splitlines() if line.startswith("{")]


def test_secret_token_and_connection_are_ready_before_the_first_request(
    bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str], tmp_path: Path
) -> None:
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(7200))
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        headers = login(instance, platform)
        assert call(instance, "GET", LIST_URL, headers=headers).status == 200
    calls = [[entry["call"] for entry in line.get("calls", [])] for line in read_lines(output) if line.get("outcome")]
    assert calls == [["douyin.jscode2session"], ["dynamodb.GetItem", "douyin.query_user_certificates"]]
    assert platform.calls("client_token") == []


def test_a_hundred_warm_requests_make_one_platform_call_each_and_nothing_else(
    bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str], tmp_path: Path
) -> None:
    """They open no connection and read no table."""
    del aws
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        headers = login(instance, platform)
        event = gateway.build_event("GET", LIST_URL, headers)
        instance.invoke(event)
        connections = {entry["connection"] for entry in platform.server.calls}
        platform.server.calls.clear()
        for _ in range(100):
            assert gateway.parse_response(instance.invoke(event)).status == 200
    assert [entry["call"] for entry in platform.server.calls] == ["query_user_certificates"] * 100
    assert {entry["connection"] for entry in platform.server.calls} <= connections
    calls = [line["calls"] for line in read_lines(output) if "calls" in line][-100:]
    assert {entry["call"] for request in calls for entry in request} == {"douyin.query_user_certificates"}


def test_an_instance_without_aws_and_platform_still_serves_health(
    bundle: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    closed = f"http://127.0.0.1:{stack.free_port()}"
    environment |= {"AWS_ENDPOINT_URL": closed, "DOUYIN_OPEN_API": closed, "DOUYIN_LOGIN_API": closed}
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        assert call(instance, "GET", "/v1/health").status == 200
    [warmup] = [line for line in read_lines(output) if line.get("message") == "warmup"]
    assert warmup["error"].startswith("StorageUnavailableError")


def test_an_instance_with_invalid_configuration_logs_the_variable_and_serves_health(
    bundle: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    del environment["TABLE_NAME"]
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        assert call(instance, "GET", "/v1/health").status == 200
        headers = {"Authorization": "Bearer any"}
        assert call(instance, "GET", LIST_URL, headers=headers).json["code"] == "internal_error"
    [warmup] = [line for line in read_lines(output) if line.get("message") == "warmup"]
    assert "TABLE_NAME" in warmup["error"]


def test_what_the_warmup_reads_is_not_read_again(api: Api, platform: Platform, aws: Aws) -> None:
    """In this process; on Lambda, the runtime does the same when it loads the app."""
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(7200))
    application.start()
    aws_calls.clear()
    api.login()
    assert api.list().status == 200
    assert [(made.action, made.key) for made in aws_calls] == [("dynamodb:GetItem", MERCHANT_ROW)]


def test_a_failed_warmup_is_logged_and_requests_succeed_later(
    api: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.secretsmanager.put_secret_value(SecretId=aws.secret, SecretString="no secret")
    application.start()
    assert '"outcome":"failed"' in capsys.readouterr().out
    aws.reset()
    assert api.login().status == 200


def test_records_with_secrets_hide_them_in_repr() -> None:
    session = Session("tt-app", "open-id-of-somebody")
    assert repr(session) == "Session(…)"
    assert f"{[session]}" == "[Session(…)]"


def test_the_warmup_mints_no_token(bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str]) -> None:
    """Only requests mint: they have a time limit."""
    del aws
    with Instance(bundle, "app.app", environment) as instance:
        assert call(instance, "GET", "/v1/health").status == 200
    assert platform.server.calls == []
