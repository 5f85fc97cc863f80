"""`redeemctl merchant`: the rows of merchants, one at a time. `merchant_csv` handles many at once."""

from typing import Any

import click

from chalicelib.aws import Item
from chalicelib.merchants import parse_merchant
from redeemctl.command_line import ID, CommandLine, pass_command_line
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.merchant_rows import (
    EFFECTIVE_WHEN,
    Patch,
    describe_first_stores,
    dump,
    edit_item,
    list_changes,
    parse_rows,
)
from redeemctl.output import print_json, print_note, print_rows
from redeemctl.secret import read_secret_version
from redeemctl.stage import Stage


@click.group()
def merchant() -> None:
    """Manage merchants."""


@merchant.command("add")
@click.argument("account_id", type=ID)
@click.option("--app", "app_id", help="The merchant's mini-program. Required for a new merchant.")
@click.option("--name", help="The display name.")
@click.option("--life-account-id", help="The root account, sent as header Rpc-Transit-Life-Account.")
@click.option("--notice", help="A sentence that the pages show above list and coupon.")
@click.option("--redeeming", type=click.Choice(["on", "off", ""]), help="Whether the pages offer to redeem.")
@click.option("--store", "stores", multiple=True, metavar="POI_ID=NAME", help="A store; repeatable.")
@pass_command_line
def add_merchant(cli: CommandLine, /, *, account_id: str, stores: tuple[str, ...], **values: Any) -> None:
    """Add a merchant, or update the given attributes of its row.

    Stores that are not given stay. An empty value removes an optional attribute. Without any store, the merchant is
    served in all its stores.
    """
    patch, pairs = to_patch(values), [text.partition("=") for text in stores]
    if not all(separator for _, separator, _ in pairs):
        raise InvalidInputError("--store: write POI_ID=NAME, for example 6601=人民广场店")
    patch |= {"stores": {poi_id: {"name": name} for poi_id, _, name in pairs}} if pairs else {}
    with cli.open_stage() as stage:
        seen = stage.merchants.get(account_id)
        app_id = values["app_id"]
        if seen is None and app_id is None:
            raise InvalidInputError(f"--app: merchant {account_id} is new and needs an app")
        if app_id is not None:
            read_secret_version(stage).get_app_secret(app_id)
        warning = "The pages then offer no redemption." if values["redeeming"] == "off" else ""
        change_row(cli, stage, account_id, seen, patch, warning=warning)


@merchant.command("show")
@click.argument("account_id", type=ID)
@pass_command_line
def show_merchant(cli: CommandLine, account_id: str) -> None:
    """Show a merchant's row."""
    with cli.open_stage(read_only=True) as stage:
        item = require_merchant(stage, account_id)
        if cli.as_json:
            print_json(dump(parse_merchant(account_id, item)))
            return
    rows = [("account_id", account_id), *((change.field, change.new) for change in list_changes(None, item))]
    print_rows(("field", "value"), rows)


@merchant.command("list")
@pass_command_line
def list_merchants(cli: CommandLine) -> None:
    """List all merchants."""
    with cli.open_stage(read_only=True) as stage:
        merchants, malformed = parse_rows(stage.merchants.list_all())
    for text in malformed:
        print_note(f"malformed: {text}")
    all_stores = {} if cli.as_json else {"stores": "all"}
    columns = ("account_id", "name", "app_id", "stores", "active", "redeeming")
    cli.show(columns, [all_stores | dump(merchant) for merchant in merchants])


@merchant.command("suspend")
@click.argument("account_id", type=ID)
@pass_command_line
def suspend_merchant(cli: CommandLine, account_id: str) -> None:
    """Stop serving a merchant."""
    with cli.open_stage() as stage:
        warning = f"Merchant {account_id} is no longer served."
        seen = require_merchant(stage, account_id)
        change_row(cli, stage, account_id, seen, {"active": False}, warning=warning)


@merchant.command("resume")
@click.argument("account_id", type=ID)
@pass_command_line
def resume_merchant(cli: CommandLine, account_id: str) -> None:
    """Serve a suspended merchant again."""
    with cli.open_stage() as stage:
        change_row(cli, stage, account_id, require_merchant(stage, account_id), {"active": True})


@merchant.command("remove")
@click.argument("account_id", type=ID)
@pass_command_line
def remove_merchant(cli: CommandLine, account_id: str) -> None:
    """Remove a merchant's row."""
    with cli.open_stage() as stage:
        warning = f"Merchant {account_id} is no longer served and its row is lost."
        change_row(cli, stage, account_id, stage.merchants.get(account_id), None, warning=warning)


def to_patch(values: dict[str, Any]) -> Patch:
    """Return the given values as a patch. An empty value removes its attribute; None leaves it."""
    return {name: None if value == "" else value for name, value in values.items() if value is not None}


def require_merchant(stage: Stage, account_id: str) -> Item:
    """Return a merchant's row; raises CommandError if there is none."""
    item = stage.merchants.get(account_id)
    if item is None:
        raise CommandError(f"merchant {account_id} not found; to add it: redeemctl merchant add {account_id} --app …")
    return item


def change_row(
    cli: CommandLine, stage: Stage, account_id: str, seen: Item | None, patch: Patch | None, *, warning: str = ""
) -> None:
    """Edit the row that was read as `seen` (None for a new merchant), or remove it if `patch` is None."""
    edited = None if patch is None else edit_item(account_id, seen, patch)
    cli.change(
        list_changes(seen, edited),
        lambda: stage.merchants.write(seen, edited),
        f"merchant {account_id}: {'removed' if edited is None else 'saved'}; {EFFECTIVE_WHEN}",
        warning=f"{describe_first_stores(seen, edited)} {warning}".strip(),
    )
