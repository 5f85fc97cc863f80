"""Merchants (`MERCHANT#` rows): their app, their stores, and whether they are served. Cached for five minutes."""

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from chalicelib.aws import Item, Table
from chalicelib.cache import Cache
from chalicelib.context import RequestContext
from chalicelib.douyin.lenient import read_bool
from chalicelib.errors import ConfigurationError, MerchantNotFoundError, StoreNotFoundError, WrongAppError

MERCHANT_PREFIX = "MERCHANT#"
"""Prefix of the partition keys of merchants' rows."""

MERCHANT_MAX_AGE = 300.0
"""How long an active merchant is cached, in seconds."""

MAX_NOTICE_LENGTH = 200
"""The most characters of a notice. A longer one counts as missing."""

_HEADER_VALUE = re.compile(r"[!-~]+")
"""Printable ASCII without blanks."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, line separators, and characters that change the direction of a text."""

_DATA_TYPES = {"S": "a string", "M": "a map", "BOOL": "a boolean"}

MAX_DEGREES = {"latitude": 90.0, "longitude": 180.0}
"""A position lies between this number of degrees and its negative."""


class StoreView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A store (门店) as customers see it. The position is GCJ-02, in degrees."""

    poi_id: str
    name: str
    address: str | None = None
    phone: str | None = None
    latitude: float | None = None
    longitude: float | None = None


class StoresView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A merchant as customers see it. `stores` is None when the merchant does not list its stores."""

    account_id: str
    name: str | None = None
    stores: list[StoreView] | None = None


class Merchant(msgspec.Struct, frozen=True):
    """A merchant (抖音来客 account)."""

    account_id: str
    app_id: str
    life_account_id: str | None
    #: The stores where it is served, by poi_id; None: in all stores. A store without a readable name is None: it is
    #: served, but not shown.
    stores: dict[str, StoreView | None] | None
    active: bool
    name: str | None = None
    #: A sentence that the pages show above list and coupon.
    notice: str | None = None
    #: Whether the pages offer to redeem.
    redeeming: bool = True

    def check_app(self, app_id: str) -> None:
        """Raise WrongAppError if the merchant belongs to another app than the session."""
        if self.app_id != app_id:
            raise WrongAppError(f"merchant {self.account_id} belongs to another app")

    def check_store(self, poi_id: str) -> None:
        """Raise StoreNotFoundError if the merchant lists its stores and this is none of them."""
        if self.stores is not None and poi_id not in self.stores:
            raise StoreNotFoundError(poi_id)


class MerchantRepository:
    """Reads merchants from the table, and caches them."""

    def __init__(self, table: Table, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._cache = Cache("merchant", self._read, MERCHANT_MAX_AGE, clock)

    def get(self, account_id: str, context: RequestContext) -> Merchant:
        """Return an active merchant; raises MerchantNotFoundError, ConfigurationError, and what `Table` raises."""
        return self._cache.get(account_id, context)

    def _read(self, account_id: str, context: RequestContext) -> Merchant:
        item = self._table.get_item(merchant_key(account_id), context)
        merchant = parse_merchant(account_id, item) if item else None
        if merchant is None or not merchant.active:
            raise MerchantNotFoundError(account_id)
        return merchant


def build_stores_view(merchant: Merchant) -> StoresView:
    """Return what customers see of a merchant: stores that have a name, sorted by poi_id."""
    if merchant.stores is None:
        return StoresView(merchant.account_id, merchant.name)
    shown = [store for store in merchant.stores.values() if store is not None]
    return StoresView(merchant.account_id, merchant.name, sorted(shown, key=lambda store: store.poi_id))


def merchant_key(account_id: str) -> str:
    """Return the partition key of a merchant's row."""
    return MERCHANT_PREFIX + account_id


def parse_merchant(account_id: str, item: Item) -> Merchant:
    """Parse a row; raises ConfigurationError that names a missing attribute or one of the wrong type.

    What only the customer sees is read leniently: a malformed name, notice, store or attribute of a store counts as
    missing.
    """
    app_id = _read_strictly(account_id, item, "app_id", "S")
    if not app_id:
        raise ConfigurationError(f"merchant {account_id}: attribute app_id is missing")
    life_account_id = _read_strictly(account_id, item, "life_account_id", "S") or None
    if life_account_id and not _HEADER_VALUE.fullmatch(life_account_id):
        raise ConfigurationError(f"merchant {account_id}: attribute life_account_id cannot be sent as a header")
    stores = _read_strictly(account_id, item, "stores", "M")
    return Merchant(
        account_id=account_id,
        app_id=app_id,
        life_account_id=life_account_id,
        stores=None if stores is None else {poi_id: _parse_store(poi_id, entry) for poi_id, entry in stores.items()},
        active=_read_strictly(account_id, item, "active", "BOOL") is not False,
        name=_lenient_string(item, "name"),
        notice=parse_notice(item),
        redeeming=parse_redeeming(item),
    )


def parse_notice(item: Item) -> str | None:
    """Return the notice of a row; None when it is missing, blank, too long or not a string."""
    notice = clean_notice(_lenient_string(item, "notice") or "")
    return notice if notice and len(notice) <= MAX_NOTICE_LENGTH else None


def clean_notice(text: str) -> str:
    """Return a notice with blanks for its control and bidirectional characters, or "" when nothing else is in it."""
    cleaned = _CONTROLS.sub(" ", text)
    return cleaned if cleaned.strip() else ""


def parse_redeeming(item: Item) -> bool:
    """Return the switch `redeeming` of a row, by default on.

    A string or number is on if `read_bool` reads it as true. Any other value is off: an operator who wrote it
    has tried to switch redemption off.
    """
    attribute: Mapping[str, Any] = item.get("redeeming", {"BOOL": True})
    value = float(attribute["N"]) if "N" in attribute else attribute.get("BOOL", attribute.get("S"))
    return read_bool(value) is True


def _parse_store(poi_id: str, entry: Mapping[str, Any]) -> StoreView | None:
    """Parse a store: a map of attributes, or its name alone. Returns None when it has no readable name."""
    attributes = {"name": entry} if "S" in entry else entry.get("M", {})
    name = _lenient_string(attributes, "name")
    if name is None:
        return None
    return StoreView(
        poi_id,
        name,
        _lenient_string(attributes, "address"),
        _lenient_string(attributes, "phone"),
        _degrees(attributes, "latitude"),
        _degrees(attributes, "longitude"),
    )


def _lenient_string(attributes: Mapping[str, Any], name: str) -> str | None:
    """Return a string attribute, or None when it is missing, empty or not a string."""
    return attributes.get(name, {}).get("S") or None


def _degrees(attributes: Mapping[str, Any], name: str) -> float | None:
    """Return a number in the range of its name, or None. The low-level client returns numbers as text."""
    try:
        value = float(attributes.get(name, {}).get("N", ""))
    except ValueError:
        return None
    return value if math.fabs(value) <= MAX_DEGREES[name] else None


def _read_strictly(account_id: str, item: Item, name: str, data_type: str) -> Any:
    """Return the value of an attribute, or None when it is missing; raises ConfigurationError for another data type."""
    attribute: Any = item.get(name)
    if attribute is not None and data_type not in attribute:
        raise ConfigurationError(f"merchant {account_id}: attribute {name} is not {_DATA_TYPES[data_type]}")
    return attribute and attribute[data_type]
