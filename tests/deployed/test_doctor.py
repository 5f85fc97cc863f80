"""`redeemctl doctor` on a healthy stage, on three broken ones, and where AWS answers nothing or refuses.

`tests/unit/redeemctl/test_doctor.py` has a table for each judgment.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from infra import rollback, smoke
from infra.bundle import ARCHIVES, ROOT
from infra.chalice_state import rule_name
from infra.stage_settings import StageError, settings_path
from redeemctl.doctor import resources
from redeemctl.doctor.resources import MAX_ASKED_APPS, MAX_ASKED_MERCHANTS
from sandbox import sample_data, stack
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    APP_SECRET,
    CUSTOMER,
    OTHER_ACCOUNT_ID,
    OTHER_APP_ID,
    POI_ID,
    UNKNOWN_ACCOUNT_ID,
)
from sandbox.stack import API_FUNCTION, RENEWAL_FUNCTION, STAGE
from tests.aws_proxy import AwsProxy, Refusal, run_aws_proxy
from tests.deployed.test_deployment import import_api
from tests.operators import SECRET, TABLE, Operator, run_operator

RULE = rule_name(STAGE)
ACCESS_LOG = f"/aws/apigateway/{API_FUNCTION}"
TOPIC = f"arn:aws:sns:us-east-1:000000000000:{API_FUNCTION}-alarms"
TOKEN = {"pk": {"S": f"TOKEN#{APP_ID}"}}
DOMAIN_IDS = {"domain"}
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
DOMAIN_SETTINGS = """[domain]
name = "api.example.invalid"
certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/sample"
"""


class DoctorOperator(Operator):
    """An operator behind a proxy that can refuse calls of AWS."""

    def __init__(self, platform: stack.Process, proxy: AwsProxy, folder: Path) -> None:
        super().__init__(platform, proxy, folder)  # type: ignore[arg-type]  # only the URL is used
        self.proxy = proxy

    def client(self, service: str) -> Any:
        return self.account.client(service)

    def put_row(self, pk: str, **attributes: Any) -> None:
        self.client("dynamodb").put_item(TableName=TABLE, Item={"pk": {"S": pk}, **attributes})

    def delete_rows(self, *pks: str) -> None:
        for pk in pks:
            self.client("dynamodb").delete_item(TableName=TABLE, Key={"pk": {"S": pk}})

    def restart_instances(self) -> None:
        """Replace all instances: the next request starts one with empty caches."""
        self.client("lambda").update_function_configuration(FunctionName=API_FUNCTION, Timeout=15)

    def deployed_code(self) -> list[str]:
        """Return the hash of each function's code."""
        return [function["CodeSha256"] for function in self.client("lambda").list_functions()["Functions"]]


@pytest.fixture(scope="module")
def empty_account(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorOperator]:
    del archive
    with run_operator(tmp_path_factory.mktemp("project")) as operator, run_aws_proxy(operator.stack.aws.url) as proxy:
        yield DoctorOperator(operator.stack.platform, proxy, operator.stack.folder)


