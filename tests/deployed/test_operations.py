"""The operator's tasks in the emulated AWS: onboarding, diagnosis, key rotation under load.

`test_redeemctl` tests the commands one by one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from infra.bundle import copy_project
from redeemctl import keys
from sandbox import sample_data, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, OTHER_POI_ID, POI_ID
from tests.harness import TOKEN_ROW
from tests.operators import SECRET, TABLE, Operator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def operator(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The tests of this module build on each other and run in their order."""
    del archive
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    with stack.run_server("sandbox.server") as platform, stack.run_server("sandbox.aws") as aws:
        stack.set_platform_url(folder, platform.url)
        yield Operator(platform, aws, folder)


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
    assert APP_SECRET not in operator.succeed("app", "add", APP_ID, REDEEMCTL_APP_SECRET=APP_SECRET)
    assert "nothing to change" in operator.succeed("app", "add", APP_ID, REDEEMCTL_APP_SECRET=APP_SECRET)
    merchant = sample_data.load().merchants[ACCOUNT_ID]
    add_merchant = ["merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--name", merchant.name]
    add_merchant += ["--life-account-id", merchant.life_account_id, "--store", f"{OTHER_POI_ID}=徐家汇店"]
    assert "dry run" in operator.succeed("--dry-run", *add_merchant)
    assert "not found" in operator.fail(1, "merchant", "show", ACCOUNT_ID)
    assert "saved" in operator.succeed(*add_merchant)
    assert "nothing to change" in operator.succeed(*add_merchant)
    assert "saved" in operator.succeed("store", "add", ACCOUNT_ID, POI_ID, "人民广场店")
    assert "nothing to change" in operator.succeed("store", "add", ACCOUNT_ID, POI_ID, "人民广场店")
    assert merchant.name in operator.succeed("merchant", "list")
    assert "一切正常" in operator.succeed("doctor")
    response = operator.list_certificates(operator.login())
    assert len(response.json()["certificates"]) == 7


def test_a_suspended_merchant_is_not_a_failed_check(operator: Operator) -> None:
    operator.succeed("--yes", "store", "remove", ACCOUNT_ID, OTHER_POI_ID)
    operator.succeed("--yes", "merchant", "suspend", ACCOUNT_ID)
    assert operator.failed_checks() == {}
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
    assert "session-key add" in operator.failed_checks()["secret", SECRET]["english"]
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
        operator.succeed("session-key", "add")
        assert "not due yet" in operator.fail(3, "session-key", "use"), "some instances do not know the new key yet"
        time.sleep(15)
        # Every instance has met the new key by now; the tool also waits for those that serve no request.
        operator.succeed("session-key", "use", clock_offset=keys.PROPAGATION_SECONDS)
        time.sleep(3)
        assert "not due yet" in operator.fail(3, "session-key", "retire"), "sessions of the old key are still valid"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(statuses) > 100
    assert set(statuses) == {200}
    new_session = operator.login()
    later = 7200 + 2 * keys.PROPAGATION_SECONDS
    assert "retire: done" in operator.succeed("--yes", "session-key", "retire", clock_offset=later)
    assert operator.list_certificates(new_session).status_code == 200
