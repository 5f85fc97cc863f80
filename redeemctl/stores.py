"""`redeemctl store`: a merchant's stores."""

from typing import Any

import click

from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.merchants import change_row, require_merchant, to_patch
from redeemctl.options import ID, NAME, GlobalOptions, field_option, pass_options
from redeemctl.output import print_line
from redeemctl.rows import STORE_MEMBERS, Patch, Store, dump, parse_row, stores_of


@click.group()
def store() -> None:
    """Manage a merchant's stores. A merchant without a store list is served in all its stores."""


@store.command("add")
@click.argument("account_id", type=ID)
@click.argument("poi_id", type=ID)
@click.argument("name", type=NAME, required=False)
@field_option(Store, "address", "The address as text.")
@field_option(Store, "phone", "The phone number.")
@field_option(Store, "latitude", "Degrees, GCJ-02; only together with --longitude.")
@field_option(Store, "longitude", "Degrees, GCJ-02; only together with --latitude.")
@pass_options
def add_store(options: GlobalOptions, /, *, account_id: str, poi_id: str, **values: Any) -> None:
    """Add a store, or update the given values of it.

    NAME is required for a new store. An empty value of an option removes it.
    """
    patch = {"stores": {poi_id: to_patch(values)}}
    with options.open_stage() as stage:
        item = require_merchant(stage, account_id)
        stores = stores_of(item)
        if values["name"] is None and poi_id not in (stores or {}):
            raise InvalidInputError(f"NAME: store {poi_id} is new and needs a name")
        warning = ""
        if stores is None:
            warning = "The merchant has no store list and is served in all its stores; then only in this one."
        change_row(options, stage, account_id, item, patch, warning=warning)


@store.command("list")
@click.argument("account_id", type=ID)
@pass_options
def list_stores(options: GlobalOptions, account_id: str) -> None:
    """List a merchant's stores."""
    with options.open_stage() as stage:
        row = parse_row(require_merchant(stage, account_id))
    if row.stores is None and not options.as_json:
        print_line(f"merchant {account_id} has no store list and is served in all its stores")
    else:
        options.show(("poi_id", *STORE_MEMBERS), dump(row).get("stores"))


@store.command("remove")
@click.argument("account_id", type=ID)
@click.argument("poi_id", type=ID, required=False)
@click.option("--all", "all_stores", is_flag=True, help="Remove the list: the merchant is served in all its stores.")
@pass_options
def remove_store(options: GlobalOptions, account_id: str, poi_id: str | None, *, all_stores: bool) -> None:
    """Remove a store, or with --all the whole list.

    The last store cannot be removed by its POI_ID, because the merchant would then be served in all its stores.
    """
    if all_stores == (poi_id is not None):
        raise InvalidInputError("POI_ID: give a store, or --all")
    with options.open_stage() as stage:
        item = require_merchant(stage, account_id)
        stores = stores_of(item) or {}
        if list(stores) == [poi_id]:
            raise CommandError(f"{poi_id} is the last store; suspend the merchant, or serve all its stores with --all")
        patch: Patch = {"stores": None} if poi_id is None else {"stores": {poi_id: None}} if poi_id in stores else {}
        warning = "The merchant is then served in all its stores." if all_stores else f"Store {poi_id} is not served."
        change_row(options, stage, account_id, item, patch, warning=warning)
