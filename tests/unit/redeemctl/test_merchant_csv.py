"""CSV files of merchants, and what an import makes of them."""

import re
from pathlib import Path
from typing import Any

import pytest

from chalicelib.aws import Item
from infra.bundle import ROOT
from redeemctl.errors import InvalidInputError
from redeemctl.merchant_csv import COLUMNS, read_file, write_csv
from redeemctl.merchant_rows import InvalidEditError, edit_item, list_changes, parse_rows

HEADER = "account_id,app_id,name,active,poi_id,store_name,latitude,longitude\n"
ITEM: Item = {
    "pk": {"S": "MERCHANT#7"},
    "app_id": {"S": "tt1"},
    "name": {"S": "old"},
    "notice": {"S": "今"},
    "redeeming": {"BOOL": False},
    "stores": {"M": {"1": {"S": "x"}, "2": {"M": {"name": {"S": "y"}, "phone": {"S": "021"}}}}},
}


def edit(tmp_path: Path, text: str, items: dict[str, Item], encoding: str = "utf-8") -> tuple[dict[str, Item], Any]:
    """Return the rows that a file makes of those in the table, and its errors, each as it begins."""
    file = tmp_path / "merchants.csv"
    file.write_text(text, encoding=encoding)
    entries, errors = read_file(file)
    edits = {}
    for account_id, entry in entries.items():
        try:
            edits[account_id] = edit_item(account_id, items.get(account_id), entry.to_patch())
        except InvalidEditError as error:
            errors += [f"line {entry.line_of(path)}, {path}: {text}" for path, text in error.errors.items()]
    return edits, errors


def test_what_is_exported_can_be_imported_and_changes_nothing(tmp_path: Path) -> None:
    texts = {"name": {"S": "人民广场店"}, "address": {"S": "a"}, "phone": {"S": "021"}, "later": {"S": "z"}}
    store: Any = {"M": {**texts, "latitude": {"N": "31.2"}, "longitude": {"N": "121.40"}}}
    items: dict[str, Item] = {
        "7": ITEM,
        "8": {**ITEM, "pk": {"S": "MERCHANT#8"}, "stores": {"M": {"1": store}}},
        "9": {"pk": {"S": "MERCHANT#9"}, "app_id": {"S": "tt1"}, "active": {"BOOL": False}},
    }
    text = write_csv(parse_rows(items.values())[0])
    edits, errors = edit(tmp_path, text, items)
    assert (edits.keys(), errors) == (items.keys(), [])
    assert [list_changes(items[account_id], edited) for account_id, edited in edits.items()] == [[]] * 3
    edits, _ = edit(tmp_path, text, {})
    del store["M"]["later"]
    assert parse_rows(edits.values()) == parse_rows(items.values())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_files_of_excel_are_read(tmp_path: Path, encoding: str) -> None:
    text = f"{HEADER}7,tt1,四季小馆,FALSE,1,人民广场店,31.5,121\r\n,,,,,,,\r\n7,,,,2,二店,,\r\n"
    edits, errors = edit(tmp_path, text, {}, encoding)
    assert errors == []
    assert {change.field: change.new for change in list_changes(None, edits["7"])} == {
        "app_id": "tt1", "active": "no", "redeeming": "yes", "name": "四季小馆", "stores.1.name": "人民广场店",
        "stores.1.latitude": "31.5", "stores.1.longitude": "121", "stores.2.name": "二店",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEADER, ["no merchants"]),
        (
            f"{HEADER}a b,tt1,,,,,,\n8,t t,,maybe,,,,\n",
            ["line 2, account_id: must", "line 3, app_id", "line 3, active"],
        ),
        (f"{HEADER}7.1E+18,tt1,,,,,,\n", ["line 2, account_id: Excel has turned this id into a number"]),
        (f"{HEADER}7100000000000000,tt1,,,,,,\n", ["line 2, account_id: Excel may have rounded this id"]),
        (f"{HEADER}7,tt1,,,7100000000000000000,x,,\n8,tt1,,,7100000000000001,x,,\n", ["line 2, poi_id: Excel may"]),
        ("account_id,app_id,life_account_id\n7,tt1,7100000000000000000\n", ["line 2, life_account_id: Excel may"]),
        (f"{HEADER},tt1,,,,,,\n", ["line 2, account_id: missing"]),
        ("account_id,app_id,nmae,token_id\n7,tt1,x,\n", ["line 2, nmae: no such column; the columns are account_id, "]),
        (f"{HEADER}7,tt1,,,,,,\n7,tt2,,,1,x,,\n", ["line 3, app_id: another row of merchant 7"]),
        (f"{HEADER}7,tt1,,,1,x,,\n7,,,,1,y,,\n", ["line 3, poi_id: store 1 is in line 2"]),
        (f"{HEADER}7,tt1,,,,x,,\n", ["line 2, poi_id: missing"]),
        (f"{HEADER}7,tt1,,,人.店,x,,\n", ["line 2, stores.人.店.[key]"]),
        (f"{HEADER}7,tt1,,,1,x,,\n7,,,,1.2,y,,\n", ["line 3, stores.1.2.[key]"]),
        (f"{HEADER}7,tt1,,,1,x,1,1,2\n", ["line 2: more values"]),
        (f"{HEADER}8,tt1,,,1,x,,\n8,,,,2,,,\n8,,,,3,x,1,\n", ["line 3, stores.2.name", "line 4, stores.3: needs lat"]),
        (
            f"{HEADER}8,,x,,,,,\n9,tt1,{'x' * 140_000},,,,,\n",
            ["after line 2: field larger", "line 2, app_id: Field required"],
        ),
    ],
)
def test_every_error_of_a_file_is_reported_with_line_and_field(tmp_path: Path, text: str, expected: list[str]) -> None:
    _, errors = edit(tmp_path, text, {})
    assert len(errors) == len(expected)
    for error, start in zip(errors, expected, strict=True):
        assert error.startswith(start)


