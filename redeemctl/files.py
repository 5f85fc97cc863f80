"""Files of merchants, for import and export: CSV (one line per store) and JSON (a list of merchants).

In CSV, a merchant with several stores has several lines. Its own columns may be empty in all lines but the first. A
merchant without a store list has one line without poi_id. Reading finds all errors of a file, not only the first.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redeemctl.arguments import check_flag, check_id, check_latitude, check_longitude, check_text
from redeemctl.errors import InvalidInputError
from redeemctl.rows import STORE_MEMBERS, TEXT_ATTRIBUTES, Row, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from decimal import Decimal
    from pathlib import Path

    from redeemctl.rows import StoreValue

MERCHANT_COLUMNS = ("account_id", *TEXT_ATTRIBUTES, "active")
STORE_COLUMNS = {"poi_id": "poi_id", "name": "store_name"} | {name: name for name in STORE_MEMBERS[1:]}
"""Member of a store to column: a store's name and its merchant's have different columns."""

COLUMNS = (*MERCHANT_COLUMNS, *STORE_COLUMNS.values())
ENCODINGS = ("utf-8-sig", "gb18030")
"""Excel in China saves CSV in GBK, unless "CSV UTF-8" is selected."""

_RULES: dict[str, Callable[[str], Any]] = {
    "account_id": check_id,
    "app_id": check_id,
    "life_account_id": check_id,
    "token_id": check_id,
    "poi_id": check_id,
    "name": check_text,
    "address": check_text,
    "phone": check_text,
    "latitude": check_latitude,
    "longitude": check_longitude,
    "active": check_flag,
}


@dataclass
class Entry:
    """A merchant in a file. `place` says where. Values that the file does not give are missing; "" is an empty one.

    `stores` is None if the file does not say anything about stores.
    """

    place: str
    account_id: str
    texts: dict[str, str] = field(default_factory=dict)
    active: bool | None = None
    stores: dict[str, dict[str, StoreValue]] | None = None


def read_merchants(path: Path) -> list[Entry]:
    """Read a file; raises InvalidInputError that lists every error in it."""
    errors: list[str] = []
    content = path.read_bytes()
    if path.suffix.lower() == ".csv":
        entries = list(_read_csv(_decode(path, content), errors))
    elif path.suffix.lower() == ".json":
        entries = list(_read_json(_decode(path, content), errors))
    else:
        raise InvalidInputError(f"FILE: {path} is neither .csv nor .json")
    if not entries and not errors:
        errors.append("no merchants")
    if errors:
        raise InvalidInputError(f"{path}: nothing was changed\n" + "\n".join(f"  {error}" for error in errors))
    return entries


def write_csv(rows: Iterable[Row]) -> str:
    """Return merchants as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        line: dict[str, Any] = {"account_id": row.account_id, **row.texts, "active": str(row.active).lower()}
        for poi_id, store in sorted((row.stores or {}).items()):
            line |= {column: store.get(member, "") for member, column in STORE_COLUMNS.items()}
            writer.writerow(line | {"poi_id": poi_id})
            line = {"account_id": row.account_id}
        if not row.stores:
            writer.writerow(line)
    return out.getvalue()


def write_json(rows: Iterable[Row]) -> str:
    """Return merchants as JSON."""
    return json.dumps([to_json(row) for row in rows], ensure_ascii=False, indent=2) + "\n"


def _decode(path: Path, content: bytes) -> str:
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidInputError(f"{path}: the encoding is neither UTF-8 nor GB18030")


def _read_csv(text: str, errors: list[str]) -> Iterator[Entry]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = [name.strip() for name in reader.fieldnames or []]
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or "account_id" not in columns or len(set(columns)) < len(columns):
        errors.append(f"line 1: columns {', '.join(unknown) or 'account_id'}: expected once each: {', '.join(COLUMNS)}")
        return
    reader.fieldnames = columns
    entries: dict[str, Entry] = {}
    try:
        for line in reader:
            if any((value or "").strip() for name, value in line.items() if name is not None):
                _read_line(f"line {reader.line_num}", line, entries, errors)
    except csv.Error as error:
        errors.append(f"line {reader.line_num}: {error}")
    yield from entries.values()


