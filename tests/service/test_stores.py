"""The stores call: public, cached, and correct for old and new rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sandbox import gateway
from sandbox.sample_data import ACCOUNT_ID, APP_ID, POI_ID, UNKNOWN_ACCOUNT_ID
from tests.harness import MERCHANT_ROW, Api, Aws, assert_problem

if TYPE_CHECKING:
    import pytest

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
    put_stores(aws, {POI_ID: NEW_STORE}, name={"S": "四季小馆"})
    response = api.call("GET", STORES_URL)
    assert response.status == 200
    store = {
        "poi_id": POI_ID, "name": "人民广场店", "address": "西藏中路180号", "phone": "021-5555-6601",
        "latitude": 31.2327, "longitude": 121.4751,
    }  # fmt: skip
    expected = {"account_id": ACCOUNT_ID, "name": "四季小馆", "stores": [store]}
    assert response.text == json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=300"
    assert response.headers["x-request-id"]


def test_a_malformed_store_is_left_out_and_its_certificates_are_listed(
    api: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    put_stores(aws, {POI_ID: {"N": "7"}, "6602": {"S": "b"}})
    assert api.call("GET", STORES_URL).json["stores"] == [{"poi_id": "6602", "name": "b"}]
    assert f"stores without a readable name: {POI_ID}" in capsys.readouterr().out
    api.login()
    assert api.list().status == 200


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


def test_an_unknown_merchant_is_not_found(api: Api) -> None:
    # `assert_problem` checks that nobody may cache it.
    assert_problem(api.call("GET", gateway.stores_url(UNKNOWN_ACCOUNT_ID)), 404, "merchant_not_found")
