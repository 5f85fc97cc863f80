"""Delete a stage: its functions, API, schedule, logs and stack. Table and secret are kept."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from infra import chalice_config, cloudformation
from infra.account import AwsAccount, check_target, open_account
from infra.api_gateway import unmap_domain
from infra.bundle import ROOT
from infra.chalice_state import find_functions, find_rest_api, remove_state, write_state
from infra.deploy import exit_on_error, run_chalice
from infra.stage_settings import StageError


def destroy(
    account: AwsAccount, project: Path, stage: str, print_line: Callable[[str], None], ask: Callable[[str], str] | None
) -> None:
    """Delete a stage of `project`, without its table and secret. If `ask` is given, it must return the stage's name."""
    check_target(account, project, stage, print_line)
    if ask is not None and ask("Delete its API and functions? Type the name of the stage: ") != stage:
        raise StageError("nothing was deleted")
    chalice_config.write(project)
    apigateway, stacks = account.client("apigateway"), account.client("cloudformation")
    api_id = find_rest_api(apigateway, stage)
    if api_id is None and cloudformation.read_stack(stacks, stage) is None:
        print_line("warning: there is no API and no stack of this stage: check account and region")
    if domain := cloudformation.read_domain(account, stage):
        unmap_domain(apigateway, domain)
        print_line(f"domain {domain}: unmapped")
    functions = find_functions(account, stage)
    write_state(account, project, stage, functions, api_id)
    log_groups = _find_log_groups(account, stage, functions.values())
    run_chalice(account, project, "delete", "--stage", stage)
    remove_state(project, stage)
    print_line("functions, API and schedule: deleted")
    _delete_role_policies(account, stage, log_groups)
    if cloudformation.read_stack(stacks, stage) is not None:
        cloudformation.delete_stack(stacks, stage)
    print_line("stack: deleted")
    # The stack has deleted its log group, but a late invocation may have created it again.
    for name in log_groups:
        cloudformation.none_if_not_found(account.client("logs").delete_log_group, logGroupName=name)
    print_line("logs: deleted")
    table, secret = cloudformation.shared_name(stage), cloudformation.secret_name(stage)
    print_line(f"table {table} and secret {secret}: kept; the next deployment uses them again")


def _find_log_groups(account: AwsAccount, stage: str, own_arns: Iterable[str]) -> list[str]:
    """Return the names of the log groups of the stage's functions, including former ones.

    The stack creates the HTTP function's log group. Chalice creates those of the other functions, and an unused one
    that is named after the HTTP function's handler. Chalice deletes none of them, so a second run after a failure finds
    them. If a name begins with the name of a function that is not the stage's, the log group belongs to that function.
    """
    prefix = f"/aws/lambda/{cloudformation.shared_name(stage)}"
    pages = account.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    function_pages = account.client("lambda").get_paginator("list_functions").paginate()
    other_arns = {function["FunctionArn"] for page in function_pages for function in page["Functions"]} - {*own_arns}
    taken = tuple(f"/aws/lambda/{arn.rpartition(':')[2]}-" for arn in other_arns)
    names = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    return sorted(name for name in names if f"{name}-".startswith(f"{prefix}-") and not f"{name}-".startswith(taken))


def _delete_role_policies(account: AwsAccount, stage: str, log_groups: list[str]) -> None:
    """Delete the policies that Chalice adds to the functions' roles, and the roles that are not in the stack.

    CloudFormation cannot delete a role with policies. Chalice gives role and log group the function's name. So
    `log_groups` names the roles, too.
    """
    iam, in_stack = account.client("iam"), cloudformation.role_names(stage)
    named_by_logs = {name.removeprefix("/aws/lambda/") for name in log_groups} - {cloudformation.shared_name(stage)}
    for role in {*in_stack, *named_by_logs}:
        policies = cloudformation.none_if_not_found(iam.list_role_policies, RoleName=role)
        for policy in policies["PolicyNames"] if policies else ():
            iam.delete_role_policy(RoleName=role, PolicyName=policy)
        if policies and role not in in_stack:
            iam.delete_role(RoleName=role)


def main() -> None:
    """Parse the command line and delete a stage of this project. In a terminal, ask before."""
    parser = argparse.ArgumentParser(prog="python -m infra.destroy", description=__doc__)
    parser.add_argument("stage")
    stage = parser.parse_args().stage
    with exit_on_error():
        destroy(open_account(ROOT, stage), ROOT, stage, print, input if sys.stdin.isatty() else None)


if __name__ == "__main__":
    main()