@pytest.fixture(scope="module")
def before_deployment(empty_account: DoctorOperator) -> list[dict[str, Any]]:
    """What doctor finds before the deployment, as a process, as the operator runs it."""
    command = [sys.executable, "-m", "redeemctl", "--project", str(empty_account.stack.folder), "doctor", "--json"]
    process = subprocess.run(command, env=empty_account.environment(), capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    findings: list[dict[str, Any]] = json.loads(process.stdout)
    return findings


@pytest.fixture(scope="module")
def deployed_operator(empty_account: DoctorOperator, before_deployment: list[Any]) -> DoctorOperator:
    del before_deployment
    empty_account.stack.deploy()
    stack.write_secret(empty_account.client("secretsmanager"), SECRET, sample_data.load())
    return empty_account


@pytest.fixture
def operator(deployed_operator: DoctorOperator) -> Iterator[DoctorOperator]:
    """A healthy stage with the sample data: deployed and subscribed. Each test repairs it."""
    rows = deployed_operator.client("dynamodb").scan(TableName=TABLE)["Items"]
    deployed_operator.delete_rows(*(row["pk"]["S"] for row in rows))
    stack.write_merchants(deployed_operator.client("dynamodb"), TABLE, sample_data.load())
    deployed_operator.client("sns").subscribe(TopicArn=TOPIC, Protocol="email", Endpoint="oncall@example.com")
    deployed_operator.restart_instances()
    yield deployed_operator
    deployed_operator.proxy.refuse = lambda _: None
    deployed_operator.set_fault()


def documented_ids(page: str) -> set[str]:
    """Return the ids of the checks that a page lists."""
    section = (ROOT / "docs" / page).read_text(encoding="utf-8").split("\n## doctor\n")[1].split("\n## ")[0]
    return {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}


IDS = documented_ids("operate.md")


def test_both_pages_list_the_same_checks() -> None:
    assert documented_ids("operate.zh-CN.md") == IDS


def outcomes(findings: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the outcomes of each check."""
    found: dict[str, set[str]] = {}
    for finding in findings:
        found.setdefault(finding["id"], set()).add(finding["outcome"])
    return found


def test_before_the_deployment_everything_is_missing_and_nothing_is_well(before_deployment: list[Any]) -> None:
    found = outcomes(before_deployment)
    assert found.keys() == IDS - DOMAIN_IDS
    failed = [finding for finding in before_deployment if finding["outcome"] == "failed"]
    assert {f["id"] for f in failed} == {
        "table", "secret", "stack", "function", "api", "schedule", "alarms.subscription"}  # fmt: skip
    assert all(finding["advice"].startswith("run make deploy STAGE=dev") for finding in failed)
    assert {check for check, seen in found.items() if seen == {"ok"}} == {"aws.identity"}
    assert found["settings"] == {"warning"}, "the generated files are older than the settings"


def test_a_healthy_stage_passes_every_check(operator: DoctorOperator) -> None:
    findings = operator.diagnose()
    assert outcomes(findings) == {check: {"ok"} for check in IDS - DOMAIN_IDS}
    assert not any(finding["advice"] for finding in findings)
    human = operator.succeed("doctor").splitlines()
    assert human[-1] == f"all {len(findings)} checks passed"
    assert "✓ function (2) functions, roles" in human
    assert "✓ merchant (3) 7100000000000000001, 7100000000000000003, 7100000000000000002" in human


def test_what_was_changed_by_hand_in_aws_is_reported(operator: DoctorOperator) -> None:
    functions, events, logs = operator.client("lambda"), operator.client("events"), operator.client("logs")
    variables = functions.get_function_configuration(FunctionName=API_FUNCTION)["Environment"]["Variables"]
    changed = {"Variables": {**variables, "SESSION_TTL_SECONDS": "3600"}}
    functions.update_function_configuration(FunctionName=API_FUNCTION, Environment=changed, MemorySize=512)
    for function in (RENEWAL_FUNCTION, API_FUNCTION):
        policy = json.loads(functions.get_policy(FunctionName=function)["Policy"])
        for statement in policy["Statement"]:
            functions.remove_permission(FunctionName=function, StatementId=statement["Sid"])
    role = f"{API_FUNCTION}-refresh_tokens"
    operator.client("iam").put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(ANYTHING))
    operator.client("iam").put_role_policy(RoleName=role, PolicyName="debug", PolicyDocument=json.dumps(ANYTHING))
    operator.client("iam").attach_role_policy(RoleName=role, PolicyArn=ADMINISTRATOR)
    events.disable_rule(Name=RULE)
    [api] = operator.client("apigateway").get_rest_apis()["items"]
    limit = [{"op": "replace", "path": "/*/*/throttling/burstLimit", "value": "7"}]
    operator.client("apigateway").update_stage(restApiId=api["id"], stageName="api", patchOperations=limit)
    metric_filter, _ = logs.describe_metric_filters(logGroupName=ACCESS_LOG)["metricFilters"]
    logs.delete_metric_filter(logGroupName=ACCESS_LOG, filterName=metric_filter["filterName"])
    operator.client("dynamodb").update_table(TableName=TABLE, DeletionProtectionEnabled=False)

    findings = operator.diagnose()
    [advice] = {f["advice"] for f in findings if "it has other policies" in f["text"]}
    assert advice == f"run make deploy STAGE={STAGE} REPAIR=1, as an administrator", "a deployment leaves them"
    failed = [(f["id"], f["what"], f["text"]) for f in findings if f["outcome"] == "failed"]
    assert sorted(failed) == sorted([
        ("function", API_FUNCTION, "MemorySize is 512, expected 1024"),
        ("function", API_FUNCTION, "variables differ: SESSION_TTL_SECONDS"),
        ("function", f"role {role}", f"the policy differs from .chalice/policy-{STAGE}-refresh.json"),
        ("function", f"role {role}", "it has other policies, too: AdministratorAccess, debug"),
        ("schedule", RULE, "state is DISABLED, expected ENABLED"),
        ("schedule", RULE, "EventBridge may not invoke the function"),
        ("api", api["id"], "limit of */* is (100.0, 7), expected (100, 200)"),
        ("api", api["id"], "API Gateway may not invoke the function"),
        ("stack", f"metric filter {metric_filter['filterName']}", "missing"),
        ("table", TABLE, "not enabled: deletion protection"),
    ])  # fmt: skip

    with pytest.raises(StageError, match=r"it has other policies, too(?s:.*)REPAIR=1, as an administrator"):
        operator.stack.deploy()
    operator.client("dynamodb").update_table(TableName=TABLE, DeletionProtectionEnabled=True)
    # As the repair does, which the emulated CloudFormation lacks.
    operator.client("iam").detach_role_policy(RoleName=role, PolicyArn=ADMINISTRATOR)
    operator.client("iam").delete_role_policy(RoleName=role, PolicyName="debug")
    logs.put_metric_filter(logGroupName=ACCESS_LOG, **{
        name: metric_filter[name] for name in ("filterName", "filterPattern", "metricTransformations")})  # fmt: skip
    assert outcomes(operator.diagnose()) == {check: {"ok"} for check in IDS - DOMAIN_IDS}


def test_wrong_secrets_and_rows_and_what_the_platform_refuses_are_reported(operator: DoctorOperator) -> None:
    value = operator.get_secret()
    operator.put_secret(json.dumps({**value, "apps": {**value["apps"], APP_ID: "another-secret"}}))
    operator.delete_rows(TOKEN["pk"]["S"])
    operator.put_row("MERCHANT#8", app_id={"S": "ttunknown"})
    operator.put_row("MERCHANT#9", app_id={"S": APP_ID}, token_id={"S": "erp"})
    operator.put_row("MERCHANT#odd", app_id={"N": "1"})
    findings = operator.diagnose()
    found = {(f["id"], f["what"]): f for f in findings if f["outcome"] in ("failed", "not_checked")}
    for check, what, text, advice in (
        (
            "login",
            APP_ID,
            "platform error 40017: the platform refuses app id or app secret",
            "app add APP_ID (检查secret",
        ),
        ("token", APP_ID, "platform error 10013: the platform refuses", "app add APP_ID"),
        ("token", "erp", "is missing or malformed; another system renews it", "the row TOKEN#<token_id>"),
        ("merchant", "8", "its app ttunknown is not in the secret", "app add ttunknown"),
        ("merchant", "9", "not checked: the token erp is not available", "the check token"),
        ("merchant", "odd", "malformed row: attribute app_id is not a string", "merchant remove ACCOUNT_ID"),
        ("merchant", ACCOUNT_ID, f"not checked: the token {APP_ID} is not available", "the check token"),
    ):
        assert text in found[check, what]["text"]
        assert advice in found[check, what]["advice"]
    assert APP_SECRET not in json.dumps(findings)
    operator.delete_rows("MERCHANT#8", "MERCHANT#9", "MERCHANT#odd")
    operator.put_secret('{"apps": []}')
    assert outcomes(operator.diagnose())["secret"] == {"failed"}
    for is_final in (False, True):
        window = {"ForceDeleteWithoutRecovery": True} if is_final else {"RecoveryWindowInDays": 7}
        operator.client("secretsmanager").delete_secret(SecretId=SECRET, **window)
        [secret] = [finding for finding in operator.diagnose() if finding["id"] == "secret"]
        assert (secret["outcome"], secret["text"]) == ("failed", "it does not exist, or is to be deleted")
    operator.client("secretsmanager").create_secret(Name=SECRET, SecretString=json.dumps(value))
    operator.delete_rows(TOKEN["pk"]["S"])
    operator.restart_instances()
    operator.set_fault(kind="code", call="query_user_certificates", code=2190004)
    merchants = [finding for finding in operator.diagnose() if finding["id"] == "merchant"]
    assert {finding["outcome"] for finding in merchants} == {"failed"}, merchants
    assert len({finding["logid"] for finding in merchants}) == len(merchants) == 3
    human = operator.run("doctor").stdout
    assert re.search(r"✗ merchant \(\d\) 71000000000000000\d+ \(logid ", human), "equal findings are printed together"
    assert "→ the capability: docs/go-live.md, step D5; " in human


def test_a_token_is_renewed_only_if_it_has_expired_and_not_in_a_dry_run(operator: DoctorOperator) -> None:
    operator.diagnose()
    dynamodb = operator.client("dynamodb")
    before = dynamodb.get_item(TableName=TABLE, Key=TOKEN)["Item"]
    operator.diagnose()
    assert dynamodb.get_item(TableName=TABLE, Key=TOKEN)["Item"] == before
    dynamodb.put_item(TableName=TABLE, Item={**before, "expires_at": {"N": str(int(time.time()) - 1)}})
    [token] = [f for f in operator.diagnose("--dry-run") if f["id"] == "token" and f["what"] == APP_ID]
    assert token["outcome"] == "not_checked"
    [token] = [f for f in operator.diagnose() if f["id"] == "token" and f["what"] == APP_ID]
    assert token["text"].startswith("renewed now")


def test_apps_of_a_service_provider_are_checked_with_the_tokens_of_their_rows(operator: DoctorOperator) -> None:
    value, row = operator.get_secret(), f"TOKEN#{OTHER_APP_ID}"
    others = {f"tt{number}": "" for number in range(30)}
    operator.put_secret(json.dumps({**value, "apps": {**others, **value["apps"], OTHER_APP_ID: ""}}))
    operator.restart_instances()
    found = operator.diagnose()
    logins = {f["what"]: f["outcome"] for f in found if f["id"] == "login"}
    assert (logins.pop("11 others"), logins.pop(APP_ID)) == ("ok", "ok")
    assert len(logins) == MAX_ASKED_APPS
    assert set(logins.values()) == {"not_checked"}, "no provider's app has a token"
    assert {f["what"] for f in found if (f["id"], f["outcome"]) == ("token", "failed")} == {OTHER_APP_ID, *others}
    assert outcomes(found)["api.login"] == {"ok"}, "of an own app"

    operator.put_secret(json.dumps({**value, "apps": {**value["apps"], OTHER_APP_ID: ""}}))
    token = stack.create_provider_token(operator.stack.platform.url, OTHER_APP_ID)
    for code, lifetime, login, text in (
        (0, 7200, "ok", "accepts app id and token"),
        (28001007, 7200, "warning", "refuses code or app id (28001007)"),
        (28001003, 7200, "failed", "the platform refuses the access token"),
        (0, -1, "not_checked", "its token is not available"),
    ):
        operator.set_fault(
            **({"kind": "code", "call": "code2session", "code": code, "place": "err_no"} if code else {})
        )
        operator.put_row(row, access_token={"S": token}, expires_at={"N": str(int(time.time()) + lifetime)})
        checks = {f["id"]: f for f in operator.diagnose() if f["what"] in (OTHER_APP_ID, OTHER_ACCOUNT_ID)}
        assert (checks["login"]["outcome"], text in checks["login"]["text"]) == (login, True), checks
        seen = checks["token"]["outcome"], checks["merchant"]["outcome"]
        assert seen == (("ok", "ok") if lifetime > 0 else ("failed", "not_checked")), checks
    assert token not in json.dumps(checks)

    operator.put_secret(json.dumps({**value, "apps": {APP_ID: "", OTHER_APP_ID: ""}}))
    operator.delete_rows(f"MERCHANT#{OTHER_ACCOUNT_ID}")
    operator.put_row(f"MERCHANT#{UNKNOWN_ACCOUNT_ID}", app_id={"S": OTHER_APP_ID})
    for app_id in (APP_ID, OTHER_APP_ID):
        token = stack.create_provider_token(operator.stack.platform.url, app_id)
        expires_at = {"N": str(int(time.time()) + 7200)}
        operator.put_row(f"TOKEN#{app_id}", access_token={"S": token}, expires_at=expires_at)
    operator.restart_instances()
    found = operator.diagnose()
    assert outcomes(found)["api.login"] == {"ok"}, "also without an own app"
    merchants = {f["what"]: f["outcome"] for f in found if f["id"] == "merchant"}
    assert merchants.pop(UNKNOWN_ACCOUNT_ID) == "failed", "the platform does not know it"
    assert set(merchants.values()) == {"ok"}
    operator.put_secret(json.dumps(value))


def test_a_token_that_no_merchant_uses_is_neither_checked_nor_renewed(operator: DoctorOperator) -> None:
    for merchant in operator.read_json("merchant", "list"):
        operator.succeed("merchant", "add", merchant["account_id"], "--token-id", "erp")
    operator.put_row("TOKEN#erp", access_token={"S": "theirs"}, expires_at={"N": str(int(time.time()) + 3600)})
    operator.delete_rows(TOKEN["pk"]["S"])
    tokens = [(f["what"], f["outcome"]) for f in operator.diagnose() if f["id"] == "token"]
    assert tokens == [("erp", "ok")]
    assert "Item" not in operator.client("dynamodb").get_item(TableName=TABLE, Key=TOKEN)


def test_settings_that_are_wrong_or_not_deployed_are_reported(operator: DoctorOperator) -> None:
    path = settings_path(operator.stack.folder, STAGE)
    text = path.read_text(encoding="utf-8")
    path.write_text("memory = 1\n", encoding="utf-8")
    findings = operator.diagnose()
    assert "memory" in findings[0]["text"]
    assert outcomes(findings) == {"settings": {"failed", "not_checked"}}, "nothing else was checked"
    path.write_text(f'alarm_email = "nobody@example.com"\n{DOMAIN_SETTINGS}{text}', encoding="utf-8")
    findings = operator.diagnose()
    path.write_text(f'account = "111111111111"\n{text}', encoding="utf-8")
    other = operator.diagnose()
    assert "account 111111111111" in operator.fail(2, "merchant", "list")
    path.write_text(text, encoding="utf-8")
    assert outcomes(other)["aws.identity"] == {"failed", "not_checked"}
    assert "account 111111111111" in other[1]["text"]
    assert outcomes(findings).keys() == IDS
    failed = {(finding["id"], finding["what"]): finding for finding in findings if finding["outcome"] == "failed"}
    assert failed["domain", "api.example.invalid"]["text"] == "missing"
    assert ("api.health", "https://api.example.invalid") in failed
    assert "alarms.subscription" in {check for check, _ in failed}


def test_without_any_permission_nothing_is_called_well(operator: DoctorOperator) -> None:
    operator.proxy.refuse = lambda call: Refusal(400, "AccessDeniedException") if call.service != "sts" else None
    findings = operator.diagnose()
    human = operator.run("doctor")
    found = outcomes(findings)
    assert {check for check, seen in found.items() if seen == {"ok"}} == {"settings", "aws.identity"}
    assert {check for check, seen in found.items() if seen != {"not_checked"}} == {"settings", "aws.identity"}
    for operation in ("DescribeAlarms", "ListRolePolicies", "GetRestApis", "DescribeTable"):
        assert any(operation in finding["text"] for finding in findings)
    [table] = [finding for finding in findings if finding["id"] == "table"]
    assert table["text"] == "not checked: no permission for DescribeTable"
    assert f"{API_FUNCTION}-operator" in table["advice"]
    assert human.exit_code == 6
    assert "could not be checked" in human.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("operation", "check_id", "also"),
    [
        ("ListRolePolicies", "function", {"ok"}),
        ("GetSecretValue", "secret", set()),
        ("GetItem", "token", set()),
    ],
)
def test_only_the_check_of_a_denied_call_is_not_made(
    operator: DoctorOperator, operation: str, check_id: str, also: set[str]
) -> None:
    operator.proxy.refuse = lambda call: Refusal(400, "AccessDeniedException") if call.operation == operation else None
    findings = operator.diagnose()
    assert outcomes(findings)[check_id] == {"not_checked"} | also
    assert all("permission" in f["text"] for f in findings if (f["id"], f["outcome"]) == (check_id, "not_checked"))


def test_expired_credentials_are_named(operator: DoctorOperator) -> None:
    operator.proxy.refuse = lambda _: Refusal(403, "ExpiredToken")
    [identity] = operator.failed_checks().values()
    assert "ExpiredToken" in identity["text"]
    assert "log in to AWS" in identity["advice"]


def test_an_unreachable_aws_is_reported_after_three_attempts(operator: DoctorOperator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        for url in (f"http://127.0.0.1:{stack.free_port()}", f"http://127.0.0.1:{silent.getsockname()[1]}"):
            findings = operator.diagnose(AWS_ENDPOINT_URL=url)
            assert outcomes(findings) == {"settings": {"ok"}, "aws.identity": {"failed", "not_checked"}}
            assert "cannot be reached" in findings[1]["text"]
            assert "AWS_ENDPOINT_URL" in findings[1]["advice"]
        for _ in range(3):
            silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_list_that_fails_right_after_its_deployment_is_rolled_back_by_an_operator(
    operator: DoctorOperator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not deployed again, which would bring the same commit. From a clone that has never deployed or built anything."""
    monkeypatch.setattr(smoke, "HTTP_SECONDS", 0.0)
    former, apis = operator.deployed_code(), operator.client("apigateway").get_rest_apis()["items"]
    listing = operator.stack.folder / "chalicelib" / "certificates" / "listing.py"
    text = listing.read_text(encoding="utf-8")
    # Only there: a list that fails everywhere stops the deployment before any change.
    broken = "import os\nif 'AWS_LAMBDA_FUNCTION_NAME' in os.environ: CertificateLister.list_certificates = None"
    listing.write_text(f"{text}\n{broken}\n", encoding="utf-8")
    with pytest.raises(StageError, match=r"/certificates: HTTP 500 (?s:.*)make rollback STAGE=dev"):
        operator.stack.deploy()
    listing.write_text(text, encoding="utf-8")
    failed = [finding for finding in operator.diagnose() if finding["id"] == "merchant"]
    assert {f["outcome"] for f in failed} == {"failed"}
    assert all("right after a deployment: make rollback" in f["advice"] for f in failed)

    stack.copy_project(tmp_path)
    stack.set_platform_url(tmp_path, operator.stack.platform.url)
    shutil.rmtree(tmp_path / ARCHIVES)
    account = stack.emulated_account(operator.proxy.url, operator.credentials)
    lines: list[str] = []
    rollback.rollback(account, tmp_path, STAGE, lines.append)
    assert lines[-1] == "smoke test: passed"
    assert not (tmp_path / ARCHIVES).exists()
    assert operator.deployed_code() == former
    assert operator.client("apigateway").get_rest_apis()["items"] == apis
    assert outcomes(operator.diagnose())["merchant"] == {"ok"}


def test_a_second_api_is_reported_with_both_ids_and_stops_no_rollback(operator: DoctorOperator) -> None:
    client, lines = operator.client("apigateway"), list[str]()
    [api] = client.get_rest_apis()["items"]
    other = import_api(client)
    [finding] = [finding for (check, _), finding in operator.failed_checks().items() if check == "api"]
    account = stack.emulated_account(operator.proxy.url, operator.credentials)
    with pytest.raises(StageError, match="no kept build of commit"):
        rollback.rollback(account, operator.stack.folder, STAGE, lines.append, "0" * 12)
    client.delete_rest_api(restApiId=other)
    assert [api_id for api_id in (api["id"], other) if api_id not in finding["text"]] == []
    assert "delete-rest-api" in finding["advice"]


def test_few_lists_are_requested_one_after_the_other_and_none_after_a_rate_limit(
    operator: DoctorOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "LIST_PAUSE_SECONDS", 0.0)
    ids = [f"77{number:05d}" for number in range(30)]
    for account_id in ids:
        operator.put_row(f"MERCHANT#{account_id}", app_id={"S": APP_ID})
    data = {"error_code": 0, "description": "", "orders": [], "total": 0}
    empty = json.dumps({"data": data, "extra": {"error_code": 0, "sub_error_code": 0, "logid": "x"}})
    platform = operator.stack.platform.url

    def diagnose(*options: str, **variables: str) -> tuple[dict[str, str], set[str]]:
        """Return the outcomes of the merchants, and the account_ids whose lists the platform was asked for."""
        requests.delete(f"{platform}/_sandbox/calls", timeout=10)
        findings = operator.diagnose(*options, **variables)
        calls = requests.get(f"{platform}/_sandbox/calls", timeout=10).json()
        listed = {call["account_id"] for call in calls if call["call"] == "query_user_certificates"}
        return {f["what"]: f["outcome"] for f in findings if f["id"] == "merchant"}, listed

    operator.set_fault(kind="body", call="query_user_certificates", body=empty)
    found, asked = diagnose()
    assert found.pop("13 others") == "ok"
    assert (len(found), set(found.values()), {*found}) == (MAX_ASKED_MERCHANTS, {"ok"}, asked)
    assert OTHER_ACCOUNT_ID in found, "the only merchant of its app"
    found, asked = diagnose("--merchant", ids[-1])
    assert (found, asked) == ({ids[-1]: "ok", "32 others": "ok"}, {ids[-1]})
    found, asked = diagnose("--merchant", "4711")
    assert (found, asked) == ({"4711": "failed", "33 others": "ok"}, set())
    operator.proxy.refuse = lambda call: Refusal(400, "AccessDenied") if call.operation == "Scan" else None
    assert {*diagnose("--merchant", "4711")[0].values()} == {"not_checked"}
    operator.proxy.refuse = lambda _: None

    stack.set_faults(platform, {"kind": "code", "code": 2119003, "call": "query_user_certificates", "skip": 2})
    found, asked = diagnose()
    assert (found.pop("17 others"), found.pop("13 others")) == ("not_checked", "ok")
    assert [*found.values()].count("not_checked") == 1
    assert len(asked) == len(found) == 3
    assert operator.run("doctor").exit_code == 6

    operator.set_fault(kind="reset", call="query_user_certificates")
    found, asked = diagnose()
    assert [*found.values()] == ["failed", "not_checked", "ok"]
    assert len(asked) == 1
    operator.delete_rows(*(f"MERCHANT#{account_id}" for account_id in ids))


def test_a_wrong_secret_is_named_in_the_pause_after_it(operator: DoctorOperator) -> None:
    value = operator.get_secret()
    operator.put_secret(json.dumps({**value, "apps": {**value["apps"], APP_ID: "another-secret"}}))
    operator.put_row(TOKEN["pk"]["S"], access_token={"S": "old"}, expires_at={"N": "1"})
    for _ in range(3):
        [token] = [f for f in operator.diagnose() if (f["id"], f["what"]) == ("token", APP_ID)]
        assert "10013: the platform refuses app id or app secret" in token["text"]
        assert "app add APP_ID" in token["advice"]
    operator.put_secret(json.dumps(value))


def test_the_steps_of_the_runbook_need_nothing_but_the_operators_policy(
    operator: DoctorOperator, tmp_path: Path
) -> None:
    """Besides the rollback above. The emulated AWS refuses what the policy does not allow.

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
    versions = secrets.list_secret_version_ids(SecretId=SECRET)["Versions"]
    labels = {label: version["VersionId"] for version in versions for label in version["VersionStages"]}
    assert labels["redeemctl"] not in (labels["AWSCURRENT"], labels["AWSPREVIOUS"])
    secrets.update_secret_version_stage(
        SecretId=SECRET, VersionStage="AWSCURRENT",
        RemoveFromVersionId=labels["AWSCURRENT"], MoveToVersionId=labels["redeemctl"],
    )  # fmt: skip
    assert operator.get_secret() == written

    # Without the login of a customer, not everything can be confirmed.
    options = ("--app", APP_ID, "--merchant", ACCOUNT_ID, "--store", POI_ID, "--output", str(tmp_path))
    assert operator.run("--yes", "acceptance", *options).exit_code in (0, 1)
    assert "AccessDenied" not in (tmp_path / "report.md").read_text(encoding="utf-8")
    for command in (("app", "list"), ("token", "show"), ("--yes", "token", "renew", APP_ID)):
        operator.succeed(*command)
    assert [finding for finding in operator.diagnose() if finding["outcome"] != "ok"] == []


def test_customers_who_are_refused_are_named_from_the_log(operator: DoctorOperator) -> None:
    """With the operator's policy. Lists in logins count, and those of checks do not.

    The last test: what it leaves in the log is a finding for a day.
    """
    url, lists = operator.stack.api_url, "/v1/merchants/{}/stores/1/certificates"
    operator.put_row(f"MERCHANT#{UNKNOWN_ACCOUNT_ID}", app_id={"S": APP_ID})
    session = operator.login()
    for _ in range(2):
        assert requests.get(url + lists.format(UNKNOWN_ACCOUNT_ID), headers=session, timeout=30).status_code == 403
    code = stack.create_login_code(operator.stack.platform.url, APP_ID, CUSTOMER)
    wanted = {"account_id": UNKNOWN_ACCOUNT_ID, "poi_id": "1"}
    body = {"app_id": APP_ID, "code": code, "list": wanted}
    assert "list_problem" in requests.post(f"{url}/v1/sessions", json=body, timeout=30).json()
    # Callers' mistakes: of a list, and of a login that does not reach its list.
    requests.get(url + lists.format(OTHER_ACCOUNT_ID), timeout=30)
    requests.post(f"{url}/v1/sessions", json=body | {"list": wanted | {"account_id": OTHER_ACCOUNT_ID}}, timeout=30)
    requests.get(url + lists.format("removed"), headers=session, timeout=30)
    requests.get(f"{url}/v1/merchants/removed/stores", timeout=30)
    requests.get(f"{url}/v1/merchants/{OTHER_ACCOUNT_ID}/stores", timeout=30)
    assert operator.list_certificates(session).status_code == 200
    smoke_test = smoke.UNKNOWN_MERCHANT
    assert smoke.send(url, smoke_test).status_code == 404

    found = {f["what"]: f for f in operator.diagnose() if f["id"] == "merchant.log" and f["outcome"] != "ok"}
    human = operator.run("doctor").stdout
    refused, removed = found.pop(UNKNOWN_ACCOUNT_ID), found.pop("removed")
    assert found == {}
    assert (refused["outcome"], refused["count"]) == ("failed", 3)
    assert refused["text"] == "all lists of the last 24 hours have failed: merchant_not_authorized"
    assert (removed["outcome"], removed["count"]) == ("warning", 2)
    assert f"✗ merchant.log {UNKNOWN_ACCOUNT_ID} (3 requests)" in human

    operator.proxy.refuse = lambda call: Refusal(400, "AccessDenied") if call.operation == "StartQuery" else None
    [denied] = [finding for finding in operator.diagnose() if finding["id"] == "merchant.log"]
    assert (denied["outcome"], denied["text"]) == ("not_checked", "not checked: no permission for StartQuery")
    operator.delete_rows(f"MERCHANT#{UNKNOWN_ACCOUNT_ID}")
