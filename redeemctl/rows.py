"""The rows of merchants (`MERCHANT#`): parse, edit, compare and measure them. Nothing here reads or writes the table.

A store in the attribute `stores` has one of two forms: its name (S), or a map (M) with `name` and optional `address`,
`phone`, `latitude` and `longitude`. Both are read. A store that has only a name is written in the first form.
Attributes and members that this module does not know stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.merchants import MERCHANT_PREFIX, merchant_key
from redeemctl.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = dict[str, AttributeValueTypeDef]
    StoreValue = str | Decimal

MAX_ITEM_BYTES = 400 * 1024
"""DynamoDB's limit for one item, names of attributes included."""

TEXT_ATTRIBUTES = ("app_id", "name", "life_account_id", "token_id")
STORE_TEXTS = ("name", "address", "phone")
STORE_NUMBERS = ("latitude", "longitude")
STORE_MEMBERS = (*STORE_TEXTS, *STORE_NUMBERS)
_NUMBER_BYTES = 21
_CONTAINER_BYTES = 3


class Change(NamedTuple):
    """A change as it is shown: the field, its current and its new value as text (empty: none)."""

    field: str
    current: str
    new: str


@dataclass(frozen=True)
class Row:
    """A merchant's row. A store is a dictionary with the members that it has."""

    account_id: str
    texts: dict[str, str]
    active: bool
    stores: dict[str, dict[str, StoreValue]] | None


@dataclass(frozen=True)
class Edit:
    """What to change in a row. What is not given stays.

    `texts`: attribute to new value, "" removes it. `stores`: poi_id to its new members ("" removes a member), or None
    to remove the store. `all_stores` removes the store list.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    active: bool | None = None
    stores: Mapping[str, Mapping[str, StoreValue] | None] = field(default_factory=dict)
    all_stores: bool = False


def parse_row(item: Item) -> Row:
    """Parse a row; raises CommandError that names the malformed attribute."""
    account_id = account_id_of(item)
    texts = {name: _typed(account_id, name, item[name], "S") for name in TEXT_ATTRIBUTES if name in item}
    stores: dict[str, dict[str, StoreValue]] | None = None
    if "stores" in item:
        raw = _typed(account_id, "stores", item["stores"], "M")
        stores = {poi_id: _parse_store(account_id, poi_id, value) for poi_id, value in raw.items()}
    active = _typed(account_id, "active", item.get("active", {"BOOL": True}), "BOOL")
    return Row(account_id, {name: text for name, text in texts.items() if text}, active, stores)


def account_id_of(item: Item) -> str:
    """Return the account_id of a row."""
    return str(item["pk"]["S"]).removeprefix(MERCHANT_PREFIX)


def edit_item(account_id: str, item: Item | None, edit: Edit) -> Item:
    """Return a row after an edit; `item` is the present row, or None for a new one."""
    edited: Item = {"pk": {"S": merchant_key(account_id)}, "active": {"BOOL": True}} if item is None else {**item}
    for name, text in edit.texts.items():
        if text:
            edited[name] = {"S": text}
        else:
            edited.pop(name, None)
    if edit.active is not None:
        edited["active"] = {"BOOL": edit.active}
    if edit.all_stores:
        edited.pop("stores", None)
    if edit.stores:
        stores: dict[str, Any] = dict(edited.get("stores", {}).get("M", {}))
        for poi_id, members in edit.stores.items():
            if members is None:
                stores.pop(poi_id, None)
            else:
                stores[poi_id] = _edit_store(account_id, poi_id, stores.get(poi_id), members)
        edited["stores"] = {"M": stores}
    return edited


def list_changes(before: Item | None, after: Item | None) -> list[Change]:
    """Return what differs between two states of a row, one change for each attribute and each store."""
    old, new = _describe(before), _describe(after)
    names = dict.fromkeys([*old, *new])
    return [Change(n, old.get(n, ""), new.get(n, "")) for n in names if old.get(n) != new.get(n)]


def list_removal(item: Item) -> list[Change]:
    """Return what is lost with a row; it may be malformed."""
    try:
        return list_changes(item, None)
    except CommandError as error:
        return [Change("row", str(error), "")]


def changed_attributes(before: Item | None, after: Item) -> dict[str, AttributeValueTypeDef | None]:
    """Return the attributes that differ, with their new values; None for an attribute to remove."""
    old = before or {}
    names = [name for name in {**old, **after} if name != "pk"]
    return {name: after.get(name) for name in names if old.get(name) != after.get(name)}


def check_item(item: Item, edit: Edit) -> None:
    """Raise CommandError if an edited row is incomplete or too large for DynamoDB."""
    row = parse_row(item)
    if "app_id" not in row.texts:
        raise CommandError(f"merchant {row.account_id}: app_id is missing")
    for poi_id in edit.stores:
        # Stores that are not edited may be older than these rules.
        store = (row.stores or {}).get(poi_id)
        if store is None:
            continue
        if not store.get("name"):
            raise CommandError(f"merchant {row.account_id}: store {poi_id} has no name")
        if ("latitude" in store) != ("longitude" in store):
            raise CommandError(f"merchant {row.account_id}: store {poi_id} needs latitude and longitude, or neither")
    size = item_bytes(item)
    if size > MAX_ITEM_BYTES:
        raise CommandError(
            f"merchant {row.account_id}: the row would have {size:,} bytes; DynamoDB's limit is {MAX_ITEM_BYTES:,} "
            f"({len(row.stores or {}):,} stores)"
        )


def item_bytes(item: Item) -> int:
    """Return the size of an item by DynamoDB's rules; numbers count as if they had the most digits.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Any) -> int:
    [(kind, content)] = value.items()
    match kind:
        case "S":
            size = len(content.encode())
        case "N":
            size = _NUMBER_BYTES
        case "B":
            size = len(content)
        case "M":
            size = _CONTAINER_BYTES + sum(1 + len(n.encode()) + _value_bytes(member) for n, member in content.items())
        case "L":
            size = _CONTAINER_BYTES + sum(1 + _value_bytes(member) for member in content)
        case "SS" | "NS" | "BS":
            size = _CONTAINER_BYTES + sum(_value_bytes({kind[0]: member}) for member in content)
        case _:
            size = 1
    return size


