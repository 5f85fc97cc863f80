"""Deployments into an empty account, and what is left of them."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from botocore.exceptions import ClientError

from infra import cloudformation, deploy
from infra.stage_settings import StageError
from sandbox import stack
from sandbox.stack import API_FUNCTION, RENEWAL_FUNCTION, STAGE
from tests.aws_proxy import AwsHttpCall, Refusal
from tests.cloud import DOMAIN_SETTINGS, PASSED, READING, Cloud, run_cloud
from tests.simulation import IS_NIGHTLY
from tests.unit.infra.fake_lambda import build_archive

STEPS = {
    "cloudformation:CreateStack", "lambda:CreateFunction", "events:PutTargets",
    "apigateway:ImportRestApi", "apigateway:PutGatewayResponse", "apigateway:CreateBasePathMapping",
}  # fmt: skip
"""Changes that a first deployment makes in the account; `make nightly` lets every other call fail as well."""


@pytest.fixture
def empty_cloud(archive: Path, tmp_path: Path) -> Iterator[Cloud]:
    del archive
    with run_cloud(tmp_path) as cloud:
        yield cloud


def test_a_dry_run_changes_nothing(empty_cloud: Cloud) -> None:
    report: list[str] = []
    deploy.prepare(empty_cloud.account, empty_cloud.clone(), STAGE, report.append, stack.reuse_bundle)
    assert report[0].startswith(f"stage {STAGE}, account 000000000000, region us-east-1")
    assert report[-1] == "API: new"
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
            empty_cloud.deploy(empty_cloud.clone(DOMAIN_SETTINGS))
            break
        except (ClientError, deploy.ChaliceError, StageError) as error:
            errors.append(str(error))
    assert len(errors) == len(failed), "every refusal was reported"
    assert set(failed) >= STEPS
    for step, message in zip(failed, errors, strict=True):
        assert step.split(":")[1] in message or "AccessDenied" in message, message
    assert len(empty_cloud.api_ids()) == 1
    assert empty_cloud.remaining()["functions"] == [API_FUNCTION, RENEWAL_FUNCTION]


THIRD = f"{API_FUNCTION}-third"


def test_destroy_keeps_the_data_and_the_next_deployment_uses_it(empty_cloud: Cloud) -> None:
    """It finds a third function that this clone does not know, after a failure, too; what others have stays."""
    cloud = empty_cloud
    clone, functions = cloud.clone(DOMAIN_SETTINGS), cloud.client("lambda")
    with (clone / "app.py").open("a") as app:
        app.write('\n\n@app.schedule("rate(1 day)")\ndef third(event):\n    pass\n')
    cloud.deploy(clone)
    stack.write_sample_data(cloud.proxy.aws_url, STAGE)
    assert THIRD in cloud.remaining()["functions"]
    foreign = functions.get_function(FunctionName=THIRD)["Configuration"]
    code = {"ZipFile": build_archive("1")}
    foreign = {name: foreign[name] for name in ("Runtime", "Role", "Handler")}
    functions.create_function(FunctionName=f"{API_FUNCTION}-by-hand", Code=code, **foreign)
    # Of another Chalice app, whose name begins like the stage's.
    tags = {"aws-chalice": f"version=1.34.0:stage=dev:app={API_FUNCTION}-reports"}
    functions.create_function(FunctionName=f"{API_FUNCTION}-reports-dev", Code=code, Tags=tags, **foreign)
    cloud.client("events").put_rule(Name=f"{API_FUNCTION}-reports-dev-nightly-event", ScheduleExpression="rate(1 day)")
    cloud.client("iam").create_role(RoleName=f"{API_FUNCTION}-reports-dev-api_handler", AssumeRolePolicyDocument="{}")
    groups = [f"/aws/lambda/{API_FUNCTION}-{end}" for end in ("by-hand", "reports-dev", "reports-dev-api_handler")]
    for group in groups:
        cloud.client("logs").create_log_group(logGroupName=group)
    cloud.deploy(clone)
    cloud.proxy.refuse = lambda call: (
        Refusal(403, "AccessDenied", "x") if call.operation == "DeleteRolePolicy" else None
    )
    with pytest.raises(ClientError):
        cloud.destroy(cloud.clone(DOMAIN_SETTINGS))
    cloud.proxy.refuse = lambda _: None
    assert "warning" not in "".join(cloud.destroy(cloud.clone(DOMAIN_SETTINGS)))
    assert cloud.remaining() == {
        "functions": [f"{API_FUNCTION}-by-hand", f"{API_FUNCTION}-reports-dev"],
        "rules": [f"{API_FUNCTION}-reports-dev-nightly-event"],
        "roles": [f"{API_FUNCTION}-reports-dev-api_handler"],
        "log groups": groups,
        "tables": [API_FUNCTION],
        "secrets": [cloudformation.secret_name(STAGE)],
    }
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
