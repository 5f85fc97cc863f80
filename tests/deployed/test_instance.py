"""Instances of the bundle under Lambda's runtime client: their warm-up, logs and traces, and one token for all."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.bundle import ROOT
from sandbox import gateway, stack
from sandbox.runtime import Instance
from sandbox.sample_data import ACCOUNT_ID, APP_ID, CUSTOMER, POI_ID
from tests.harness import LIST_URL, STAGE_SESSION_KEY, TOKEN_PK, Aws, Platform, age_claim


@contextlib.contextmanager
def run_app(bundle: Path, environment: dict[str, str], log: Path) -> Iterator[Instance]:
    """Run an instance of the HTTP function, which writes to `log`."""
    with log.open("wb") as output, Instance(bundle, environment, output=output) as instance:
        yield instance


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def read_lines(log: Path) -> list[dict[str, Any]]:
    """Return the JSON lines of a log."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def call(instance: Instance, method: str, url: str, trace_header: str = "", **options: Any) -> gateway.Response:
    return gateway.parse_response(instance.invoke(gateway.build_event(method, url, **options), trace_header))


def login(instance: Instance, platform: Platform) -> dict[str, str]:
    """Log a customer in and return the headers of later requests."""
    body = json.dumps({"app_id": APP_ID, "code": platform.issue_login_code()})
    response = call(instance, "POST", "/v1/sessions", body=body)
    assert response.status == 200, response.text
    return {"Authorization": f"Bearer {response.json['token']}"}


def test_an_instance_that_cannot_warm_up_logs_why_and_serves_health(
    bundle: Path, environment: dict[str, str], log: Path
) -> None:
    closed = f"http://127.0.0.1:{stack.free_port()}"
    unreachable = dict.fromkeys(("AWS_ENDPOINT_URL", "DOUYIN_OPEN_API", "DOUYIN_LOGIN_API"), closed)
    incomplete = {name: value for name, value in environment.items() if name != "TABLE_NAME"}
    for variables, error, code in (
        (environment | unreachable, "StorageUnavailableError", "unavailable"),
        (incomplete, "ConfigurationError: environment: Object missing required field `TABLE_NAME`", "internal_error"),
    ):
        with run_app(bundle, variables, log) as instance:
            assert call(instance, "GET", "/v1/health").status == 200
            headers = {"Authorization": "Bearer any"}
            assert call(instance, "GET", LIST_URL, headers=headers).json["code"] == code
        [warmup] = [line for line in read_lines(log) if line.get("message") == "warmup"]
        assert warmup["error"].startswith(error)


def test_instances_share_one_mint_of_a_missing_and_of_a_revoked_token(
    bundle: Path, platform: Platform, aws: Aws, environment: dict[str, str], tmp_path: Path
) -> None:
    with contextlib.ExitStack() as resources, ThreadPoolExecutor(4) as executor:
        instances = [resources.enter_context(run_app(bundle, environment, tmp_path / str(n))) for n in range(4)]
        headers = login(instances[0], platform)
        for mints in (1, 2):
            responses = executor.map(lambda instance: call(instance, "GET", LIST_URL, headers=headers), instances)
            assert {response.status for response in responses} == {200}
            assert len(platform.calls("client_token")) == mints
            assert aws.item(TOKEN_PK)["access_token"]["S"] == platform.newest_token()
            age_claim(aws.dynamodb, aws.table)
            platform.server.platform.revoke_tokens(APP_ID)


@pytest.fixture
def collector() -> Iterator[socket.socket]:
    """The socket to which the X-Ray SDK sends its datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(0.5)
        yield collector


def receive(collector: socket.socket) -> list[dict[str, Any]]:
    """Return the segments that have arrived; waits until none has arrived for half a second."""
    segments = []
    with contextlib.suppress(TimeoutError):
        while True:
            segments.append(json.loads(collector.recv(65536).split(b"\n", 1)[1]))
    return segments


@pytest.fixture(params=["make bundle", "chalice package"])
def any_bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The bundle, or what Chalice builds from a fresh copy of the project by itself."""
    if request.param == "make bundle":
        return Path(request.getfixturevalue("bundle"))
    for name in ("app.py", "requirements.txt", ".chalice/config.json", ".chalice/policy-dev.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "chalicelib", tmp_path / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
    command = [str(Path(sys.executable).with_name("chalice")), "package", "--stage", "dev", "out"]
    region = {"AWS_DEFAULT_REGION": "us-east-1"}
    subprocess.run(command, cwd=tmp_path, env=os.environ | region, check=True, capture_output=True)
    shutil.unpack_archive(tmp_path / "out" / "deployment.zip", tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.usefixtures("aws")
def test_logs_and_traces_are_complete_and_without_secrets(
    any_bundle: Path, platform: Platform, environment: dict[str, str], collector: socket.socket, log: Path
) -> None:
    """Requests to one instance; the last one is traced. The warm-up mints no token: only requests have a limit."""
    environment |= {"AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{collector.getsockname()[1]}", "STAGE": "test"}
    trace_header = f"Root=1-{int(time.time()):x}-{'a' * 24};Parent=53995c3f42cd8ad8;Sampled=1"
    with run_app(any_bundle, environment, log) as instance:
        assert call(instance, "GET", "/v1/health").json["status"] == "ok"
        headers = login(instance, platform)
        assert platform.calls("client_token") == []
        response = call(instance, "GET", LIST_URL, trace_header, headers=headers)
    assert response.status == 200, response.text
    assert len(response.json["certificates"]) == 7
    lines = read_lines(log)
    requests_logged = [line for line in lines if line.get("outcome") == "ok"]
    assert [line["cold_start"] for line in requests_logged] == [True, False, False]
    assert [entry["call"] for entry in requests_logged[1]["calls"]] == ["douyin.jscode2session"], "the secret is read"
    assert requests_logged[2]["xray_trace_id"].startswith("1-")
    assert len(requests_logged) == len([line for line in lines if "_aws" not in line]), "no warning, no failure"
    segments = receive(collector)
    [segment] = [segment for segment in segments if segment["name"].startswith("## ")]
    assert segment["annotations"] == {"account_id": ACCOUNT_ID, "poi_id": POI_ID, "outcome": "ok"}
    subsegments = [part["name"] for part in segments if part.get("parent_id") == segment["id"]]
    assert subsegments == [
        "dynamodb GetItem", "dynamodb UpdateItem", "douyin client_token", "dynamodb UpdateItem",
        "douyin query_user_certificates",
    ]  # fmt: skip
    written = log.read_text() + json.dumps(segments)
    secrets = (
        platform.data.customers[CUSTOMER].open_ids[APP_ID],
        platform.data.apps[APP_ID].app_secret,
        platform.newest_token(),
        headers["Authorization"].removeprefix("Bearer "),
        STAGE_SESSION_KEY,
    )
    assert not [value for value in secrets if value in written]
