"""Deployments of a stage from several clones, with lost resources, other settings, and the quotas of AWS."""

import functools
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from infra import bundle, cloudformation, deploy, smoke
from infra.stage_settings import StageError
from sandbox import stack
from sandbox.stack import API_FUNCTION, RENEWAL_FUNCTION, STAGE
from tests.aws_proxy import AwsHttpCall, Refusal
from tests.cloud import DOMAIN, DOMAIN_SETTINGS, PASSED, READING, Cloud, run_cloud
from tests.harness import LIST_URL

NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}


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


def test_another_clone_updates_the_same_api(cloud: Cloud) -> None:
    api_ids = cloud.api_ids()
    report = cloud.deploy(cloud.clone())
    assert cloud.api_ids() == api_ids
    assert f"API: {api_ids[0]}" in report
    assert report[-1] == PASSED
    [api] = cloud.client("apigateway").get_rest_apis()["items"]
    assert api["endpointConfiguration"]["types"] == ["REGIONAL"]
    assert api["name"] == API_FUNCTION, "the metrics of two stages have no other dimension"


def test_another_region_than_that_of_the_settings_stops_the_deployment_before_any_change(cloud: Cloud) -> None:
    before = len(cloud.proxy.calls)
    with pytest.raises(StageError, match="require region cn-north-1, but this is region us-east-1"):
        cloud.deploy(cloud.clone('region = "cn-north-1"'))
    assert {call.operation for call in cloud.proxy.calls[before:]} <= {"GetCallerIdentity"}


def test_a_file_that_changes_during_a_deployment_stops_it(cloud: Cloud) -> None:
    """Chalice would build an archive of its own, without the lock and the commit."""
    clone = cloud.clone()

    def build(project: Path) -> Path:
        archive = stack.reuse_bundle(project)
        with (project / "app.py").open("a") as app:
            app.write("\n")
        return archive

    with pytest.raises(StageError, match="has changed since the bundle was built"):
        cloud.deploy(clone, build_bundle=build)


def test_a_deployment_builds_its_bundle_although_there_is_one(cloud: Cloud) -> None:
    """The one in the clone may have been built with a lock that is in no commit."""
    clone = cloud.clone()
    with zipfile.ZipFile(bundle.current_archive(clone), "w") as packed:
        packed.writestr("app.py", "import nowhere\n")
    assert cloud.deploy(clone, build_bundle=bundle.make_bundle)[-1] == PASSED


def test_limits_domain_and_memory_follow_the_settings(cloud: Cloud) -> None:
    settings = f"""
memory_mb = 512
tracing = false
[limits]
rate = 7
burst = 9
{DOMAIN_SETTINGS}"""
    client, [api_id] = cloud.client("apigateway"), cloud.api_ids()
    report = cloud.deploy(cloud.clone(settings))
    assert any(line.startswith(f"domain: https://{DOMAIN} (DNS: CNAME to ") for line in report)
    assert report[-1] == f"{PASSED}; {DOMAIN} is not in DNS yet, so it was not requested"
    [mapping] = client.get_base_path_mappings(domainName=DOMAIN)["items"]
    assert (mapping["restApiId"], mapping["stage"]) == (api_id, "api")
    methods = client.get_stage(restApiId=api_id, stageName="api")["methodSettings"]
    limits = {path: (value["throttlingRateLimit"], value["throttlingBurstLimit"]) for path, value in methods.items()}
    assert limits == {"*/*": (7, 9)}
    function = cloud.client("lambda").get_function(FunctionName=API_FUNCTION)
    assert function["Configuration"]["MemorySize"] == 512
    with pytest.raises(StageError, match=rf"must have the \[domain\] that the stage serves, {DOMAIN}"):
        cloud.deploy(cloud.clone())
    client.delete_base_path_mapping(domainName=DOMAIN, basePath="(none)")
    cloudformation.update_stack(cloud.account, STAGE, {"DomainName": "", "CertificateArn": ""})
    cloud.deploy(cloud.clone())
    assert "domains" not in cloud.remaining()
    assert client.get_stage(restApiId=api_id, stageName="api")["methodSettings"]["*/*"]["throttlingRateLimit"] == 20