def _read_line(place: str, line: dict[Any, Any], entries: dict[str, Entry], errors: list[str]) -> None:
    if None in line:
        errors.append(f"{place}: more values than columns")
        return
    cells = {name: (value or "").strip() for name, value in line.items()}
    values = _check_values(place, {name: cells[name] for name in MERCHANT_COLUMNS if name in cells}, errors)
    if not values.get("account_id"):
        errors.append(f"{place}, account_id: missing or invalid")
        return
    account_id = str(values.pop("account_id"))
    is_new = account_id not in entries
    entry = entries.setdefault(account_id, Entry(place, account_id))
    active = values.pop("active", "")
    if is_new:
        entry.texts = values
        entry.active = None if active == "" else active
    else:
        repeated = {**entry.texts, "active": entry.active}
        for name, value in {**values, "active": active}.items():
            if value not in ("", repeated.get(name)):
                errors.append(f"{place}, {name}: differs from {entry.place} of the same merchant")
    if "poi_id" in cells:
        entry.stores = entry.stores if entry.stores is not None else {}
        store = {member: cells[column] for member, column in STORE_COLUMNS.items() if column in cells}
        if any(store.values()):
            _add_store(place, entry, store, errors)


def _read_json(text: str, errors: list[str]) -> Iterator[Entry]:
    try:
        data = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        errors.append(f"not JSON: {error}")
        return
    if not isinstance(data, list):
        errors.append("expected a list of merchants")
        return
    seen: set[str] = set()
    for index, merchant in enumerate(data):
        place = f"merchants[{index}]"
        if not isinstance(merchant, dict):
            errors.append(f"{place}: expected an object")
            continue
        entry = _read_merchant(place, merchant, errors)
        if entry is None:
            continue
        if entry.account_id in seen:
            errors.append(f"{place}, account_id: {entry.account_id} is in the file twice")
        seen.add(entry.account_id)
        yield entry


def _read_merchant(place: str, merchant: dict[str, Any], errors: list[str]) -> Entry | None:
    stores = merchant.pop("stores", None)
    values = _check_values(place, _to_texts(place, merchant, MERCHANT_COLUMNS, errors), errors)
    if not values.get("account_id"):
        errors.append(f"{place}, account_id: missing or invalid")
        return None
    account_id = str(values.pop("account_id"))
    active = values.pop("active", "")
    entry = Entry(place, account_id, values, None if active == "" else active)
    if stores is None:
        return entry
    entry.stores = {}
    if not isinstance(stores, list):
        errors.append(f"{place}.stores: expected a list")
        return entry
    for index, store in enumerate(stores):
        store_place = f"{place}.stores[{index}]"
        if isinstance(store, dict):
            _add_store(store_place, entry, _to_texts(store_place, store, STORE_COLUMNS, errors), errors)
        else:
            errors.append(f"{store_place}: expected an object")
    return entry


def _to_texts(place: str, data: dict[str, Any], known: Iterable[str], errors: list[str]) -> dict[str, str]:
    """Return the members of a JSON object as text; null is an empty text."""
    names = list(known)
    texts: dict[str, str] = {}
    for name, value in data.items():
        if name not in names:
            errors.append(f"{place}, {name}: unknown; expected {', '.join(names)}")
        elif value is None or isinstance(value, bool if name == "active" else str):
            texts[name] = "" if value is None else str(value)
        else:
            errors.append(f"{place}, {name}: expected a string")
    return texts


def _add_store(place: str, entry: Entry, texts: dict[str, str], errors: list[str]) -> None:
    count = len(errors)
    store: dict[str, str | Decimal] = _check_values(place, texts, errors)
    poi_id = str(store.pop("poi_id", ""))
    if not poi_id:
        if len(errors) == count:
            errors.append(f"{place}, poi_id: missing")
        return
    stores = entry.stores if entry.stores is not None else {}
    if poi_id in stores:
        errors.append(f"{place}, poi_id: store {poi_id} is listed twice for merchant {entry.account_id}")
    stores[poi_id] = store
    entry.stores = stores


def _check_values(place: str, texts: dict[str, str], errors: list[str]) -> dict[str, Any]:
    """Return the values of texts; an invalid one is missing and reported. An empty one stays empty."""
    values: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            values[name] = _RULES[name](text) if text else ""
        except ValueError as error:
            errors.append(f"{place}, {name}: {error}")
    return values
