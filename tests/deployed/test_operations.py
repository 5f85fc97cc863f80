"""Onboarding in the emulated AWS, from an empty account to a customer's list, with the operator's commands.

`test_redeemctl` tests the commands one by one, `test_doctor` the diagnosis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.bundle import copy_project
from sandbox import sample_data, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, OTHER_POI_ID, POI_ID
from tests.operators import SECRET, Operator

if TYPE_CHECKING:
    from pathlib import Path


def test_after_deployment_and_onboarding_a_customer_gets_the_list(archive: Path, tmp_path: Path) -> None:
    del archive
    copy_project(tmp_path)
    with stack.run_server("sandbox.server") as platform, stack.run_server("sandbox.aws") as aws:
        stack.set_platform_url(tmp_path, platform.url)
        operator = Operator(platform, aws, tmp_path)
        operator.stack.deploy()
        assert set(operator.failed_checks()) == {("secret", SECRET)}
        assert APP_SECRET not in operator.succeed("app", "add", APP_ID, REDEEMCTL_APP_SECRET=APP_SECRET)
        merchant = sample_data.load().merchants[ACCOUNT_ID]
        add_merchant = ["merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--name", merchant.name]
        add_merchant += ["--life-account-id", merchant.life_account_id, "--store", f"{OTHER_POI_ID}=徐家汇店"]
        assert "saved" in operator.succeed(*add_merchant)
        assert "nothing to change" in operator.succeed(*add_merchant)
        assert "saved" in operator.succeed("store", "add", ACCOUNT_ID, POI_ID, "人民广场店")
        assert "nothing failed" in operator.succeed("doctor")
        response = operator.list_certificates(operator.login())
        assert len(response.json()["certificates"]) == 7
        operator.succeed("--yes", "merchant", "suspend", ACCOUNT_ID)
        assert operator.failed_checks() == {}, "a suspended merchant is no failed check"
