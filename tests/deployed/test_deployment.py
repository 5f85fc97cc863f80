"""Deployments from several clones into one account, with failures, other Pythons, and the quotas of AWS."""

import contextlib
import functools
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import requests
from botocore.exceptions import ClientError

from infra import bundle, cloudformation, deploy, smoke
from infra.account import Account
from infra.comparison import Target, expected_functions
from infra.destroy import destroy
from infra.stage_settings import StageError, read_stage_settings
from sandbox import stack
from sandbox.sample_data import APP_ID, CUSTOMER
from sandbox.stack import API_FUNCTION, RENEWAL_FUNCTION, STAGE
from tests import policies
from tests.aws_proxy import AwsHttpCall, AwsProxy, Refusal, run_aws_proxy
from tests.harness import IS_NIGHTLY, LIST_URL
from tests.unit.infra.fake_lambda import build_archive

DOMAIN = "api.example.com"
NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
DOMAIN_SETTINGS = f"""[domain]
name = "{DOMAIN}"
certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/sample"
default_endpoint = false
"""
UNCHANGED = "differences of deployed resources: none"
PASSED = "smoke test: passed"
LOG_ROLE = {
    "roles": ["douyin-redemption-api-logs-us-east-1"],
    "log role": ["arn:aws:iam::000000000000:role/douyin-redemption-api-logs-us-east-1"],
}
"""A setting of the account, which other APIs use too."""

READING = ("Get", "List", "Describe")
STEPS = {
    "cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet", "iam:PutRolePolicy",
    "lambda:CreateFunction", "events:PutRule", "events:PutTargets", "lambda:AddPermission",
    "apigateway:ImportRestApi", "apigateway:CreateDeployment", "apigateway:UpdateStage",
    "apigateway:PutGatewayResponse", "apigateway:CreateBasePathMapping",
}  # fmt: skip
"""Changes that a first deployment makes in the account; `make nightly` lets every other call fail as well."""


class Cloud:
    """An emulated AWS account behind a recording proxy, and the clones from which it is deployed."""

    def __init__(self, platform: stack.Process, proxy: AwsProxy, folder: Path) -> None:
        self.platform = platform
        self.proxy = proxy
        self.client = stack.emulated_account(proxy.aws_url).client
        """Creates clients of the tests' own, whose calls are not recorded."""
        self._folder = folder
        self._clones = 0

    @functools.cached_property
    def account(self) -> Account:
        """The account as a user sees it who has the deployer policy and nothing else."""
        keys = policies.create_user(self.client("iam"), "DeployerPolicy", STAGE)
        return stack.emulated_account(self.proxy.url, keys)

    def clone(self, settings: str = "") -> Path:
        """Return a new clone of the project, which has never deployed anything."""
        self._clones += 1
        folder = self._folder / f"clone{self._clones}"
        folder.mkdir()
        stack.copy_project(folder)
        stack.set_platform_url(folder, self.platform.url, settings)
        return folder

    def deploy(self, clone: Path, **options: Any) -> list[str]:
        """Run `make deploy` in a clone; return what it prints."""
        report: list[str] = []
        self.url = deploy.deploy(self.account, clone, STAGE, report.append, **options)
        return report

    def ensure_deployed(self) -> None:
        """Deploy the stage with the default settings if it is not deployed."""
        if not self.api_ids():
            self.deploy(self.clone())
            stack.write_sample_data(self.proxy.aws_url, STAGE)

    def destroy(self, clone: Path) -> list[str]:
        """Run `make destroy` in a clone; return what it prints."""
        report: list[str] = []
        destroy(self.account, clone, STAGE, report.append)
        return report

    def api_ids(self) -> list[str]:
        return [api["id"] for api in self.client("apigateway").get_rest_apis()["items"]]

    def remaining(self) -> dict[str, list[str]]:
        """Return what the account has, by kind, without what is empty."""
        client = self.client
        found = {
            "functions": [f["FunctionName"] for f in client("lambda").list_functions()["Functions"]],
            "APIs": self.api_ids(),
            "rules": [rule["Name"] for rule in client("events").list_rules()["Rules"]],
            "roles": [role["RoleName"] for role in client("iam").list_roles()["Roles"]],
            "policies": [policy["PolicyName"] for policy in client("iam").list_policies(Scope="Local")["Policies"]],
            "log groups": [group["logGroupName"] for group in client("logs").describe_log_groups()["logGroups"]],
            "alarms": [alarm["AlarmName"] for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]],
            "topics": [topic["TopicArn"] for topic in client("sns").list_topics()["Topics"]],
            "domains": [domain["domainName"] for domain in client("apigateway").get_domain_names().get("items", [])],
            "log role": [arn] if (arn := client("apigateway").get_account().get("cloudwatchRoleArn")) else [],
            "tables": client("dynamodb").list_tables()["TableNames"],
            "secrets": [secret["Name"] for secret in client("secretsmanager").list_secrets()["SecretList"]],
        }
        return {kind: names for kind, names in found.items() if names}


