"""MERCHANT# rows: whose app a merchant belongs to, which stores it has, whether it is served."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from chalicelib.errors import ConfigurationError, MerchantNotFoundError, StoreNotFoundError
from chalicelib.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.scope import Scope
    from chalicelib.storage import Item, Table

PREFIX = "MERCHANT#"
"""What the keys of these rows begin with."""

KEPT_SECONDS = 300.0
KEPT_MERCHANTS = 1000


class Merchant(msgspec.Struct, frozen=True):
    """A merchant (抖音来客 account).

    `stores` are the poi_ids it is served in, None for all of them; `token_id` names the TOKEN# row it uses.
    """

    account_id: str
    app_id: str
    token_id: str
    life_account_id: str | None
    stores: frozenset[str] | None
    active: bool

    def require_store(self, poi_id: str) -> None:
        """Raise StoreNotFoundError when the merchant lists its stores and `poi_id` is none of them."""
        if self.stores is not None and poi_id not in self.stores:
            raise StoreNotFoundError(poi_id)


class MerchantStore:
    """Finds merchants; those that are served are remembered for five minutes, the others looked up each time."""

    def __init__(self, table: Table, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock
        self._memory: Memory[Merchant] = Memory(KEPT_MERCHANTS, clock)

    def find(self, account_id: str, scope: Scope) -> Merchant:
        """The merchant to serve; raises MerchantNotFoundError for none or a suspended one, StorageUnavailableError."""
        merchant = self._memory.get(account_id)
        if merchant is None:
            # Counted from before the read: a suspension counts everywhere five minutes after it is written.
            until = self._clock() + KEPT_SECONDS
            item = self._table.read(merchant_key(account_id), scope)
            if not item:
                raise MerchantNotFoundError(account_id)
            merchant = read_merchant(account_id, item)
            if not merchant.active:
                raise MerchantNotFoundError(account_id)
            self._memory.keep(account_id, merchant, until)
        return merchant


def merchant_key(account_id: str) -> str:
    """The partition key of a merchant's row."""
    return PREFIX + account_id


def read_merchant(account_id: str, item: Item) -> Merchant:
    """Read a row; raises ConfigurationError naming the attribute that is missing or of the wrong type."""
    app_id = _text(item, "app_id")
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
        token_id=_text(item, "token_id") or app_id,
        life_account_id=_text(item, "life_account_id"),
        stores=frozenset(stores["M"]) if "stores" in item else None,
        active=active["BOOL"],
    )


def _text(item: Item, name: str) -> str | None:
    """The string attribute, None when it is absent or empty."""
    value = item.get(name)
    if value is None:
        return None
    if "S" not in value:
        raise ConfigurationError(f"attribute {name} is not a string")
    return value["S"] or None
