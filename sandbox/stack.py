"""The whole sandbox: the stand-in platform and the emulated AWS as processes, and the app deployed between them.

The table, the secret and the roles come from `infra/template.yaml`, the functions and the API from `chalice deploy`:
what production deploys is what is tried here.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import requests

from chalicelib.merchants import merchant_key
from infra import cloudformation
from infra.bundle import ROOT, copy_project, current_archive
from infra.deploy import Account, deploy
from infra.stage import rest_api_id
from sandbox import world as worlds
from sandbox.aws import REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

STAGE = "dev"
_START_SECONDS = 60.0


@dataclass
class Process:
    """A server of the sandbox on 127.0.0.1."""

    port: int
    popen: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Stack:
    """A running sandbox; `api_url` is the deployed endpoint, `folder` the project as it was deployed."""

    platform: Process
    aws: Process
    folder: Path
    api_url: str = ""

    @property
    def account(self) -> Account:
        """The emulated account, for deploying into it."""
        return account_at(self.aws.url)

    def deploy(self) -> str:
        """Deploy as `make deploy` does; returns what Chalice printed."""
        printed = deploy(self.account, self.folder, STAGE, lambda _: None, None)
        self.api_url = f"{self.aws.url}/_aws/execute-api/{rest_api_id(self.folder, STAGE)}/api"
        return printed


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def aws_environment(aws_url: str) -> dict[str, str]:
    """The environment in which AWS is the emulated one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def aws_session() -> boto3.Session:
    """A session for clients of the emulated AWS, whatever the environment says."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)  # noqa: S106


@contextlib.contextmanager
def process(module: str, *arguments: str) -> Iterator[Process]:
    """Run a server module on a free port until the block is left."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port), *arguments]
    popen = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        _await_port(port, popen)
        yield Process(port, popen)
    finally:
        popen.terminate()
        try:
            popen.wait(5)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


@contextlib.contextmanager
def running(progress: Callable[[str], None] = lambda _: None) -> Iterator[Stack]:
    """Start everything, and deploy; all of it ends with the block."""
    with contextlib.ExitStack() as resources:
        progress("starting the stand-in platform and the emulated AWS")
        platform = resources.enter_context(process("sandbox.server"))
        aws = resources.enter_context(process("sandbox.aws"))
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="douyin-redemption-")))
        stack = Stack(platform, aws, folder)
        progress("creating table, secret, roles and alarms from infra/template.yaml, and chalice deploy")
        copy_project(folder)
        point_at(folder / ".chalice" / "config.json", platform.url)
        stack.deploy()
        fill(aws.url, STAGE)
        yield stack


def preview(stack: Stack) -> contextlib.AbstractContextManager[Process]:
    """The mini-program in a browser, in front of a running sandbox."""
    return process("sandbox.preview", "--api", stack.api_url, "--platform", stack.platform.url)


@dataclass
class Parts:
    """What a function needs around it, without an API: for running instances of the bundle by hand."""

    platform: Process
    aws: Process
    bundle: Path
    environment: dict[str, str]


@contextlib.contextmanager
def around_a_function(*platform_arguments: str) -> Iterator[Parts]:
    """Start platform and AWS with table, secret and sample data, and unpack the bundle."""
    with contextlib.ExitStack() as resources:
        platform = resources.enter_context(process("sandbox.server", *platform_arguments))
        aws = resources.enter_context(process("sandbox.aws"))
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="douyin-redemption-")))
        with zipfile.ZipFile(current_archive()) as packed:
            packed.extractall(folder)
        secret, table = prepare(aws.url, STAGE)
        yield Parts(platform, aws, folder, function_environment(aws.url, platform.url, secret, table))


def function_environment(aws_url: str, platform_url: str, secret: str, table: str) -> dict[str, str]:
    """The variables of a function between the emulated AWS and a platform."""
    return {
        **{name: value for name, value in aws_environment(aws_url).items() if name.startswith("AWS_")},
        "TABLE_NAME": table,
        "SECRET_NAME": secret,
        "DOUYIN_OPEN_API": platform_url,
        "DOUYIN_LOGIN_API": platform_url,
    }


def prepare(aws_url: str, stage: str) -> tuple[str, str]:
    """Create the template's stack and fill it with the sample data; returns the names of secret and table."""
    create_infrastructure(account_at(aws_url), stage)
    return fill(aws_url, stage)


def fill(aws_url: str, stage: str) -> tuple[str, str]:
    """Put the sample data into table and secret; returns the names of secret and table."""
    client, world = account_at(aws_url).client, worlds.load()
    secret, table = cloudformation.secret_name(stage), cloudformation.stack_name(stage)
    put_secret(client("secretsmanager"), secret, world)
    put_merchants(client("dynamodb"), table, world)
    return secret, table


def account_at(aws_url: str) -> Account:
    """The emulated account, for what deploys into one."""
    session: Any = aws_session()
    return Account(functools.partial(session.client, endpoint_url=aws_url), aws_environment(aws_url))


def create_infrastructure(account: Account, stage: str) -> None:
    """Create the stack of `infra/template.yaml`."""
    made = cloudformation.plan(account.client, stage)
    cloudformation.carry_out(account.client("cloudformation"), stage, made)


def put_secret(client: SecretsManagerClient, name: str, world: worlds.World) -> None:
    """Put the sample apps' secrets and a fresh session key into the secret."""
    apps = {app.app_id: app.app_secret for app in world.apps.values()}
    value = {"apps": apps, "session_keys": [secrets.token_hex(32)]}
    client.put_secret_value(SecretId=name, SecretString=json.dumps(value))


def put_merchants(client: DynamoDBClient, table: str, world: worlds.World) -> None:
    """Put the sample merchants' rows into the table."""
    for merchant in world.merchants.values():
        item: dict[str, AttributeValueTypeDef] = {
            "pk": {"S": merchant_key(merchant.account_id)},
            "app_id": {"S": merchant.app_id},
            "life_account_id": {"S": merchant.life_account_id},
            "name": {"S": merchant.name},
            "stores": {"M": {poi_id: {"S": name} for poi_id, name in merchant.stores.items()}},
            "active": {"BOOL": True},
        }
        client.put_item(TableName=table, Item=item)


def point_at(config_path: Path, platform_url: str) -> None:
    """Let the deployed stage ask the stand-in instead of Douyin."""
    config: dict[str, Any] = json.loads(config_path.read_text())
    variables = config["stages"][STAGE]["environment_variables"]
    variables |= {"DOUYIN_OPEN_API": platform_url, "DOUYIN_LOGIN_API": platform_url}
    config_path.write_text(json.dumps(config))


def _await_port(port: int, popen: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if popen.poll() is not None:
            raise RuntimeError(f"{popen.args!r} ended with {popen.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{popen.args!r} did not listen on port {port} in time")


def set_faults(platform_url: str, *rules: dict[str, Any]) -> None:
    """Let the stand-in do wrong by these rules (see `sandbox.faults`) and no others; without any, it does well."""
    url = f"{platform_url}/_sandbox/faults"
    requests.delete(url, timeout=10).raise_for_status()
    for rule in rules:
        requests.post(url, json=rule, timeout=10).raise_for_status()


def login_code(platform_url: str, app_id: str, customer: str) -> str:
    """What tt.login would give the customer in this app."""
    answer = requests.post(f"{platform_url}/_sandbox/codes", json={"app_id": app_id, "customer": customer}, timeout=10)
    answer.raise_for_status()
    return str(answer.json()["code"])
