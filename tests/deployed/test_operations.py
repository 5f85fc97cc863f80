"""An operator's whole way in the emulator: from an empty account to a customer served, and down again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from infra import cloudformation
from infra.bundle import copy_project, make_bundle, rename_archive
from infra.deploy import compare_code, dry_run, write_outputs
from infra.destroy import destroy
from sandbox import sample_data as worlds
from sandbox import stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, POI_ID
from tests.harness import LIST_URL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORLD = worlds.load()
SECRET = WORLD.apps[APP_ID].app_secret


Run = subprocess.CompletedProcess[str]


class Operator:
    """Somebody with a shell, an empty account and this project."""

    def __init__(self, platform: stack.Process, aws: stack.Process, folder: Path) -> None:
        self.stack = stack.Stack(platform, aws, folder)
        self.said: list[str] = []

    @property
    def account(self) -> Any:
        return self.stack.account

    def deploy(self) -> str:
        return self.stack.deploy()

    def ctl(self, *arguments: str, stdin: str = "", ahead: str = "0", **variables: str) -> Run:
        """Run redeemctl, on a machine whose clock is so many seconds ahead."""
        url = self.stack.platform.url
        environment = {**stack.aws_environment(self.stack.aws.url), "COLUMNS": "200"}
        environment |= {"DOUYIN_OPEN_API": url, "DOUYIN_LOGIN_API": url, **variables}
        for name in ("TABLE_NAME", "SECRET_NAME"):
            environment.pop(name, None)
        clock = f"import time; now = time.time; time.time = lambda: now() + {ahead}"
        start = f"{clock}; from redeemctl.cli import redeemctl; redeemctl()"
        command = [sys.executable, "-c", start, "--project", str(self.stack.folder), *arguments]
        return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False)

    def done(self, *arguments: str, **variables: str) -> str:
        """Run redeemctl and expect it to do well."""
        run = self.ctl(*arguments, **variables)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def wrong(self, ahead: str = "0", **variables: str) -> dict[tuple[str, str], dict[str, Any]]:
        """What doctor finds wrong, by what and of what."""
        run = self.ctl("doctor", "--json", ahead=ahead, **variables)
        findings = json.loads(run.stdout)
        assert run.returncode == (0 if all(finding["fine"] for finding in findings) else 1)
        return {(finding["check"], finding["what"]): finding for finding in findings if not finding["fine"]}

    def secret(self, value: str) -> None:
        """Replace the secret by hand."""
        self.account.client("secretsmanager").put_secret_value(SecretId="douyin-redemption/dev", SecretString=value)

    def fault(self, **fault: Any) -> None:
        """Let the platform fail; without arguments it does well again."""
        stack.set_faults(self.stack.platform.url, *([fault] if fault else []))

    def login(self) -> dict[str, str]:
        """A customer's session."""
        code = stack.create_login_code(self.stack.platform.url, APP_ID, "lin")
        answer = requests.post(f"{self.stack.api_url}/v1/sessions", json={"app_id": APP_ID, "code": code}, timeout=30)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    def ask(self, headers: dict[str, str]) -> requests.Response:
        """A customer's list."""
        return requests.get(f"{self.stack.api_url}{LIST_URL}", headers=headers, timeout=30)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The steps of this module build on each other, in the order in which they stand."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    with stack.run_server("sandbox.server") as platform, stack.run_server("sandbox.aws") as aws:
        stack.set_platform_url(folder / ".chalice" / "config.json", platform.url)
        yield Operator(platform, aws, folder)


def test_a_dry_run_shows_everything_and_makes_nothing(operator: Operator) -> None:
    said: list[str] = []
    dry_run(operator.account, operator.stack.folder, "dev", said.append, None)
    assert "  Add Table (AWS::DynamoDB::Table)" in said
    assert "  create_function douyin-redemption-dev" in said
    assert any(line.startswith("  new: ") for line in said)
    assert operator.account.client("dynamodb").list_tables()["TableNames"] == []
    assert not cloudformation.stack_exists(operator.account.client("cloudformation"), "dev")


def test_before_anything_is_there_doctor_says_what_to_do_first(operator: Operator) -> None:
    wrong = operator.wrong()
    assert list(wrong) == [("table", "douyin-redemption-dev"), ("secret", "douyin-redemption/dev")]
    assert all("make deploy STAGE=dev" in finding["english"] for finding in wrong.values())
    assert "make deploy STAGE=dev" in wrong["table", "douyin-redemption-dev"]["chinese"]


