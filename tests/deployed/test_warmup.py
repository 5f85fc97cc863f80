"""The warm-up of an instance: what is ready before its first request, and that it survives every failure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sandbox import gateway, stack
from sandbox.runtime import Instance
from sandbox.sample_data import APP_ID
from tests.harness import LIST_URL, TOKEN_ROW, Aws, Platform, in_seconds

if TYPE_CHECKING:
    from pathlib import Path


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


def test_the_warmup_mints_no_token(bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str]) -> None:
    """Only requests mint: they have a time limit."""
    del aws
    with Instance(bundle, "app.app", environment) as instance:
        assert call(instance, "GET", "/v1/health").status == 200
    assert platform.server.calls == []
