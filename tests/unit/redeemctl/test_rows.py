"""A merchant's row: parse, edit, compare, measure."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from redeemctl import rows
from redeemctl.errors import CommandError
from redeemctl.rows import Change, Edit

if TYPE_CHECKING:
    from redeemctl.rows import Item

STORE: Any = {"name": "徐家汇店", "address": "a", "latitude": Decimal("31.20"), "longitude": Decimal("121.4")}


def make_item(**attributes: Any) -> Item:
    return {"pk": {"S": "MERCHANT#7"}, "app_id": {"S": "tt1"}, **attributes}


def test_both_forms_of_a_store_are_read() -> None:
    raw = {"1": {"S": "x"}, "2": {"M": {"name": {"S": "y"}, "latitude": {"N": "1.50"}, "new": {"S": "z"}}}}
    row = rows.parse_row(make_item(stores={"M": raw}))
    assert row.stores == {"1": {"name": "x"}, "2": {"name": "y", "latitude": Decimal("1.5")}}
    assert row.active


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("app_id", {"N": "1"}),
        ("name", {"NULL": True}),
        ("active", {"S": "true"}),
        ("stores", {"S": "x"}),
        ("stores", {"M": {"1": {"N": "1"}}}),
        ("stores", {"M": {"1": {"M": {"latitude": {"S": "1"}}}}}),
    ],
)
def test_a_malformed_attribute_is_named(attribute: str, value: Any) -> None:
    item = make_item(**{attribute: value})
    with pytest.raises(CommandError, match=attribute):
        rows.parse_row(item)
    [change] = rows.list_removal(item)
    assert attribute in change.current


@pytest.mark.parametrize(
    ("stores", "edit", "expected"),
    [
        (None, {"1": {"name": "x"}}, {"1": {"S": "x"}}),
        ({"1": {"S": "x"}}, {"1": {"name": "x"}}, {"1": {"S": "x"}}),
        ({"1": {"M": {"name": {"S": "x"}}}}, {"1": {"name": "x"}}, {"1": {"M": {"name": {"S": "x"}}}}),
        ({"1": {"S": "x"}}, {"1": {"address": "a"}}, {"1": {"M": {"name": {"S": "x"}, "address": {"S": "a"}}}}),
        ({"1": {"M": {"name": {"S": "x"}, "address": {"S": "a"}}}}, {"1": {"address": ""}}, {"1": {"S": "x"}}),
        (
            {"1": {"M": {"name": {"S": "x"}, "later": {"S": "z"}}}},
            {"1": {"name": "y"}},
            {"1": {"M": {"name": {"S": "y"}, "later": {"S": "z"}}}},
        ),
        ({"1": {"S": "x"}, "2": {"S": "y"}}, {"1": None, "9": None}, {"2": {"S": "y"}}),
    ],
)
def test_an_edit_changes_only_what_it_gives(stores: Any, edit: Any, expected: Any) -> None:
    item = make_item(later={"S": "kept"}) if stores is None else make_item(later={"S": "kept"}, stores={"M": stores})
    edited = rows.edit_item("7", item, Edit(stores=edit))
    assert edited == {**item, "stores": {"M": expected}}


def test_a_number_is_written_in_its_shortest_form() -> None:
    edited = rows.edit_item("7", None, Edit({"app_id": "tt1"}, stores={"1": STORE}))
    assert edited["stores"]["M"]["1"]["M"]["latitude"] == {"N": "31.2"}


def test_only_attributes_that_differ_are_changed() -> None:
    before = make_item(name={"S": "old"}, active={"BOOL": True})
    after = rows.edit_item("7", before, Edit({"name": "", "life_account_id": "8"}, active=True))
    assert rows.changed_attributes(before, after) == {"name": None, "life_account_id": {"S": "8"}}
    assert rows.list_changes(before, after) == [Change("name", "old", ""), Change("life_account_id", "", "8")]


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (Edit({"name": "x"}), "app_id"),
        (Edit({"app_id": "tt1"}, stores={"1": {"address": "a"}}), "store 1 has no name"),
        (Edit({"app_id": "tt1"}, stores={"1": {"name": "x", "latitude": Decimal(1)}}), "longitude"),
        (Edit({"app_id": "tt1"}, stores={str(n): {"name": "店" * 100} for n in range(1400)}), "409,600"),
    ],
)
def test_an_incomplete_or_too_large_row_is_refused(edit: Edit, named: str) -> None:
    with pytest.raises(CommandError, match=named):
        rows.check_item(rows.edit_item("7", None, edit), edit)


def test_an_old_store_without_a_name_does_not_stop_other_edits() -> None:
    edit = Edit({"name": "x"})
    rows.check_item(rows.edit_item("7", make_item(stores={"M": {"1": {"S": ""}}}), edit), edit)


def test_the_size_counts_names_and_values_of_all_types() -> None:
    item: Any = {
        "s": {"S": "店"},
        "n": {"N": "1"},
        "b": {"B": b"12"},
        "t": {"BOOL": True},
        "l": {"L": [{"S": "a"}]},
        "m": {"M": {"k": {"S": "vv"}}},
        "ss": {"SS": ["a", "bc"]},
    }
    assert rows.item_bytes(item) == (1 + 3) + (1 + 21) + (1 + 2) + (1 + 1) + (1 + 3 + 2) + (1 + 3 + 1 + 1 + 2) + (2 + 6)
