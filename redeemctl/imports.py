"""`redeemctl merchant import|export`: many merchants at once, in a CSV file.

An import compares the file with the table and writes only what differs, so it can be repeated.
"""

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import Item
from redeemctl.errors import CommandError, ConflictError, InvalidInputError, NotConfirmedError
from redeemctl.files import Entry, read_merchants, write_csv
from redeemctl.merchants import read_row
from redeemctl.options import GlobalOptions, pass_options
from redeemctl.output import escape, print_json, print_line, print_note, print_rows
from redeemctl.rows import (
    LENIENT,
    Change,
    InvalidRowError,
    Patch,
    account_id_of,
    dump,
    edit_item,
    list_changes,
    stores_of,
)
from redeemctl.secret import read_secret_version
from redeemctl.stage import PARALLEL_WRITES
from redeemctl.table import MerchantTable

ADDED, CHANGED, UNCHANGED, NOT_IN_FILE, REMOVED = KINDS = ("added", "changed", "unchanged", "not in file", "removed")


@dataclass(frozen=True)
class RowPlan:
    """What an import does with one merchant. `item` is the present row, `edited` the one to write."""

    account_id: str
    kind: str
    changes: list[Change] = field(default_factory=list)
    item: Item | None = None
    edited: Item | None = None


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--prune",
    is_flag=True,
    help="Also remove merchants, stores and values that the file lacks, except for active, notice and redeeming.",
)
@click.option("--remove", type=int, metavar="NUMBER", help="How many --prune removes, as the preview says.")
@pass_options
def import_merchants(options: GlobalOptions, file: Path, *, prune: bool, remove: int | None) -> None:
    """Add and update the merchants in the CSV file FILE.

    The whole file is validated first; with any error nothing is written. Then a preview is shown and confirmed. A
    second run continues an interrupted one. What --prune removes is confirmed at a terminal, or with --remove.
    """
    entries, errors = read_merchants(file)
    with options.open_stage() as stage:
        items = {account_id_of(item): item for item in stage.merchants.list_all()}
        plans = plan_import(entries, items, read_secret_version(stage).apps, errors, prune=prune)
        if errors:
            raise InvalidInputError(f"{file}: nothing was changed\n" + "\n".join(f"  {error}" for error in errors))
        _show_preview(plans)
        to_write = [plan for plan in plans if plan.kind in (ADDED, CHANGED, REMOVED)]
        ends = count_ends(to_write)
        if ends.total():
            print_note(f"--prune removes {_list(ends)}; --remove {ends.total()} confirms this")
        failures: dict[str, Exception] = {}
        if is_written := bool(to_write) and not options.dry_run:
            is_asked = remove is None and not options.yes and sys.stdin.isatty()
            if ends.total() and remove != ends.total() and not is_asked:
                raise NotConfirmedError("nothing was changed: what --prune removes is not confirmed")
            if remove is None or not ends.total():
                options.confirm(f"Merchants to write or remove: {_list(_count(to_write))}.")
            failures = write_rows(stage.merchants, to_write)
    wanted = Counter(plan.kind == REMOVED for plan in to_write)
    done = Counter(plan.kind == REMOVED for plan in to_write if is_written and plan.account_id not in failures)
    if options.dry_run:
        print_line("dry run: no changes were made")
    else:
        text = f"{done[False]} of {wanted[False]} merchants written, {done[True]} of {wanted[True]} removed"
        print_line(text if to_write else "nothing to change")
    for account_id, failure in failures.items():
        print_note(f"merchant {account_id}: {failure}")
    if failures:
        message = f"merchants neither written nor removed: {len(failures)}; run the same import again"
        is_conflict = all(isinstance(failure, ConflictError) for failure in failures.values())
        raise ConflictError(message) if is_conflict else CommandError(message)


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--table", help="Read another table than the stage's, for example one restored from a backup.")
@pass_options
def export_merchants(options: GlobalOptions, file: Path | None, table: str | None) -> None:
    """Write all merchants to the CSV file FILE, in the form that import reads.

    Without FILE to stdout: as CSV, or with --json as JSON.
    """
    with options.open_stage() as stage:
        rows = MerchantTable(stage.account.client("dynamodb"), table) if table else stage.merchants
        merchants = [read_row(item) for item in rows.list_all()]
    if file is None:
        if options.as_json:
            print_json([dump(merchant) for merchant in merchants])
        else:
            text = write_csv(merchants)
            click.echo(escape(text) if sys.stdout.isatty() else text, nl=False)
        return
    if options.dry_run:
        print_note(f"dry run: {len(merchants)} merchants would be written to {file}")
        return
    if file.exists():
        options.confirm(f"{file} exists and is replaced.")
    # With a byte order mark, Excel reads Chinese text correctly.
    file.write_text(write_csv(merchants), encoding="utf-8-sig", newline="")
    print_note(f"{len(merchants)} merchants written to {file}")


