"""Edits of a merchant's row, and the list of changes. No I/O.

Rows are read as the service reads them (`chalicelib.merchants`). The values that `redeemctl` writes must also fit
`MerchantRow`, which is stricter. A test compares the fields of both (`tests/unit/redeemctl/test_merchant_rows.py`).

A store in the attribute `stores` has one of two forms: its name (S), or a map (M) of the members of `StoreEntry`. Both
are read; a store that has only a name is written in the first form. Attributes and members that are not described here
stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from chalicelib import merchants
from chalicelib.api.validation import ID, ID_RULE
from chalicelib.aws import Item
from chalicelib.errors import ConfigurationError
from chalicelib.merchants import Merchant
from redeemctl.errors import CommandError

EFFECTIVE_WHEN = "effective within five minutes (on phones, stores within ten)"
"""When a written change acts: service and phones cache for five minutes each."""

Patch = dict[str, Any]
"""What to change in a row, as a JSON Merge Patch (RFC 7396): None removes an attribute; those not named stay."""


def _check_id(text: str) -> str:
    if re.fullmatch(r"[0-9.]+E\+[0-9]+", text):
        raise ValueError("Excel has turned this id into a number: format the column as text, and enter the id again")
    if not ID.fullmatch(text):
        raise ValueError(ID_RULE)
    return text


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain a line break, a tab or another control character")
    return text


def _degrees(name: str) -> Any:
    return Field(ge=-merchants.MAX_DEGREES[name], le=merchants.MAX_DEGREES[name], decimal_places=15)


_EMPTY_IS_NONE = BeforeValidator(lambda value: None if value == "" else value)
_PRINTABLE = AfterValidator(_check_printable)
_CLEAN = BeforeValidator(lambda value: merchants.clean_notice(value) or None if isinstance(value, str) else value)

Id = Annotated[str, AfterValidator(_check_id)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), _PRINTABLE]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), _PRINTABLE]
Notice = Annotated[str, StringConstraints(max_length=merchants.MAX_NOTICE_LENGTH)]
Latitude = Annotated[Decimal, _degrees("latitude")]
Longitude = Annotated[Decimal, _degrees("longitude")]


class StoreEntry(BaseModel, extra="allow"):
    """A store. The position is GCJ-02, in degrees."""

    name: Name
    address: Annotated[Text | None, _EMPTY_IS_NONE] = None
    phone: Annotated[Text | None, _EMPTY_IS_NONE] = None
    latitude: Annotated[Latitude | None, _EMPTY_IS_NONE] = None
    longitude: Annotated[Longitude | None, _EMPTY_IS_NONE] = None

    @model_validator(mode="after")
    def _has_a_whole_position(self) -> StoreEntry:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("needs latitude and longitude, or neither")
        return self


class MerchantRow(BaseModel):
    """A merchant. `stores` has its stores by poi_id. None means that the merchant is served in all its stores."""

    account_id: Id
    app_id: Id
    name: Annotated[Text | None, _EMPTY_IS_NONE] = None
    life_account_id: Annotated[Id | None, _EMPTY_IS_NONE] = None
    active: bool = True
    notice: Annotated[Notice | None, _CLEAN] = None
    redeeming: Annotated[bool | None, _EMPTY_IS_NONE] = None
    stores: dict[Id, StoreEntry] | None = None


class InvalidEditError(CommandError):
    """An edit gives a malformed value, or makes an incomplete row.

    `errors` are the messages by the dotted path of the attribute.
    """

    exit_code = 2

    def __init__(self, account_id: str, error: ValidationError) -> None:
        self.errors = {
            ".".join(map(str, details["loc"])): str(details["msg"]).removeprefix("Value error, ")
            for details in error.errors()
        }
        texts = "; ".join(f"{path}: {message}" for path, message in self.errors.items())
        super().__init__(f"merchant {account_id}: {texts}")


class Change(NamedTuple):
    """A change as it is shown: the field, its current and its new value as text (empty: none)."""

    field: str
    current: str
    new: str


def dump(merchant: Merchant) -> dict[str, Any]:
    """Return a merchant as JSON data. Missing attributes are omitted, and so are stores without a readable name."""
    view: dict[str, Any] = msgspec.to_builtins(merchants.build_merchant_view(merchant))
    internal = {"app_id": merchant.app_id, "life_account_id": merchant.life_account_id, "active": merchant.active}
    internal |= {"notice": merchant.notice, "redeeming": merchant.redeeming}
    return view | {name: value for name, value in internal.items() if value is not None}


def parse_rows(items: Iterable[Item]) -> tuple[list[Merchant], list[str]]:
    """Return the merchants that can be listed and exported, and a text for each other row and store.

    Left out are rows that the service cannot read, and rows whose store list has no store with a name. Other stores
    without a name stay.
    """
    readable, malformed = list[Merchant](), list[str]()
    for item in items:
        try:
            merchant = merchants.parse_merchant(account_id_of(item), item)
        except ConfigurationError as error:
            malformed.append(str(error))
            continue
        if merchant.stores is not None and not any(merchant.stores.values()):
            # In a CSV file, a merchant without stores is one that is served in all its stores.
            malformed.append(f"merchant {merchant.account_id}: its store list has no store with a name")
            continue
        readable.append(merchant)
        nameless = [poi_id for poi_id, store in (merchant.stores or {}).items() if store is None]
        malformed += [f"merchant {merchant.account_id}: store {poi_id} has no readable name" for poi_id in nameless]
    return readable, malformed


def account_id_of(item: Item) -> str:
    """Return the account_id of a row."""
    return str(item["pk"]["S"]).removeprefix(merchants.MERCHANT_PREFIX)


def stores_of(item: Item) -> dict[str, Any]:
    """Return a row's stores by poi_id. They may be malformed. Without a readable store list, there are none."""
    stores = _to_row(item).get("stores")
    return stores if isinstance(stores, dict) else {}


