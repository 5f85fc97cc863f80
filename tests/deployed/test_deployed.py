"""The deployed app in the emulated AWS, and the bundle under Lambda's runtime client."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox import gateway, stack
from sandbox.runtime import Instance
from sandbox.sample_data import ACCOUNT_ID, APP_ID, CUSTOMER, POI_ID
from tests.harness import JSON_HEADERS, LIST_URL, SESSION_KEY, TOKEN_ROW, Aws, Platform, in_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_the_deployed_app_serves_every_route(deployed: stack.Stack) -> None:
    stores = requests.get(f"{deployed.api_url}{gateway.stores_url()}", timeout=20)
    assert stores.headers["Cache-Control"] == "public, max-age=300"
    assert stores.json()["stores"][0]["latitude"] == 31.2327
    body = {
        "app_id": APP_ID,
        "code": stack.create_login_code(deployed.platform.url, APP_ID, CUSTOMER),
        "list": {"account_id": ACCOUNT_ID, "poi_id": POI_ID},
    }
    login = requests.post(f"{deployed.api_url}/v1/sessions", json=body, timeout=20)
    assert login.status_code == 200, login.text
    headers = {"Authorization": f"Bearer {login.json()['token']}"}
    response = requests.get(f"{deployed.api_url}{LIST_URL}", headers=headers, timeout=20)
    assert response.json() == login.json()["list"]
    assert len(response.json()["certificates"]) == 7
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert requests.get(f"{deployed.api_url}/v1/health", timeout=20).json()["status"] == "ok"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        pytest.param(LIST_URL, 401, "unauthenticated", id="of the app"),
        pytest.param("/v1/nothing", 404, "not_found", id="of API Gateway"),
    ],
)
def test_problems_have_the_contracts_form(deployed: stack.Stack, path: str, status: int, code: str) -> None:
    response = requests.get(f"{deployed.api_url}{path}", timeout=20)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-Id"] == response.json()["request_id"]


def test_the_functions_use_the_roles_of_the_template_with_their_policies(deployed: stack.Stack) -> None:
    client = stack.aws_session().client
    functions = client("lambda", endpoint_url=deployed.aws.url).list_functions()["Functions"]
    stacks = client("cloudformation", endpoint_url=deployed.aws.url)
    resources = stacks.describe_stack_resources(StackName=stack.API_FUNCTION)["StackResources"]
    roles = {r["PhysicalResourceId"] for r in resources if r["ResourceType"] == "AWS::IAM::Role"}
    assert {function["Role"].rsplit("/", 1)[1] for function in functions} == roles
    iam = client("iam", endpoint_url=deployed.aws.url)
    for name in roles:
        suffix = "-refresh" if name.endswith("refresh_tokens") else ""
        policy = json.loads((deployed.folder / ".chalice" / f"policy-{stack.STAGE}{suffix}.json").read_text())
        assert iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"] == policy


def test_the_access_log_is_written_to_the_stacks_log_group_without_tokens(deployed: stack.Stack) -> None:
    client = stack.aws_session().client("apigateway", endpoint_url=deployed.aws.url)
    [api] = client.get_rest_apis()["items"]
    log = client.get_stage(restApiId=api["id"], stageName="api")["accessLogSettings"]
    assert log["destinationArn"].endswith(":log-group:/aws/apigateway/douyin-redemption-dev")
    fields = json.loads(log["format"])
    assert {"request_id", "status", "route", "ip"} <= fields.keys()
    assert not [value for value in fields.values() if "header" in value or "authorizer" in value or "path" in value]
    assert client.get_account()["cloudwatchRoleArn"].endswith(":role/douyin-redemption-api-logs-us-east-1")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_route_with_a_session_token_is_not_found(deployed: stack.Stack, method: str) -> None:
    """API Gateway takes the header for a malformed AWS signature."""
    headers = {"Authorization": "Bearer token"}
    response = requests.request(method, f"{deployed.api_url}/v1/nothing", headers=headers, timeout=20)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_the_schedule_is_deployed_and_its_function_runs(deployed: stack.Stack) -> None:
    client = stack.aws_session().client
    [rule] = client("events", endpoint_url=deployed.aws.url).list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "rate(10 minutes)"
    name = f"douyin-redemption-{stack.STAGE}-refresh_tokens"
    response = client("lambda", endpoint_url=deployed.aws.url).invoke(
        FunctionName=name, Payload=json.dumps(gateway.build_schedule_event())
    )
    assert "FunctionError" not in response, response["Payload"].read()


class TraceCollector:
    """Receives the datagrams that the X-Ray SDK sends to its daemon."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def receive(self) -> list[dict[str, Any]]:
        """Return the segments that have arrived; waits until none has arrived for half a second."""
        self._socket.settimeout(0.5)
        segments = []
        try:
            while True:
                segments.append(json.loads(self._socket.recv(65536).split(b"\n", 1)[1]))
        except TimeoutError:
            return segments

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def collector() -> Iterator[TraceCollector]:
    collector = TraceCollector()
    yield collector
    collector.close()