def test_deploying_from_nothing_onboarding_and_the_first_customer(operator: Operator) -> None:
    operator.deploy()
    assert set(operator.wrong()) == {("secret", "douyin-redemption/dev"), ("merchant", "")}
    assert SECRET not in operator.done("app", "add", APP_ID, APP_SECRET=SECRET)
    assert "nothing to change" in operator.done("app", "add", APP_ID, APP_SECRET=SECRET)
    merchant = WORLD.merchants[ACCOUNT_ID]
    row = ["merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--name", merchant.name]
    row += ["--life-account-id", merchant.life_account_id, "--store", "6602=徐家汇店"]
    assert "dry run" in operator.done("--dry-run", *row)
    assert "not found" in operator.ctl("merchant", "show", ACCOUNT_ID).stdout
    assert "saved" in operator.done(*row)
    assert "nothing to change" in operator.done(*row)
    assert "saved" in operator.done("store", "add", ACCOUNT_ID, POI_ID, "人民广场店")
    assert "nothing to change" in operator.done("store", "add", ACCOUNT_ID, POI_ID, "人民广场店")
    assert merchant.name in operator.done("merchant", "list")
    assert "一切正常" in operator.done("doctor")
    answer = operator.ask(operator.login())
    assert len(answer.json()["certificates"]) == 7


def test_what_destroys_is_asked_about_first(operator: Operator) -> None:
    for arguments in (
        ("merchant", "suspend", ACCOUNT_ID),
        ("store", "remove", ACCOUNT_ID, POI_ID),
        ("token", "renew", APP_ID),
    ):
        run = operator.ctl(*arguments, stdin="n\n")
        assert "Continue?" in run.stdout
    assert POI_ID in operator.done("merchant", "show", ACCOUNT_ID)
    assert "removed" in operator.done("--yes", "store", "remove", ACCOUNT_ID, "6602")
    assert "last store" in operator.ctl("--yes", "store", "remove", ACCOUNT_ID, POI_ID).stdout
    before = operator.done("token", "show")
    operator.done("--yes", "token", "renew", APP_ID)
    assert operator.done("token", "show") != before
    token = operator.account.client("dynamodb").get_item(
        TableName="douyin-redemption-dev", Key={"pk": {"S": f"TOKEN#{APP_ID}"}}
    )["Item"]["access_token"]["S"]
    assert token not in operator.done("token", "show")
    operator.done("--yes", "merchant", "suspend", ACCOUNT_ID)
    assert operator.wrong() == {}, "a suspended merchant is no fault"
    operator.done("merchant", "resume", ACCOUNT_ID)


@pytest.mark.parametrize(
    ("fault", "found", "told"),
    [
        ({"call": "jscode2session", "code": 40017}, ("login", APP_ID), ["40017", "检查secret"]),
        ({"call": "jscode2session", "code": 40015}, ("login", APP_ID), ["40015", "检查appid"]),
        (
            {"call": "query_user_certificates", "code": 2119005},
            ("merchant", ACCOUNT_ID),
            ["2119005", "商家后台发起授权"],
        ),
        ({"call": "query_user_certificates", "code": 2190004}, ("merchant", ACCOUNT_ID), ["2190004", "申请接口权限"]),
        ({"call": "query_user_certificates", "code": 28003017}, ("merchant", ACCOUNT_ID), ["28003017", "联系平台处理"]),
        (
            {"call": "query_user_certificates", "code": 28001016},
            ("merchant", ACCOUNT_ID),
            ["28001016", "clientKey被"],
        ),
        ({"call": "query_user_certificates", "code": 424242}, ("merchant", ACCOUNT_ID), ["424242", "未知错误码"]),
    ],
    ids=lambda value: str(value["code"]) if isinstance(value, dict) else "",
)
def test_doctor_names_what_the_platform_says_and_its_advice(
    operator: Operator, fault: dict[str, Any], found: tuple[str, str], told: list[str]
) -> None:
    operator.fault(kind="code", **fault)
    wrong = operator.wrong()
    operator.fault()
    assert list(wrong) == [found]
    assert all(text in wrong[found]["chinese"] for text in told)
    assert told[0] in wrong[found]["english"]


def test_doctor_names_what_is_broken_at_home(operator: Operator) -> None:
    """The secret in each of its wrong forms, a host that is away, a mint refused, rows that are wrong."""
    client = operator.account.client
    value = client("secretsmanager").get_secret_value(SecretId="douyin-redemption/dev")["SecretString"]
    good = json.loads(value)
    name = ("secret", "douyin-redemption/dev")
    operator.secret('{"apps": []}')
    assert "session_keys" in operator.wrong()[name]["chinese"]
    operator.secret(json.dumps({**good, "apps": {}}))
    wrong = operator.wrong()
    assert "redeemctl app add" in wrong[name]["chinese"]
    assert APP_ID in wrong["merchant", ACCOUNT_ID]["english"], "nobody of this merchant's app can log in"
    operator.secret(json.dumps({**good, "session_keys": ["short"]}))
    assert "rotate" in operator.wrong()[name]["english"]
    operator.secret(value)
    away = f"http://127.0.0.1:{stack.free_port()}"
    assert away in operator.wrong(DOUYIN_LOGIN_API=away)["login", APP_ID]["chinese"]
    table, key = "douyin-redemption-dev", {"pk": {"S": f"TOKEN#{APP_ID}"}}
    client("dynamodb").delete_item(TableName=table, Key=key)
    operator.fault(kind="code", call="client_token", code=10013)
    wrong = operator.wrong()
    operator.fault()
    assert "10013" in wrong["token", APP_ID]["chinese"]
    assert "检查secret" in wrong["token", APP_ID]["chinese"]
    client("dynamodb").delete_item(TableName=table, Key=key)
    client("dynamodb").put_item(TableName=table, Item={"pk": {"S": "MERCHANT#odd"}, "app_id": {"N": "1"}})
    assert "app_id" in operator.wrong()["merchant", "odd"]["english"]
    client("dynamodb").delete_item(TableName=table, Key={"pk": {"S": "MERCHANT#odd"}})
    client("dynamodb").update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"}
    )
    client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
    told = operator.wrong()["table", table]["english"]
    client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=True)
    client("dynamodb").update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
    )
    assert "deletion protection" in told
    [(check, what)] = operator.wrong(ahead="600")
    assert (check, what[:3]) == ("clock", "+60")
    assert operator.wrong() == {}


