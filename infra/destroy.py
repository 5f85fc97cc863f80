"""`python -m infra.destroy STAGE`: take a stage down.

Its table and its secret stay, unless that is said twice: `--data delete --really STAGE`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra import cloudformation
from infra.bundle import ROOT
from infra.deploy import Account, chalice, in_words, own_account, stages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def destroy(account: Account, project: Path, stage: str, say: Callable[[str], None], *, data: bool = False) -> None:
    """Take down functions, API, schedule and stack; with `data` the table and the secret as well."""
    if (project / ".chalice" / "deployed" / f"{stage}.json").exists():
        chalice(account, project, "delete", "--stage", stage)
        say("functions, API and schedule: deleted")
    client = account.client("cloudformation")
    if cloudformation.exists(client, stage):
        cloudformation.take_down(client, stage)
        say("stack: deleted")
    name, secret = cloudformation.stack_name(stage), cloudformation.secret_name(stage)
    if not data:
        say(f"table {name} and secret {secret}: kept; the next deployment uses them again")
        return
    dynamodb, secrets_manager = account.client("dynamodb"), account.client("secretsmanager")
    if cloudformation.unless_missing(lambda: dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)):
        dynamodb.get_waiter("table_exists").wait(TableName=name)
        dynamodb.delete_table(TableName=name)
        dynamodb.get_waiter("table_not_exists").wait(TableName=name)
        say(f"table {name}: deleted")
    try:
        secrets_manager.delete_secret(SecretId=secret, RecoveryWindowInDays=7)
        say(f"secret {secret}: deleted, to be had back for seven days")
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ResourceNotFoundException", "InvalidRequestException"):
            raise


def main() -> None:
    """Take a stage of this project down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=stages())
    parser.add_argument("--data", choices=["keep", "delete"], default="keep")
    parser.add_argument("--really", help="the stage's name once more, before its data is deleted")
    arguments = parser.parse_args()
    data = arguments.data == "delete"
    if data and arguments.really != arguments.stage:
        parser.error(f"to delete table and secret as well say --data delete --really {arguments.stage}")
    with in_words():
        destroy(own_account(), ROOT, arguments.stage, print, data=data)


if __name__ == "__main__":
    main()