@contextlib.contextmanager
def run_cloud(folder: Path) -> Iterator[Cloud]:
    """Run an empty account."""
    with (
        stack.run_server("sandbox.server") as platform,
        stack.run_server("sandbox.aws") as aws,
        run_aws_proxy(aws.url) as proxy,
        mock.patch.object(smoke, "HTTP_SECONDS", 0.0),
    ):
        yield Cloud(platform, proxy, folder)


@pytest.fixture
def empty_cloud(archive: Path, tmp_path: Path) -> Iterator[Cloud]:
    del archive
    with run_cloud(tmp_path) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def shared_cloud(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    del archive
    with run_cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    """An account with the deployed stage; each test leaves it with the default settings."""
    shared_cloud.proxy.refuse = lambda _: None
    shared_cloud.ensure_deployed()
    return shared_cloud


def test_a_dry_run_reports_all_changes_and_makes_none(empty_cloud: Cloud) -> None:
    report = dry_run(empty_cloud, empty_cloud.clone())
    assert report[0].startswith(f"stage {STAGE}, account 000000000000, region us-east-1")
    assert "  Add Table (AWS::DynamoDB::Table)" in report
    assert f"  function {API_FUNCTION}: missing" in report
    assert "API: new" in report
    assert empty_cloud.remaining() == {}


def test_after_a_failure_at_each_step_the_next_run_completes_the_deployment(empty_cloud: Cloud) -> None:
    """Each run fails at the first call of a kind that no earlier run has failed at; each is from another clone."""
    failed: list[str] = []

    def refuse(call: AwsHttpCall) -> Refusal | None:
        step = f"{call.service}:{call.operation}"
        if call.operation.startswith(READING) or step in failed or not (IS_NIGHTLY or step in STEPS):
            return None
        failed.append(step)
        return Refusal(403, "AccessDeniedException", f"{step} is refused")

    empty_cloud.proxy.refuse = refuse
    errors = []
    for _ in range(50):
        try:
            # The account and the clone differ in nothing but what AWS has.
            empty_cloud.deploy(empty_cloud.clone(DOMAIN_SETTINGS.replace("false", "true")))
            break
        except (ClientError, deploy.ChaliceError, StageError) as error:
            errors.append(str(error))
    assert len(errors) == len(failed), "every refusal was reported"
    assert set(failed) >= STEPS
    for step, message in zip(failed, errors, strict=True):
        assert step.split(":")[1] in message or "AccessDenied" in message, message
    assert len(empty_cloud.api_ids()) == 1
    assert empty_cloud.remaining()["functions"] == [API_FUNCTION, RENEWAL_FUNCTION]


def test_another_clone_updates_the_same_api(cloud: Cloud) -> None:
    api_ids = cloud.api_ids()
    report = cloud.deploy(cloud.clone())
    assert cloud.api_ids() == api_ids
    assert f"API: {api_ids[0]}" in report
    assert f"changes of stack {API_FUNCTION}: none" in report
    assert UNCHANGED in report
    assert report[-1] == PASSED
    [api] = cloud.client("apigateway").get_rest_apis()["items"]
    assert api["endpointConfiguration"]["types"] == ["REGIONAL"]
    assert api["name"] == API_FUNCTION, "the metrics of two stages have no other dimension"


def test_another_region_than_that_of_the_settings_stops_the_deployment_before_any_change(cloud: Cloud) -> None:
    before = len(cloud.proxy.calls)
    with pytest.raises(StageError, match="require region cn-north-1, but this is region us-east-1"):
        cloud.deploy(cloud.clone('region = "cn-north-1"'))
    assert {call.operation for call in cloud.proxy.calls[before:]} <= {"GetCallerIdentity"}


def test_an_app_that_cannot_be_imported_stops_the_deployment_before_any_change(cloud: Cloud) -> None:
    clone, before = cloud.clone(), len(cloud.proxy.calls)
    (clone / "chalicelib" / "merchants.py").write_text("import nowhere\n")
    with pytest.raises(StageError, match=r"^chalicelib/merchants\.py, line 1: ModuleNotFoundError"):
        cloud.deploy(clone)
    assert [call.operation for call in cloud.proxy.calls[before:] if not call.operation.startswith(READING)] == []


def test_code_of_an_overlapping_deployment_is_not_published_as_this_ones(cloud: Cloud) -> None:
    def deploy_other(call: AwsHttpCall) -> None:
        if call.operation == "EnableRule":
            client, archive = cloud.client("lambda"), build_archive("9.9.9")
            client.update_function_code(FunctionName=RENEWAL_FUNCTION, ZipFile=archive)

    cloud.proxy.refuse = deploy_other
    with pytest.raises(StageError, match=f"function {RENEWAL_FUNCTION} serves other code than was just deployed"):
        cloud.deploy(cloud.clone())
    cloud.proxy.refuse = lambda _: None
    report = cloud.deploy(cloud.clone())
    assert any(line.startswith(f"  function {RENEWAL_FUNCTION}: CodeSha256 is ") for line in report), report
    assert report[-1] == PASSED


def test_another_python_is_refused_until_the_settings_name_it(cloud: Cloud) -> None:
    """The runtime of the deployed function is not changed by a developer who has another Python."""
    other = "python3.12" if bundle.RUNTIME != "python3.12" else "python3.13"
    cloud.client("lambda").update_function_configuration(FunctionName=API_FUNCTION, Runtime=other)
    with pytest.raises(StageError, match=re.escape(f"PYTHON={other}")):
        cloud.deploy(cloud.clone())
    here = bundle.RUNTIME.removeprefix("python")
    report = cloud.deploy(cloud.clone(f'python = "{here}"'))
    assert f"  function {API_FUNCTION}: Runtime is {other}, expected {bundle.RUNTIME}" in report
    with pytest.raises(StageError, match=r"the stage's settings: Python 3\.1"):
        cloud.deploy(cloud.clone(f'python = "{other.removeprefix("python")}"'))


def test_a_second_api_is_refused_with_the_ids_until_one_is_chosen(cloud: Cloud) -> None:
    """Such an API was made by an older version, from a clone without Chalice's record."""
    client = cloud.client("apigateway")
    [first] = cloud.api_ids()
    second = import_api(client)
    with pytest.raises(StageError) as raised:
        cloud.deploy(cloud.clone())
    assert first in str(raised.value)
    assert second in str(raised.value)
    with pytest.raises(StageError):
        cloud.destroy(cloud.clone())
    assert f"API: {first}" in cloud.deploy(cloud.clone(f'rest_api_id = "{first}"'))
    client.delete_rest_api(restApiId=second)


def import_api(client: Any) -> str:
    """Import an API that invokes the stage's function, as Chalice does without its record."""
    uri = (
        "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
        f"arn:aws:lambda:us-east-1:000000000000:function:{API_FUNCTION}/invocations"
    )
    integration = {"type": "aws_proxy", "httpMethod": "POST", "uri": uri}
    paths = {"/v1/health": {"get": {"responses": {}, "x-amazon-apigateway-integration": integration}}}
    document = {"swagger": "2.0", "info": {"title": API_FUNCTION, "version": "1.0"}, "paths": paths}
    return str(client.import_rest_api(body=json.dumps(document))["id"])


def test_limits_domain_concurrency_and_memory_follow_the_settings(cloud: Cloud) -> None:
    settings = f"""
memory_mb = 512
reserved_concurrency = 5
tracing = false
[limits]
sessions = {{ rate = 7, burst = 9 }}
other = {{ rate = 3, burst = 4 }}
{DOMAIN_SETTINGS}"""
    report = cloud.deploy(cloud.clone(settings))
    assert any(line.startswith(f"domain: https://{DOMAIN} (DNS: CNAME to ") for line in report)
    assert report[-1].startswith("smoke test: passed, without a request")
    client, [api_id] = cloud.client("apigateway"), cloud.api_ids()
    assert client.get_rest_api(restApiId=api_id)["disableExecuteApiEndpoint"] is True
    [mapping] = client.get_base_path_mappings(domainName=DOMAIN)["items"]
    assert (mapping["restApiId"], mapping["stage"]) == (api_id, "api")
    methods = client.get_stage(restApiId=api_id, stageName="api")["methodSettings"]
    limits = {path: (value["throttlingRateLimit"], value["throttlingBurstLimit"]) for path, value in methods.items()}
    assert limits["/v1/sessions/POST"] == (7, 9)
    assert limits["*/*"] == (3, 4)
    function = cloud.client("lambda").get_function(FunctionName=API_FUNCTION)
    assert function["Configuration"]["MemorySize"] == 512
    assert function["Concurrency"]["ReservedConcurrentExecutions"] == 5
    assert function["Configuration"]["TracingConfig"] == {"Mode": "PassThrough"}
    assert UNCHANGED in dry_run(cloud, cloud.clone(settings))
    cloud.deploy(cloud.clone())
    assert "domains" not in cloud.remaining()
    assert "DeleteBasePathMapping" in {call.operation for call in cloud.proxy.calls}
    assert client.get_rest_api(restApiId=api_id)["disableExecuteApiEndpoint"] is False
    assert "Concurrency" not in cloud.client("lambda").get_function(FunctionName=API_FUNCTION)


def dry_run(cloud: Cloud, clone: Path) -> list[str]:
    """Run `make deploy DRY_RUN=1` in a clone; return what it prints."""
    report: list[str] = []
    deploy.dry_run(cloud.account, clone, STAGE, report.append)
    return report


def test_while_the_accounts_deployment_quota_is_used_up_the_deployment_waits(cloud: Cloud) -> None:
    """Chalice's own CreateDeployment is refused once; `tests/unit/infra` has the one of the API's settings."""
    calls: list[AwsHttpCall] = []

    def refuse(call: AwsHttpCall) -> Refusal | None:
        if call.operation != "CreateDeployment":
            return None
        calls.append(call)
        return Refusal(429, "TooManyRequestsException", "Too Many Requests") if len(calls) == 1 else None

    cloud.proxy.refuse = refuse
    assert cloud.deploy(cloud.clone())[-1] == PASSED
    assert len(calls) == 3


def test_for_arm64_a_bundle_is_built_that_differs_in_the_compiled_wheels_only(cloud: Cloud, archive: Path) -> None:
    """The emulated AWS runs x86_64 only, so it is a dry run."""
    clone = cloud.clone('architecture = "arm64"')
    assert f"  function {API_FUNCTION}: Architectures is ['x86_64'], expected ['arm64']" in dry_run(cloud, clone)
    with zipfile.ZipFile(bundle.current_archive(clone, bundle.ARM64)) as packed, zipfile.ZipFile(archive) as other:
        # The clone is no git repository: its bundle has no commit.
        names = {name.replace("x86_64", "aarch64"): name for name in other.namelist() if name != "commit.txt"}
        assert set(names) == set(packed.namelist())
        different = {name for name in names if packed.read(name) != other.read(names[name])}
    assert different
    assert all(re.search(r"-aarch64-linux-gnu\.so$", name) for name in different)


def test_a_lost_table_stops_the_deployment_before_any_change(cloud: Cloud) -> None:
    dynamodb = cloud.client("dynamodb")
    dynamodb.update_table(TableName=API_FUNCTION, DeletionProtectionEnabled=False)
    dynamodb.delete_table(TableName=API_FUNCTION)
    before = len(cloud.proxy.calls)
    for run in (cloud.deploy, functools.partial(dry_run, cloud)):
        with pytest.raises(StageError, match=rf"table {API_FUNCTION} does not exist.*docs/operate\.md"):
            run(cloud.clone())
    assert [call.operation for call in cloud.proxy.calls[before:] if not call.operation.startswith(READING)] == []
    dynamodb.create_table(
        TableName=API_FUNCTION,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    recovery = {"PointInTimeRecoveryEnabled": True}
    dynamodb.update_continuous_backups(TableName=API_FUNCTION, PointInTimeRecoverySpecification=recovery)
    dynamodb.update_table(TableName=API_FUNCTION, DeletionProtectionEnabled=True)
    stack.write_sample_data(cloud.proxy.aws_url, STAGE)
    assert cloud.deploy(cloud.clone())[-1] == PASSED


def test_what_the_stack_has_lost_is_named_after_the_functions_are_deployed(cloud: Cloud) -> None:
    """And is restored only by a repair, which is confirmed before any change. The emulated CloudFormation has none."""
    cloudwatch, sns, alarm = cloud.client("cloudwatch"), cloud.client("sns"), f"{API_FUNCTION}-errors"
    domains, settings = cloud.client("apigateway"), DOMAIN_SETTINGS.replace("false", "true")
    topic = f"arn:aws:sns:us-east-1:000000000000:{API_FUNCTION}-alarms"
    cloud.deploy(cloud.clone(settings))
    former = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]
    cloudwatch.delete_alarms(AlarmNames=[alarm])
    sns.delete_topic(TopicArn=topic)
    domains.delete_domain_name(domainName=DOMAIN)
    lost = [f"alarm {alarm}: missing", f"topic {API_FUNCTION}-alarms: missing", f"domain {DOMAIN}: missing"]
    assert {f"  {line}" for line in lost} <= set(dry_run(cloud, cloud.clone(settings)))
    report: list[str] = []
    with pytest.raises(StageError) as raised:
        deploy.deploy(cloud.account, cloud.clone(f'alarm_email = "a@example.com"\n{settings}'), STAGE, report.append)
    assert report[-1] == f"{PASSED}; {DOMAIN} is not in DNS yet, so it was not requested"
    assert [line for line in lost if line not in str(raised.value)] == []
    assert f"make deploy STAGE={STAGE} REPAIR=1, as an administrator" in str(raised.value)
    domains.create_domain_name(domainName=DOMAIN)

    before = len(cloud.proxy.calls)
    with pytest.raises(StageError, match="not confirmed; nothing was changed"):
        cloud.deploy(cloud.clone(), confirm_repair=lambda: False)
    assert {call.operation for call in cloud.proxy.calls[before:] if not call.operation.startswith(READING)} <= {
        "CreateChangeSet", "DeleteChangeSet"}  # fmt: skip
    with pytest.raises(StageError, match="not complete"):
        cloud.deploy(cloud.clone(), confirm_repair=lambda: True)
    assert any("DeploymentMode=REVERT_DRIFT" in call.body for call in cloud.proxy.calls[before:])
    cloudwatch.put_metric_alarm(**{name: former[name] for name in (
        "AlarmName", "Namespace", "MetricName", "Dimensions", "Statistic", "Period", "EvaluationPeriods", "Threshold",
        "ComparisonOperator")})  # fmt: skip
    sns.create_topic(Name=f"{API_FUNCTION}-alarms")
    assert cloud.deploy(cloud.clone())[-1] == PASSED


def test_the_smoke_test_names_each_defect_and_a_deployment_repairs_it(cloud: Cloud) -> None:
    clone = cloud.clone()
    cloud.deploy(clone)
    target = Target(cloud.account, clone, STAGE, read_stage_settings(clone, STAGE))
    build = bundle.read_build(bundle.current_archive(clone))
    check = functools.partial(smoke.check, cloud.account, STAGE, expected_functions(target), build)
    functions, events = cloud.client("lambda"), cloud.client("events")
    functions.update_function_configuration(FunctionName=API_FUNCTION, Environment={"Variables": {}}, Timeout=3)
    rule = f"{RENEWAL_FUNCTION}-event"
    events.disable_rule(Name=rule)
    with pytest.raises(StageError) as raised:
        check(None)
    message = str(raised.value)
    assert f"function {API_FUNCTION}: Timeout is 3, expected 15" in message
    assert f"function {API_FUNCTION}: variables differ: DOUYIN_LOGIN_API" in message
    assert f"schedule {rule}: state is DISABLED" in message
    assert cloud.deploy(clone)[-1] == PASSED
    role = f"{API_FUNCTION}-api_handler"
    cloud.client("iam").put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(NOTHING))
    # A new instance: the present one has cached that the merchant is unknown.
    functions.update_function_configuration(FunctionName=API_FUNCTION, Timeout=15)
    with pytest.raises(StageError) as raised:
        check(cloud.url)
    assert "GET /v1/merchants/smoke-test/stores: HTTP 503" in str(raised.value), "the table is denied"
    assert "GET /v1/merchants/smoke-test/stores/1/certificates: HTTP 503" in str(raised.value), "the secret is denied"
    assert cloud.deploy(clone)[-1] == PASSED
    with pytest.raises(StageError, match="/v1/health: ConnectionError"):
        check(f"http://127.0.0.1:{stack.free_port()}")


