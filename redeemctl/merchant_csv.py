"""`redeemctl merchant import|export`: merchants in a CSV file, with one row per store.

The columns of a merchant itself need values in only one of its rows. A merchant without a store list has one row
without poi_id. An import changes only the values that the file gives. A repeated import changes nothing more.
"""

import csv
import functools
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import click

from chalicelib.aws import Item
from chalicelib.merchants import Merchant
from redeemctl.command_line import CommandLine, pass_command_line
from redeemctl.errors import CommandError, ConflictError, InvalidInputError
from redeemctl.merchant_rows import (
    EFFECTIVE_WHEN,
    Change,
    InvalidEditError,
    MerchantRow,
    Patch,
    StoreEntry,
    account_id_of,
    describe_first_stores,
    dump,
    edit_item,
    list_changes,
    parse_rows,
)
from redeemctl.output import print_note
from redeemctl.secret import read_secret_version
from redeemctl.table import MerchantTable

MERCHANT_COLUMNS = tuple(name for name in MerchantRow.model_fields if name != "stores")
STORE_COLUMNS = {"store_name" if name == "name" else name: name for name in StoreEntry.model_fields}
"""The member of a store, by column. The store's name has the column `store_name`: `name` is the merchant's name."""
COLUMNS = (*MERCHANT_COLUMNS, "poi_id", *STORE_COLUMNS)

ENCODINGS = ("utf-8-sig", "gb18030")
"""The encodings to try. Excel in China saves CSV in GBK, unless "CSV UTF-8" is selected."""

ID_COLUMNS = ("account_id", "life_account_id", "poi_id")
"""The columns of ids that may be long numbers. Excel rounds a number to 15 digits."""

Edit = tuple[Item | None, Item]
"""A merchant's row as it was read (None: there is none), and as it is to be written."""


@dataclass
class Entry:
    """A merchant in a file, or one of its stores: the last line of its first row, and the values given there."""

    line: int
    values: dict[str, str] = field(default_factory=dict)
    stores: dict[str, "Entry"] = field(default_factory=dict)

    def to_patch(self) -> Patch:
        """Return the edit that the file asks for."""
        stores = {poi_id: store.values for poi_id, store in self.stores.items()}
        return self.values | ({"stores": stores} if stores else {})

    def line_of(self, path: str) -> int:
        """Return the file's line for the path of an attribute, such as `app_id` or `stores.6601.name`."""
        poi_ids = [poi_id for poi_id in self.stores if f"{path}.".startswith(f"stores.{poi_id}.")]
        return self.stores[max(poi_ids, key=len)].line if poi_ids else self.line


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_command_line
def import_merchants(cli: CommandLine, file: Path) -> None:
    """Add and update the merchants and stores in the CSV file FILE.

    With any error in the file, nothing is written. Otherwise the changes are shown and confirmed. Nothing is removed.
    A second run continues an interrupted one.
    """
    with cli.open_stage() as stage:
        entries, errors = read_file(file)
        items = {account_id_of(item): item for item in stage.merchants.list_all()}
        apps, edits, changes = read_secret_version(stage).apps, dict[str, Edit](), list[Change]()
        for account_id, entry in entries.items():
            seen = items.get(account_id)
            try:
                edited = edit_item(account_id, seen, entry.to_patch())
            except InvalidEditError as error:
                errors += [f"line {entry.line_of(path)}, {path}: {text}" for path, text in error.errors.items()]
            else:
                if row_changes := list_changes(seen, edited):
                    edits[account_id] = (seen, edited)
                changes += [Change(f"{account_id} {name}", current, new) for name, current, new in row_changes]
            app_id = entry.values.get("app_id")
            if app_id and app_id not in apps:
                errors.append(f"line {entry.line}, app_id: app {app_id} not found: redeemctl app add {app_id}")
        if errors:
            raise InvalidInputError("\n  ".join([f"{file}: nothing was changed", *errors]))
        success_text = f"changes: {len(changes)}, saved; {EFFECTIVE_WHEN}"
        write = functools.partial(write_edits, stage.merchants, edits)
        warnings = [text for seen, edited in edits.values() if (text := describe_first_stores(seen, edited))]
        cli.change(changes, write, success_text, warning=" ".join([*warnings, f"Changes: {len(changes)}."]))


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--table", help="Read another table than the stage's, for example one restored from a backup.")
@pass_command_line
def export_merchants(cli: CommandLine, file: Path, table: str | None) -> None:
    """Write all merchants to the CSV file FILE, in the form that import reads. A message names what is malformed."""
    with cli.open_stage(read_only=True) as stage:
        source = MerchantTable(stage.aws_account.client("dynamodb"), table) if table else stage.merchants
        merchants, malformed = parse_rows(source.list_all())
    lost = "\n  ".join([f"{file} lacks what is malformed:", *malformed]) if malformed else ""
    if cli.dry_run:
        print_note("\n".join(filter(None, [f"dry run: {file} was not written", lost])))
        return
    if file.exists():
        cli.confirm(" ".join(filter(None, [f"{file} is replaced.", lost])))
    try:
        # With a byte order mark, Excel reads Chinese text correctly.
        file.write_text(write_csv(merchants), encoding="utf-8-sig", newline="")
    except OSError as error:
        raise InvalidInputError(f"{file}: {error.strerror}") from None
    if lost:
        raise CommandError(lost)


