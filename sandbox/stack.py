"""The whole sandbox: mock platform and emulated AWS as processes, and the service deployed to the emulated AWS.

`infra.deploy` deploys a copy of the project. What differs from production: AWS is emulated (`sandbox.emulator`), its
user may do everything, an existing bundle is not built again, and a mock platform is in the place of Douyin.
"""

import contextlib
import functools
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import requests
from boto3.dynamodb.types import TypeSerializer

from chalicelib.merchants import merchant_pk
from infra import bundle, cloudformation
from infra.account import AwsAccount
from infra.bundle import ROOT
from infra.deploy import deploy
from infra.stage_settings import settings_path
from sandbox import sample_data
from sandbox.aws import REGION
from sandbox.runtime import TIMEOUT_SECONDS
from sandbox.sample_data import APP_ID, CUSTOMER, SampleData

STAGE = "dev"
API_FUNCTION = f"douyin-redemption-{STAGE}"
RENEWAL_FUNCTION = f"{API_FUNCTION}-refresh_tokens"
LOCALHOST = "127.0.0.1"
_START_SECONDS = 60.0


@dataclass
class Process:
    """A running server of the sandbox."""

    port: int
    popen: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The server's base URL."""
        return f"http://{LOCALHOST}:{self.port}"


@dataclass
class Sandbox:
    """A running sandbox; `api_url` is the deployed endpoint, `folder` the deployed copy of the project."""

    platform: Process
    aws: Process
    folder: Path
    api_url: str = ""

    @functools.cached_property
    def account(self) -> AwsAccount:
        """The emulated AWS account."""
        return emulated_account(self.aws.url)

    def deploy(self) -> list[str]:
        """Deploy as `make deploy` does; returns the lines that it prints."""
        report: list[str] = []
        self.api_url = deploy(self.account, self.folder, STAGE, report.append, build_bundle=reuse_bundle)
        return report


@contextlib.contextmanager
def run_sandbox(progress: Callable[[str], None] = lambda _: None) -> Iterator[Sandbox]:
    """Start the sandbox and deploy the service; stop the sandbox at the end of the block."""
    with contextlib.ExitStack() as resources:
        progress("starting the mock platform and the emulated AWS")
        platform = resources.enter_context(run_server("sandbox.server"))
        aws = resources.enter_context(run_server("sandbox.aws"))
        folder = _enter_temporary_folder(resources)
        sandbox = Sandbox(platform, aws, folder)
        progress("deploying infra/template.yaml and the Chalice app")
        copy_project(folder)
        write_stage_settings(folder, platform.url)
        sandbox.deploy()
        write_sample_data(aws.url, STAGE)
        yield sandbox


def run_preview(sandbox: Sandbox, program: Path, port: int | None = None) -> AbstractContextManager[Process]:
    """Serve the preview of a built mini-program for a running sandbox."""
    arguments = ("--api", sandbox.api_url, "--platform", sandbox.platform.url, "--aws", sandbox.aws.url)
    return run_server("sandbox.preview", *arguments, "--program", str(program), port=port)


@contextlib.contextmanager
def run_server(module: str, *arguments: str, port: int | None = None) -> Iterator[Process]:
    """Run a server module on a port, by default a free one; stop the server at the end of the block.

    Raises RuntimeError if it does not start.
    """
    port = port or free_port()
    command = [sys.executable, "-m", module, "--port", str(port), *arguments]
    popen = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        process = Process(port, popen)
        _wait_for_port(process)
        yield process
    finally:
        popen.terminate()
        try:
            popen.wait(5)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def free_port() -> int:
    """Return a local port that is not in use."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])


def _wait_for_port(process: Process) -> None:
    port, popen = process.port, process.popen
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if popen.poll() is not None:
            raise RuntimeError(f"{popen.args!r} exited with status {popen.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((LOCALHOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{popen.args!r} does not listen on port {port} after {_START_SECONDS:g} s")


def _enter_temporary_folder(resources: contextlib.ExitStack) -> Path:
    return Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="douyin-redemption-")))


def aws_environment(aws_url: str) -> dict[str, str]:
    """Return the process environment with the AWS variables of the emulated AWS."""
    other = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **other,
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def function_environment(aws_url: str, platform_url: str, secret_name: str, table_name: str) -> dict[str, str]:
    """Return the environment variables of a function that uses the emulated AWS and a mock platform."""
    return {
        **{name: value for name, value in aws_environment(aws_url).items() if name.startswith("AWS_")},
        "TABLE_NAME": table_name,
        "SECRET_NAME": secret_name,
        "DOUYIN_OPEN_API": platform_url,
        "DOUYIN_LOGIN_API": platform_url,
    }


def emulated_account(aws_url: str, credentials: Mapping[str, str] | None = None) -> AwsAccount:
    """Return the emulated AWS account, as `infra.deploy` expects it.

    `credentials` are the environment variables of a user of the account. By default, everything is allowed.
    """
    environment = aws_environment(aws_url) | dict(credentials or {})
    session: Any = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], region_name=REGION
    )
    return AwsAccount(functools.partial(session.client, endpoint_url=aws_url), environment, REGION, aws_url)


def create_stack_with_sample_data(aws_url: str, stage: str) -> None:
    """Create the stack of the template and write the sample data."""
    create_empty_stack(emulated_account(aws_url), stage)
    write_sample_data(aws_url, stage)


def create_empty_stack(account: AwsAccount, stage: str) -> None:
    """Create the stack of `infra/template.yaml`."""
    cloudformation.update_stack(account, stage, {})


def copy_project(to: Path, root: Path = ROOT) -> None:
    """Copy what a deployment needs to the folder `to`, also the bundle; raise BundleError if this is outdated."""
    bundle.current_archive(root)
    ignored = shutil.ignore_patterns("deployed")
    for name in ("chalicelib", ".chalice", "infra/stages"):
        shutil.copytree(root / name, to / name, ignore=ignored)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(root / name, to / name)
    # The hash in an archive's name depends on the order in which the file system lists files. In the copy, this order
    # may differ, so the archive gets a new name.
    for archive in bundle.list_archives(to / bundle.ARCHIVES):
        archive.rename(bundle.archive_path(to))


def reuse_bundle(project: Path) -> Path:
    """Return the bundle of a project; build it only if there is none of the present sources."""
    try:
        return bundle.current_archive(project)
    except bundle.BundleError:
        return bundle.make_bundle(project)


def write_sample_data(aws_url: str, stage: str) -> None:
    """Write the sample data to secret and table."""
    client, data = emulated_account(aws_url).client, sample_data.load()
    write_secret(client("secretsmanager"), cloudformation.secret_name(stage), data)
    write_merchants(client("dynamodb"), cloudformation.shared_name(stage), data)


def write_secret(client: Any, secret_name: str, data: SampleData) -> None:
    """Write the sample apps' secrets and a new session key to the secret."""
    apps = {app.app_id: app.app_secret for app in data.apps.values()}
    value = {"apps": apps, "session_keys": [secrets.token_hex(32)]}
    client.put_secret_value(SecretId=secret_name, SecretString=json.dumps(value))


