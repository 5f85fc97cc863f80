"""The operator's tasks in the emulated AWS: onboarding, and key rotation under load.

`test_redeemctl` tests the commands one by one, `test_doctor` the diagnosis.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from infra.bundle import copy_project
from redeemctl import keys
from sandbox import sample_data, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, OTHER_POI_ID, POI_ID
from tests.operators import SECRET, Operator

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
    assert "nothing failed" in operator.succeed("doctor", "--language", "en")
    response = operator.list_certificates(operator.login())
    assert len(response.json()["certificates"]) == 7


def test_a_suspended_merchant_is_not_a_failed_check(operator: Operator) -> None:
    operator.succeed("--yes", "store", "remove", ACCOUNT_ID, OTHER_POI_ID)
    operator.succeed("--yes", "merchant", "suspend", ACCOUNT_ID)
    assert operator.failed_checks() == {}
    operator.succeed("merchant", "resume", ACCOUNT_ID)


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
