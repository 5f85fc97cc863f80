"""`redeemctl merchant import|export|template`: many merchants at once.

An import compares the file with the table and writes only what differs. So it can be repeated, and a second run
continues an interrupted one. Without --prune it removes nothing: neither merchants nor stores nor values that the file
does not have.
"""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import Progress

from redeemctl.changes import Plan, compare_and_set
from redeemctl.errors import CommandError, ConflictError, InvalidInputError
from redeemctl.files import Entry, read_merchants, write_csv, write_json
from redeemctl.options import GlobalCommand, GlobalOptions, changes_to_json, pass_options
from redeemctl.output import print_json, print_note, print_rows
from redeemctl.rows import (
    STORE_MEMBERS,
    Change,
    Edit,
    Row,
    account_id_of,
    check_item,
    edit_item,
    list_changes,
    list_removal,
    parse_row,
)
from redeemctl.stage import PARALLEL_WRITES
from redeemctl.table import MerchantTable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from redeemctl.rows import Item, StoreValue

ADDED, CHANGED, UNCHANGED, NOT_IN_FILE, REMOVED = "added", "changed", "unchanged", "not in file", "removed"
MAX_SHOWN_ROWS = 50

TEMPLATE = [
    Row(
        "7100000000000000001",
        {"app_id": "tt0123456789abcdef", "name": "四季小馆", "life_account_id": "7100000000000000101"},
        active=True,
        stores={
            "6601": {
                "name": "人民广场店",
                "address": "西藏中路180号",
                "phone": "021-5555-6601",
                "latitude": Decimal("31.2327"),
                "longitude": Decimal("121.4751"),
            },
            "6602": {"name": "徐家汇店"},
        },
    ),
    Row("7100000000000000004", {"app_id": "tt0123456789abcdef", "name": "巷口面馆"}, True, None),
]


@dataclass(frozen=True)
class RowPlan:
    """What an import does with one merchant."""

    account_id: str
    kind: str
    changes: list[Change] = field(default_factory=list)
    edit: Edit = field(default_factory=Edit)
    item: Item | None = None

    @property
    def writes(self) -> bool:
        """Whether the table changes."""
        return self.kind in (ADDED, CHANGED, REMOVED)