def test_session_keys_rotate_under_load_without_one_refusal(operator: Operator) -> None:
    old = operator.login()
    refused: list[str] = []
    answered = [0]
    done = threading.Event()

    def ask() -> None:
        mine = operator.login()
        while not done.is_set():
            for headers in (old, mine, operator.login()):
                answer = operator.ask(headers)
                answered[0] += 1
                if answer.status_code != 200:
                    refused.append(answer.text)
                # Below the stage's limit on calls.
                time.sleep(0.1)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert "done: add session key" in operator.done("session-key", "rotate")
        assert "due in" in operator.done("session-key", "rotate"), "not before every instance knows it"
        assert "done: sign new sessions" in operator.done("session-key", "rotate", "--wait")
        time.sleep(3)
        assert "due in" in operator.done("session-key", "rotate"), "not before the old key's last session has ended"
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert answered[0] > 100
    assert refused == []
    new = operator.login()
    # As if the sessions of the old key had ended by now.
    waited = operator.done("--yes", "session-key", "rotate", "--wait", SESSION_TTL_SECONDS="1")
    assert "done: remove session keys" in waited
    assert operator.ask(new).status_code == 200


def test_an_update_and_its_rollback(operator: Operator, tmp_path: Path) -> None:
    """What was rolled back to is, byte for byte, what ran before."""
    folder = operator.stack.folder
    assert compare_code(operator.account, folder, "dev") == "unchanged"
    before = shutil.copytree(folder, tmp_path / "before")
    (folder / "chalicelib" / "__init__.py").write_text('"""Newer."""\n\n__version__ = "9.9.9"\n')
    make_bundle(folder)
    assert "deployed: " in compare_code(operator.account, folder, "dev")
    operator.deploy()
    health = f"{operator.stack.api_url}/v1/health"
    assert requests.get(health, timeout=30).json()["version"] == "9.9.9"
    for part in ("chalicelib", ".chalice/deployments"):
        shutil.rmtree(folder / part)
        shutil.copytree(before / part, folder / part)
    rename_archive(folder)
    url = operator.stack.api_url
    printed = operator.deploy()
    assert "Updating rest API" in printed
    assert "Reusing existing deployment package" in printed, "what is deployed is the bundle that the tests unpack"
    assert operator.stack.api_url == url
    assert requests.get(health, timeout=30).json()["version"] != "9.9.9"
    assert compare_code(operator.account, folder, "dev") == "unchanged"
    assert operator.ask(operator.login()).status_code == 200


def test_taking_down_keeps_the_data_until_told_twice(operator: Operator) -> None:
    said: list[str] = []
    destroy(operator.account, operator.stack.folder, "dev", said.append)
    destroy(operator.account, operator.stack.folder, "dev", said.append)
    client = operator.account.client
    assert client("lambda").list_functions()["Functions"] == []
    assert client("dynamodb").scan(TableName="douyin-redemption-dev")["Count"] >= 1
    cloudformation.execute_change_set(client("cloudformation"), "dev", cloudformation.create_change_set(client, "dev"))
    assert client("dynamodb").scan(TableName="douyin-redemption-dev")["Count"] >= 1, "used again"
    destroy(operator.account, operator.stack.folder, "dev", said.append)
    run = subprocess.run(
        [sys.executable, "-m", "infra.destroy", "dev", "--data", "delete"],
        env={**os.environ, **operator.account.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "--really dev" in run.stderr
    destroy(operator.account, operator.stack.folder, "dev", said.append, delete_data=True)
    assert client("dynamodb").list_tables()["TableNames"] == []


def test_the_stacks_outputs_reach_the_functions(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"stages": {"dev": {"environment_variables": {"TABLE_NAME": "old", "STAGE": "dev"}}}}')
    outputs = {"TableName": "new", "SecretName": "new/secret", "Other": "x"}
    assert write_outputs(config, "dev", outputs) == ["TABLE_NAME", "SECRET_NAME"]
    variables = json.loads(config.read_text())["stages"]["dev"]["environment_variables"]
    assert variables == {"TABLE_NAME": "new", "SECRET_NAME": "new/secret", "STAGE": "dev"}
    assert write_outputs(config, "dev", outputs) == []
