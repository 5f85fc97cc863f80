"""`redeemctl merchant`: the rows of merchants, one at a time. `imports` handles many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from redeemctl.arguments import ID, ID_OR_EMPTY, STORE, TEXT
from redeemctl.changes import Plan
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.options import GlobalGroup, GlobalOptions, pass_options
from redeemctl.output import print_json, print_note, print_rows
from redeemctl.rows import Edit, check_item, edit_item, list_changes, list_removal, parse_row, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from redeemctl.rows import Item
    from redeemctl.stage import Stage


@click.group(cls=GlobalGroup)
def merchant() -> None:
    """Manage merchants."""


@merchant.command("add")
@click.argument("account_id", type=ID)
@click.option(
    "--app", "app_id", type=ID, help="The app_id of the merchant's mini-program. Required for a new merchant."
)
@click.option("--name", type=TEXT, help="The display name.")
@click.option("--life-account-id", type=ID_OR_EMPTY, help="The root account, sent as header Rpc-Transit-Life-Account.")
@click.option("--token-id", type=ID_OR_EMPTY, help="The row of the access token. Default: the app's.")
@click.option("--store", "stores", type=STORE, multiple=True, metavar="POI_ID=NAME", help="A store; repeatable.")
@pass_options
def add_merchant(
    options: GlobalOptions,
    *,
    account_id: str,
    app_id: str | None,
    name: str | None,
    life_account_id: str | None,
    token_id: str | None,
    stores: tuple[tuple[str, str], ...],
) -> None:
    """Add a merchant, or update the given attributes of its row.

    Stores that are not given stay. An empty value removes an optional attribute. Without any store, the merchant is
    served in all its stores.
    """
    given = {"app_id": app_id, "name": name, "life_account_id": life_account_id, "token_id": token_id}
    texts = {attribute: value for attribute, value in given.items() if value is not None}
    edit = Edit(texts, stores={poi_id: {"name": title} for poi_id, title in stores})
    with options.open_stage() as stage:
        item = stage.merchants.get(account_id)
        if item is None and app_id is None:
            raise InvalidInputError(f"--app: merchant {account_id} is new and needs an app")
        if app_id is not None:
            stage.require_app(app_id)
        if item is not None and "stores" not in item and stores:
            warning = "The merchant has no store list and is served in all its stores; then only in the given ones."
        else:
            warning = ""
        change_row(options, stage, account_id, lambda _: edit, warning=warning, may_add=item is None)


@merchant.command("show")
@click.argument("account_id", type=ID)
@pass_options
def show_merchant(options: GlobalOptions, account_id: str) -> None:
    """Show a merchant's row."""
    with options.open_stage() as stage:
        item = require_merchant(stage, account_id)
    if options.as_json:
        print_json(to_json(parse_row(item)))
        return
    rows = [("account_id", account_id), *((change.field, change.new) for change in list_changes(None, item))]
    print_rows(("field", "value"), rows, no_wrap=("field",))


@merchant.command("list")
@pass_options
def list_merchants(options: GlobalOptions) -> None:
    """List all merchants."""
    with options.open_stage() as stage:
        rows = []
        for item in stage.list_merchants():
            try:
                rows.append(parse_row(item))
            except CommandError as error:
                print_note(f"malformed row: {error}")
    if options.as_json:
        print_json([to_json(row) for row in rows])
        return
    lines = [
        (
            row.account_id,
            row.texts.get("name", ""),
            row.texts.get("app_id", ""),
            "all" if row.stores is None else str(len(row.stores)),
            "yes" if row.active else "no",
        )
        for row in rows
    ]
    print_rows(("account_id", "name", "app_id", "stores", "active"), lines, no_wrap=("account_id", "app_id"))


@merchant.command("suspend")
@click.argument("account_id", type=ID)
@pass_options
def suspend_merchant(options: GlobalOptions, account_id: str) -> None:
    """Stop serving a merchant."""
    with options.open_stage() as stage:
        warning = f"Merchant {account_id} is no longer served."
        change_row(options, stage, account_id, lambda _: Edit(active=False), warning=warning)


@merchant.command("resume")
@click.argument("account_id", type=ID)
@pass_options
def resume_merchant(options: GlobalOptions, account_id: str) -> None:
    """Serve a suspended merchant again."""
    with options.open_stage() as stage:
        change_row(options, stage, account_id, lambda _: Edit(active=True))


@merchant.command("remove")
@click.argument("account_id", type=ID)
@pass_options
def remove_merchant(options: GlobalOptions, account_id: str) -> None:
    """Remove a merchant's row."""
    with options.open_stage() as stage:

        def make_plan() -> Plan:
            item = stage.merchants.get(account_id)
            if item is None:
                return Plan([], lambda: None)
            warning = f"Merchant {account_id} is no longer served and its row is lost."
            return Plan(list_removal(item), lambda: stage.merchants.remove(item), warning)

        options.change(make_plan, f"merchant {account_id}: removed", account_id=account_id)


def require_merchant(stage: Stage, account_id: str) -> Item:
    """Return a merchant's row; raises CommandError if there is none."""
    item = stage.merchants.get(account_id)
    if item is None:
        raise CommandError(f"merchant {account_id} not found; to add it: redeemctl merchant add {account_id} --app …")
    return item


def change_row(
    options: GlobalOptions,
    stage: Stage,
    account_id: str,
    make_edit: Callable[[Item | None], Edit],
    *,
    warning: str = "",
    may_add: bool = False,
) -> None:
    """Edit a merchant's row by compare-and-set. `make_edit` is called again with the newer row after a conflict."""

    def make_plan() -> Plan:
        item = stage.merchants.get(account_id) if may_add else require_merchant(stage, account_id)
        edit = make_edit(item)
        edited = edit_item(account_id, item, edit)
        check_item(edited, edit)
        return Plan(list_changes(item, edited), lambda: stage.merchants.replace(item, edited), warning)

    done = f"merchant {account_id}: saved; takes effect on all instances within five minutes"
    options.change(make_plan, done, account_id=account_id)