@pytest.mark.parametrize("operation", ["GetSecretValue", "Scan"])
def test_without_a_right_that_an_older_policy_lacks_no_list_is_tried(cloud: Cloud, operation: str) -> None:
    denied = (operation, cloud.account.environment["AWS_ACCESS_KEY_ID"])
    refusal = Refusal(400, "AccessDeniedException")
    cloud.proxy.refuse = lambda call: refusal if (call.operation, call.access_key) == denied else None
    reason = f"{operation} reports AccessDeniedException"
    assert cloud.deploy(cloud.clone())[-1] == f"{PASSED}; no list was tried: {reason}"


def test_a_platform_that_does_not_answer_fails_a_deployment_unless_this_is_known(cloud: Cloud) -> None:
    """An address without a platform is a change of settings, which no rollback brings back."""
    stack.set_faults(cloud.platform.url, {"kind": "reset", "call": "query_user_certificates"})
    with pytest.raises(StageError, match=r"certificates: no answer from the platform \(NO_PLATFORM=1 says"):
        cloud.deploy(cloud.clone())
    stack.set_faults(cloud.platform.url)
    clone, nowhere = cloud.clone(), f"http://127.0.0.1:{stack.free_port()}"
    stack.set_platform_url(clone, nowhere)
    with pytest.raises(StageError) as raised:
        cloud.deploy(clone)
    assert "POST /v1/sessions: no answer from the platform" in str(raised.value)
    changed = "undo the change of DOUYIN_LOGIN_API, DOUYIN_OPEN_API in infra/stages/dev.toml, then make deploy"
    assert str(raised.value).endswith(f"{changed} STAGE={STAGE}")
    note = "no answer from the platform (NO_PLATFORM=1)"
    assert cloud.deploy(clone, no_platform=True)[-1].startswith(f"{PASSED}; {note}; ")
    stack.set_platform_url(clone, cloud.platform.url)
    assert cloud.deploy(clone)[-1] == PASSED