def test_a_row_of_the_table_without_app_id_is_an_error_of_the_file_until_it_gives_one(tmp_path: Path) -> None:
    items: dict[str, Item] = {"7": {"pk": {"S": "MERCHANT#7"}, "active": {"BOOL": True}}}
    _, errors = edit(tmp_path, "account_id,name\n7,x\n", items)
    assert errors == ["line 2, app_id: Field required"]
    edits, errors = edit(tmp_path, "account_id,app_id\n7,tt1\n", items)
    assert (edits["7"], errors) == ({**items["7"], "app_id": {"S": "tt1"}}, [])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "line 1 must have account_id"),
        (b"account_id,account_id\n", "once"),
        (b"name\n", "must have account_id"),
        (b"\xff\xff", "UTF-8 or GB18030"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, error: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(InvalidInputError, match=error):
        read_file(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("account_id\n7\n", []),
        ("account_id,name\n7,new\n", ["name"]),
        ("account_id,app_id,active,name\n7,,,\n", []),
        ("account_id,poi_id,store_name\n7,3,z\n", ["stores.3.name"]),
        ("account_id,poi_id,phone\n7,1,\n7,2,022\n", ["stores.2.phone"]),
    ],
)
def test_what_a_file_lacks_stays(tmp_path: Path, text: str, fields: list[str]) -> None:
    edits, errors = edit(tmp_path, text, {"7": ITEM})
    assert errors == []
    assert [change.field for change in list_changes(ITEM, edits["7"])] == fields


def test_the_sample_of_going_live_can_be_imported_and_the_page_names_each_column(tmp_path: Path) -> None:
    page = (ROOT / "miniprogram" / "docs" / "go-live.zh-CN.md").read_text(encoding="utf-8")
    [sample] = re.findall(r"```text\n(account_id,.*?)```", page, re.DOTALL)
    edits, errors = edit(tmp_path, sample, {})
    assert errors == []
    assert [list(item["stores"]["M"]) for item in edits.values()] == [["6601", "6602"]]
    assert {*COLUMNS} <= {*sample.splitlines()[0].split(","), *re.findall(r"`(\w+)`", page)}
