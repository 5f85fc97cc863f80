"""Delete a stage: its functions, API, schedule, logs and stack.

Table and secret are kept unless their deletion is confirmed twice: `--data delete --really STAGE`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from botocore.exceptions import ClientError

from infra import chalice_config, cloudformation
from infra.account import Account, begin, open_account
from infra.api_gateway import unmap_domain
from infra.bundle import ROOT
from infra.chalice_state import find_rest_api, function_names, remove_state, write_state
from infra.deploy import exit_on_error, run_chalice
from infra.stage_settings import StageError

RECOVERY_DAYS = 7
"""How long Secrets Manager can restore a deleted secret."""

_POLICIES = ("deployer", "operator", "token-reader", "token-writer")


def destroy(
    account: Account, project: Path, stage: str, report: Callable[[str], None], *, delete_data: bool = False
) -> None:
    """Delete a stage of `project`, with its table and secret if `delete_data` is true."""
    settings = begin(account, project, stage, report)
    _check_policies(account, stage)
    chalice_config.write(project)
    apigateway, stacks = account.client("apigateway"), account.client("cloudformation")
    api_id = find_rest_api(apigateway, stage, settings)
    if api_id is None and cloudformation.read_stack(stacks, stage) is None:
        report("warning: there is no API and no stack of this stage: check account and region")
    if settings.domain is not None:
        unmap_domain(apigateway, settings.domain.name)
    write_state(account, project, stage, api_id)
    run_chalice(account, project, "delete", "--stage", stage)
    remove_state(project, stage)
    report("functions, API and schedule: deleted")
    _delete_role_policies(account, stage)
    if cloudformation.read_stack(stacks, stage) is not None:
        cloudformation.delete_stack(stacks, stage)
    report("stack: deleted")
    _delete_log_groups(account, stage)
    report("logs: deleted")
    if delete_data:
        _delete_data(account, stage, report)
    else:
        table, secret = cloudformation.stack_name(stage), cloudformation.secret_name(stage)
        report(f"table {table} and secret {secret}: kept; the next deployment uses them again")


def _check_policies(account: Account, stage: str) -> None:
    """Raise StageError if a policy of the stack is attached to a role or user: IAM would not delete it."""
    iam, attached = account.client("iam"), []
    for name in (f"{cloudformation.stack_name(stage)}-{suffix}" for suffix in _POLICIES):
        arn = f"arn:{account.partition}:iam::{account.id}:policy/{name}"
        entities = cloudformation.none_if_not_found(iam.list_entities_for_policy, PolicyArn=arn) or {}
        for kind in ("Role", "User", "Group"):
            attached += [
                f"policy {name} is attached to {kind.lower()} {entity[f'{kind}Name']}"
                for entity in entities.get(f"Policy{kind}s", ())
            ]
    if attached:
        raise StageError("; ".join(attached) + ". Detach it, and run this command as an administrator")


def _delete_role_policies(account: Account, stage: str) -> None:
    """Delete the policies that Chalice adds to the stack's roles. CloudFormation cannot delete a role with them."""
    iam = account.client("iam")
    for role in cloudformation.role_names(stage):
        found = cloudformation.none_if_not_found(iam.list_role_policies, RoleName=role)
        for policy in found["PolicyNames"] if found else ():
            iam.delete_role_policy(RoleName=role, PolicyName=policy)


def _delete_log_groups(account: Account, stage: str) -> None:
    """Delete the log groups that Chalice, and late invocations, have created."""
    logs = account.client("logs")
    # Chalice creates one more group, named after the handler, to set its retention.
    names = {*function_names(stage).values(), f"{cloudformation.stack_name(stage)}-api_handler"}
    for name in names:
        cloudformation.none_if_not_found(logs.delete_log_group, logGroupName=f"/aws/lambda/{name}")


def _delete_data(account: Account, stage: str, report: Callable[[str], None]) -> None:
    table, secret = cloudformation.stack_name(stage), cloudformation.secret_name(stage)
    dynamodb, secrets_manager = account.client("dynamodb"), account.client("secretsmanager")
    if cloudformation.none_if_not_found(dynamodb.update_table, TableName=table, DeletionProtectionEnabled=False):
        dynamodb.get_waiter("table_exists").wait(TableName=table)
        dynamodb.delete_table(TableName=table)
        dynamodb.get_waiter("table_not_exists").wait(TableName=table)
        report(f"table {table}: deleted")
    try:
        secrets_manager.delete_secret(SecretId=secret, RecoveryWindowInDays=RECOVERY_DAYS)
        report(f"secret {secret}: scheduled for deletion; it can be restored for {RECOVERY_DAYS} days")
    except ClientError as error:
        # InvalidRequestException: the secret is scheduled for deletion already.
        if error.response["Error"]["Code"] not in ("ResourceNotFoundException", "InvalidRequestException"):
            raise


def main() -> None:
    """Parse the command line and delete a stage of this project."""
    parser = argparse.ArgumentParser(prog="python -m infra.destroy", description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--data", choices=["keep", "delete"], default="keep", help="table and secret; default: keep")
    parser.add_argument("--really", metavar="STAGE", help="with --data delete: the stage's name again, to confirm")
    arguments = parser.parse_args()
    delete_data = arguments.data == "delete"
    if delete_data and arguments.really != arguments.stage:
        parser.error(f"to delete table and secret: DATA=delete REALLY={arguments.stage}")
    with exit_on_error():
        account = open_account(ROOT, arguments.stage)
        destroy(account, ROOT, arguments.stage, print, delete_data=delete_data)


if __name__ == "__main__":
    main()