def write_merchants(client: Any, table_name: str, data: SampleData) -> None:
    """Write the sample merchants to the table."""
    for merchant in data.merchants.values():
        row = {
            "pk": merchant_pk(merchant.account_id),
            "app_id": merchant.app_id,
            "life_account_id": merchant.life_account_id,
            "name": merchant.name,
            "stores": merchant.stores,
            "active": True,
        }
        # The serializer takes no float.
        decimals = json.loads(json.dumps(row), parse_float=Decimal)
        client.put_item(TableName=table_name, Item=TypeSerializer().serialize(decimals)["M"])


def change_merchant(aws_account: AwsAccount, account_id: str, **attributes: Any) -> None:
    """Set attributes of a merchant's row, and end the function's instances, which have cached the row."""
    aws_account.client("dynamodb").update_item(
        TableName=cloudformation.shared_name(STAGE),
        Key={"pk": {"S": merchant_pk(account_id)}},
        ConditionExpression="attribute_exists(pk)",
        UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in attributes),
        ExpressionAttributeValues={f":{name}": TypeSerializer().serialize(v) for name, v in attributes.items()},
    )
    aws_account.client("lambda").update_function_configuration(FunctionName=API_FUNCTION, Timeout=int(TIMEOUT_SECONDS))


def write_stage_settings(folder: Path, platform_url: str, settings: str = "") -> None:
    """Write the stage's settings: `settings`, and variables that replace Douyin by the mock platform."""
    environment = {"DOUYIN_OPEN_API": platform_url, "DOUYIN_LOGIN_API": platform_url}
    lines = [settings, "[environment]", *(f"{name} = {json.dumps(value)}" for name, value in environment.items())]
    settings_path(folder, STAGE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def set_faults(platform_url: str, *rules: dict[str, Any]) -> None:
    """Replace the fault rules of the mock platform (see `sandbox.faults`); without rules, no call fails."""
    url = f"{platform_url}/_sandbox/faults"
    requests.delete(url, timeout=10).raise_for_status()
    for rule in rules:
        requests.post(url, json=rule, timeout=10).raise_for_status()


def create_login_code(platform_url: str, app_id: str, customer: str) -> str:
    """Return a new login code, as tt.login does for the customer in this app."""
    response = requests.post(
        f"{platform_url}/_sandbox/codes", json={"app_id": app_id, "customer": customer}, timeout=10
    )
    response.raise_for_status()
    return str(response.json()["code"])


def log_in(api_url: str, platform_url: str, customer: str = CUSTOMER, app_id: str = APP_ID) -> dict[str, str]:
    """Log a customer in and return the headers of later requests; raises RuntimeError if the service refuses."""
    body = {"app_id": app_id, "code": create_login_code(platform_url, app_id, customer)}
    response = requests.post(f"{api_url}/v1/sessions", json=body, timeout=30)
    if response.status_code != 200:
        raise RuntimeError(f"POST /v1/sessions: HTTP {response.status_code} {response.text}")
    return {"Authorization": f"Bearer {response.json()['token']}"}


def create_provider_token(platform_url: str, app_id: str) -> str:
    """Return a new token of an app, as the system of a service provider obtains it."""
    response = requests.post(f"{platform_url}/_sandbox/provider-tokens", json={"app_id": app_id}, timeout=10)
    response.raise_for_status()
    return str(response.json()["access_token"])
