"""The strict description of a merchant: values, rows, edits and changes."""

import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from chalicelib import merchants
from chalicelib.aws import Item
from chalicelib.merchants import Store, parse_merchant
from infra.bundle import ROOT
from redeemctl import merchant_rows
from redeemctl.merchant_rows import Change, InvalidEditError, MerchantRow, StoreEntry
from redeemctl.merchants import add_merchant

STORE = {"name": "徐家汇店", "address": "a", "latitude": Decimal("31.20"), "longitude": Decimal("121.4")}


def make_item(**attributes: Any) -> Item:
    return {"pk": {"S": "MERCHANT#7"}, "app_id": {"S": "tt1"}, **attributes}


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("name", " 四季小馆 ", {"S": "四季小馆"}),
        ("active", "FALSE", {"BOOL": False}),
        ("redeeming", "off", {"BOOL": False}),
        ("redeeming", "", None),
        ("notice", "今" * 200, {"S": "今" * 200}),
        ("notice", "a\r\n\u202eb", {"S": "a   b"}),
        ("notice", "\t\u3000\u2066", None),
        ("life_account_id", "7100000000000000000", {"S": "7100000000000000000"}),
        ("stores", {"1": {"name": "x", "address": ""}}, {"M": {"1": {"S": "x"}}}),
        ("stores", {"7200000000000000000": {"name": "x"}}, {"M": {"7200000000000000000": {"S": "x"}}}),
        ("stores", {"1": {"name": "x", "latitude": "-90", "longitude": "180"}},
         {"M": {"1": {"M": {"name": {"S": "x"}, "latitude": {"N": "-90"}, "longitude": {"N": "180"}}}}}),
    ],
)  # fmt: skip
def test_what_an_operator_writes_becomes_a_value(name: str, written: Any, value: Any) -> None:
    for item in (None, make_item(later={"S": "z"})):
        edited = merchant_rows.edit_item("7", item, {"app_id": "tt1", name: written})
        assert edited.get(name) == value
        assert ("later" in edited) == (item is not None)


@pytest.mark.parametrize(
    ("patch", "rule"),
    [
        *(({"app_id": text}, "app_id: must be 1 to 64 characters") for text in
          ("", "abc def", "人民广场店", "1\n", "１２", "x" * 65)),
        ({"life_account_id": "7.29678E+18"}, "format the column as text"),
        ({"name": "a\tb"}, "control character"),
        ({"name": "x" * 201}, "200 characters"),
        ({"active": "maybe"}, "boolean"),
        ({"notice": "今" * 201}, "200 characters"),
        ({"stores": {"1": {"name": " "}}}, "at least 1 character"),
        ({"stores": {"1": {"name": "x", "latitude": "90.1"}}}, "90"),
        ({"stores": {"1": {"name": "x", "latitude": "north"}}}, "decimal"),
        ({"stores": {"1": {"name": "x", "latitude": "nan"}}}, "finite"),
        ({"stores": {"1": {"name": "x", "longitude": "-181"}}}, "180"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_refused_with_the_rule(patch: Any, rule: str) -> None:
    with pytest.raises(InvalidEditError, match=f"merchant 7: .*{rule}"):
        merchant_rows.edit_item("7", make_item(), patch)


def test_a_row_is_shown_as_the_service_reads_it() -> None:
    raw = {"1": {"S": "x"}, "2": {"M": {"name": {"S": "y"}, "latitude": {"N": "1.50"}, "longitude": {"N": "2"}}}}
    item = make_item(stores={"M": raw}, name={"S": ""}, notice={"N": "7"}, redeeming={"S": "off"})
    assert merchant_rows.dump(parse_merchant("7", item)) == {
        "account_id": "7",
        "app_id": "tt1",
        "active": True,
        "redeeming": False,
        "stores": [{"poi_id": "1", "name": "x"}, {"poi_id": "2", "name": "y", "latitude": 1.5, "longitude": 2.0}],
    }
    assert merchant_rows.list_changes(None, item) == [
        Change("app_id", "", "tt1"),
        Change("active", "", "yes"),
        Change("stores.1.name", "", "x"),
        Change("stores.2.name", "", "y"),
        Change("stores.2.latitude", "", "1.5"),
        Change("stores.2.longitude", "", "2"),
        Change("notice", "", "malformed, counts as none"),
        Change("redeeming", "", "no"),
    ]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("active", {"L": []}), ("store list", {"M": {}}), ("store list", {"M": {"1": {"S": ""}}})],
)
def test_a_malformed_row_is_named_and_its_removal_can_be_shown(attribute: str, value: Any) -> None:
    item = make_item(**{"stores" if attribute == "store list" else attribute: value})
    rows, [malformed] = merchant_rows.parse_rows([item, make_item()])
    assert ([row.account_id for row in rows], malformed[:12], attribute in malformed) == (["7"], "merchant 7: ", True)
    assert merchant_rows.list_changes(item, None)


@pytest.mark.parametrize(
    ("stores", "patch", "expected"),
    [
        (None, {"1": {"name": "x"}}, {"1": {"S": "x"}}),
        ({"1": {"S": "x"}}, {"1": {"name": "x"}}, {"1": {"S": "x"}}),
        ({"1": {"S": "x"}}, {"1": {"address": "a"}}, {"1": {"M": {"name": {"S": "x"}, "address": {"S": "a"}}}}),
        ({"1": {"M": {"name": {"S": "x"}, "address": {"S": "a"}}}}, {"1": {"address": None}}, {"1": {"S": "x"}}),
        (
            {"1": {"M": {"name": {"S": "x"}, "later": {"SS": ["z"]}}}},
            {"1": {"name": "y"}},
            {"1": {"M": {"name": {"S": "y"}, "later": {"SS": ["z"]}}}},
        ),
        ({"1": {"S": "x"}, "2": {"S": "y"}}, {"1": None, "9": None}, {"2": {"S": "y"}}),
    ],
)
def test_an_edit_changes_only_what_it_gives(stores: Any, patch: Any, expected: Any) -> None:
    item = make_item(later={"NS": ["1"]}) if stores is None else make_item(later={"NS": ["1"]}, stores={"M": stores})
    assert merchant_rows.edit_item("7", item, {"stores": patch}) == {**item, "stores": {"M": expected}}


def test_only_attributes_that_differ_are_changed() -> None:
    before = make_item(name={"S": "old"}, active={"BOOL": True})
    after = merchant_rows.edit_item("7", before, {"name": None, "life_account_id": "8", "active": True})
    assert merchant_rows.changed_attributes(before, after) == {"name": None, "life_account_id": {"S": "8"}}
    assert merchant_rows.list_changes(before, after) == [Change("name", "old", ""), Change("life_account_id", "", "8")]


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"active": False}, {"active": {"BOOL": False}}),
        ({"stores": {"1": {"name": "x"}}}, {"stores": {"M": {"1": {"S": "x"}, "2": {"N": "1"}, "3": {"S": "z"}}}}),
        ({"stores": {"2": None}}, {"stores": {"M": {"1": {"S": ""}, "3": {"S": "z"}}}}),
        ({"stores": {"3": {"name": "n"}}}, {"stores": {"M": {"1": {"S": ""}, "2": {"N": "1"}, "3": {"S": "n"}}}}),
    ],
)
def test_what_was_malformed_before_does_not_stop_other_edits(patch: Any, expected: Any) -> None:
    stores = {"1": {"S": ""}, "2": {"N": "1"}, "3": {"S": "z"}}
    item = make_item(stores={"M": stores}, active={"S": "yes"}, notice={"N": "7"})
    assert merchant_rows.edit_item("7", item, patch) == {**item, **expected}


