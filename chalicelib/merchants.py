"""Reads and caches merchants (`MERCHANT#` rows): their app, their stores, and whether they are active."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from chalicelib.aws import Item, Table
from chalicelib.cache import Cache
from chalicelib.context import RequestContext
from chalicelib.errors import ConfigurationError, MerchantNotFoundError, StoreNotFoundError, WrongAppError
from chalicelib.lenient import parse_bool, parse_struct

MERCHANT_PREFIX = "MERCHANT#"
"""Prefix of the partition keys of merchants' rows."""

MERCHANT_MAX_AGE = 300.0
"""How long an active merchant is cached, in seconds."""

MAX_NOTICE_LENGTH = 200
"""The most characters of a notice. A longer one counts as missing."""

_UNSAFE_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, line separators, and characters that change the direction of a text."""

MAX_DEGREES = {"latitude": 90, "longitude": 180}
"""The largest absolute value of each coordinate, in degrees."""

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Latitude = Annotated[float, msgspec.Meta(ge=-MAX_DEGREES["latitude"], le=MAX_DEGREES["latitude"])]
_Longitude = Annotated[float, msgspec.Meta(ge=-MAX_DEGREES["longitude"], le=MAX_DEGREES["longitude"])]


class Store(msgspec.Struct, frozen=True, omit_defaults=True):
    """A store (门店) as customers see it. The position is GCJ-02, in degrees."""

    poi_id: str
    name: str
    address: _Text | None = None
    phone: _Text | None = None
    latitude: _Latitude | None = None
    longitude: _Longitude | None = None


class MerchantView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A merchant as customers see it. `stores` is None when the merchant does not list its stores."""

    account_id: str
    name: str | None = None
    stores: list[Store] | None = None


class Merchant(msgspec.Struct, frozen=True):
    """A merchant (抖音来客 account)."""

    account_id: str
    app_id: str
    life_account_id: str | None
    #: The stores in which certificates can be listed, by poi_id. None: in every store. A store without a readable name
    #: is None: certificates can be listed there, but customers do not see it in the list of stores.
    stores: dict[str, Store | None] | None
    active: bool
    name: str | None = None
    #: A sentence that the mini-program shows above the list and above a coupon.
    notice: str | None = None
    #: Whether the mini-program may offer to redeem (`redeemPage`).
    redeeming: bool = True

    def check_app(self, app_id: str) -> None:
        """Raise WrongAppError if the merchant belongs to another app than the session."""
        if self.app_id != app_id:
            raise WrongAppError(f"merchant {self.account_id} belongs to another app")

    def check_store(self, poi_id: str) -> None:
        """Raise StoreNotFoundError if the merchant lists its stores and this is none of them."""
        if self.stores is not None and poi_id not in self.stores:
            raise StoreNotFoundError(poi_id)


class _DecisiveAttributes(msgspec.Struct):
    """The attributes that decide who may list, and in which stores. If one of them is malformed, the row is refused.

    `life_account_id` must be visible ASCII, because it is sent in a header.
    """

    app_id: _Text
    life_account_id: Annotated[str, msgspec.Meta(pattern=r"^[!-~]*\Z")] | None = None
    stores: dict[str, Any] | None = None
    active: bool = True


class MerchantRepository:
    """Reads merchants from the table, and caches them."""

    def __init__(self, table: Table, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._cache = Cache("merchant", self._read, MERCHANT_MAX_AGE, clock)

    def get(self, account_id: str, context: RequestContext) -> Merchant:
        """Return an active merchant; raises MerchantNotFoundError, ConfigurationError, and what `Table` raises."""
        return self._cache.get(account_id, context)

    def _read(self, account_id: str, context: RequestContext) -> Merchant:
        item = self._table.get_item(merchant_pk(account_id), context)
        merchant = parse_merchant(account_id, item) if item else None
        if merchant is None or not merchant.active:
            raise MerchantNotFoundError(account_id)
        return merchant


def build_merchant_view(merchant: Merchant) -> MerchantView:
    """Return what customers see of a merchant: stores that have a name, sorted by poi_id."""
    if merchant.stores is None:
        return MerchantView(merchant.account_id, merchant.name)
    shown = [store for store in merchant.stores.values() if store is not None]
    return MerchantView(merchant.account_id, merchant.name, sorted(shown, key=lambda store: store.poi_id))


def merchant_pk(account_id: str) -> str:
    """Return the partition key of a merchant's row."""
    return MERCHANT_PREFIX + account_id


def parse_merchant(account_id: str, item: Item) -> Merchant:
    """Parse a row. Raises ConfigurationError, which names the missing or malformed attribute.

    Attributes that are only shown are read leniently: a malformed name, notice, store or attribute of a store counts as
    missing. A malformed `redeeming` is off.
    """
    try:
        row = msgspec.convert({name: _to_plain(attribute) for name, attribute in item.items()}, _DecisiveAttributes)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"merchant {account_id}: {error}") from None
    stores = None if row.stores is None else {poi_id: _parse_store(poi_id, row.stores[poi_id]) for poi_id in row.stores}
    return Merchant(
        account_id,
        row.app_id,
        row.life_account_id or None,
        stores,
        row.active,
        name=_read_text(item, "name") or None,
        notice=parse_notice(item),
        redeeming=parse_redeeming(item),
    )


def parse_notice(item: Item) -> str | None:
    """Return the notice of a row; None when it is missing, blank, too long or not a string."""
    notice = clean_notice(_read_text(item, "notice"))
    return notice if notice and len(notice) <= MAX_NOTICE_LENGTH else None


def clean_notice(text: str) -> str:
    """Return a notice with its control and bidirectional characters replaced by blanks; "" if only blanks remain."""
    cleaned = _UNSAFE_CHARACTERS.sub(" ", text)
    return cleaned if cleaned.strip() else ""


def parse_redeeming(item: Item) -> bool:
    """Return whether a row's `redeeming` is on. If it is missing, it is on.

    A boolean, string or number is on if `parse_bool` returns True for it. Any other value is off, because the operator
    who wrote it has probably tried to switch redemption off.
    """
    return parse_bool(_to_plain(item.get("redeeming", {"BOOL": True}))) is True


def _parse_store(poi_id: str, value: Any) -> Store | None:
    """Parse a store: an object, or its name alone. Returns None when it has no readable name."""
    fields = {"name": value} if isinstance(value, str) else value if isinstance(value, dict) else {}
    if not isinstance(fields.get("name"), str) or not fields["name"]:
        return None
    store, _ = parse_struct({**fields, "poi_id": poi_id}, Store)
    return store


def _read_text(item: Item, name: str) -> str:
    """Return a string attribute, or "" when it is missing or not a string."""
    return item.get(name, {}).get("S", "")


def _to_plain(attribute: Mapping[str, Any]) -> Any:
    """Convert an attribute from DynamoDB's format. A set, list, null or binary becomes [], which no field accepts."""
    [(data_type, value)] = attribute.items()
    if data_type == "M":
        return {name: _to_plain(part) for name, part in value.items()}
    if data_type == "N":
        return float(value)
    return value if data_type in ("S", "BOOL") else []
