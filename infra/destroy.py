"""Delete a stage: its functions, API, schedule, logs and stack. Table and secret are kept."""

import argparse
from collections.abc import Callable
from pathlib import Path

from infra import chalice_config, cloudformation
from infra.account import Account, begin, open_account
from infra.api_gateway import unmap_domain
from infra.bundle import ROOT
from infra.chalice_state import find_rest_api, function_names, remove_state, write_state
from infra.deploy import exit_on_error, run_chalice
from infra.stage_settings import StageError

_POLICIES = ("deployer", "operator", "token-reader", "token-writer")


def destroy(account: Account, project: Path, stage: str, report: Callable[[str], None]) -> None:
    """Delete a stage of `project`, without its table and secret."""
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


def main() -> None:
    """Parse the command line and delete a stage of this project."""
    parser = argparse.ArgumentParser(prog="python -m infra.destroy", description=__doc__)
    parser.add_argument("stage")
    arguments = parser.parse_args()
    with exit_on_error():
        destroy(open_account(ROOT, arguments.stage), ROOT, arguments.stage, print)


if __name__ == "__main__":
    main()
