"""`redeemctl store`: a merchant's stores."""

from typing import Any

import click

from chalicelib.merchants import parse_merchant
from redeemctl.command_line import ID, CommandLine, pass_command_line
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.merchant_rows import Patch, StoreEntry, dump, stores_of
from redeemctl.merchants import change_row, require_merchant, to_patch
from redeemctl.output import print_line


@click.group()
def store() -> None:
    """Manage a merchant's stores. A merchant without a store list is served in all its stores."""


@store.command("add")
@click.argument("account_id", type=ID)
@click.argument("poi_id", type=ID)
@click.argument("name", required=False)
@click.option("--address", help="The address as text.")
@click.option("--phone", help="The phone number.")
@click.option("--latitude", help="Degrees, GCJ-02; only together with --longitude.")
@click.option("--longitude", help="Degrees, GCJ-02; only together with --latitude.")
@pass_command_line
def add_store(cli: CommandLine, /, *, account_id: str, poi_id: str, **values: Any) -> None:
    """Add a store, or update the given values of it.

    NAME is required for a new store. An empty value removes the address, phone or coordinate.
    """
    patch = {"stores": {poi_id: to_patch(values)}}
    with cli.open_stage() as stage:
        seen = require_merchant(stage, account_id)
        if values["name"] is None and poi_id not in stores_of(seen):
            raise InvalidInputError(f"NAME: store {poi_id} is new and needs a name")
        change_row(cli, stage, account_id, seen, patch)


@store.command("list")
@click.argument("account_id", type=ID)
@pass_command_line
def list_stores(cli: CommandLine, account_id: str) -> None:
    """List a merchant's stores."""
    with cli.open_stage(read_only=True) as stage:
        merchant = parse_merchant(account_id, require_merchant(stage, account_id))
    if merchant.stores is None and not cli.as_json:
        print_line(f"merchant {account_id} has no store list and is served in all its stores")
    else:
        cli.show(("poi_id", *StoreEntry.model_fields), dump(merchant).get("stores"))


@store.command("remove")
@click.argument("account_id", type=ID)
@click.argument("poi_id", type=ID)
@pass_command_line
def remove_store(cli: CommandLine, account_id: str, poi_id: str) -> None:
    """Remove a store. The last one cannot be removed, because the merchant would then be served in all its stores."""
    with cli.open_stage() as stage:
        seen = require_merchant(stage, account_id)
        stores = stores_of(seen)
        if list(stores) == [poi_id]:
            raise CommandError(f"{poi_id} is the last store: redeemctl merchant suspend {account_id}")
        patch: Patch = {"stores": {poi_id: None}} if poi_id in stores else {}
        change_row(cli, stage, account_id, seen, patch, warning=f"Store {poi_id} is not served.")