def test_while_the_accounts_deployment_quota_is_used_up_the_deployment_waits(cloud: Cloud) -> None:
    """Botocore repeats the call: Chalice's own, and that of the API's settings."""
    calls = list[AwsHttpCall]()

    def refuse(call: AwsHttpCall) -> Refusal | None:
        if call.operation != "CreateDeployment":
            return None
        calls.append(call)
        return Refusal(429, "TooManyRequestsException", "Too Many Requests") if len(calls) in (1, 2, 4, 5) else None

    cloud.proxy.refuse = refuse
    assert cloud.deploy(cloud.clone())[-1] == PASSED
    assert len(calls) == 6


def test_a_secret_that_is_to_be_deleted_stops_the_deployment_before_any_change(cloud: Cloud) -> None:
    """Like a table or a role that is lost."""
    secret = cloudformation.secret_name(STAGE)
    cloud.client("secretsmanager").delete_secret(SecretId=secret, RecoveryWindowInDays=7)
    before = len(cloud.proxy.calls)
    with pytest.raises(StageError, match=f"restore-secret --secret-id {secret}"):
        cloud.deploy(cloud.clone())
    assert [call.operation for call in cloud.proxy.calls[before:] if not call.operation.startswith(READING)] == []
    cloud.client("secretsmanager").restore_secret(SecretId=secret)


def test_the_smoke_test_names_each_defect_and_a_deployment_repairs_it(cloud: Cloud) -> None:
    clone = cloud.clone()
    build = bundle.read_build(bundle.current_archive(clone))
    check = functools.partial(smoke.check, cloud.account, STAGE, build)
    functions, events = cloud.client("lambda"), cloud.client("events")
    functions.update_function_configuration(FunctionName=API_FUNCTION, Environment={"Variables": {}}, Timeout=3)
    rule = f"{RENEWAL_FUNCTION}-event"
    events.disable_rule(Name=rule)
    with pytest.raises(StageError):
        check(cloud.url)
    assert cloud.deploy(clone)[-1] == PASSED
    assert functions.get_function(FunctionName=API_FUNCTION)["Configuration"]["Timeout"] == 15
    assert events.describe_rule(Name=rule)["State"] == "ENABLED"
    role = f"{API_FUNCTION}-api_handler"
    cloud.client("iam").put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(NOTHING))
    # A new instance: the present one has cached that the merchant is unknown.
    functions.update_function_configuration(FunctionName=API_FUNCTION, Timeout=15)
    with pytest.raises(StageError) as raised:
        check(cloud.url)
    assert "GET /v1/merchants/smoke-test/stores: HTTP 503" in str(raised.value), "the table is denied"
    assert "GET /v1/merchants/smoke-test/stores/1/certificates: HTTP 503" in str(raised.value), "the secret is denied"
    assert cloud.deploy(clone)[-1] == PASSED
    with pytest.raises(StageError, match=r"/v1/health: no response \(ConnectionError\)"):
        check(f"http://127.0.0.1:{stack.free_port()}")


def test_a_platform_that_does_not_answer_fails_a_deployment_unless_this_is_known(cloud: Cloud) -> None:
    stack.set_faults(cloud.platform.url, {"kind": "reset", "call": "query_user_certificates"})
    with pytest.raises(StageError, match=r"no answer from the platform \(NO_PLATFORM(?s:.*): make rollback STAGE=dev"):
        cloud.deploy(cloud.clone())
    line = cloud.deploy(cloud.clone(), tolerates_outage=True)[-1]
    assert re.fullmatch(rf"{PASSED}; GET /v1/.*/certificates: .*: no answer from the platform", line)
    stack.set_faults(cloud.platform.url)


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
    headers = stack.log_in(cloud.url, cloud.platform.url)
    assert len(requests.get(f"{cloud.url}{LIST_URL}", headers=headers, timeout=30).json()["certificates"]) == 7
