"""Files of merchants, and what an import makes of them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from redeemctl.errors import InvalidInputError
from redeemctl.files import Entry, read_merchants, write_csv, write_json
from redeemctl.imports import TEMPLATE, make_edit, plan_import
from redeemctl.rows import edit_item, parse_row

if TYPE_CHECKING:
    from redeemctl.rows import Item

HEADER = "account_id,app_id,name,active,poi_id,store_name,latitude,longitude\n"


def read(tmp_path: Path, text: str, suffix: str = ".csv", encoding: str = "utf-8") -> list[Entry]:
    file = tmp_path / f"merchants{suffix}"
    file.write_text(text, encoding=encoding)
    return read_merchants(file)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_what_is_exported_can_be_imported_and_changes_nothing(tmp_path: Path, suffix: str) -> None:
    text = write_csv(TEMPLATE) if suffix == ".csv" else write_json(TEMPLATE)
    entries = read(tmp_path, text, suffix)
    items = {
        entry.account_id: edit_item(entry.account_id, None, make_edit(entry, None, prune=False)) for entry in entries
    }
    assert [parse_row(item) for item in items.values()] == TEMPLATE
    plans = plan_import(Path("x"), entries, items, {"tt0123456789abcdef"}, prune=True)
    assert [plan.kind for plan in plans] == ["unchanged", "unchanged"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_csv_files_of_excel_are_read(tmp_path: Path, encoding: str) -> None:
    [entry] = read(tmp_path, f"{HEADER}7,tt1,四季小馆,,1,人民广场店,31.5,\n,,,,,,,\n", encoding=encoding)
    assert entry.texts == {"app_id": "tt1", "name": "四季小馆"}
    assert entry.stores == {"1": {"name": "人民广场店", "latitude": Decimal("31.5"), "longitude": ""}}
    assert entry.active is None


def test_columns_that_are_missing_say_nothing(tmp_path: Path) -> None:
    [entry] = read(tmp_path, "account_id,name\n7,x\n")
    assert entry == Entry("line 2", "7", {"name": "x"}, None, None)


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("", ["line 1: columns account_id"]),
        ("account_id,nmae\n7,x\n", ["line 1: columns nmae"]),
        (HEADER, ["no merchants"]),
        (f"{HEADER}a b,tt1,,,,,,\n8,t t,,maybe,,,,\n", ["line 2, account_id", "line 3, app_id", "line 3, active"]),
        (f"{HEADER}7,tt1,,,,,,\n7,tt2,,,1,x,,\n", ["line 3, app_id: differs from line 2"]),
        (f"{HEADER}7,tt1,,,1,x,,\n7,,,,1,y,,\n", ["line 3, poi_id: store 1 is listed twice"]),
        (f"{HEADER}7,tt1,,,,x,,\n", ["line 2, poi_id: missing"]),
        (f"{HEADER}7,tt1,,,人民广场店,x,,\n", ["line 2, poi_id: '人民广场店'"]),
        (f"{HEADER}7,tt1,,,1,x,91,1\n", ["line 2, latitude"]),
        (f"{HEADER}7,tt1,,,1,x,1,1,2\n", ["line 2: more values"]),
        (f"{HEADER}7.29678E+18,tt1,,,,,,\n", ["line 2, account_id: '7.29678E+18'"]),
    ],
)
def test_every_error_of_a_csv_file_is_reported_with_its_line(tmp_path: Path, text: str, errors: list[str]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read(tmp_path, text)
    assert refused.value.exit_code == 2
    for error in errors:
        assert error in str(refused.value)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({}, "expected a list"),
        ([1], "merchants[0]: expected an object"),
        ([{}], "merchants[0], account_id: missing"),
        ([{"account_id": "7", "nmae": "x"}], "merchants[0], nmae: unknown"),
        ([{"account_id": "7", "name": ["x"]}], "merchants[0], name: expected a string"),
        ([{"account_id": "7", "name": True}], "merchants[0], name: expected a string"),
        ([{"account_id": "7"}, {"account_id": "7"}], "merchants[1], account_id: 7 is in the file twice"),
        ([{"account_id": "7", "stores": {}}], "merchants[0].stores: expected a list"),
        ([{"account_id": "7", "stores": ["x"]}], "merchants[0].stores[0]: expected an object"),
        ([{"account_id": "7", "stores": [{"poi_id": "a b"}]}], "merchants[0].stores[0], poi_id"),
        ([{"account_id": "7", "stores": [{"poi_id": "1", "latitude": 99.5}]}], "merchants[0].stores[0], latitude"),
    ],
)
def test_every_error_of_a_json_file_is_reported_with_its_place(tmp_path: Path, data: Any, error: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read(tmp_path, json.dumps(data), ".json")
    assert error in str(refused.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="neither"):
        read(tmp_path, "x", ".xlsx")
    with pytest.raises(InvalidInputError, match="not JSON"):
        read(tmp_path, "{", ".json")
    (tmp_path / "x.csv").write_bytes(b"\xff\xff")
    with pytest.raises(InvalidInputError, match="encoding"):
        read_merchants(tmp_path / "x.csv")


ITEM: Item = {
    "pk": {"S": "MERCHANT#7"},
    "app_id": {"S": "tt1"},
    "name": {"S": "old"},
    "stores": {"M": {"1": {"S": "x"}, "2": {"S": "y"}}},
}


@pytest.mark.parametrize(
    ("entry", "prune", "fields"),
    [
        (Entry("", "7", {"name": ""}), False, []),
        (Entry("", "7", {"name": ""}), True, ["name"]),
        (Entry("", "7", {"app_id": ""}), True, []),
        (Entry("", "7", {}, False), False, ["active"]),
        (Entry("", "7", stores={"1": {"name": "x"}}), False, []),
        (Entry("", "7", stores={"1": {"name": "x"}}), True, ["store 2"]),
        (Entry("", "7", stores={}), True, []),
        (Entry("", "7", stores=None), True, []),
        (Entry("", "7", stores={"3": {"name": "z"}}), False, ["store 3"]),
    ],
)
def test_nothing_is_removed_without_prune_and_a_store_list_never_becomes_empty(
    entry: Entry, prune: bool, fields: list[str]
) -> None:
    plans = plan_import(Path("x"), [entry], {"7": ITEM}, {"tt1"}, prune=prune)
    assert [change.field for plan in plans for change in plan.changes] == fields


def test_an_import_names_each_merchant_that_it_cannot_write() -> None:
    entries = [
        Entry("line 2", "8"),
        Entry("line 3", "9", {"app_id": "other"}),
        Entry("line 4", "10", {"app_id": "tt1"}, None, {"1": {"name": ""}}),
    ]
    with pytest.raises(InvalidInputError) as refused:
        plan_import(Path("x"), entries, {}, {"tt1"}, prune=False)
    for error in (
        "line 2: merchant 8: app_id is missing",
        "line 3, app_id: app other not found",
        "line 4: merchant 10",
    ):
        assert error in str(refused.value)


def test_merchants_that_are_not_in_the_file_are_listed_or_removed() -> None:
    entry = Entry("line 2", "8", {"app_id": "tt1"})
    kinds = [
        [(plan.account_id, plan.kind) for plan in plan_import(Path("x"), [entry], {"7": ITEM}, {"tt1"}, prune=prune)]
        for prune in (False, True)
    ]
    assert kinds == [[("8", "added"), ("7", "not in file")], [("8", "added"), ("7", "removed")]]
