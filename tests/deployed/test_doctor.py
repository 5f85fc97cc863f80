"""`redeemctl doctor` on a stage before and after its deployment, after changes by hand, and where AWS refuses.

`tests/unit/redeemctl/test_doctor.py` has a table for each judgment, `tests/service/test_doctor.py` tokens and logins.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from infra import rollback, smoke
from infra.bundle import ARCHIVES
from infra.stage_settings import StageError, settings_path
from sandbox import sample_data, stack
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    APP_SECRET,
    OTHER_POI_ID,
    POI_ID,
)
from sandbox.stack import API_FUNCTION, STAGE
from tests.aws_proxy import AwsProxy, Refusal, run_aws_proxy
from tests.harness import LIST_URL, age_claim
from tests.operators import SECRET, TABLE, Operator, run_operator

TOPIC = f"arn:aws:sns:us-east-1:000000000000:{API_FUNCTION}-alarms"


class DoctorOperator(Operator):
    """An operator behind a proxy that can refuse calls of AWS."""

    def __init__(self, platform: stack.Process, proxy: AwsProxy, folder: Path) -> None:
        super().__init__(platform, proxy, folder)  # type: ignore[arg-type]  # only the URL is used
        self.proxy = proxy

    def client(self, service: str) -> Any:
        return self.account.client(service)

    def diagnose(self, *arguments: str, **options: str) -> list[dict[str, Any]]:
        """Run `redeemctl doctor`, check its exit code, and return its findings."""
        result = self.run("doctor", "--json", *arguments, **options)
        findings: list[dict[str, Any]] = json.loads(result.stdout)
        outcomes = {finding["outcome"] for finding in findings}
        assert outcomes <= {"ok", "warning", "failed", "not_checked"}
        assert result.exit_code == (1 if "failed" in outcomes else 6 if "not_checked" in outcomes else 0)
        return findings

    def deployed_code(self) -> list[str]:
        """Return the hash of each function's code."""
        return [function["CodeSha256"] for function in self.client("lambda").list_functions()["Functions"]]


@pytest.fixture(scope="module")
def empty_account(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorOperator]:
    del archive
    with run_operator(tmp_path_factory.mktemp("project")) as operator, run_aws_proxy(operator.sandbox.aws.url) as proxy:
        yield DoctorOperator(operator.sandbox.platform, proxy, operator.sandbox.folder)


