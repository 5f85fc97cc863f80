"""CSV files of merchants, and what an import makes of them."""

import re
from pathlib import Path
from typing import Any

import pytest

from chalicelib.aws import Item
from redeemctl.errors import InvalidInputError
from redeemctl.files import COLUMNS, Entry, read_merchants, write_csv
from redeemctl.imports import count_ends, make_patch, plan_import
from redeemctl.rows import parse_row

HEADER = "account_id,app_id,name,active,poi_id,store_name,latitude,longitude\n"
ITEM: Item = {
    "pk": {"S": "MERCHANT#7"},
    "app_id": {"S": "tt1"},
    "name": {"S": "old"},
    "notice": {"S": "今"},
    "redeeming": {"BOOL": False},
    "stores": {"M": {"1": {"S": "x"}, "2": {"S": "y"}}},
}


def plan(tmp_path: Path, text: str, items: Any = None, *, prune: bool = False, encoding: str = "utf-8") -> Any:
    """Return what an import of a file does, and its errors."""
    file = tmp_path / "merchants.csv"
    file.write_text(text, encoding=encoding)
    entries, errors = read_merchants(file)
    return plan_import(entries, items or {}, {"tt1", "tt0123456789abcdef"}, errors, prune=prune), errors


def test_what_is_exported_can_be_imported_and_changes_nothing(tmp_path: Path) -> None:
    texts = {"name": {"S": "人民广场店"}, "address": {"S": "a"}, "phone": {"S": "021"}}
    store: Any = {"M": {**texts, "latitude": {"N": "31.2"}, "longitude": {"N": "121.4"}}}
    rows: list[Item] = [ITEM, {**ITEM, "pk": {"S": "MERCHANT#8"}, "stores": {"M": {"1": store}}}]
    merchants = [parse_row(item) for item in rows]
    plans, errors = plan(tmp_path, write_csv(merchants))
    assert ([p.kind for p in plans], errors) == (["added"] * 2, [])
    items = {p.account_id: p.edited for p in plans}
    assert [parse_row(item) for item in items.values()] == merchants
    plans, _ = plan(tmp_path, write_csv(merchants), items, prune=True)
    assert [p.kind for p in plans] == ["unchanged"] * 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_files_of_excel_are_read(tmp_path: Path, encoding: str) -> None:
    [planned], errors = plan(
        tmp_path, f"{HEADER}7,tt1,四季小馆,,1,人民广场店,31.5,121\n,,,,,,,\n7,,,,2,二店,,\n", encoding=encoding
    )
    assert errors == []
    assert [(change.field, change.new) for change in planned.changes] == [
        ("app_id", "tt1"), ("active", "yes"), ("name", "四季小馆"),
        ("stores.1.name", "人民广场店"), ("stores.1.latitude", "31.5"), ("stores.1.longitude", "121"),
        ("stores.2.name", "二店"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEADER, ["no merchants"]),
        (f"{HEADER}a b,tt1,,,,,,\n8,t t,,maybe,,,,\n",
         ["line 2, account_id: 'a b'", "line 3, app_id", "line 3, active"]),
        (f"{HEADER},tt1,,,,,,\n", ["line 2, account_id: missing"]),
        (f"{HEADER}7,tt1,,,,,,\n7,tt2,,,1,x,,\n", ["line 3, app_id: differs from line 2"]),
        (f"{HEADER}7,tt1,,,1,x,,\n7,,,,1,y,,\n", ["line 3, poi_id: store 1 is in line 2"]),
        (f"{HEADER}7,tt1,,,,x,,\n", ["line 2, poi_id: missing"]),
        (f"{HEADER}7,tt1,,,人民广场店,x,,\n", ["line 2, poi_id: '人民广场店'"]),
        (f"{HEADER}7,tt1,,,1,x,1,1,2\n", ["line 2: more values"]),
        (f"{HEADER}8,,,,,,,\n9,other,,,,,,\n",
         ["line 2, app_id: Field required", "line 3, app_id: app other not found"]),
        (f"{HEADER}8,tt1,,,1,x,,\n8,,,,2,,,\n8,,,,3,x,1,\n",
         ["line 3, stores.2.name", "line 4, stores.3: needs latitude"]),
    ],
)  # fmt: skip
def test_every_error_of_a_file_is_reported_with_line_and_field(tmp_path: Path, text: str, expected: list[str]) -> None:
    _, errors = plan(tmp_path, text)
    assert len(errors) == len(expected)
    for error, start in zip(errors, expected, strict=True):
        assert error.startswith(start)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "line 1: no account_id"),
        (b"account_id,nmae\n7,x\n", "line 1: unknown columns nmae"),
        (b"account_id,account_id\n", "line 1: .* a column is there twice"),
        (b"\xff\xff", "UTF-8 or GB18030"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, error: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(InvalidInputError, match=error):
        read_merchants(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("text", "prune", "fields"),
    [
        ("account_id,name\n7,\n", False, []),
        ("account_id,name\n7,\n", True, ["name"]),
        ("account_id,app_id,active\n7,,\n", True, []),
        ("account_id,active\n7,否\n", False, ["active"]),
        ("account_id,active\n7,是\n", False, []),
        ("account_id,poi_id,store_name\n7,1,x\n", False, []),
        ("account_id,poi_id,store_name\n7,1,x\n", True, ["stores.2.name"]),
        ("account_id,poi_id,store_name\n7,,\n", True, []),
        ("account_id\n7\n", True, []),
        ("account_id,redeeming,notice\n7,,\n", False, []),
        ("account_id,redeeming,notice\n7,,\n", True, []),
        ("account_id,name,redeeming,notice\n7,old,是,新\n", True, ["notice", "redeeming"]),
        ("account_id,poi_id,store_name\n7,3,z\n", False, ["stores.3.name"]),
    ],
)
def test_nothing_is_removed_without_prune_and_a_store_list_never_becomes_empty(
    tmp_path: Path, text: str, prune: bool, fields: list[str]
) -> None:
    [planned], errors = plan(tmp_path, text, {"7": ITEM}, prune=prune)
    assert errors == []
    assert [change.field for change in planned.changes] == fields


@pytest.mark.parametrize(("prune", "kind"), [(False, "not in file"), (True, "removed")])
def test_merchants_that_are_not_in_the_file_are_listed_or_removed(tmp_path: Path, prune: bool, kind: str) -> None:
    plans, _ = plan(tmp_path, "account_id,app_id\n8,tt1\n", {"7": ITEM}, prune=prune)
    assert [(p.account_id, p.kind) for p in plans] == [("8", "added"), ("7", kind)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("account_id,app_id,name,poi_id,store_name\n7,tt1,old,1,x\n7,,,2,y\n", (0, 0, 0)),
        # A merchant with all its stores is one.
        ("account_id,app_id\n8,tt1\n", (1, 0, 0)),
        ("account_id,app_id,name,poi_id,store_name\n7,tt1,old,1,x\n", (0, 1, 0)),
        ("account_id,app_id,name,poi_id,store_name\n7,tt1,,2,y\n", (0, 1, 1)),
    ],
)
def test_what_a_prune_removes_is_counted(tmp_path: Path, text: str, count: tuple[int, int, int]) -> None:
    phone: Any = {"M": {"name": {"S": "x"}, "phone": {"S": "021"}}}
    item: Any = ITEM | {"stores": {"M": {"1": phone, "2": {"S": "y"}}}}
    plans, errors = plan(
        tmp_path, text.replace("store_name", "store_name,phone").replace(",x", ",x,021"), {"7": item}, prune=True
    )
    assert errors == []
    assert tuple(count_ends(plans).values()) == count


def test_a_patch_names_only_what_the_file_gives() -> None:
    entry = Entry(2, {"app_id": "tt1", "name": None}, {"1": Entry(2, {"name": "x", "phone": None})})
    assert make_patch(entry, None, prune=False) == {"app_id": "tt1", "stores": {"1": {"name": "x"}}}


def test_the_sample_of_going_live_can_be_imported_and_the_page_names_each_column(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "miniprogram" / "docs" / "go-live.zh-CN.md").read_text(encoding="utf-8")
    [sample] = re.findall(r"```text\n(account_id,.*?)```", page, re.DOTALL)
    (tmp_path / "stores.csv").write_text(sample, encoding="utf-8")
    entries, errors = read_merchants(tmp_path / "stores.csv")
    assert errors == []
    assert [list(entry.stores or {}) for entry in entries.values()] == [["6601", "6602"]]
    assert COLUMNS.keys() <= {*sample.splitlines()[0].split(","), *re.findall(r"`(\w+)`", page)}
