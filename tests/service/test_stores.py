"""The stores call: public, cached, and correct for old and new rows."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import app as application
from chalicelib.merchants import MAX_CACHED_UNKNOWN
from sandbox import gateway
from sandbox.sample_data import ACCOUNT_ID, APP_ID, POI_ID
from tests.harness import MERCHANT_ROW, Api, Aws, Platform, assert_problem, restart

STORES_URL = gateway.stores_url()
NEW_STORE = {
    "M": {
        "name": {"S": "人民广场店"},
        "address": {"S": "西藏中路180号"},
        "phone": {"S": "021-5555-6601"},
        "latitude": {"N": "31.2327"},
        "longitude": {"N": "121.4751"},
    }
}


def put_stores(aws: Aws, stores: dict[str, Any] | None, **attributes: Any) -> None:
    """Replace the sample merchant's row; the values are in DynamoDB's format."""
    item: Any = {"pk": {"S": MERCHANT_ROW}, "app_id": {"S": APP_ID}, **attributes}
    if stores is not None:
        item["stores"] = {"M": stores}
    aws.dynamodb.put_item(TableName=aws.table, Item=item)


def count_reads(capsys: pytest.CaptureFixture[str]) -> int:
    """Return the number of DynamoDB reads that were logged since the previous output was read."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return sum(call["call"] == "dynamodb.GetItem" for line in lines for call in line.get("calls", []))


def test_the_contracts_example_byte_for_byte_without_a_session(api: Api, aws: Aws) -> None:
    put_stores(aws, {"6601": NEW_STORE}, name={"S": "四季小馆"})
    response = api.call("GET", STORES_URL)
    assert response.status == 200
    assert response.text == (
        '{"account_id":"7100000000000000001","name":"四季小馆","stores":[{"poi_id":"6601","name":"人民广场店",'
        '"address":"西藏中路180号","phone":"021-5555-6601","latitude":31.2327,"longitude":121.4751}]}'
    )
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=300"
    assert response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("stores", "expected"),
    [
        (None, {"account_id": ACCOUNT_ID}),
        ({}, {"account_id": ACCOUNT_ID, "stores": []}),
        (
            {"6602": {"S": "b"}, "6601": NEW_STORE, "11": {"S": "a"}},
            {
                "account_id": ACCOUNT_ID,
                "stores": [
                    {"poi_id": "11", "name": "a"},
                    {
                        "poi_id": "6601",
                        "name": "人民广场店",
                        "address": "西藏中路180号",
                        "phone": "021-5555-6601",
                        "latitude": 31.2327,
                        "longitude": 121.4751,
                    },
                    {"poi_id": "6602", "name": "b"},
                ],
            },
        ),
    ],
)
def test_old_and_new_rows_are_shown(api: Api, aws: Aws, stores: dict[str, Any] | None, expected: Any) -> None:
    put_stores(aws, stores)
    assert api.call("GET", STORES_URL).json == expected


@pytest.mark.parametrize("entry", [{"M": {}}, {"N": "7"}, {"L": []}, {"M": {"name": {"N": "7"}}}, {"NULL": True}])
def test_a_malformed_store_is_left_out_and_its_certificates_are_listed(
    api: Api, aws: Aws, capsys: pytest.CaptureFixture[str], entry: Any
) -> None:
    put_stores(aws, {POI_ID: entry, "6602": {"S": "b"}})
    assert api.call("GET", STORES_URL).json["stores"] == [{"poi_id": "6602", "name": "b"}]
    assert f"stores without a readable name: {POI_ID}" in capsys.readouterr().out
    api.login()
    assert api.list().status == 200


def test_the_sample_merchants_have_stores_of_both_forms(api: Api) -> None:
    stores = api.call("GET", STORES_URL).json["stores"]
    assert [store["poi_id"] for store in stores] == ["6601", "6602", "6603"]
    assert {"address", "phone", "latitude", "longitude"} <= set(stores[0])
    assert set(stores[-1]) == {"poi_id", "name"}


@pytest.mark.parametrize("is_suspended", [False, True])
def test_an_unknown_or_suspended_merchant_is_not_found(api: Api, aws: Aws, is_suspended: bool) -> None:
    put_stores(aws, None, active={"BOOL": not is_suspended})
    account_id = ACCOUNT_ID if is_suspended else "7000000000000000000"
    # `assert_problem` checks that nobody may cache it.
    assert_problem(api.call("GET", gateway.stores_url(account_id)), 404, "merchant_not_found")


def test_a_malformed_row_is_an_internal_error(api: Api, aws: Aws) -> None:
    aws.put(MERCHANT_ROW, name="no app")
    assert_problem(api.call("GET", STORES_URL), 500, "internal_error")


def test_another_method_is_not_allowed(api: Api) -> None:
    assert_problem(api.call("POST", STORES_URL, "{}"), 405, "method_not_allowed")


def test_a_known_merchant_is_read_once_for_stores_and_certificates(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        assert api.call("GET", STORES_URL).status == 200
    assert count_reads(capsys) == 1
    api.login()
    api.list()
    capsys.readouterr()
    api.list()
    api.call("GET", STORES_URL)
    assert count_reads(capsys) == 0


def test_a_new_instance_reads_the_merchant_again(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.call("GET", STORES_URL)
    restart()
    capsys.readouterr()
    api.call("GET", STORES_URL)
    assert count_reads(capsys) == 1


def test_an_unknown_merchant_is_read_once_in_ten_seconds(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        api.call("GET", gateway.stores_url("7000000000000000000"))
    assert count_reads(capsys) == 1


def test_a_merchant_that_is_added_is_found_after_ten_seconds(
    api: Api, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = gateway.stores_url("7000000000000000001")
    assert_problem(api.call("GET", url), 404, "merchant_not_found")
    aws.put("MERCHANT#7000000000000000001", app_id=APP_ID, name="新店")
    cache = application.components().merchants._unknown
    now = cache._clock()
    monkeypatch.setattr(cache, "_clock", lambda: now + 10)
    assert api.call("GET", url).json == {"account_id": "7000000000000000001", "name": "新店"}


def test_a_flood_of_random_ids_leaves_known_merchants_cached_and_the_platform_alone(
    api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    api.call("GET", STORES_URL)
    chance = random.Random(1)  # noqa: S311 - reproducible
    flood = MAX_CACHED_UNKNOWN + 50
    capsys.readouterr()
    for _ in range(flood):
        response = api.call("GET", gateway.stores_url(f"{chance.getrandbits(64)}"))
        assert response.status == 404
    assert count_reads(capsys) == flood
    assert api.call("GET", STORES_URL).status == 200
    assert count_reads(capsys) == 0, "the known merchant is still cached"
    merchants = application.components().merchants
    assert len(merchants._unknown._entries) == MAX_CACHED_UNKNOWN
    assert len(merchants._cache._entries) == 1
    assert platform.server.calls == []
