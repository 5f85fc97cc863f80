"""The CloudFormation stack of `template.yaml`: create, execute and discard change sets; delete the stack."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.literals import ChangeSetTypeType
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef, WaiterConfigTypeDef

TEMPLATE = Path(__file__).with_name("template.yaml")

POLL_SECONDS = 0.5
WAITER_CONFIG: WaiterConfigTypeDef = {"Delay": 1, "MaxAttempts": 900}


class StackError(Exception):
    """CloudFormation rejected the template or the change set. The message is CloudFormation's own."""


@dataclass(frozen=True)
class ChangeSet:
    """A change set that is ready to be executed.

    `creates_stack` is true when the stack does not exist yet. `changes` are descriptions such as
    "Add Table (AWS::DynamoDB::Table)"; the list is empty when the stack is up to date.
    """

    name: str
    creates_stack: bool
    changes: list[str]


def read_template() -> dict[str, Any]:
    """Return the template as data. A short-form function becomes a dict with its name, such as `{"Ref": …}`."""
    template: dict[str, Any] = _TemplateLoader(TEMPLATE.read_text(encoding="utf-8")).get_single_data()
    return template


class _TemplateLoader(yaml.SafeLoader):
    """A YAML loader that accepts CloudFormation's short-form functions, such as `!Ref`."""


def _construct_short_form(loader: _TemplateLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise StackError(f"!{name}: the argument is neither a string nor a list")


_TemplateLoader.add_multi_constructor("!", _construct_short_form)


def stack_name(stage: str) -> str:
    """Return the name of a stage's stack, which is also the name of its table."""
    return f"douyin-redemption-{stage}"


def secret_name(stage: str) -> str:
    """Return the name of a stage's secret."""
    return f"douyin-redemption/{stage}"


def none_if_not_found(call: Callable[[], Any]) -> Any:
    """Call AWS and return the response, or None if the resource does not exist."""
    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return None


def stack_exists(client: CloudFormationClient, stage: str) -> bool:
    """Return whether the stack exists. A stack that has only an unexecuted change set does not count."""
    try:
        [stack] = client.describe_stacks(StackName=stack_name(stage))["Stacks"]
    except ClientError as error:
        # DescribeStacks reports a missing stack as a ValidationError, so only the message can be checked.
        if "does not exist" in str(error):
            return False
        raise
    return stack["StackStatus"] != "REVIEW_IN_PROGRESS"


def create_change_set(client: Callable[[str], Any], stage: str, alarm_email: str | None = None) -> ChangeSet:
    """Create a change set for the current template and wait until it is ready.

    `client` creates the client of a service. `alarm_email` None keeps the current value. A new stack uses a table and a
    secret that an earlier stack retained; this is decided once, when the stack is created. Raises StackError.
    """
    cloudformation: CloudFormationClient = client("cloudformation")
    creates_stack = not stack_exists(cloudformation, stage)
    values = {"AlarmEmail": alarm_email, "TableIs": None, "SecretIs": None}
    if creates_stack:
        values |= {"AlarmEmail": alarm_email or "", **_retained_resources(client, stage)}
    parameters: list[ParameterTypeDef] = [{"ParameterKey": "Stage", "ParameterValue": stage}]
    for key, value in values.items():
        if value is None:
            parameters.append({"ParameterKey": key, "UsePreviousValue": True})
        else:
            parameters.append({"ParameterKey": key, "ParameterValue": value})
    change_set_type: ChangeSetTypeType = "CREATE" if creates_stack else "UPDATE"
    name = f"plan-{uuid.uuid4().hex[:12]}"
    cloudformation.create_change_set(
        StackName=stack_name(stage),
        ChangeSetName=name,
        ChangeSetType=change_set_type,
        TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
        Parameters=parameters,
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    while True:
        described = cloudformation.describe_change_set(StackName=stack_name(stage), ChangeSetName=name)
        if described["Status"] == "CREATE_COMPLETE":
            return ChangeSet(name, creates_stack, [_describe_change(change) for change in described["Changes"]])
        if described["Status"] == "FAILED":
            cloudformation.delete_change_set(StackName=stack_name(stage), ChangeSetName=name)
            reason = described.get("StatusReason", "")
            # CloudFormation reports a change set without changes as failed; only the message differs.
            if "didn't contain changes" in reason or "No updates" in reason:
                return ChangeSet(name, creates_stack, [])
            raise StackError(reason)
        time.sleep(POLL_SECONDS)


def discard_change_set(client: CloudFormationClient, stage: str, change_set: ChangeSet) -> None:
    """Delete a change set without executing it, together with the empty stack if it was created for it."""
    if change_set.creates_stack:
        client.delete_stack(StackName=stack_name(stage))
    elif change_set.changes:
        client.delete_change_set(StackName=stack_name(stage), ChangeSetName=change_set.name)


def execute_change_set(client: CloudFormationClient, stage: str, change_set: ChangeSet) -> dict[str, str]:
    """Execute a change set and wait until it is complete; return the stack's outputs."""
    name = stack_name(stage)
    if change_set.changes:
        client.execute_change_set(StackName=name, ChangeSetName=change_set.name)
        if change_set.creates_stack:
            client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=WAITER_CONFIG)
        else:
            client.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig=WAITER_CONFIG)
    [stack] = client.describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def delete_stack(client: CloudFormationClient, stage: str) -> None:
    """Delete the stack and wait until it is gone. The template retains table and secret."""
    client.delete_stack(StackName=stack_name(stage))
    client.get_waiter("stack_delete_complete").wait(StackName=stack_name(stage), WaiterConfig=WAITER_CONFIG)


def _retained_resources(client: Callable[[str], Any], stage: str) -> dict[str, str]:
    """Return the parameters TableIs and SecretIs, by whether table and secret exist.

    Raises StackError if the secret is scheduled for deletion, because its name cannot be reused yet.
    """
    name = secret_name(stage)
    table = none_if_not_found(lambda: client("dynamodb").describe_table(TableName=stack_name(stage)))
    secret = none_if_not_found(lambda: client("secretsmanager").describe_secret(SecretId=name))
    if secret is not None and "DeletedDate" in secret:
        raise StackError(
            f"secret {name} is scheduled for deletion; "
            f"to restore it: aws secretsmanager restore-secret --secret-id {name}"
        )
    return {"TableIs": "kept" if table else "made", "SecretIs": "kept" if secret else "made"}


def _describe_change(change: Any) -> str:
    resource = change["ResourceChange"]
    replacement = ", replacement" if resource.get("Replacement") == "True" else ""
    return f"{resource['Action']} {resource['LogicalResourceId']} ({resource['ResourceType']}){replacement}"