def test_chalice_deploy_alone_gives_a_complete_service_also_after_an_edit(cloud: Cloud) -> None:
    """After `make install`, without `make bundle`: Chalice builds the package itself."""
    clone = cloud.clone()
    cloud.deploy(clone)
    shutil.rmtree(clone / ".chalice" / "deployments")
    with (clone / "app.py").open("a") as app:
        app.write("\n# edited\n")
    output = deploy.run_chalice(cloud.account, clone, "deploy", "--stage", STAGE)
    assert "Could not install dependencies" not in output
    [package] = (clone / ".chalice" / "deployments").glob("*.zip")
    with zipfile.ZipFile(package) as packed:
        names = packed.namelist()
    for name in ("aws_xray_sdk/core/__init__.py", "aws_lambda_powertools/__init__.py", "requests/__init__.py"):
        assert name in names
    code = stack.create_login_code(cloud.platform.url, APP_ID, CUSTOMER)
    login = requests.post(f"{cloud.url}/v1/sessions", json={"app_id": APP_ID, "code": code}, timeout=30)
    headers = {"Authorization": f"Bearer {login.json()['token']}"}
    assert len(requests.get(f"{cloud.url}{LIST_URL}", headers=headers, timeout=30).json()["certificates"]) == 7


def test_an_attached_policy_stops_destroy_before_anything_is_deleted(cloud: Cloud) -> None:
    """IAM does not delete it, and who deletes the stage may need it."""
    iam, before = cloud.client("iam"), cloud.remaining()
    policy = f"arn:aws:iam::000000000000:policy/{API_FUNCTION}-operator"
    iam.create_role(RoleName="operators", AssumeRolePolicyDocument="{}")
    iam.attach_role_policy(RoleName="operators", PolicyArn=policy)
    with pytest.raises(StageError, match=f"{API_FUNCTION}-operator is attached to role operators"):
        cloud.destroy(cloud.clone())
    iam.detach_role_policy(RoleName="operators", PolicyArn=policy)
    iam.delete_role(RoleName="operators")
    assert cloud.remaining() == before