def read_file(path: Path) -> tuple[dict[str, Entry], list[str]]:
    """Return the merchants of a file by account_id, and every error in the file, with its line.

    Raises InvalidInputError if the encoding or the line of column names is wrong.
    """
    reader = csv.DictReader(io.StringIO(_decode(path), newline=""))
    columns = [name.strip() for name in reader.fieldnames or []]
    if "account_id" not in columns or len(set(columns)) < len(columns):
        expected = ", ".join(COLUMNS)
        raise InvalidInputError(f"{path}: line 1 must have account_id, and others of these columns, once: {expected}")
    reader.fieldnames = columns
    entries, errors = dict[str, Entry](), list[str]()
    try:
        for csv_row in reader:
            if None in csv_row:
                errors.append(f"line {reader.line_num}: more values than columns")
                continue
            given = {column: value.strip() for column, value in csv_row.items() if value and value.strip()}
            errors += [f"line {reader.line_num}, {error}" for error in _read_csv_row(reader.line_num, given, entries)]
    except csv.Error as error:
        errors.append(f"after line {reader.line_num}: {error}")
    return entries, errors if entries or errors else ["no merchants"]


def _decode(path: Path) -> str:
    content = path.read_bytes()
    for encoding in ENCODINGS:
        with suppress(UnicodeDecodeError):
            return content.decode(encoding)
    raise InvalidInputError(f"{path}: not a CSV file in UTF-8 or GB18030 (in Excel: save as CSV UTF-8)")


def _read_csv_row(line: int, given: dict[str, str], entries: dict[str, Entry]) -> Iterator[str]:
    """Add the values of a CSV row to its merchant; yield what is wrong."""
    if not given:
        return
    for column in ID_COLUMNS:
        if re.fullmatch("[0-9]{15}0+", given.get(column, "")):
            yield (
                f"{column}: Excel may have rounded this id: format the column as text, and enter the id again"
                " (redeemctl merchant add and store add accept it)"
            )
    account_id, poi_id = given.pop("account_id", ""), given.pop("poi_id", "")
    store = Entry(line, {name: given.pop(column) for column, name in STORE_COLUMNS.items() if column in given})
    if not account_id:
        yield "account_id: missing"
        return
    entry = entries.setdefault(account_id, Entry(line))
    for name, value in given.items():
        # An unknown column without values is no error: it may be of another version.
        if name not in MERCHANT_COLUMNS:
            yield f"{name}: no such column; the columns are {', '.join(COLUMNS)}"
            continue
        if entry.values.setdefault(name, value) != value:
            yield f"{name}: another row of merchant {account_id} has another value"
    if poi_id in entry.stores:
        yield f"poi_id: store {poi_id} is in line {entry.stores[poi_id].line}, too"
    elif poi_id:
        entry.stores[poi_id] = store
    elif store.values:
        yield "poi_id: missing"


def write_edits(table: MerchantTable, edits: Mapping[str, Edit]) -> None:
    """Write the edits, by account_id, one after the other.

    Stops at the first row that somebody else has changed since it was read: raises ConflictError, whose message names
    the rows written before.
    """
    written: list[str] = []
    for account_id, (seen, edited) in edits.items():
        try:
            table.write(seen, edited)
            written.append(account_id)
        except ConflictError as error:
            done = ", ".join(written) or "nothing"
            raise ConflictError(f"merchant {account_id}: {error.message}. Written before: {done}") from None


def write_csv(merchants: Iterable[Merchant]) -> str:
    """Return merchants as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for merchant in merchants:
        csv_row = dump(merchant)
        for store in csv_row.pop("stores", None) or [{}]:
            values = {column: store.get(name) for column, name in STORE_COLUMNS.items()}
            writer.writerow({**csv_row, "poi_id": store.get("poi_id"), **values})
            csv_row = {"account_id": merchant.account_id}
    return out.getvalue()