@pytest.fixture(scope="module")
def before_deployment(empty_account: DoctorOperator) -> list[dict[str, Any]]:
    """What doctor finds before the deployment, as a process, as the operator runs it."""
    command = [sys.executable, "-m", "redeemctl", "--project", str(empty_account.sandbox.folder), "doctor", "--json"]
    process = subprocess.run(command, env=empty_account.environment(), capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    findings: list[dict[str, Any]] = json.loads(process.stdout)
    return findings


@pytest.fixture(scope="module")
def deployed_operator(empty_account: DoctorOperator, before_deployment: list[Any]) -> DoctorOperator:
    """A deployed stage without an app or a merchant."""
    del before_deployment
    empty_account.sandbox.deploy()
    return empty_account


@pytest.fixture
def operator(deployed_operator: DoctorOperator) -> Iterator[DoctorOperator]:
    """The deployed stage with the sample data, and somebody who gets its alarms. The tests follow each other."""
    dynamodb = deployed_operator.client("dynamodb")
    for row in dynamodb.scan(TableName=TABLE)["Items"]:
        dynamodb.delete_item(TableName=TABLE, Key={"pk": row["pk"]})
    stack.write_merchants(dynamodb, TABLE, sample_data.load())
    stack.write_secret(deployed_operator.client("secretsmanager"), SECRET, sample_data.load())
    deployed_operator.client("sns").subscribe(TopicArn=TOPIC, Protocol="email", Endpoint="oncall@example.com")
    # Replaces all instances: the next request starts one with empty caches.
    deployed_operator.client("lambda").update_function_configuration(FunctionName=API_FUNCTION, Timeout=15)
    yield deployed_operator
    deployed_operator.proxy.refuse = lambda _: None
    deployed_operator.set_fault()


IDS = {
    "settings", "secret", "api", "api.health", "api.route", "api.table", "api.secret", "api.login",
    "alarms.subscription", "login", "merchant", "token",
}  # fmt: skip


def outcomes(findings: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the outcomes of each check."""
    found: dict[str, set[str]] = {}
    for finding in findings:
        found.setdefault(finding["id"], set()).add(finding["outcome"])
    return found


def test_before_the_deployment_everything_is_missing_and_nothing_is_well(before_deployment: list[Any]) -> None:
    failed = [finding for finding in before_deployment if finding["outcome"] == "failed"]
    assert [finding["id"] for finding in failed] == ["secret", "api", "alarms.subscription"]
    assert all(finding["advice"].startswith("run make deploy STAGE=dev") for finding in failed)
    assert [finding["id"] for finding in before_deployment if finding["outcome"] == "ok"] == ["settings"]


def test_after_deployment_and_onboarding_a_customer_gets_the_list(deployed_operator: DoctorOperator) -> None:
    """With the operator's commands."""
    operator = deployed_operator
    assert [found["id"] for found in operator.diagnose() if found["outcome"] == "failed"] == ["secret"]
    assert APP_SECRET not in operator.succeed("app", "add", APP_ID, REDEEMCTL_APP_SECRET=APP_SECRET)
    merchant = sample_data.load().merchants[ACCOUNT_ID]
    add_merchant = ["merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--name", merchant.name]
    add_merchant += ["--life-account-id", merchant.life_account_id, "--store", f"{OTHER_POI_ID}=徐家汇店"]
    assert "saved" in operator.succeed(*add_merchant)
    assert "saved" in operator.succeed("store", "add", ACCOUNT_ID, POI_ID, "人民广场店")
    headers = stack.log_in(operator.sandbox.api_url, operator.sandbox.platform.url)
    response = requests.get(f"{operator.sandbox.api_url}{LIST_URL}", headers=headers, timeout=30)
    assert len(response.json()["certificates"]) == 7


def test_a_healthy_stage_passes_every_check(operator: DoctorOperator) -> None:
    findings = operator.diagnose()
    assert outcomes(findings) == {check: {"ok"} for check in IDS}
    assert not any(finding["advice"] for finding in findings)
    human = operator.succeed("doctor").splitlines()
    assert human[-1] == f"all {len(findings)} checks passed"
    assert f"✓ merchant {ACCOUNT_ID}: the endpoint returns a list" in human


def test_settings_that_are_wrong_stop_every_other_check(operator: DoctorOperator) -> None:
    path = settings_path(operator.sandbox.folder, STAGE)
    text = path.read_text(encoding="utf-8")
    path.write_text(f'account = "111111111111"\n{text}', encoding="utf-8")
    assert "account 111111111111" in operator.fail(2, "merchant", "list")
    findings = operator.diagnose()
    path.write_text(text, encoding="utf-8")
    assert "account 111111111111" in findings[0]["text"]
    assert outcomes(findings) == {"settings": {"failed"}}


def test_without_any_permission_nothing_is_called_well(operator: DoctorOperator) -> None:
    operator.proxy.refuse = lambda call: Refusal(400, "AccessDeniedException") if call.service != "sts" else None
    findings = operator.diagnose()
    assert {finding["id"]: finding["outcome"] for finding in findings if finding["outcome"] != "not_checked"} == {
        "settings": "ok"
    }
    [api] = [finding for finding in findings if finding["id"] == "api"]
    assert api["text"] == "no permission for GetRestApis"
    assert f"{API_FUNCTION}-operator" in api["advice"]


def test_the_steps_of_the_runbook_need_nothing_but_the_operators_policy(operator: DoctorOperator) -> None:
    """Besides the rollback below. The emulated AWS refuses what the policy does not allow.

    After two wrong edits of the secret, AWSPREVIOUS is wrong too: the version of redeemctl is restored.
    """
    account = stack.emulated_account(operator.proxy.url, operator.credentials)
    logs, group = account.client("logs"), f"/aws/lambda/{API_FUNCTION}"
    query = logs.start_query(logGroupName=group, startTime=0, endTime=1, queryString="fields @message")
    logs.get_query_results(queryId=query["queryId"])
    logs.describe_log_streams(logGroupName=group)
    logs.filter_log_events(logGroupName=group, filterPattern="ERROR")

    secrets = account.client("secretsmanager")
    operator.succeed("--yes", "session-key", "rotate")
    written = operator.get_secret()
    for text in ("{", '{"apps": []}'):
        operator.put_secret(text)
    assert outcomes(operator.diagnose())["secret"] == {"failed"}
    versions = secrets.list_secret_version_ids(SecretId=SECRET)["Versions"]
    labels = {label: version["VersionId"] for version in versions for label in version["VersionStages"]}
    assert labels["redeemctl"] not in (labels["AWSCURRENT"], labels["AWSPREVIOUS"])
    secrets.update_secret_version_stage(
        SecretId=SECRET, VersionStage="AWSCURRENT",
        RemoveFromVersionId=labels["AWSCURRENT"], MoveToVersionId=labels["redeemctl"],
    )  # fmt: skip
    assert operator.get_secret() == written

    # Without the login of a customer, not everything can be confirmed.
    result = operator.run("acceptance", "--app", APP_ID, "--merchant", ACCOUNT_ID, "--store", POI_ID)
    assert result.exit_code in (0, 1)
    assert "AccessDenied" not in result.output
    # The acceptance has minted a moment ago.
    age_claim(operator.account.client("dynamodb"), TABLE)
    for command in (("app", "list"), ("token", "show"), ("--yes", "token", "renew", APP_ID)):
        operator.succeed(*command)


def test_a_list_that_fails_right_after_its_deployment_is_rolled_back_by_an_operator(
    operator: DoctorOperator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not deployed again, which would bring the same commit. From a clone that has never deployed or built anything."""
    monkeypatch.setattr(smoke, "REPEAT_SECONDS", 0.0)
    former, apis = operator.deployed_code(), operator.client("apigateway").get_rest_apis()["items"]
    listing = operator.sandbox.folder / "chalicelib" / "certificates" / "listing.py"
    text = listing.read_text(encoding="utf-8")
    # Only there: a list that fails everywhere stops the deployment before any change.
    broken = "import os\nif 'AWS_LAMBDA_FUNCTION_NAME' in os.environ: CertificateLister.list_certificates = None"
    listing.write_text(f"{text}\n{broken}\n", encoding="utf-8")
    with pytest.raises(StageError, match=r"/certificates: internal_error \(HTTP 500\)(?s:.*)make rollback STAGE=dev"):
        operator.sandbox.deploy()
    listing.write_text(text, encoding="utf-8")

    stack.copy_project(tmp_path)
    stack.write_stage_settings(tmp_path, operator.sandbox.platform.url)
    shutil.rmtree(tmp_path / ARCHIVES)
    account = stack.emulated_account(operator.proxy.url, operator.credentials)
    lines: list[str] = []
    rollback.rollback(account, tmp_path, STAGE, lines.append)
    assert lines[-1] == "smoke test: passed"
    assert not (tmp_path / ARCHIVES).exists()
    assert operator.deployed_code() == former
    assert operator.client("apigateway").get_rest_apis()["items"] == apis
