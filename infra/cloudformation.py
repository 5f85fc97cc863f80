"""The stack of `template.yaml`: what a deployment would change, changing it, and taking it down."""

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
WAITING: WaiterConfigTypeDef = {"Delay": 1, "MaxAttempts": 900}


class StackError(Exception):
    """CloudFormation would not do it; the message is its own."""


@dataclass(frozen=True)
class Plan:
    """A change set that is ready: what it would do, as "Add Table (AWS::DynamoDB::Table)"; nothing when empty."""

    name: str
    is_new: bool
    changes: list[str]


def read_template() -> dict[str, Any]:
    """The template as data; a function of CloudFormation is a map of its name to what it is given (`{"Ref": …}`)."""
    template: dict[str, Any] = _Loader(TEMPLATE.read_text(encoding="utf-8")).get_single_data()
    return template


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms."""


def _short_form(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise StackError(f"!{name} of neither text nor list")


_Loader.add_multi_constructor("!", _short_form)


def stack_name(stage: str) -> str:
    """What a stage's stack is called."""
    return f"douyin-redemption-{stage}"


def secret_name(stage: str) -> str:
    """What a stage's secret is called; its table is called like the stack."""
    return f"douyin-redemption/{stage}"


def unless_missing(call: Callable[[], Any]) -> Any:
    """What a call of AWS returns, None when what it is about does not exist."""
    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return None


def exists(client: CloudFormationClient, stage: str) -> bool:
    """Whether the stack is there; one that was only ever planned is not."""
    try:
        [stack] = client.describe_stacks(StackName=stack_name(stage))["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return False
        raise
    return stack["StackStatus"] != "REVIEW_IN_PROGRESS"


def plan(client: Callable[[str], Any], stage: str, alarm_email: str | None = None) -> Plan:
    """Let CloudFormation work out what the template changes; raises StackError.

    `client` makes the clients. A table and a secret that an earlier stack left behind are used again, which is decided
    when the stack is made. `alarm_email` None leaves it as it is.
    """
    stacks: CloudFormationClient = client("cloudformation")
    is_new = not exists(stacks, stage)
    given = {"AlarmEmail": alarm_email, "TableIs": None, "SecretIs": None}
    if is_new:
        given |= {"AlarmEmail": alarm_email or "", **_left_behind(client, stage)}
    parameters: list[ParameterTypeDef] = [{"ParameterKey": "Stage", "ParameterValue": stage}]
    for name, value in given.items():
        if value is None:
            parameters.append({"ParameterKey": name, "UsePreviousValue": True})
        else:
            parameters.append({"ParameterKey": name, "ParameterValue": value})
    kind: ChangeSetTypeType = "CREATE" if is_new else "UPDATE"
    name = f"plan-{uuid.uuid4().hex[:12]}"
    stacks.create_change_set(
        StackName=stack_name(stage),
        ChangeSetName=name,
        ChangeSetType=kind,
        TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
        Parameters=parameters,
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    while True:
        made = stacks.describe_change_set(StackName=stack_name(stage), ChangeSetName=name)
        if made["Status"] == "CREATE_COMPLETE":
            return Plan(name, is_new, [_told(change) for change in made["Changes"]])
        if made["Status"] == "FAILED":
            stacks.delete_change_set(StackName=stack_name(stage), ChangeSetName=name)
            reason = made.get("StatusReason", "")
            if "didn't contain changes" in reason or "No updates" in reason:
                return Plan(name, is_new, [])
            raise StackError(reason)
        time.sleep(POLL_SECONDS)


def forget(client: CloudFormationClient, stage: str, made: Plan) -> None:
    """Drop a plan that is not carried out, and with it the stack that exists only for it."""
    if made.is_new:
        client.delete_stack(StackName=stack_name(stage))
    elif made.changes:
        client.delete_change_set(StackName=stack_name(stage), ChangeSetName=made.name)


def carry_out(client: CloudFormationClient, stage: str, made: Plan) -> dict[str, str]:
    """Carry a plan out and wait for it; returns the stack's outputs."""
    name = stack_name(stage)
    if made.changes:
        client.execute_change_set(StackName=name, ChangeSetName=made.name)
        if made.is_new:
            client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=WAITING)
        else:
            client.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig=WAITING)
    [stack] = client.describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def take_down(client: CloudFormationClient, stage: str) -> None:
    """Delete the stack; its table and secret stay."""
    client.delete_stack(StackName=stack_name(stage))
    client.get_waiter("stack_delete_complete").wait(StackName=stack_name(stage), WaiterConfig=WAITING)


def _left_behind(client: Callable[[str], Any], stage: str) -> dict[str, str]:
    """Which of table and secret are there though the stack is not; raises StackError for a secret on its way out."""
    name = secret_name(stage)
    table = unless_missing(lambda: client("dynamodb").describe_table(TableName=stack_name(stage)))
    secret = unless_missing(lambda: client("secretsmanager").describe_secret(SecretId=name))
    if secret is not None and "DeletedDate" in secret:
        raise StackError(f"secret {name} is being deleted: aws secretsmanager restore-secret --secret-id {name}")
    return {"TableIs": "kept" if table else "made", "SecretIs": "kept" if secret else "made"}


def _told(change: Any) -> str:
    resource = change["ResourceChange"]
    replaced = " by another" if resource.get("Replacement") == "True" else ""
    return f"{resource['Action']} {resource['LogicalResourceId']} ({resource['ResourceType']}){replaced}"
