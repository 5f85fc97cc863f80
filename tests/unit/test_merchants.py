"""Merchants: rows are parsed strictly, and active merchants are cached for five minutes."""

import re
from typing import Any

import msgspec
import pytest

from chalicelib.aws import Item
from chalicelib.errors import ConfigurationError, MerchantNotFoundError, StoreNotFoundError
from chalicelib.merchants import Merchant, MerchantRepository, MerchantView, Store, build_merchant_view, parse_merchant
from tests.unit.fakes import Clock, FakeTable, make_context

KEY = "MERCHANT#7"
ROW: Item = {"pk": {"S": KEY}, "app_id": {"S": "tta"}}
DEFAULTS = Merchant("7", "tta", None, None, True)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, DEFAULTS),
        (
            {
                "life_account_id": {"S": "8"},
                "stores": {"M": {"1": {"M": {}}, "2": {"S": "x"}}},
                "active": {"BOOL": False},
                "name": {"S": "店"},
                "notice": {"S": "今"},
                "redeeming": {"BOOL": False},
            },
            Merchant("7", "tta", "8", {"1": None, "2": Store("2", "x")}, False, "店", "今", False),
        ),
        ({"notice": {"S": "今" * 200}}, Merchant("7", "tta", None, None, True, notice="今" * 200)),
        ({"notice": {"S": "今" * 201}}, DEFAULTS),
        ({"notice": {"S": ""}, "redeeming": {"BOOL": True}}, DEFAULTS),
        ({"notice": {"N": "7"}}, DEFAULTS),
        ({"notice": {"NULL": True}}, DEFAULTS),
        ({"stores": {"M": {}}}, Merchant("7", "tta", None, {}, True)),
        ({"life_account_id": {"S": ""}, "active": {"BOOL": True}, "name": {"N": "7"}}, DEFAULTS),
    ],
)
def test_a_row_is_parsed(attributes: Item, expected: Merchant) -> None:
    assert parse_merchant("7", ROW | attributes) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("今晚\n请到\u202e收银台\t核销\x85", "今晚 请到 收银台 核销 "),
        ("\u061c\u200e\u200f\u2028\u2029\u2066\u2069\x00\x1f\x7f今", " " * 10 + "今"),
        # A joined emoji, an Arabic and a full-width text stay as they are.
        ("👨\u200d👩\u200d👧 مرحبا ｶﾅ\u3000ok", "👨\u200d👩\u200d👧 مرحبا ｶﾅ\u3000ok"),
        (" \n\u202a\u3000", None),
        ("\n" * 201, None),
    ],
)
def test_control_and_bidirectional_characters_of_a_notice_become_blanks(text: str, shown: str | None) -> None:
    assert parse_merchant("7", ROW | {"notice": {"S": text}}).notice == shown


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        *(({"S": text}, True) for text in ("true", "True", "TRUE", "1")),
        *(({"N": number}, True) for number in ("1", "1.0")),
        *(({"S": text}, False) for text in ("false", "off", "no", "on", "yes", "开", "0", "2", "")),
        *(({"N": number}, False) for number in ("0", "2", "-1")),
        ({"NULL": True}, False),
        ({"L": []}, False),
        ({"SS": ["true"]}, False),
    ],
)
def test_a_switch_in_another_type_is_on_only_in_a_form_of_true(attribute: Any, expected: bool) -> None:
    assert parse_merchant("7", ROW | {"redeeming": attribute}).redeeming is expected


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({}, "Object missing required field `app_id`"),
        ({"app_id": {"S": ""}}, "Expected `str` .* at `$.app_id`"),
        (ROW | {"life_account_id": {"N": "7"}}, "Expected `str | null`, .* at `$.life_account_id`"),
        # They cannot be sent in a header.
        (ROW | {"life_account_id": {"S": "总店"}}, "Expected `str` .* at `$.life_account_id`"),
        (ROW | {"life_account_id": {"S": "8\n"}}, "Expected `str` .* at `$.life_account_id`"),
        (ROW | {"stores": {"L": [{"S": "1"}]}}, "Expected `object | null`, .* at `$.stores`"),
        (ROW | {"active": {"S": "true"}}, "Expected `bool`, .* at `$.active`"),
        (ROW | {"active": {"NULL": True}}, "Expected `bool`, .* at `$.active`"),
    ],
)
def test_a_malformed_row_names_merchant_and_attribute(item: Item, problem: str) -> None:
    escaped = re.escape(f"merchant 7: {problem}").replace(r"\.\*", ".*")
    with pytest.raises(ConfigurationError, match=f"^{escaped}$"):
        parse_merchant("7", item)