def describe_store(store: Mapping[str, StoreValue]) -> str:
    """Return a store as one line of text."""
    position = ",".join(str(store[name]) for name in STORE_NUMBERS if name in store)
    return "; ".join(filter(None, [*(str(store.get(name, "")) for name in STORE_TEXTS), position]))


def to_json(row: Row) -> dict[str, Any]:
    """Return a row as JSON data: the form of `merchant show --json`, `merchant export` and `merchant import`."""
    data: dict[str, Any] = {"account_id": row.account_id, **row.texts, "active": row.active}
    if row.stores is not None:
        data["stores"] = [
            {"poi_id": poi_id, **{n: float(v) if isinstance(v, Decimal) else v for n, v in store.items()}}
            for poi_id, store in sorted(row.stores.items())
        ]
    return data


def _describe(item: Item | None) -> dict[str, str]:
    if item is None:
        return {}
    row = parse_row(item)
    lines = {**row.texts, "active": "yes" if row.active else "no"}
    if row.stores is None:
        return {**lines, "stores": "all"}
    if not row.stores:
        return {**lines, "stores": "none"}
    return lines | {f"store {poi_id}": describe_store(store) or "(no name)" for poi_id, store in row.stores.items()}


def _parse_store(account_id: str, poi_id: str, value: Any) -> dict[str, StoreValue]:
    if "S" in value:
        return {"name": value["S"]} if value["S"] else {}
    name = f"stores.{poi_id}"
    raw = _typed(account_id, name, value, "M")
    store: dict[str, StoreValue] = {}
    for member in STORE_MEMBERS:
        if member in raw:
            kind = "N" if member in STORE_NUMBERS else "S"
            content = _typed(account_id, f"{name}.{member}", raw[member], kind)
            if content:
                store[member] = Decimal(content) if kind == "N" else content
    return store


def _edit_store(account_id: str, poi_id: str, value: Any, members: Mapping[str, StoreValue]) -> Any:
    """Return the new value of a store; the same object if nothing differs."""
    present = {} if value is None else _parse_store(account_id, poi_id, value)
    wanted = {name: content for name, content in {**present, **members}.items() if content != ""}
    if value is not None and wanted == present:
        return value
    raw: dict[str, Any] = dict(value["M"]) if value is not None and "M" in value else {}
    for name in STORE_MEMBERS:
        raw.pop(name, None)
    for name, content in wanted.items():
        raw[name] = {"N": format(content.normalize(), "f")} if isinstance(content, Decimal) else {"S": content}
    return raw["name"] if set(raw) == {"name"} else {"M": raw}


def _typed(account_id: str, name: str, value: Any, kind: str) -> Any:
    if kind not in value:
        raise CommandError(f"merchant {account_id}: attribute {name} has the wrong type, expected {kind}")
    return value[kind]
