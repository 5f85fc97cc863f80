"""The operator's tasks in the emulated AWS: first deployment, onboarding, diagnosis, key rotation, update, deletion."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import requests
from click.testing import CliRunner
from rich.console import Console

from infra import cloudformation
from infra.bundle import copy_project, make_bundle, rename_archive
from infra.deploy import compare_code, dry_run, write_outputs
from infra.destroy import destroy
from redeemctl.cli import redeemctl
from sandbox import sample_data, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, CUSTOMER, OTHER_POI_ID, POI_ID
from sandbox.stack import STAGE
from tests.harness import LIST_URL, TOKEN_ROW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

TABLE = cloudformation.stack_name(STAGE)
SECRET = cloudformation.secret_name(STAGE)


class Operator:
    """An operator's machine with this project, and an AWS account that is empty at first."""

    def __init__(self, platform: stack.Process, aws: stack.Process, folder: Path) -> None:
        self.stack = stack.Stack(platform, aws, folder)

    @property
    def account(self) -> Any:
        return self.stack.account

    def environment(self) -> dict[str, str]:
        url = self.stack.platform.url
        aws = stack.aws_environment(self.stack.aws.url)
        return {**aws, "DOUYIN_OPEN_API": url, "DOUYIN_LOGIN_API": url}

    def run(self, *arguments: str, stdin: str = "", clock_offset: float = 0.0, **variables: str) -> Result:
        """Run redeemctl in this process; its clock is `clock_offset` seconds ahead."""
        unset = dict.fromkeys(os.environ.keys() - self.environment().keys())
        environment = {**unset, **self.environment(), "TABLE_NAME": None, "SECRET_NAME": None, **variables}
        with contextlib.ExitStack() as patches:
            patches.enter_context(mock.patch("redeemctl.cli.console", Console(soft_wrap=True, width=200)))
            if clock_offset:
                now = time.time
                patches.enter_context(mock.patch("time.time", side_effect=lambda: now() + clock_offset))
            command = ["--project", str(self.stack.folder), *arguments]
            return CliRunner().invoke(redeemctl, command, input=stdin, env=environment, catch_exceptions=False)

    def succeed(self, *arguments: str, clock_offset: float = 0.0, **variables: str) -> str:
        """Run redeemctl, expect success, and return its output."""
        result = self.run(*arguments, clock_offset=clock_offset, **variables)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    def failed_checks(self, clock_offset: float = 0.0, **variables: str) -> dict[tuple[str, str], dict[str, Any]]:
        """Run `redeemctl doctor` and return the findings of failed checks, by kind of check and checked resource."""
        result = self.run("doctor", "--json", clock_offset=clock_offset, **variables)
        findings = json.loads(result.stdout)
        failed = {(finding["check"], finding["what"]): finding for finding in findings if not finding["fine"]}
        assert result.exit_code == (1 if failed else 0)
        return failed

    def put_secret(self, value: str) -> None:
        """Replace the secret's value without redeemctl."""
        self.account.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=value)

    def set_fault(self, **fault: Any) -> None:
        """Let calls of the platform fail; without arguments no call fails any more."""
        stack.set_faults(self.stack.platform.url, *([fault] if fault else []))

    def login(self) -> dict[str, str]:
        """Log a customer in and return the headers of later requests."""
        code = stack.create_login_code(self.stack.platform.url, APP_ID, CUSTOMER)
        response = requests.post(f"{self.stack.api_url}/v1/sessions", json={"app_id": APP_ID, "code": code}, timeout=30)
        assert response.status_code == 200, response.text
        return {"Authorization": f"Bearer {response.json()['token']}"}

    def list_certificates(self, headers: dict[str, str]) -> requests.Response:
        return requests.get(f"{self.stack.api_url}{LIST_URL}", headers=headers, timeout=30)