@click.command("import", cls=GlobalCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--prune", is_flag=True, help="Also remove merchants, stores and values that the file does not have.")
@pass_options
def import_merchants(options: GlobalOptions, file: Path, *, prune: bool) -> None:
    """Add and update the merchants in FILE, .csv or .json.

    The whole file is validated first; with any error nothing is written. Then a preview is shown and confirmed. A
    second run continues an interrupted one.
    """
    entries = read_merchants(file)
    with options.open_stage() as stage:
        items = {account_id_of(item): item for item in stage.list_merchants()}
        plans = plan_import(file, entries, items, stage.secret.read().apps, prune=prune)
        if not options.as_json:
            _show_preview(plans)
        to_write = [plan for plan in plans if plan.writes]
        failures: dict[str, Exception] = {}
        if to_write and not options.dry_run:
            options.confirm(_warning(plans))
            failures = write_rows(stage.merchants, to_write)
    written = 0 if options.dry_run else len(to_write) - len(failures)
    if options.as_json:
        _print_result(plans, failures, written, options)
    elif options.dry_run:
        click.echo("dry run: no changes were made")
    elif not to_write:
        click.echo("nothing to change")
    else:
        click.echo(f"{written} of {len(to_write)} merchants written")
    if failures:
        for account_id, error in failures.items():
            print_note(f"merchant {account_id}: {error}")
        all_conflicts = all(isinstance(error, ConflictError) for error in failures.values())
        message = f"merchants not written: {len(failures)}; run the same import again"
        raise ConflictError(message) if all_conflicts else CommandError(message)


@click.command("export", cls=GlobalCommand)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--table", help="read another table than the stage's, for example one restored from a backup")
@pass_options
def export_merchants(options: GlobalOptions, file: Path | None, table: str | None) -> None:
    """Write all merchants to FILE, .csv or .json, in the form that import reads.

    Without FILE to stdout: as CSV, or with --json as JSON.
    """
    _check_suffix(file)
    with options.open_stage() as stage:
        items = MerchantTable(stage.create_client("dynamodb"), table).list_all() if table else stage.list_merchants()
        rows = [parse_row(item) for item in items]
    _write_file(options, file, rows)


@click.command("template", cls=GlobalCommand)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@pass_options
def print_template(options: GlobalOptions, file: Path | None) -> None:
    """Write an example file for import to FILE, .csv or .json; without FILE to stdout."""
    _check_suffix(file)
    _write_file(options, file, TEMPLATE)


def plan_import(
    file: Path, entries: Iterable[Entry], items: dict[str, Item], apps: Collection[str], *, prune: bool
) -> list[RowPlan]:
    """Compare a file with the table; raises InvalidInputError that lists every error."""
    plans: list[RowPlan] = []
    errors: list[str] = []
    for entry in entries:
        item = items.get(entry.account_id)
        edit = make_edit(entry, item, prune=prune)
        edited = edit_item(entry.account_id, item, edit)
        try:
            check_item(edited, edit)
            app_id = parse_row(edited).texts["app_id"]
            if app_id not in apps:
                errors.append(f"{entry.place}, app_id: app {app_id} not found; to add it: redeemctl app add {app_id}")
            changes = list_changes(item, edited)
        except CommandError as error:
            errors.append(f"{entry.place}: {error.message}")
            continue
        kind = ADDED if item is None else CHANGED if changes else UNCHANGED
        plans.append(RowPlan(entry.account_id, kind, changes, edit, item))
    if errors:
        raise InvalidInputError(f"{file}: nothing was changed\n" + "\n".join(f"  {error}" for error in errors))
    in_file = {plan.account_id for plan in plans}
    for account_id, item in items.items():
        if account_id not in in_file:
            plans.append(
                RowPlan(account_id, REMOVED, list_removal(item), item=item)
                if prune
                else RowPlan(account_id, NOT_IN_FILE)
            )
    return plans


def make_edit(entry: Entry, item: Item | None, *, prune: bool) -> Edit:
    """Return the edit that makes a row as the file says.

    Empty values and missing stores change nothing, or with `prune` remove values and stores. A store list never becomes
    empty: a merchant without stores in the file keeps those in the table.
    """
    texts = {name: text for name, text in entry.texts.items() if text or (prune and name != "app_id")}
    stores: dict[str, dict[str, StoreValue] | None] = {}
    for poi_id, members in (entry.stores or {}).items():
        stores[poi_id] = {
            n: v for n, v in members.items() if n in STORE_MEMBERS and (v != "" or (prune and n != "name"))
        }
    if prune and stores and item is not None:
        present = item.get("stores", {}).get("M", {})
        stores |= dict.fromkeys(present.keys() - stores.keys())
    return Edit(texts, entry.active, stores)


def write_rows(table: MerchantTable, plans: list[RowPlan]) -> dict[str, Exception]:
    """Write rows in parallel, with a progress bar on stderr; return the error of each that failed."""
    failures: dict[str, Exception] = {}
    console = Console(file=sys.stderr)
    with (
        Progress(console=console, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(PARALLEL_WRITES) as executor,
    ):
        task = progress.add_task("writing", total=len(plans))
        futures = {executor.submit(write_row, table, plan): plan.account_id for plan in plans}
        try:
            for future in as_completed(futures):
                try:
                    future.result()
                except (CommandError, ClientError, BotoCoreError) as error:
                    failures[futures[future]] = error
                progress.advance(task)
        except KeyboardInterrupt:
            executor.shutdown(cancel_futures=True)
            raise CommandError("interrupted; run the same import again to continue") from None
    return failures


def write_row(table: MerchantTable, plan: RowPlan) -> None:
    """Write one row by compare-and-set. After a conflict only what was shown is written."""
    seen = [plan.item]

    def make_plan() -> Plan:
        # The first try uses the row that the preview was made of: no second read for each merchant.
        item = seen.pop() if seen else table.get(plan.account_id)
        if plan.kind == REMOVED:
            return Plan([], lambda: None) if item is None else Plan(list_removal(item), lambda: table.remove(item))
        edited = edit_item(plan.account_id, item, plan.edit)
        check_item(edited, plan.edit)
        return Plan(list_changes(item, edited), lambda: table.replace(item, edited))

    compare_and_set(make_plan, confirmed=plan.changes)


def _show_preview(plans: list[RowPlan]) -> None:
    shown = [plan for plan in plans if plan.kind != UNCHANGED]
    is_cut = sys.stdout.isatty() and len(shown) > MAX_SHOWN_ROWS
    rows = [(p.kind, p.account_id, _summarize(p.changes)) for p in (shown[:MAX_SHOWN_ROWS] if is_cut else shown)]
    if rows:
        print_rows(("", "account_id", "changes"), rows, no_wrap=("", "account_id"))
    if is_cut:
        click.echo(f"… and {len(shown) - MAX_SHOWN_ROWS} more; --dry-run --json lists all")
    counts = Counter(plan.kind for plan in plans)
    print_note(", ".join(f"{kind}: {counts[kind]}" for kind in (ADDED, CHANGED, UNCHANGED, NOT_IN_FILE, REMOVED)))
    if counts[NOT_IN_FILE]:
        print_note("merchants that are not in the file stay; --prune removes them")


def _summarize(changes: list[Change]) -> str:
    return "; ".join(f"{change.field}: {change.current or '-'} → {change.new or '-'}" for change in changes)


def _warning(plans: list[RowPlan]) -> str:
    counts = Counter(plan.kind for plan in plans)
    return f"Merchants to write: {', '.join(f'{kind}: {counts[kind]}' for kind in (ADDED, CHANGED, REMOVED))}."


def _print_result(plans: list[RowPlan], failures: dict[str, Exception], written: int, options: GlobalOptions) -> None:
    counts = Counter(plan.kind for plan in plans)
    kinds = (ADDED, CHANGED, UNCHANGED, NOT_IN_FILE, REMOVED)
    merchants: list[dict[str, Any]] = [
        {"account_id": plan.account_id, "kind": plan.kind.replace(" ", "_"), "changes": changes_to_json(plan.changes)}
        for plan in plans
        if plan.kind != UNCHANGED
    ]
    print_json(
        {
            "counts": {kind.replace(" ", "_"): counts[kind] for kind in kinds},
            "written": written,
            "dry_run": options.dry_run,
            "failed": {account_id: str(error) for account_id, error in failures.items()},
            "merchants": merchants,
        }
    )


def _check_suffix(file: Path | None) -> None:
    if file is not None and file.suffix.lower() not in (".csv", ".json"):
        raise InvalidInputError(f"FILE: {file} is neither .csv nor .json")


def _write_file(options: GlobalOptions, file: Path | None, rows: list[Row]) -> None:
    """Write merchants to a file, after a question if it exists, or to stdout."""
    if file is None:
        click.echo(write_json(rows) if options.as_json else write_csv(rows), nl=False)
        return
    if options.dry_run:
        print_note(f"dry run: {len(rows)} merchants would be written to {file}")
        return
    if file.exists():
        options.confirm(f"{file} exists and is replaced.")
    if file.suffix.lower() == ".json":
        file.write_text(write_json(rows), encoding="utf-8")
    else:
        # With a byte order mark, Excel reads Chinese text correctly.
        file.write_text(write_csv(rows), encoding="utf-8-sig", newline="")
    print_note(f"{len(rows)} merchants written to {file}")
