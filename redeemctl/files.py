"""CSV files of merchants, for import and export: one line per store.

A merchant with several stores has several lines. Its own columns may be empty in all lines but the first. A merchant
without a store list has one line without poi_id. Reading finds all errors of a file, not only the first.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from redeemctl.errors import InvalidInputError
from redeemctl.rows import MERCHANT_MEMBERS, STORE_MEMBERS, MerchantRow, Store, parse_value

SWITCHES = {name for name, field in MerchantRow.model_fields.items() if field.annotation in (bool, bool | None)}
STORE_COLUMNS = {name: "store_name" if name == "name" else name for name in STORE_MEMBERS}
"""Member of a store to column: a store's name and its merchant's have different columns."""

COLUMNS: dict[str, tuple[type[BaseModel], str]] = {
    **{name: (MerchantRow, name) for name in MERCHANT_MEMBERS},
    "poi_id": (MerchantRow, "account_id"),
    **{column: (Store, name) for name, column in STORE_COLUMNS.items()},
}
"""Column to the field whose rule its values follow."""

YES_AND_NO = {"是": "yes", "否": "no"}

ENCODINGS = ("utf-8-sig", "gb18030")
"""Excel in China saves CSV in GBK, unless "CSV UTF-8" is selected."""


@dataclass
class Entry:
    """A merchant in a file, or one of its stores, with the line where it begins.

    `values` are those that the file gives; None is an empty cell. `stores` is None if the file has no column for them.
    """

    line: int
    values: dict[str, Any] = field(default_factory=dict)
    stores: dict[str, "Entry"] | None = None

    def line_of(self, path: str) -> int:
        """Return the line of an attribute of the merchant's row: `app_id`, or `stores.6601.name`."""
        _, _, rest = path.partition("stores.")
        store = (self.stores or {}).get(rest.partition(".")[0])
        return self.line if store is None else store.line


def read_merchants(path: Path) -> tuple[dict[str, Entry], list[str]]:
    """Return the merchants of a file by account_id, and every error, with its line.

    Raises InvalidInputError if the file cannot be read as such a file.
    """
    errors: list[str] = []
    entries: dict[str, Entry] = {}
    reader = csv.DictReader(io.StringIO(_decode(path), newline=""))
    columns = [name.strip() for name in reader.fieldnames or []]
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or "account_id" not in columns or len(set(columns)) < len(columns):
        found = f"unknown columns {', '.join(unknown)}" if unknown else "no account_id, or a column is there twice"
        raise InvalidInputError(f"{path}: line 1: {found}; expected, separated by commas: {', '.join(COLUMNS)}")
    reader.fieldnames = columns
    try:
        for cells in reader:
            if None in cells:
                errors.append(f"line {reader.line_num}: more values than columns")
            elif any((value or "").strip() for value in cells.values()):
                _read_line(reader.line_num, cells, entries, errors)
    except csv.Error as error:
        errors.append(f"line {reader.line_num}: {error}")
    if not entries and not errors:
        errors.append("no merchants")
    return entries, errors


def write_csv(merchants: Iterable[MerchantRow]) -> str:
    """Return merchants as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for merchant in merchants:
        line = merchant.model_dump(exclude_none=True, exclude={"stores"})
        line |= {name: str(line[name]).lower() for name in SWITCHES if name in line}
        for poi_id, store in sorted((merchant.stores or {}).items()):
            values = {STORE_COLUMNS[name]: value for name, value in store.model_dump(exclude_none=True).items()}
            writer.writerow({**line, "poi_id": poi_id, **values})
            line = {"account_id": merchant.account_id}
        if not merchant.stores:
            writer.writerow(line)
    return out.getvalue()


def _decode(path: Path) -> str:
    content = path.read_bytes()
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidInputError(f"{path}: not a CSV file in UTF-8 or GB18030 (in Excel: save as CSV UTF-8)")


def _read_line(number: int, cells: dict[str, str | None], entries: dict[str, Entry], errors: list[str]) -> None:
    count = len(errors)
    values: dict[str, Any] = {}
    for column, cell in cells.items():
        text = (cell or "").strip()
        text = YES_AND_NO.get(text, text) if column in SWITCHES else text
        try:
            values[column] = parse_value(*COLUMNS[column], text) if text else None
        except ValueError as error:
            errors.append(f"line {number}, {column}: {error}")
    if len(errors) > count:
        return
    account_id = values.pop("account_id")
    if account_id is None:
        errors.append(f"line {number}, account_id: missing")
        return
    own = {name: values[name] for name in MERCHANT_MEMBERS if name in values}
    entry = entries.setdefault(account_id, Entry(number, own, {} if "poi_id" in cells else None))
    for name, value in own.items():
        if value not in (None, entry.values[name]):
            errors.append(f"line {number}, {name}: differs from line {entry.line} of the same merchant")
    store = {name: values[column] for name, column in STORE_COLUMNS.items() if column in values}
    poi_id = values.get("poi_id")
    if poi_id is None:
        if any(value is not None for value in store.values()):
            errors.append(f"line {number}, poi_id: missing")
        return
    stores = entry.stores if entry.stores is not None else {}
    if poi_id in stores:
        errors.append(f"line {number}, poi_id: store {poi_id} is in line {stores[poi_id].line} as well")
    stores[poi_id] = Entry(number, store)