def call(instance: Instance, method: str, url: str, trace_header: str = "", **options: Any) -> gateway.Response:
    return gateway.parse_response(instance.invoke(gateway.build_event(method, url, **options), trace_header))


def sampled_trace_header() -> str:
    return f"Root=1-{int(time.time()):x}-{'a' * 24};Parent=53995c3f42cd8ad8;Sampled=1"


def test_the_bundle_logs_and_traces_without_secrets_under_lambdas_runtime_client(
    bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str], collector: TraceCollector, tmp_path: Path
) -> None:
    """Two requests to one instance; the second is traced."""
    del aws
    environment |= {"AWS_XRAY_DAEMON_ADDRESS": collector.address, "STAGE": "test"}
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        body = json.dumps({"app_id": APP_ID, "code": platform.issue_login_code()})
        login = call(instance, "POST", "/v1/sessions", body=body, headers=JSON_HEADERS)
        assert login.status == 200, login.text
        headers = {"Authorization": f"Bearer {login.json['token']}"}
        response = call(instance, "GET", LIST_URL, sampled_trace_header(), headers=headers)
    assert response.status == 200, response.text
    assert len(response.json["certificates"]) == 7
    lines = [json.loads(line) for line in output.read_text().splitlines() if line.startswith("{")]
    requests_logged = [line for line in lines if line.get("outcome") == "ok"]
    assert [line["cold_start"] for line in requests_logged] == [True, False]
    assert requests_logged[1]["xray_trace_id"].startswith("1-")
    assert [line["ColdStart"] for line in lines if "ColdStart" in line] == [[1.0]]
    segments = collector.receive()
    [segment] = [segment for segment in segments if segment["name"].startswith("## ")]
    assert segment["annotations"] == {"account_id": ACCOUNT_ID, "poi_id": POI_ID, "outcome": "ok"}
    subsegments = [part["name"] for part in segments if part.get("parent_id") == segment["id"]]
    assert subsegments == [
        "dynamodb GetItem", "dynamodb GetItem", "dynamodb UpdateItem", "douyin client_token", "dynamodb UpdateItem",
        "douyin query_user_certificates",
    ]  # fmt: skip
    written = output.read_text() + json.dumps(segments)
    secrets = (
        platform.data.customers[CUSTOMER].open_ids[APP_ID],
        platform.data.apps[APP_ID].app_secret,
        platform.newest_token(),
        login.json["token"],
        SESSION_KEY,
    )
    assert not [value for value in secrets if value in written]


def test_a_disabled_tracer_sends_nothing(
    bundle: Path, aws: Aws, environment: dict[str, str], collector: TraceCollector
) -> None:
    del aws
    environment |= {"AWS_XRAY_DAEMON_ADDRESS": collector.address, "POWERTOOLS_TRACE_DISABLED": "true"}
    with Instance(bundle, "app.app", environment) as instance:
        assert call(instance, "GET", "/v1/health", sampled_trace_header()).status == 200
    assert collector.receive() == []


def test_the_scheduled_function_renews_tokens_under_lambdas_runtime_client(
    bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str]
) -> None:
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(60))
    with Instance(bundle, "app.refresh_tokens", environment) as instance:
        assert instance.invoke(gateway.build_schedule_event()) is None
    assert len(platform.calls("client_token")) == 1
