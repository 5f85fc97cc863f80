"""Merchants: rows are parsed strictly, and active merchants are cached for five minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chalicelib.errors import (
    ConfigurationError,
    MerchantNotFoundError,
    StorageUnavailableError,
    StoreNotFoundError,
)
from chalicelib.merchants import Merchant, MerchantStore, merchant_key, parse_merchant
from tests.unit.fakes import Clock, FakeTable, make_context

if TYPE_CHECKING:
    from chalicelib.aws import Item

KEY = "MERCHANT#7"
ROW: Item = {"pk": {"S": KEY}, "app_id": {"S": "tta"}}
DEFAULTS = Merchant("7", "tta", "tta", None, None, True)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, DEFAULTS),
        ({"token_id": {"S": "theirs"}}, Merchant("7", "tta", "theirs", None, None, True)),
        ({"token_id": {"S": ""}}, DEFAULTS),
        ({"life_account_id": {"S": "8"}}, Merchant("7", "tta", "tta", "8", None, True)),
        ({"life_account_id": {"S": ""}}, DEFAULTS),
        (
            {"stores": {"M": {"1": {"M": {}}, "2": {"S": "x"}}}},
            Merchant("7", "tta", "tta", None, frozenset("12"), True),
        ),
        ({"stores": {"M": {}}}, Merchant("7", "tta", "tta", None, frozenset(), True)),
        ({"active": {"BOOL": True}}, DEFAULTS),
        ({"active": {"BOOL": False}}, Merchant("7", "tta", "tta", None, None, False)),
        ({"name": {"S": "店"}}, DEFAULTS),
    ],
)
def test_a_row_is_parsed(attributes: Item, expected: Merchant) -> None:
    assert parse_merchant("7", ROW | attributes) == expected


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({}, "attribute app_id is missing"),
        ({"app_id": {"S": ""}}, "attribute app_id is missing"),
        ({"app_id": {"N": "7"}}, "attribute app_id is not a string"),
        (ROW | {"token_id": {"N": "7"}}, "attribute token_id is not a string"),
        (ROW | {"life_account_id": {"NULL": True}}, "attribute life_account_id is not a string"),
        (ROW | {"stores": {"L": [{"S": "1"}]}}, "attribute stores is not a map"),
        (ROW | {"stores": {"S": "1"}}, "attribute stores is not a map"),
        (ROW | {"active": {"S": "true"}}, "attribute active is not a boolean"),
        (ROW | {"active": {"N": "1"}}, "attribute active is not a boolean"),
    ],
)
def test_a_malformed_row_names_merchant_and_attribute(item: Item, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^merchant 7: {problem}$"):
        parse_merchant("7", item)


@pytest.mark.parametrize(
    ("stores", "poi_id", "served"),
    [
        (None, "1", True),
        (frozenset({"1", "2"}), "1", True),
        (frozenset({"1", "2"}), "3", False),
        (frozenset({"12"}), "1", False),
        (frozenset(), "1", False),
    ],
)
def test_a_merchant_is_served_in_its_listed_stores_or_in_all(
    stores: frozenset[str] | None, poi_id: str, served: bool
) -> None:
    merchant = Merchant("7", "tta", "tta", None, stores, True)
    if served:
        merchant.require_store(poi_id)
    else:
        with pytest.raises(StoreNotFoundError, match=poi_id):
            merchant.require_store(poi_id)


def test_a_row_is_found_by_its_key() -> None:
    assert merchant_key("7") == KEY
    table = FakeTable(**{KEY: ROW})
    assert MerchantStore(table, Clock()).get("7", make_context()) == DEFAULTS
    assert table.reads == [KEY]


@pytest.mark.parametrize(("seconds", "reads"), [(0, 1), (299.9, 1), (300, 2)])
def test_a_merchant_is_cached_for_five_minutes(seconds: float, reads: int) -> None:
    table, clock = FakeTable(**{KEY: ROW}), Clock()
    merchants = MerchantStore(table, clock)
    merchants.get("7", make_context())
    clock.now += seconds
    assert merchants.get("7", make_context()) == DEFAULTS
    assert len(table.reads) == reads


def test_the_five_minutes_begin_before_the_read() -> None:
    table, clock = FakeTable(**{KEY: ROW}), Clock()
    merchants = MerchantStore(table, clock)
    table.before_read.append(lambda: clock.sleep(2.0))
    merchants.get("7", make_context())
    clock.now += 298.0
    merchants.get("7", make_context())
    assert len(table.reads) == 2


@pytest.mark.parametrize("row", [None, ROW | {"active": {"BOOL": False}}])
def test_a_merchant_without_a_row_or_suspended_is_not_found_and_not_cached(row: Item | None) -> None:
    table = FakeTable(**({} if row is None else {KEY: row}))
    merchants = MerchantStore(table, Clock())
    with pytest.raises(MerchantNotFoundError):
        merchants.get("7", make_context())
    table.items[KEY] = ROW
    assert merchants.get("7", make_context()) == DEFAULTS


def test_a_suspended_merchant_is_served_no_longer_than_five_minutes() -> None:
    table, clock = FakeTable(**{KEY: ROW}), Clock()
    merchants = MerchantStore(table, clock)
    merchants.get("7", make_context())
    table.items[KEY] = ROW | {"active": {"BOOL": False}}
    clock.now += 300
    with pytest.raises(MerchantNotFoundError):
        merchants.get("7", make_context())


def test_a_cached_merchant_needs_no_table() -> None:
    table = FakeTable(**{KEY: ROW})
    merchants = MerchantStore(table, Clock())
    merchants.get("7", make_context())
    table.fails_reads = True
    assert merchants.get("7", make_context()) == DEFAULTS
    with pytest.raises(StorageUnavailableError):
        merchants.get("8", make_context())