def plan_import(
    entries: Mapping[str, Entry], items: Mapping[str, Item], apps: Collection[str], errors: list[str], *, prune: bool
) -> list[RowPlan]:
    """Compare a file with the table. What the file cannot make of a row is added to `errors`."""
    plans: list[RowPlan] = []
    for account_id, entry in entries.items():
        item = items.get(account_id)
        try:
            edited = edit_item(account_id, item, make_patch(entry, item, prune=prune))
        except InvalidRowError as error:
            errors += [f"line {entry.line_of(path)}, {path}: {text}" for path, text in error.errors.items()]
            continue
        app_id = edited["app_id"].get("S")
        if app_id not in apps:
            errors.append(f"line {entry.line}, app_id: app {app_id} not found; to add it: redeemctl app add {app_id}")
        changes = list_changes(item, edited)
        kind = ADDED if item is None else CHANGED if changes else UNCHANGED
        plans.append(RowPlan(account_id, kind, changes, item, edited))
    for account_id, item in items.items():
        if account_id not in entries:
            removal = RowPlan(account_id, REMOVED, list_changes(item, None), item)
            plans.append(removal if prune else RowPlan(account_id, NOT_IN_FILE))
    return plans


def make_patch(entry: Entry, item: Item | None, *, prune: bool) -> Patch:
    """Return the edit that makes a row as the file says.

    Empty values and missing stores change nothing, or with `prune` remove values and stores, except for `LENIENT`: a
    file that knows nothing of them must not switch anything. A store list never becomes empty: a merchant without
    stores in the file keeps those in the table.
    """

    def given(values: dict[str, Any], kept: tuple[str, ...]) -> Patch:
        return {name: v for name, v in values.items() if v is not None or (prune and name not in kept)}

    stores: Patch = {poi_id: given(store.values, ("name",)) for poi_id, store in (entry.stores or {}).items()}
    if prune and stores and item is not None:
        stores |= dict.fromkeys((stores_of(item) or {}).keys() - stores.keys())
    return given(entry.values, ("app_id", "active", *LENIENT)) | ({"stores": stores} if stores else {})


def count_ends(plans: Iterable[RowPlan]) -> Counter[str]:
    """Return how many merchants, stores and values end. What ends with a merchant or a store is part of it."""
    count = Counter(merchants=0, stores=0, values=0)
    for plan in plans:
        ended = [change.field.rpartition(".") for change in plan.changes if not change.new]
        # A store ends with its name.
        stores = {store for store, _, name in ended if store and name == "name"}
        if plan.kind == REMOVED:
            count["merchants"] += 1
        else:
            count["stores"] += len(stores)
            count["values"] += sum(store not in stores for store, _, _ in ended)
    return count


def write_rows(table: MerchantTable, plans: list[RowPlan]) -> dict[str, Exception]:
    """Write rows in parallel; return the error of each that failed."""

    def write(plan: RowPlan) -> Exception | None:
        try:
            table.write(plan.item, plan.edited)
        except (CommandError, ClientError, BotoCoreError) as error:
            return error
        return None

    with ThreadPoolExecutor(PARALLEL_WRITES) as executor:
        results = zip(plans, executor.map(write, plans), strict=True)
        return {plan.account_id: error for plan, error in results if error is not None}


def _show_preview(plans: list[RowPlan]) -> None:
    rows = [(plan.kind, plan.account_id, _summarize(plan.changes)) for plan in plans if plan.kind != UNCHANGED]
    if rows:
        print_rows(("", "account_id", "changes"), rows)
    counts = _count(plans)
    print_note(", ".join(f"{kind}: {count}" for kind, count in counts.items()))
    if counts[NOT_IN_FILE]:
        print_note("merchants that are not in the file stay; --prune removes them")


def _summarize(changes: list[Change]) -> str:
    return "; ".join(f"{change.field}: {change.current or '-'} → {change.new or '-'}" for change in changes)


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind}: {count}" for kind, count in counts.items() if count)


def _count(plans: list[RowPlan]) -> dict[str, int]:
    counts = Counter(plan.kind for plan in plans)
    return {kind: counts[kind] for kind in KINDS}
