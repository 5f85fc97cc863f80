"""Merchants (`MERCHANT#` rows): their app, their stores, and whether they are served. Cached for five minutes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from chalicelib.cache import TtlCache
from chalicelib.errors import ConfigurationError, MerchantNotFoundError, StoreNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.aws import Item, Table
    from chalicelib.context import RequestContext

MERCHANT_PREFIX = "MERCHANT#"
"""Prefix of the partition keys of these rows."""

CACHE_SECONDS = 300.0
MAX_CACHED_MERCHANTS = 1000


class Merchant(msgspec.Struct, frozen=True):
    """A merchant (抖音来客 account).

    `token_id` names its TOKEN# row. `stores` are the poi_ids where it is served, or None for all.
    """

    account_id: str
    app_id: str
    token_id: str
    life_account_id: str | None
    stores: frozenset[str] | None
    active: bool

    def require_store(self, poi_id: str) -> None:
        """Raise StoreNotFoundError when the merchant lists its stores and `poi_id` is not one of them."""
        if self.stores is not None and poi_id not in self.stores:
            raise StoreNotFoundError(poi_id)


class MerchantStore:
    """Reads merchants from the table and caches the active ones."""

    def __init__(self, table: Table, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock
        self._cache: TtlCache[Merchant] = TtlCache(MAX_CACHED_MERCHANTS, clock)

    def get(self, account_id: str, context: RequestContext) -> Merchant:
        """Return an active merchant; raises MerchantNotFoundError or StorageUnavailableError."""
        merchant = self._cache.get(account_id)
        if merchant is None:
            # Measured from before the read: five minutes after a merchant was suspended, no instance serves it.
            expires_at = self._clock() + CACHE_SECONDS
            item = self._table.get_item(merchant_key(account_id), context)
            if not item:
                raise MerchantNotFoundError(account_id)
            merchant = parse_merchant(account_id, item)
            if not merchant.active:
                raise MerchantNotFoundError(account_id)
            self._cache.put(account_id, merchant, expires_at)
        return merchant


def merchant_key(account_id: str) -> str:
    """Return the partition key of a merchant's row."""
    return MERCHANT_PREFIX + account_id


def parse_merchant(account_id: str, item: Item) -> Merchant:
    """Parse a row; raises ConfigurationError that names a missing attribute or one of the wrong type."""
    app_id = _string(account_id, item, "app_id")
    if app_id is None:
        raise ConfigurationError(f"merchant {account_id}: attribute app_id is missing")
    stores = item.get("stores", {"M": {}})
    active = item.get("active", {"BOOL": True})
    if "M" not in stores:
        raise ConfigurationError(f"merchant {account_id}: attribute stores is not a map")
    if "BOOL" not in active:
        raise ConfigurationError(f"merchant {account_id}: attribute active is not a boolean")
    return Merchant(
        account_id=account_id,
        app_id=app_id,
        token_id=_string(account_id, item, "token_id") or app_id,
        life_account_id=_string(account_id, item, "life_account_id"),
        stores=frozenset(stores["M"]) if "stores" in item else None,
        active=active["BOOL"],
    )


def _string(account_id: str, item: Item, name: str) -> str | None:
    """Return a string attribute, or None when it is missing or empty."""
    value = item.get(name)
    if value is None:
        return None
    if "S" not in value:
        raise ConfigurationError(f"merchant {account_id}: attribute {name} is not a string")
    return value["S"] or None
