"""Sample data: apps, merchants with their stores, customers, and what the customers bought.

Files in `sandbox/data/`:

- `apps.json`: app_id, app_secret, name, and `scopes`, the capabilities the app has.
- `merchants.json`: account_id, life_account_id, name, `app_id` (stored in the merchant's table row), `authorized` (the
  app_ids that the merchant has authorized), stores (poi_id to name; or poi_id to a map of name and optional address,
  phone, latitude and longitude). A row in the table may have either form.
- `customers.json`: key, name, the customer's situation (Chinese), and one open_id per app, because the platform gives a
  user a different open_id in every app.
- `orders/*.json`: one list of purchases per customer. Fields: `account_id`, `stores` (poi_ids where the order can be
  used; default: all), `biz_types` (default: both), `repeat` (number of copies; `{n}` in texts is replaced by the copy's
  number), and `order` in the platform's format. `can_use` is computed from `stores` unless the order contains it.
"""

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA_FOLDER = Path(__file__).parent / "data"

# Ids in the data files that tests and benchmarks use.
APP_ID, OTHER_APP_ID = "ttsandbox00000000a1", "ttsandbox00000000b2"
APP_SECRET = "not-a-secret-of-sandbox-app-a1"  # noqa: S105 - sample data

ACCOUNT_ID = "7100000000000000001"
"""A merchant of APP_ID."""
POI_ID, OTHER_POI_ID = "6601", "6602"

ORDER_ID, CERTIFICATE_ID, SKU_ID = "2000000000000000001", "7200000000000000001", "1700000000000001"
"""CUSTOMER's first purchase."""

CUSTOMER = "lin"
"""This customer has one coupon of almost every kind."""
CUSTOMER_WITHOUT_COUPONS = "wu"
CUSTOMER_WITH_MANY_COUPONS = "zhou"
"""This customer has 380 certificates at ACCOUNT_ID: eight pages of the platform."""
CUSTOMER_WITH_MALFORMED_DATA = "zheng"
CUSTOMER_WITH_STORE_LIMITS = "zhao"
"""This customer has orders for some stores, for none, of biz_type 2, and at another merchant."""
CUSTOMER_AS_DOCUMENTED = "he"
"""The orders have all documented fields and no others, and one certificate each. `redeemctl acceptance` needs this."""
CUSTOMER_WITH_UNUSUAL_DATES = "li"
"""This customer has expired coupons, coupons that are not valid yet, and coupons without an expiry time."""


@dataclass
class App:
    """A mini-program."""

    app_id: str
    app_secret: str
    name: str
    scopes: list[str]


@dataclass
class SampleMerchant:
    """A merchant account with its stores: poi_id to name, or to name, address, phone and position."""

    account_id: str
    life_account_id: str
    name: str
    app_id: str
    authorized: list[str]
    stores: dict[str, str | dict[str, Any]]

    @property
    def store_names(self) -> dict[str, str]:
        """The names of the stores, by poi_id."""
        return {poi_id: store if isinstance(store, str) else store["name"] for poi_id, store in self.stores.items()}


@dataclass
class Customer:
    """A user, with a different open_id in every app. `situation_zh` says which cases the coupons cover."""

    key: str
    name: str
    situation_zh: str
    open_ids: dict[str, str]


@dataclass
class Purchase:
    """An order in the platform's format, and where it can be used."""

    account_id: str
    order: dict[str, Any]
    stores: list[str] | None = None
    biz_types: list[int] | None = None


@dataclass
class SampleData:
    """All sample data, by app_id, account_id and customer key."""

    apps: dict[str, App] = field(default_factory=dict)
    merchants: dict[str, SampleMerchant] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    purchases: dict[str, list[Purchase]] = field(default_factory=dict)

    def find_customer(self, app_id: str, open_id: str) -> Customer | None:
        """Return the customer who has this open_id in this app, or None."""
        return next((c for c in self.customers.values() if c.open_ids.get(app_id) == open_id), None)

    def find_purchase(self, order_id: str) -> tuple[str, Purchase] | tuple[None, None]:
        """Return the key of an order's customer, and the purchase; two None if the order is unknown."""
        return next(
            (
                (key, p)
                for key, purchases in self.purchases.items()
                for p in purchases
                if p.order.get("order_id") == order_id
            ),
            (None, None),
        )


def load(folder: Path = DATA_FOLDER) -> SampleData:
    """Read the data files."""
    data = SampleData()
    for entry in _read(folder / "apps.json"):
        data.apps[entry["app_id"]] = App(**entry)
    for entry in _read(folder / "merchants.json"):
        data.merchants[entry["account_id"]] = SampleMerchant(**entry)
    for entry in _read(folder / "customers.json"):
        data.customers[entry["key"]] = Customer(**entry)
        data.purchases[entry["key"]] = parse_purchases(_read(folder / "orders" / f"{entry['key']}.json"))
    return data


def parse_purchases(entries: list[dict[str, Any]]) -> list[Purchase]:
    """Parse the entries of an orders file; an entry with `repeat` becomes that many purchases."""
    purchases: list[Purchase] = []
    for original in entries:
        entry = copy.deepcopy(original)
        count = entry.pop("repeat", None)
        if count is None:
            purchases.append(Purchase(**entry))
            continue
        template = json.dumps(entry)
        purchases += [Purchase(**json.loads(template.replace("{n}", f"{n:04d}"))) for n in range(1, count + 1)]
    return purchases


def _read(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries
