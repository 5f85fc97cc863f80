"""What an instance has ready before its first request, and that a start never fails for what is away."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import app as application
from chalicelib.sessions import Session
from sandbox import gateway, stack
from sandbox.runtime import Instance
from tests.conftest import APP, LIST, MERCHANT, awscalls

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import Api, Aws, Platform


def login(instance: Instance, platform: Platform) -> dict[str, str]:
    body = json.dumps({"app_id": APP, "code": platform.server.platform.issue_code(APP, "lin")})
    answer = gateway.answer(instance.invoke(gateway.event("POST", "/v1/sessions", {}, body)))
    assert answer.status == 200, answer.text
    return {"Authorization": f"Bearer {answer.json['token']}"}


def lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_text().splitlines() if line.startswith("{")]


def test_secret_token_and_connection_are_there_before_the_first_request(
    bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str], tmp_path: Path
) -> None:
    aws.put(f"TOKEN#{APP}", access_token=platform.mint(), expires_at=int(time.time()) + 7200)
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        headers = login(instance, platform)
        assert gateway.answer(instance.invoke(gateway.event("GET", LIST, headers))).status == 200
    told = [[call["call"] for call in line.get("calls", [])] for line in lines(output) if line.get("outcome")]
    assert told == [["douyin.jscode2session"], ["dynamodb.GetItem", "douyin.query_user_certificates"]]
    assert platform.calls("client_token") == []


def test_a_hundred_warm_requests_cost_a_page_each_and_nothing_else(
    bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str], tmp_path: Path
) -> None:
    """No connection is opened, no read of the table made."""
    del aws
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        headers = login(instance, platform)
        event = gateway.event("GET", LIST, headers)
        instance.invoke(event)
        before = {call["connection"] for call in platform.server.calls}
        platform.server.calls.clear()
        for _ in range(100):
            assert gateway.answer(instance.invoke(event)).status == 200
    assert [call["call"] for call in platform.server.calls] == ["query_user_certificates"] * 100
    assert {call["connection"] for call in platform.server.calls} <= before
    told = [line["calls"] for line in lines(output) if "calls" in line][-100:]
    assert {call["call"] for calls in told for call in calls} == {"douyin.query_user_certificates"}


def test_a_start_without_aws_and_platform_serves_what_needs_neither(
    bundle: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    nowhere = f"http://127.0.0.1:{stack.free_port()}"
    environment |= {"AWS_ENDPOINT_URL": nowhere, "DOUYIN_OPEN_API": nowhere, "DOUYIN_LOGIN_API": nowhere}
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        assert gateway.answer(instance.invoke(gateway.event("GET", "/v1/health"))).status == 200
    [start] = [line for line in lines(output) if line.get("message") == "start"]
    assert start["error"].startswith("StorageUnavailableError")


def test_a_start_with_a_broken_configuration_names_it_and_goes_on(
    bundle: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    del environment["TABLE_NAME"]
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        assert gateway.answer(instance.invoke(gateway.event("GET", "/v1/health"))).status == 200
        headers = {"Authorization": "Bearer any"}
        assert gateway.answer(instance.invoke(gateway.event("GET", LIST, headers))).json["code"] == "internal_error"
    [start] = [line for line in lines(output) if line.get("message") == "start"]
    assert "TABLE_NAME" in start["error"]


def test_what_a_start_reads_is_not_read_again(api: Api, platform: Platform, aws: Aws) -> None:
    """In this process, as Lambda's runtime would have it done when it loads the app."""
    aws.put(f"TOKEN#{APP}", access_token=platform.mint(), expires_at=int(time.time()) + 7200)
    application.start()
    before = len(awscalls)
    api.login()
    assert api.list().status == 200
    assert [(call.action, call.key) for call in awscalls[before:]] == [("dynamodb:GetItem", f"MERCHANT#{MERCHANT}")]


def test_a_start_outlives_whatever_fails(
    api: Api, aws: Aws, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.secretsmanager.put_secret_value(SecretId=aws.secret, SecretString="no secret")
    application.start()
    assert '"outcome":"unready"' in capsys.readouterr().out
    aws.reset(platform.world)
    assert api.login().status == 200


def test_records_with_a_secret_show_nothing_of_it() -> None:
    session = Session("tt-app", "open-id-of-somebody")
    assert repr(session) == "Session(…)"
    assert f"{[session]}" == "[Session(…)]"


def test_nothing_is_minted_at_a_start(bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str]) -> None:
    """A mint belongs to a request, which knows how long it may take."""
    del aws
    with Instance(bundle, "app.app", environment) as instance:
        assert gateway.answer(instance.invoke(gateway.event("GET", "/v1/health"))).status == 200
    assert platform.server.calls == []