def test_destroy_keeps_the_data_and_the_next_deployment_uses_it(empty_cloud: Cloud) -> None:
    cloud = empty_cloud
    cloud.deploy(cloud.clone(DOMAIN_SETTINGS))
    stack.write_sample_data(cloud.proxy.aws_url, STAGE)
    assert "warning" not in "".join(cloud.destroy(cloud.clone(DOMAIN_SETTINGS)))
    assert cloud.remaining() == {"tables": [API_FUNCTION], "secrets": [cloudformation.secret_name(STAGE)], **LOG_ROLE}
    assert "no API and no stack" in "".join(cloud.destroy(cloud.clone()))

    cloud.deploy(cloud.clone())
    resources = cloud.client("cloudformation").describe_stack_resources(StackName=API_FUNCTION)["StackResources"]
    assert {"AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"} & {r["ResourceType"] for r in resources} == set()
    assert cloud.client("dynamodb").scan(TableName=API_FUNCTION)["Count"] >= 1


def test_a_first_stack_that_failed_is_created_again_with_the_retained_table(empty_cloud: Cloud, tmp_path: Path) -> None:
    """CloudFormation deletes such a stack, and its table is retained."""
    cloud = empty_cloud
    template = tmp_path / "template.yaml"
    text = cloudformation.TEMPLATE.read_text(encoding="utf-8")
    resources = {"First": "", "Broken": "    DependsOn: [First, Table]\n"}
    broken = "".join(
        f"  {name}:\n    Type: AWS::Events::EventBus\n{order}    Properties: {{Name: taken}}\n\n"
        for name, order in resources.items()
    )
    template.write_text(text.replace("Outputs:\n", f"{broken}Outputs:\n"), encoding="utf-8")
    with mock.patch.object(cloudformation, "TEMPLATE", template), pytest.raises(StageError) as raised:
        cloud.deploy(cloud.clone())
    message = str(raised.value)
    assert "DELETE_COMPLETE" in message
    assert "Broken (AWS::Events::EventBus): EventBus already exists" in message
    assert cloud.client("dynamodb").list_tables()["TableNames"] == [API_FUNCTION]
    assert cloud.deploy(cloud.clone())[-1] == f"{PASSED}; no list was tried: there is no app yet"