@pytest.fixture(scope="module")
def operator(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The tests of this module build on each other and run in their order."""
    del archive
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    with stack.run_server("sandbox.server") as platform, stack.run_server("sandbox.aws") as aws:
        stack.set_platform_url(folder / ".chalice" / "config.json", platform.url)
        yield Operator(platform, aws, folder)


def test_a_dry_run_reports_all_changes_and_makes_none(operator: Operator) -> None:
    report: list[str] = []
    dry_run(operator.account, operator.stack.folder, STAGE, report.append, None)
    assert "  Add Table (AWS::DynamoDB::Table)" in report
    assert f"  create_function {TABLE}" in report
    assert any(line.startswith("  new: ") for line in report)
    assert operator.account.client("dynamodb").list_tables()["TableNames"] == []
    assert not cloudformation.stack_exists(operator.account.client("cloudformation"), STAGE)


def test_before_the_deployment_doctor_says_what_to_do_first(operator: Operator) -> None:
    """As a process, as the operator runs it."""
    command = [sys.executable, "-m", "redeemctl", "--project", str(operator.stack.folder), "doctor", "--json"]
    process = subprocess.run(command, env=operator.environment(), capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    failed = {(f["check"], f["what"]): f for f in json.loads(process.stdout) if not f["fine"]}
    assert list(failed) == [("table", TABLE), ("secret", SECRET)]
    assert all("make deploy STAGE=dev" in finding["english"] for finding in failed.values())
    assert "make deploy STAGE=dev" in failed["table", TABLE]["chinese"]
    assert failed == operator.failed_checks()


def test_after_deployment_and_onboarding_a_customer_gets_the_list(operator: Operator) -> None:
    operator.stack.deploy()
    assert set(operator.failed_checks()) == {("secret", SECRET), ("merchant", "")}
    assert APP_SECRET not in operator.succeed("app", "add", APP_ID, APP_SECRET=APP_SECRET)
    assert "nothing to change" in operator.succeed("app", "add", APP_ID, APP_SECRET=APP_SECRET)
    merchant = sample_data.load().merchants[ACCOUNT_ID]
    add_merchant = ["merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--name", merchant.name]
    add_merchant += ["--life-account-id", merchant.life_account_id, "--store", f"{OTHER_POI_ID}=徐家汇店"]
    assert "dry run" in operator.succeed("--dry-run", *add_merchant)
    assert "not found" in operator.run("merchant", "show", ACCOUNT_ID).stdout
    assert "saved" in operator.succeed(*add_merchant)
    assert "nothing to change" in operator.succeed(*add_merchant)
    assert "saved" in operator.succeed("store", "add", ACCOUNT_ID, POI_ID, "人民广场店")
    assert "nothing to change" in operator.succeed("store", "add", ACCOUNT_ID, POI_ID, "人民广场店")
    assert merchant.name in operator.succeed("merchant", "list")
    assert "一切正常" in operator.succeed("doctor")
    response = operator.list_certificates(operator.login())
    assert len(response.json()["certificates"]) == 7


def test_commands_that_remove_something_ask_for_confirmation(operator: Operator) -> None:
    for arguments in (
        ("merchant", "suspend", ACCOUNT_ID),
        ("store", "remove", ACCOUNT_ID, POI_ID),
        ("token", "renew", APP_ID),
    ):
        assert "Continue?" in operator.run(*arguments, stdin="n\n").stdout
    assert POI_ID in operator.succeed("merchant", "show", ACCOUNT_ID)
    assert "removed" in operator.succeed("--yes", "store", "remove", ACCOUNT_ID, OTHER_POI_ID)
    assert "last store" in operator.run("--yes", "store", "remove", ACCOUNT_ID, POI_ID).stdout
    before = operator.succeed("token", "show")
    operator.succeed("--yes", "token", "renew", APP_ID)
    assert operator.succeed("token", "show") != before
    token = operator.account.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": TOKEN_ROW}})["Item"]
    assert token["access_token"]["S"] not in operator.succeed("token", "show")
    operator.succeed("--yes", "merchant", "suspend", ACCOUNT_ID)
    assert operator.failed_checks() == {}, "a suspended merchant is not a failure"
    operator.succeed("merchant", "resume", ACCOUNT_ID)


@pytest.mark.parametrize(
    ("call", "code", "failed_check", "advice"),
    [
        ("jscode2session", 40017, ("login", APP_ID), "检查secret"),
        ("jscode2session", 40015, ("login", APP_ID), "检查appid"),
        ("query_user_certificates", 2119005, ("merchant", ACCOUNT_ID), "商家后台发起授权"),
        ("query_user_certificates", 2190004, ("merchant", ACCOUNT_ID), "申请接口权限"),
        ("query_user_certificates", 28003017, ("merchant", ACCOUNT_ID), "联系平台处理"),
        ("query_user_certificates", 28001016, ("merchant", ACCOUNT_ID), "clientKey被"),
        ("query_user_certificates", 424242, ("merchant", ACCOUNT_ID), "未知错误码"),
    ],
)
def test_doctor_reports_the_platforms_code_and_advice(
    operator: Operator, call: str, code: int, failed_check: tuple[str, str], advice: str
) -> None:
    operator.set_fault(kind="code", call=call, code=code)
    failed = operator.failed_checks()
    operator.set_fault()
    assert list(failed) == [failed_check]
    assert str(code) in failed[failed_check]["english"]
    assert str(code) in failed[failed_check]["chinese"]
    assert advice in failed[failed_check]["chinese"]


def test_doctor_reports_each_misconfiguration(operator: Operator) -> None:
    """Malformed secrets, an unreachable host, a refused mint, malformed rows, an unprotected table, a wrong clock."""
    client = operator.account.client
    dynamodb = client("dynamodb")
    value = client("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"]
    valid = json.loads(value)
    operator.put_secret('{"apps": []}')
    assert "session_keys" in operator.failed_checks()["secret", SECRET]["chinese"]
    operator.put_secret(json.dumps({**valid, "apps": {}}))
    failed = operator.failed_checks()
    assert "redeemctl app add" in failed["secret", SECRET]["chinese"]
    assert APP_ID in failed["merchant", ACCOUNT_ID]["english"], "customers of this merchant's app cannot log in"
    operator.put_secret(json.dumps({**valid, "session_keys": ["short"]}))
    assert "rotate" in operator.failed_checks()["secret", SECRET]["english"]
    operator.put_secret(value)
    closed = f"http://127.0.0.1:{stack.free_port()}"
    assert closed in operator.failed_checks(DOUYIN_LOGIN_API=closed)["login", APP_ID]["chinese"]
    dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": TOKEN_ROW}})
    operator.set_fault(kind="code", call="client_token", code=10013)
    failed = operator.failed_checks()
    operator.set_fault()
    assert "10013" in failed["token", APP_ID]["chinese"]
    assert "检查secret" in failed["token", APP_ID]["chinese"]
    dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": TOKEN_ROW}})
    dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": "MERCHANT#odd"}, "app_id": {"N": "1"}})
    assert "app_id" in operator.failed_checks()["merchant", "odd"]["english"]
    dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": "MERCHANT#odd"}})
    set_table_protection(dynamodb, enabled=False)
    english = operator.failed_checks()["table", TABLE]["english"]
    set_table_protection(dynamodb, enabled=True)
    assert "deletion protection" in english
    [(check, what)] = operator.failed_checks(clock_offset=600)
    assert (check, what[:3]) == ("clock", "+60")
    assert operator.failed_checks() == {}


def set_table_protection(dynamodb: Any, *, enabled: bool) -> None:
    """Switch the table's expiry of rows and its deletion protection."""
    dynamodb.update_time_to_live(TableName=TABLE, TimeToLiveSpecification={"Enabled": enabled, "AttributeName": "ttl"})
    dynamodb.update_table(TableName=TABLE, DeletionProtectionEnabled=enabled)


def test_session_keys_are_rotated_under_load_without_a_refused_request(operator: Operator) -> None:
    old_session = operator.login()
    statuses: list[int] = []
    stop = threading.Event()

    def send_requests() -> None:
        session = operator.login()
        while not stop.is_set():
            for headers in (old_session, session, operator.login()):
                statuses.append(operator.list_certificates(headers).status_code)
                # Stay below the stage's throttling limit.
                time.sleep(0.2)

    threads = [threading.Thread(target=send_requests) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert "done: add session key" in operator.succeed("session-key", "rotate")
        assert "due in" in operator.succeed("session-key", "rotate"), "some instances do not know the new key yet"
        assert "done: sign new sessions" in operator.succeed("session-key", "rotate", "--wait")
        time.sleep(3)
        assert "due in" in operator.succeed("session-key", "rotate"), "sessions of the old key are still valid"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(statuses) > 100
    assert set(statuses) == {200}
    new_session = operator.login()
    # With this lifetime, the sessions of the old key have expired 20 s later.
    rotated = operator.succeed("--yes", "session-key", "rotate", clock_offset=20, SESSION_TTL_SECONDS="1")
    assert "done: remove session keys" in rotated
    assert operator.list_certificates(new_session).status_code == 200


def test_a_rollback_deploys_the_same_bundle_as_before_the_update(operator: Operator, tmp_path: Path) -> None:
    folder = operator.stack.folder
    assert compare_code(operator.account, folder, STAGE) == "unchanged"
    before = shutil.copytree(folder, tmp_path / "before")
    (folder / "chalicelib" / "__init__.py").write_text('"""Newer."""\n\n__version__ = "9.9.9"\n')
    make_bundle(folder)
    assert "deployed: " in compare_code(operator.account, folder, STAGE)
    operator.stack.deploy()
    health = f"{operator.stack.api_url}/v1/health"
    assert requests.get(health, timeout=30).json()["version"] == "9.9.9"
    for part in ("chalicelib", ".chalice/deployments"):
        shutil.rmtree(folder / part)
        shutil.copytree(before / part, folder / part)
    rename_archive(folder)
    url = operator.stack.api_url
    output = operator.stack.deploy()
    assert "Updating rest API" in output
    assert "Reusing existing deployment package" in output, "Chalice uploads the bundle that the tests unpack"
    assert operator.stack.api_url == url
    assert requests.get(health, timeout=30).json()["version"] != "9.9.9"
    assert compare_code(operator.account, folder, STAGE) == "unchanged"
    assert operator.list_certificates(operator.login()).status_code == 200


def test_destroy_keeps_the_data_until_its_deletion_is_confirmed_twice(operator: Operator) -> None:
    report: list[str] = []
    client = operator.account.client
    destroy(operator.account, operator.stack.folder, STAGE, report.append)
    destroy(operator.account, operator.stack.folder, STAGE, report.append)
    assert client("lambda").list_functions()["Functions"] == []
    assert client("dynamodb").scan(TableName=TABLE)["Count"] >= 1
    change_set = cloudformation.create_change_set(client, STAGE)
    cloudformation.execute_change_set(client("cloudformation"), STAGE, change_set)
    assert client("dynamodb").scan(TableName=TABLE)["Count"] >= 1, "a new stack uses the kept table"
    destroy(operator.account, operator.stack.folder, STAGE, report.append)
    process = subprocess.run(
        [sys.executable, "-m", "infra.destroy", STAGE, "--data", "delete"],
        env={**os.environ, **operator.account.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert f"--really {STAGE}" in process.stderr
    destroy(operator.account, operator.stack.folder, STAGE, report.append, delete_data=True)
    assert client("dynamodb").list_tables()["TableNames"] == []


def test_the_outputs_of_the_stack_are_written_to_the_functions_variables(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"stages": {"dev": {"environment_variables": {"TABLE_NAME": "old", "STAGE": "dev"}}}}')
    outputs = {"TableName": "new", "SecretName": "new/secret", "Other": "x"}
    assert write_outputs(config, "dev", outputs) == ["TABLE_NAME", "SECRET_NAME"]
    variables = json.loads(config.read_text())["stages"]["dev"]["environment_variables"]
    assert variables == {"TABLE_NAME": "new", "SECRET_NAME": "new/secret", "STAGE": "dev"}
    assert write_outputs(config, "dev", outputs) == []