def test_the_first_store_list_of_a_merchant_is_described() -> None:
    item, listed = make_item(), make_item(stores={"M": {"1": {"S": "x"}}})
    assert merchant_rows.describe_first_stores(item, listed).startswith("Merchant 7 has no store list")
    others = [(None, listed), (item, None), (listed, listed), (listed, item), (item, item)]
    assert [merchant_rows.describe_first_stores(before, after) for before, after in others] == [""] * 5


def test_a_store_list_that_is_malformed_is_replaced_by_an_edit_of_a_store() -> None:
    edited = merchant_rows.edit_item("7", make_item(stores={"S": "x"}), {"stores": {"1": {"name": "x"}}})
    assert edited["stores"] == {"M": {"1": {"S": "x"}}}


def test_the_service_reads_what_redeemctl_writes() -> None:
    values: dict[str, Any] = {"app_id": "tt1", "life_account_id": "8", "name": "四季小馆"}
    values |= {"notice": "今" * 200, "redeeming": False}
    item = merchant_rows.edit_item(
        "7", None, {**values, "stores": {"1": {**STORE, "phone": "021"}, "2": {"name": "y"}}}
    )
    stores: Any = {"1": Store("1", "徐家汇店", "a", "021", 31.2, 121.4), "2": Store("2", "y")}
    merchant = parse_merchant("7", item)
    assert merchant == merchants.Merchant("7", **values, stores=stores, active=True)
    for field in msgspec.structs.fields(merchants.Merchant):
        assert getattr(merchant, field.name) != field.default, f"{field.name} is not tried here"


def test_redeemctl_has_the_attributes_of_the_service() -> None:
    assert MerchantRow.model_fields.keys() == {*merchants.Merchant.__struct_fields__}
    assert {"poi_id", *StoreEntry.model_fields} == {*Store.__struct_fields__}
    # `merchant suspend` and `resume` write `active`.
    options = {option.name for option in add_merchant.params}
    assert MerchantRow.model_fields.keys() - options == {"active"}


def test_the_documents_have_each_attribute_of_a_row() -> None:
    [row] = re.findall(r"`MERCHANT#<account_id>`.*?`TOKEN#", (ROOT / "docs/engineer.md").read_text("utf-8"), re.DOTALL)
    names = {*MerchantRow.model_fields, *StoreEntry.model_fields} - {"account_id"}
    assert {name for name in names if f"`{name}`" not in row} == set()
