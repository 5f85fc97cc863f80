"""The app as deployed: `chalice deploy` into the emulated AWS, and the packed bundle under Lambda's own client."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from infra.stage import BURST, RATE
from sandbox import gateway, stack
from sandbox.runtime import Instance
from tests.conftest import APP, LIST, MERCHANT, SESSION_KEY, STORE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Aws, Platform


def serve(api_url: str, platform_url: str, customer: str = "lin") -> requests.Response:
    code = stack.login_code(platform_url, APP, customer)
    login = requests.post(f"{api_url}/v1/sessions", json={"app_id": APP, "code": code}, timeout=20)
    assert login.status_code == 200, login.text
    headers = {"Authorization": f"Bearer {login.json()['token']}"}
    return requests.get(f"{api_url}{LIST}", headers=headers, timeout=20)


def test_a_customer_is_served_by_the_deployed_app(deployed: stack.Stack) -> None:
    answer = serve(deployed.api_url, deployed.platform.url)
    assert answer.status_code == 200
    assert len(answer.json()["certificates"]) == 7
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        pytest.param(LIST, 401, "unauthenticated", id="the app's own"),
        pytest.param("/v1/nothing", 404, "not_found", id="API Gateway's own"),
    ],
)
def test_problems_leave_in_their_shape(deployed: stack.Stack, path: str, status: int, code: str) -> None:
    answer = requests.get(f"{deployed.api_url}{path}", timeout=20)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"]


def test_the_roles_of_the_template_are_the_ones_the_functions_run_under(deployed: stack.Stack) -> None:
    client = stack.aws_session().client
    template = client("cloudformation", endpoint_url=deployed.aws.url).describe_stacks()["Stacks"][0]["Outputs"]
    arns = {output["OutputValue"] for output in template if output["OutputKey"].endswith("RoleArn")}
    functions = client("lambda", endpoint_url=deployed.aws.url).list_functions()["Functions"]
    assert {function["Role"] for function in functions} == arns
    iam = client("iam", endpoint_url=deployed.aws.url)
    for arn in arns:
        name = arn.rsplit("/", 1)[1]
        own = "-refresh" if name.endswith("refresh_tokens") else ""
        policy = json.loads((deployed.folder / ".chalice" / f"policy-{stack.STAGE}{own}.json").read_text())
        assert iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"] == policy


def test_the_stage_is_limited(deployed: stack.Stack) -> None:
    client = stack.aws_session().client("apigateway", endpoint_url=deployed.aws.url)
    [api] = client.get_rest_apis()["items"]
    settings = client.get_stage(restApiId=api["id"], stageName="api")["methodSettings"]["*/*"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (RATE, BURST)
    assert api["endpointConfiguration"]["types"] == ["REGIONAL"]


def test_the_schedule_is_deployed_and_the_function_runs(deployed: stack.Stack) -> None:
    client = stack.aws_session().client
    [rule] = client("events", endpoint_url=deployed.aws.url).list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "rate(10 minutes)"
    name = f"douyin-redemption-{stack.STAGE}-refresh_tokens"
    answer = client("lambda", endpoint_url=deployed.aws.url).invoke(
        FunctionName=name, Payload=json.dumps(gateway.scheduled())
    )
    assert "FunctionError" not in answer, answer["Payload"].read()


class Collector:
    """Takes X-Ray's datagrams."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def received(self) -> list[dict[str, Any]]:
        """What has come so far."""
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
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def call(instance: Instance, method: str, url: str, trace: str = "", **options: Any) -> gateway.Answer:
    return gateway.answer(instance.invoke(gateway.event(method, url, **options), trace))


def test_the_bundle_serves_under_lambdas_runtime_client(
    bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str], collector: Collector, tmp_path: Path
) -> None:
    """Two requests of one instance, the second traced: the view, the log, the metrics, the segments."""
    del aws
    environment |= {"AWS_XRAY_DAEMON_ADDRESS": collector.address, "STAGE": "test"}
    output = tmp_path / "output"
    with output.open("wb") as log, Instance(bundle, "app.app", environment, output=log) as instance:
        body = json.dumps({"app_id": APP, "code": platform.server.platform.issue_code(APP, "lin")})
        login = call(instance, "POST", "/v1/sessions", body=body, headers={"Content-Type": "application/json"})
        assert login.status == 200, login.text
        headers = {"Authorization": f"Bearer {login.json['token']}"}
        trace = "Root=1-{:x}-{};Parent=53995c3f42cd8ad8;Sampled=1".format(int(time.time()), "a" * 24)
        answer = call(instance, "GET", LIST, trace, headers=headers)
    assert answer.status == 200, answer.text
    assert len(answer.json["certificates"]) == 7
    lines = [json.loads(line) for line in output.read_text().splitlines() if line.startswith("{")]
    told = [line for line in lines if line.get("outcome") == "ok"]
    assert [line["cold_start"] for line in told] == [True, False]
    assert told[1]["xray_trace_id"].startswith("1-")
    assert [line["ColdStart"] for line in lines if "ColdStart" in line] == [[1.0]]
    segments = collector.received()
    [segment] = [segment for segment in segments if segment["name"].startswith("## ")]
    assert segment["annotations"] == {"account_id": MERCHANT, "poi_id": STORE, "outcome": "ok"}
    inner = [part["name"] for part in segments if part.get("parent_id") == segment["id"]]
    assert inner == [
        "dynamodb GetItem", "dynamodb GetItem", "dynamodb UpdateItem", "douyin client_token", "dynamodb UpdateItem",
        "douyin query_user_certificates",
    ]  # fmt: skip
    emitted = output.read_text() + json.dumps(segments)
    planted = (
        platform.world.customers["lin"].open_ids[APP],
        platform.world.apps[APP].app_secret,
        platform.newest_token(),
        login.json["token"],
        SESSION_KEY,
    )
    assert not [value for value in planted if value in emitted]


def test_tracing_can_be_switched_off(bundle: Path, aws: Aws, environment: dict[str, str], collector: Collector) -> None:
    del aws
    environment |= {"AWS_XRAY_DAEMON_ADDRESS": collector.address, "POWERTOOLS_TRACE_DISABLED": "true"}
    with Instance(bundle, "app.app", environment) as instance:
        trace = "Root=1-{:x}-{};Parent=53995c3f42cd8ad8;Sampled=1".format(int(time.time()), "a" * 24)
        assert call(instance, "GET", "/v1/health", trace).status == 200
    assert collector.received() == []


def test_the_scheduled_function_runs_under_lambdas_runtime_client(
    bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str]
) -> None:
    aws.put(f"TOKEN#{APP}", access_token=platform.mint(), expires_at=int(time.time()) + 60)
    with Instance(bundle, "app.refresh_tokens", environment) as instance:
        assert instance.invoke(gateway.scheduled()) is None
    assert len(platform.calls("client_token")) == 1
