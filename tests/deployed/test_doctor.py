"""`redeemctl doctor` on a stage before and after its deployment, and where AWS refuses; what else an operator may do.

`tests/unit/redeemctl/test_doctor.py` has a table for each judgment.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from infra import rollback, smoke
from infra.bundle import ARCHIVES
from infra.stage_settings import StageError
from sandbox import sample_data, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, OTHER_APP_ID, POI_ID
from sandbox.stack import API_FUNCTION, STAGE
from tests import policies
from tests.harness import LIST_URL
from tests.operators import SECRET, TABLE, Operator, run_operator

NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}
TOPIC = f"arn:aws:sns:us-east-1:000000000000:{API_FUNCTION}-alarms"


def diagnose(operator: Operator, *arguments: str, **variables: str) -> list[dict[str, Any]]:
    """Run `redeemctl doctor`, check its exit code, and return its findings."""
    result = operator.run("doctor", "--json", *arguments, **variables)
    findings: list[dict[str, Any]] = json.loads(result.stdout)
    outcomes = {finding["outcome"] for finding in findings}
    assert outcomes <= {"ok", "warning", "failed", "not_checked"}
    assert result.exit_code == (1 if "failed" in outcomes else 6 if "not_checked" in outcomes else 0)
    return findings


def outcomes_of(findings: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the outcomes of each check."""
    found: dict[str, set[str]] = {}
    for finding in findings:
        found.setdefault(finding["id"], set()).add(finding["outcome"])
    return found


@pytest.fixture(scope="module")
def started(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Operator, list[Any]]]:
    """A deployed stage without an app or a merchant, and what doctor has found before the deployment."""
    del archive
    with run_operator(tmp_path_factory.mktemp("project")) as operator:
        findings = diagnose(operator)
        operator.sandbox.deploy()
        yield operator, findings


@pytest.fixture
def operator(started: tuple[Operator, list[Any]]) -> Operator:
    """The deployed stage with the sample data, and somebody who gets its alarms. The tests follow each other."""
    operator, _ = started
    client = operator.account.client
    for row in client("dynamodb").scan(TableName=TABLE)["Items"]:
        client("dynamodb").delete_item(TableName=TABLE, Key={"pk": row["pk"]})
    stack.write_merchants(client("dynamodb"), TABLE, sample_data.load())
    stack.write_secret(client("secretsmanager"), SECRET, sample_data.load())
    client("sns").subscribe(TopicArn=TOPIC, Protocol="email", Endpoint="oncall@example.com")
    # Replaces all instances: the next request starts one with empty caches.
    client("lambda").update_function_configuration(FunctionName=API_FUNCTION, Timeout=15)
    return operator


CHECKS = {
    "secret", "api", "alarms.subscription", "api.health", "api.route", "api.table", "api.secret", "login", "merchant",
    "token",
}  # fmt: skip


def test_before_the_deployment_everything_is_missing_and_nothing_is_well(started: tuple[Operator, list[Any]]) -> None:
    _, findings = started
    assert [finding["id"] for finding in findings] == ["secret", "api", "alarms.subscription"]
    assert {finding["outcome"] for finding in findings} == {"failed"}
    assert all(finding["advice"].startswith("run make deploy STAGE=dev") for finding in findings)


def test_after_the_onboarding_every_check_passes_and_a_customer_gets_the_list(
    started: tuple[Operator, list[Any]],
) -> None:
    operator, _ = started
    assert [found["id"] for found in diagnose(operator) if found["outcome"] == "failed"] == ["secret"]
    operator.account.client("sns").subscribe(TopicArn=TOPIC, Protocol="email", Endpoint="oncall@example.com")
    operator.succeed("app", "add", APP_ID, REDEEMCTL_APP_SECRET=APP_SECRET)
    life_account_id = sample_data.load().merchants[ACCOUNT_ID].life_account_id
    options = ["--life-account-id", life_account_id, "--store", f"{POI_ID}=人民广场店"]
    operator.succeed("merchant", "add", ACCOUNT_ID, "--app", APP_ID, *options)
    headers = stack.log_in(operator.sandbox.api_url, operator.sandbox.platform.url)
    response = requests.get(f"{operator.sandbox.api_url}{LIST_URL}", headers=headers, timeout=30)
    assert len(response.json()["certificates"]) == 7

    before = operator.account.client("dynamodb").scan(TableName=TABLE)["Items"]
    findings = diagnose(operator)
    assert outcomes_of(findings) == {check: {"ok"} for check in CHECKS}
    assert not any(finding["advice"] for finding in findings)
    human = operator.succeed("doctor").splitlines()
    assert human[-1] == f"all {len(findings)} checks passed"
    assert f"✓ merchant {ACCOUNT_ID}: the endpoint returns a list" in human
    assert operator.account.client("dynamodb").scan(TableName=TABLE)["Items"] == before, "doctor only reads"


def test_a_wrong_app_secret_is_named_with_its_app(operator: Operator) -> None:
    secret = operator.get_secret()
    operator.put_secret(json.dumps({**secret, "apps": {APP_ID: APP_SECRET, OTHER_APP_ID: "wrong"}}))
    findings = diagnose(operator)
    assert outcomes_of(findings)["login"] == {"ok", "failed"}
    [failed] = [finding for finding in findings if (finding["id"], finding["outcome"]) == ("login", "failed")]
    assert failed["what"] == OTHER_APP_ID
    assert "app_misconfigured (platform error" in failed["text"]
    assert failed["advice"] == "docs/run.md, By code: app_misconfigured"
    assert outcomes_of(diagnose(operator, "--merchant", ACCOUNT_ID)) == {check: {"ok"} for check in CHECKS}


def test_without_any_permission_nothing_is_called_well(operator: Operator) -> None:
    findings = diagnose(operator, **policies.create_user_with(operator.account.client("iam"), "nobody", NOTHING))
    assert {outcome for outcomes in outcomes_of(findings).values() for outcome in outcomes} == {"not_checked"}
    [api] = [finding for finding in findings if finding["id"] == "api"]
    assert api["text"] == "no permission for GetRestApis"
    assert f"{API_FUNCTION}-operator" in api["advice"]


def read_code(operator: Operator) -> list[str]:
    """Return the hash of each function's code."""
    return [f["CodeSha256"] for f in operator.account.client("lambda").list_functions()["Functions"]]


def test_a_list_that_fails_right_after_its_deployment_is_rolled_back_by_an_operator(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not deployed again, which would bring the same commit. From a clone that has never deployed or built anything."""
    monkeypatch.setattr(smoke, "REPEAT_SECONDS", 0.0)
    former = read_code(operator)
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
    account = stack.emulated_account(operator.sandbox.aws.url, operator.credentials)
    lines: list[str] = []
    rollback.rollback(account, tmp_path, STAGE, lines.append)
    assert lines[-1] == "smoke test: passed"
    assert not (tmp_path / ARCHIVES).exists()
    assert read_code(operator) == former