def edit_item(account_id: str, seen: Item | None, patch: Patch) -> Item:
    """Return a row after an edit; `seen` is the row as it was read, or None for a new one.

    Values in the patch may be text, because options and files give text. Raises InvalidEditError if a value in the
    patch is malformed, or if the row lacks an attribute. Other malformed attributes of the row stay as they are, and do
    not prevent the edit; but a store of the patch must be valid as a whole.
    """
    if seen is None:
        seen, patch = {"pk": {"S": merchants.merchant_pk(account_id)}}, {"active": True, **patch}
    merged = _merge(_to_row(seen), patch)
    given = {name: merged[name] for name in ("account_id", "app_id", *patch) if name in merged}
    stores = patch.get("stores", {})
    if stores:
        given["stores"] = {poi_id: store for poi_id, store in merged["stores"].items() if poi_id in stores}
    try:
        valid = MerchantRow.model_validate(given).model_dump(exclude_none=True)
    except ValidationError as error:
        raise InvalidEditError(account_id, error) from None
    edited = {name: value for name, value in seen.items() if name not in patch}
    edited |= {name: TypeSerializer().serialize(valid[name]) for name in patch if name in valid}
    if stores:
        untouched = {poi_id: s for poi_id, s in seen.get("stores", {}).get("M", {}).items() if poi_id not in stores}
        edited["stores"] = {"M": untouched | {poi_id: _serialize_store(s) for poi_id, s in valid["stores"].items()}}
    return edited


def describe_first_stores(seen: Item | None, edited: Item | None) -> str:
    """Return a warning if an edit gives an existing merchant its first store list, or else an empty text."""
    if not seen or not edited or "stores" not in edited.keys() - seen.keys():
        return ""
    account_id = account_id_of(edited)
    return f"Merchant {account_id} has no store list and is served in all its stores; then only in the given ones."


def list_changes(seen: Item | None, edited: Item | None) -> list[Change]:
    """Return the changes of a row, by the dotted path of the attribute. Both states of the row may be malformed."""
    current, new = _shown_values(seen), _shown_values(edited)
    names = dict.fromkeys([*current, *new])
    return [Change(n, current.get(n, ""), new.get(n, "")) for n in names if current.get(n, "") != new.get(n, "")]


def changed_attributes(seen: Item | None, edited: Item | None) -> dict[str, Any]:
    """Return the attributes that differ, with their values in `edited`; None for an attribute to remove."""
    seen, edited = seen or {}, edited or {}
    return {n: edited.get(n) for n in {**seen, **edited} if n != "pk" and seen.get(n) != edited.get(n)}


def _to_row(item: Item) -> dict[str, Any]:
    """Return a row as plain data, with its account_id; each store is a dictionary, unless it is malformed."""
    row = {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
    if isinstance(row.get("stores"), dict):
        row["stores"] = {p: {"name": s} if isinstance(s, str) else s for p, s in row["stores"].items()}
    return {"account_id": account_id_of(item), **row}


def _serialize_store(store: dict[str, Any]) -> Any:
    return TypeSerializer().serialize(store["name"] if store.keys() == {"name"} else store)


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _shown_values(item: Item | None) -> dict[str, str]:
    if item is None:
        return {}
    row = {"app_id": "", "active": True, **_to_row(item), "redeeming": merchants.parse_redeeming(item)}
    if "notice" in row:
        row["notice"] = merchants.parse_notice(item) or "malformed, counts as none"
    return {path: text for path, text in _flatten(row).items() if path not in ("pk", "account_id")}


def _flatten(value: Any, path: str = "") -> dict[str, str]:
    """Return the text of each attribute and member."""
    if isinstance(value, dict):
        inside = ((f"{path}.{name}" if path else str(name), part) for name, part in value.items())
        return {name: text for inner, part in inside for name, text in _flatten(part, inner).items()}
    if isinstance(value, Decimal):
        return {path: f"{value.normalize():f}"}
    return {path: ("yes" if value else "no") if isinstance(value, bool) else str(value)}
