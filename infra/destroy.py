"""Delete a stage: its functions, API, schedule and stack.

Table and secret are kept unless their deletion is confirmed twice: `--data delete --really STAGE`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra import cloudformation
from infra.bundle import ROOT
from infra.deploy import Account, account_from_environment, exit_on_error, list_stages, run_chalice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECOVERY_DAYS = 7
"""How long Secrets Manager can restore a deleted secret."""


def destroy(
    account: Account, project: Path, stage: str, report: Callable[[str], None], *, delete_data: bool = False
) -> None:
    """Delete a stage of `project`, with its table and secret if `delete_data` is true."""
    if (project / ".chalice" / "deployed" / f"{stage}.json").exists():
        run_chalice(account, project, "delete", "--stage", stage)
        report("functions, API and schedule: deleted")
    stacks = account.client("cloudformation")
    if cloudformation.stack_exists(stacks, stage):
        cloudformation.delete_stack(stacks, stage)
        report("stack: deleted")
    table, secret = cloudformation.stack_name(stage), cloudformation.secret_name(stage)
    if not delete_data:
        report(f"table {table} and secret {secret}: kept; the next deployment uses them again")
        return
    dynamodb, secrets_manager = account.client("dynamodb"), account.client("secretsmanager")
    if cloudformation.none_if_not_found(
        lambda: dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    ):
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
    parser.add_argument("stage", choices=list_stages())
    parser.add_argument("--data", choices=["keep", "delete"], default="keep", help="table and secret; default: keep")
    parser.add_argument("--really", metavar="STAGE", help="with --data delete: the stage's name again, to confirm")
    arguments = parser.parse_args()
    delete_data = arguments.data == "delete"
    if delete_data and arguments.really != arguments.stage:
        parser.error(f"to delete table and secret, use --data delete --really {arguments.stage}")
    with exit_on_error():
        destroy(account_from_environment(), ROOT, arguments.stage, print, delete_data=delete_data)


if __name__ == "__main__":
    main()
