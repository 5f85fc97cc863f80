"""The sample data: apps, merchants with their stores, customers, and what they bought.

Files in `sandbox/data/`:

- `apps.json`: app_id, app_secret, name, and `scopes`, the capabilities the app has.
- `merchants.json`: account_id, life_account_id, name, `app_id` (whose table row it gets), `authorized` (the app_ids it
  has authorised), stores (poi_id and name).
- `customers.json`: key, name, and an open_id for each app: the platform gives a user another one in every app.
- `orders/*.json`: per customer a list of purchases: `account_id`, `stores` (the poi_ids where the order can be used;
  left out: all), `biz_types` (left out: both), `repeat` (so many copies, `{n}` counting in its texts), and `order` in
  the platform's own form. `can_use` is worked out from the stores unless the order carries one of its own.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


@dataclass
class App:
    """A mini-program."""

    app_id: str
    app_secret: str
    name: str
    scopes: list[str]
    banned: bool = False


@dataclass
class Merchant:
    """A merchant account with its stores (poi_id to name)."""

    account_id: str
    life_account_id: str
    name: str
    app_id: str
    authorized: list[str]
    stores: dict[str, str]


@dataclass
class Customer:
    """A user, known under another open_id in every app."""

    key: str
    name: str
    open_ids: dict[str, str]


@dataclass
class Purchase:
    """An order in the platform's form, and what decides where it can be used."""

    account_id: str
    order: dict[str, Any]
    stores: list[str] | None = None
    biz_types: list[int] | None = None


@dataclass
class World:
    """Everything the stand-in knows."""

    apps: dict[str, App] = field(default_factory=dict)
    merchants: dict[str, Merchant] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    purchases: dict[str, list[Purchase]] = field(default_factory=dict)

    def customer_of(self, app_id: str, open_id: str) -> Customer | None:
        """Who has this open_id in this app."""
        return next((c for c in self.customers.values() if c.open_ids.get(app_id) == open_id), None)


def load(folder: Path = DATA) -> World:
    """Read the data files."""
    world = World()
    for entry in _read(folder / "apps.json"):
        world.apps[entry["app_id"]] = App(**entry)
    for entry in _read(folder / "merchants.json"):
        world.merchants[entry["account_id"]] = Merchant(**entry)
    for entry in _read(folder / "customers.json"):
        world.customers[entry["key"]] = Customer(**entry)
        world.purchases[entry["key"]] = purchases(_read(folder / "orders" / f"{entry['key']}.json"))
    return world


def purchases(entries: list[dict[str, Any]]) -> list[Purchase]:
    """Purchases as they stand in a file, repetitions written out."""
    written_out: list[Purchase] = []
    for given in entries:
        entry = copy.deepcopy(given)
        count = entry.pop("repeat", None)
        if count is None:
            written_out.append(Purchase(**entry))
            continue
        template = json.dumps(entry)
        written_out += [Purchase(**json.loads(template.replace("{n}", f"{n:04d}"))) for n in range(1, count + 1)]
    return written_out


def _read(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return entries
