"""The CloudFormation stack of `template.yaml`: create, update, and delete it.

If the creation of a stack fails, CloudFormation deletes the stack, but retains table and secret. The next deployment
creates the stack again and uses them.

An update changes only what differs between the former and the present template, so it does not restore resources that
were deleted by hand: docs/run.md has AWS's commands that find and restore them. Nothing works without table, secret and
roles. If one of these is missing, `check_updatable` stops the deployment before the update.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

from infra.account import AwsAccount
from infra.stage_settings import APP_NAME, StageError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import WaiterConfigTypeDef

TEMPLATE = Path(__file__).with_name("template.yaml")

_DELETE = "it can only be deleted (table and secret are retained): aws cloudformation delete-stack --stack-name {name}"
_BROKEN = {
    "ROLLBACK_COMPLETE": _DELETE,
    "REVIEW_IN_PROGRESS": _DELETE,
    "DELETE_FAILED": "remove the cause, then make destroy STAGE={stage}",
    "UPDATE_ROLLBACK_FAILED": "to repair it: aws cloudformation continue-update-rollback --stack-name {name}",
}
"""What to do about a stack that cannot be changed, by its status."""

_NOT_FOUND = ("ResourceNotFoundException", "NotFoundException", "NoSuchEntity")
"""Error codes for a missing resource: of most services, API Gateway and IAM, in this order."""

WAITER_CONFIG: WaiterConfigTypeDef = {"Delay": 1, "MaxAttempts": 900}


def shared_name(stage: str) -> str:
    """Return the name that a stage's stack, table, HTTP function and REST API share. Other names begin with it."""
    return f"{APP_NAME}-{stage}"


def secret_name(stage: str) -> str:
    """Return the name of a stage's secret."""
    return f"{APP_NAME}/{stage}"


def role_names(stage: str) -> list[str]:
    """Return the names of the template's roles."""
    names = re.findall(r"^ +RoleName: !Sub (\S+)$", TEMPLATE.read_text(encoding="utf-8"), re.MULTILINE)
    return [name.replace("${Stage}", stage) for name in names]


def none_if_not_found(call: Callable[..., Any], **arguments: Any) -> Any:
    """Call AWS and return the response, or None if the resource does not exist."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_FOUND:
            raise
        return None


def read_stack(client: CloudFormationClient, stage: str) -> Any:
    """Return the stack's description, or None."""
    try:
        [stack] = client.describe_stacks(StackName=shared_name(stage))["Stacks"]
    except ClientError as error:
        # DescribeStacks reports a missing stack as a ValidationError, so only the message can be checked.
        if "does not exist" in str(error):
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack


def read_domain(account: AwsAccount, stage: str) -> str:
    """Return the custom domain that the stack has now, or ""."""
    stack = read_stack(account.client("cloudformation"), stage) or {}
    return next((p["ParameterValue"] for p in stack.get("Parameters", []) if p["ParameterKey"] == "DomainName"), "")


def check_updatable(account: AwsAccount, stage: str) -> None:
    """Raise StageError if the stack cannot be changed now, or exists without its table, secret or a role."""
    stack = read_stack(account.client("cloudformation"), stage)
    if stack is None:
        return
    if stack["StackStatus"] in _BROKEN or stack["StackStatus"].endswith("_IN_PROGRESS"):
        raise StageError(_describe_status(shared_name(stage), stack["StackStatus"]))
    table, secret = _describe_table_and_secret(account, stage)
    descriptions = {f"table {shared_name(stage)}": table, f"secret {secret_name(stage)}": secret}
    for role in role_names(stage):
        descriptions[f"role {role}"] = none_if_not_found(account.client("iam").get_role, RoleName=role)
    lost = [f"{resource} does not exist" for resource, description in descriptions.items() if description is None]
    if lost:
        raise StageError(
            f"{' and '.join(lost)}, but stack {shared_name(stage)} does. Nothing was changed. "
            f'To restore it under the same name: docs/run.md, "Lost or changed by hand"'
        )


def update_stack(account: AwsAccount, stage: str, values: Mapping[str, str | None]) -> dict[str, str]:
    """Create or update the stack from the current template, and wait until this is complete; return its outputs.

    `values` are the template's parameters; None keeps the current value. A new stack uses the table and the secret of
    an earlier stack if they exist. Updates do not change this choice.
    Raises StageError that names the resources that failed.
    """
    cloudformation: CloudFormationClient = account.client("cloudformation")
    stack, stack_id, options = read_stack(cloudformation, stage), shared_name(stage), dict[str, Any]()
    values = {"Stage": stage, "TableIs": None, "SecretIs": None, **values}
    if stack is None:
        table, secret = _describe_table_and_secret(account, stage)
        retained = {"TableIs": "kept" if table else "made", "SecretIs": "kept" if secret else "made"}
        values = {**{key: value or "" for key, value in values.items()}, **retained}
        options["OnFailure"] = "DELETE"
    in_stack = {parameter["ParameterKey"] for parameter in (stack or {}).get("Parameters", [])}
    parameters: list[Any] = [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items() if v is not None]
    unchanged = [key for key, value in values.items() if value is None and key in in_stack]
    parameters += [{"ParameterKey": key, "UsePreviousValue": True} for key in unchanged]
    template = TEMPLATE.read_text(encoding="utf-8")
    send: Any = cloudformation.create_stack if stack is None else cloudformation.update_stack
    started, capabilities = datetime.now(UTC), ["CAPABILITY_NAMED_IAM"]
    try:
        response = send(
            StackName=stack_id, TemplateBody=template, Parameters=parameters, Capabilities=capabilities, **options
        )
        # CloudFormation finds a deleted stack only by its id, not by its name.
        stack_id = response["StackId"]
        waiter = cloudformation.get_waiter("stack_create_complete" if stack is None else "stack_update_complete")
        _wait(cloudformation, waiter, stack_id, started)
    except ClientError as error:
        # CloudFormation reports an update without changes as a ValidationError; only the message differs.
        if "No updates are to be performed" not in str(error):
            raise
    [present] = cloudformation.describe_stacks(StackName=stack_id)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in present.get("Outputs", [])}


def delete_stack(client: CloudFormationClient, stage: str) -> None:
    """Delete the stack and wait until it is gone. The template retains table and secret. Raises StageError."""
    started = datetime.now(UTC)
    name = shared_name(stage)
    client.delete_stack(StackName=name)
    _wait(client, client.get_waiter("stack_delete_complete"), name, started)


def _wait(client: CloudFormationClient, waiter: Any, name: str, started: datetime) -> None:
    try:
        waiter.wait(StackName=name, WaiterConfig=WAITER_CONFIG)
    except WaiterError:
        events = client.describe_stack_events(StackName=name)["StackEvents"]
        failures = [
            f"  {event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', '')}"
            for event in events
            # The newest event comes first. The list also has events of earlier changes of the stack.
            if event["ResourceStatus"].endswith("_FAILED") and event["Timestamp"] >= started
        ]
        [stack] = client.describe_stacks(StackName=name)["Stacks"]
        lines = [_describe_status(stack["StackName"], stack["StackStatus"]), *reversed(failures)]
        raise StageError("\n".join(lines)) from None


def _describe_status(name: str, status: str) -> str:
    usual = "remove the cause and run the command again"
    if status.endswith("_IN_PROGRESS"):
        usual = "another deployment is running; wait for it, then run the command again"
    advice = _BROKEN.get(status, usual)
    return f"stack {name} is in {status}: {advice.format(name=name, stage=name.removeprefix(f'{APP_NAME}-'))}"


def _describe_table_and_secret(account: AwsAccount, stage: str) -> tuple[Any, Any]:
    """Return the descriptions of table and secret, each None if it does not exist.

    Raises StageError if the secret is scheduled for deletion: until then, AWS allows no new secret of this name.
    """
    name = secret_name(stage)
    table = none_if_not_found(account.client("dynamodb").describe_table, TableName=shared_name(stage))
    secret = none_if_not_found(account.client("secretsmanager").describe_secret, SecretId=name)
    if secret is not None and "DeletedDate" in secret:
        raise StageError(
            f"secret {name} is scheduled for deletion; "
            f"to restore it: aws secretsmanager restore-secret --secret-id {name}"
        )
    return table, secret