def test_a_merchant_is_served_in_its_listed_stores_or_in_all() -> None:
    DEFAULTS.check_store("3")
    for stores in ({"1": Store("1", "x"), "2": None}, {}):
        merchant = Merchant("7", "tta", None, stores, True)
        for poi_id in stores:
            merchant.check_store(poi_id)
        with pytest.raises(StoreNotFoundError, match="3"):
            merchant.check_store("3")


def test_a_merchant_is_cached_for_five_minutes() -> None:
    table, clock = FakeTable(**{KEY: ROW}), Clock()
    merchants = MerchantRepository(table, clock)
    for seconds, reads in ((0, 1), (299, 1), (1, 2)):
        clock.now += seconds
        assert merchants.get("7", make_context()) == DEFAULTS
        assert table.reads == [KEY] * reads


@pytest.mark.parametrize("rows", [{}, {KEY: ROW | {"active": {"BOOL": False}}}])
def test_a_merchant_without_a_row_or_suspended_is_unknown_until_it_is_written(rows: dict[str, Item]) -> None:
    table = FakeTable(**rows)
    merchants = MerchantRepository(table, Clock())
    with pytest.raises(MerchantNotFoundError, match="7"):
        merchants.get("7", make_context())
    table.items[KEY] = ROW
    assert merchants.get("7", make_context()) == DEFAULTS


FULL = {
    "name": {"S": "人民广场店"},
    "address": {"S": "西藏中路180号"},
    "phone": {"S": "021-5555-6601"},
    "latitude": {"N": "31.2327"},
    "longitude": {"N": "121.4751"},
}


def view_of(stores: dict[str, Any], **attributes: Any) -> str:
    """Return the JSON that customers get of a row with these stores."""
    view = build_merchant_view(parse_merchant("7", ROW | attributes | {"stores": {"M": stores}}))
    return msgspec.json.encode(view).decode()


def test_the_stores_byte_for_byte() -> None:
    """Old and new entries in one row, sorted by poi_id."""
    stores = {"9": {"S": "c"}, "10": {"M": {"name": {"S": "a"}}}}
    shown = '"stores":[{"poi_id":"10","name":"a"},{"poi_id":"9","name":"c"}]}'
    assert view_of(stores) == '{"account_id":"7",' + shown
    assert view_of(stores, name={"S": "四季小馆"}) == '{"account_id":"7","name":"四季小馆",' + shown
    assert view_of({}) == '{"account_id":"7","stores":[]}'
    assert build_merchant_view(parse_merchant("7", ROW)) == MerchantView("7")


NO_TEXTS: list[Any] = [{"N": "7"}, {"S": ""}]
NO_DEGREES: list[Any] = [{"S": "31.2"}, {"M": {}}, {"N": "180.1"}, {"N": "-181"}, {"NULL": True}]
NO_VALUES = {"address": NO_TEXTS, "phone": NO_TEXTS, "latitude": [*NO_DEGREES, {"N": "90.5"}], "longitude": NO_DEGREES}


@pytest.mark.parametrize("name", NO_VALUES)
def test_a_malformed_attribute_of_a_store_is_left_out(name: str) -> None:
    for value in NO_VALUES[name]:
        [store] = msgspec.json.decode(view_of({"1": {"M": FULL | {name: value}}}))["stores"]
        assert set(store) == {"poi_id", *FULL} - {name}, value


@pytest.mark.parametrize("value", ["90", "-90", "0", "1E+1"])
def test_a_position_is_a_number_of_degrees(value: str) -> None:
    [store] = msgspec.json.decode(view_of({"1": {"M": FULL | {"latitude": {"N": value}}}}))["stores"]
    assert store["latitude"] == float(value)


@pytest.mark.parametrize("entry", [{"M": {}}, {"M": {"name": {"N": "7"}}}, {"S": ""}, {"N": "7"}, {"NULL": True}])
def test_a_malformed_store_is_served_but_not_shown(entry: Any) -> None:
    merchant = parse_merchant("7", ROW | {"stores": {"M": {"1": entry, "2": {"S": "x"}}}})
    merchant.check_store("1")
    assert build_merchant_view(merchant) == MerchantView("7", None, [Store("2", "x")])
