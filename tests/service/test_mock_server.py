"""The mock platform over HTTP: bound faults, recorded requests, the seed, and its pages."""

import asyncio
import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.bundle import ROOT
from sandbox import faults, sample_data, server
from sandbox.faults import Fault, parse_fault_header
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    APP_SECRET,
    CUSTOMER,
    CUSTOMER_WITHOUT_COUPONS,
    ORDER_ID,
    SECOND_ACCOUNT_ID,
)
from tests.harness import Platform

MINT = "/oauth/client_token/"
LOGIN = "/api/apps/v2/jscode2session"
LIST = "/api/trade/v2/fulfillment/query_user_certificates/"
ORDER = "/api/trade/v2/fulfillment/order_can_use/"
PAGES = [ROOT / "sandbox" / "README.md", ROOT / "sandbox" / "README.zh-CN.md"]


def call(platform: Platform, path: str, body: Any, **headers: str) -> dict[str, Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    reply: dict[str, Any] = requests.post(platform.url + path, json=body, headers=sent, timeout=5).json()
    return reply


def list_code(platform: Platform, token: str, customer: str = CUSTOMER, account: str = ACCOUNT_ID, **more: str) -> int:
    """Return the error code of a list."""
    body = {"account_id": account, "open_id": platform.data.customers[customer].open_ids[APP_ID]}
    reply = call(platform, LIST, body, access_token=token, **more)
    return int(reply["data"]["error_code"])


OPEN_ID = sample_data.load().customers[CUSTOMER_WITHOUT_COUPONS].open_ids[APP_ID]


@pytest.mark.parametrize(
    ("bound_to", "affected"),
    [
        ({"customer": CUSTOMER}, [True, False, True, True, True]),
        ({"customer": OPEN_ID}, [False, True, False, False, False]),
        ({"account_id": SECOND_ACCOUNT_ID}, [False, False, True, False, False]),
    ],
)
def test_a_fault_affects_only_what_it_is_bound_to(
    platform: Platform, bound_to: dict[str, str], affected: list[bool]
) -> None:
    """CUSTOMER's list, another customer's, CUSTOMER's at another merchant, order, and login."""
    token = platform.mint()
    requests.post(f"{platform.url}/_sandbox/faults", json={"kind": "code", **bound_to}, timeout=5).raise_for_status()
    list_code(platform, token)
    list_code(platform, token, CUSTOMER_WITHOUT_COUPONS)
    list_code(platform, token, account=SECOND_ACCOUNT_ID)
    call(platform, ORDER, {"order_id": ORDER_ID}, access_token=token)
    call(platform, LOGIN, {"appid": APP_ID, "secret": APP_SECRET, "code": platform.issue_login_code()})
    assert [entry["error_code"] == 2100004 for entry in platform.server.calls] == affected


def test_a_fault_of_a_request_ends_after_its_times(platform: Platform) -> None:
    token = platform.mint()
    fault = {"X_Mock_Fault": "2100004;times=2"}
    codes = [list_code(platform, token, **fault) for _ in range(3)]
    assert codes == [2100004, 2100004, 0]
    assert list_code(platform, token) == 0
    assert list_code(platform, token, CUSTOMER_WITHOUT_COUPONS, **fault) == 2100004
    assert list_code(platform, token, X_Mock_Fault="2100004;times=2;id=other-test") == 2100004
    reply = call(platform, MINT, {}, X_Mock_Fault="10013;call=client_token")
    assert reply["data"]["error_code"] == 10013


@pytest.mark.parametrize(
    ("path", "body", "header", "expected"),
    [
        (MINT, "{}", "nonsense", "X-Mock-Fault: kind must be"),
        (MINT, "{}", "2100004;times=x", "X-Mock-Fault: invalid literal"),
        (MINT, "{}", "2100004;unknown=1", "X-Mock-Fault: options must be"),
        (MINT, "{}", "code;times", "X-Mock-Fault: options must be"),
        (MINT, "{}", "code;place=nowhere", "X-Mock-Fault: place must be"),
        ("/_sandbox/codes", "no JSON", None, "Expecting value"),
        ("/_sandbox/codes", "{}", None, "'app_id' is missing"),
        ("/_sandbox/codes", '{"app_id":"x","customer":"lin"}', None, "unknown app_id or customer"),
        ("/_sandbox/faults", '{"kind":"code","cod":1}', None, "'cod'"),
    ],
)
def test_a_malformed_fault_or_control_request_is_reported(
    platform: Platform, path: str, body: str, header: str | None, expected: str
) -> None:
    response = requests.post(platform.url + path, data=body, headers={"X-Mock-Fault": header}, timeout=5)
    assert response.status_code == 400
    assert expected in response.json()["error"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2100004", Fault("code", code=2100004)),
        ("-1;times=1", Fault("code", code=-1, times=1)),
        ("2100004; sub_code=11006", Fault("sub", code=2100004, sub_code=11006)),
        ("http;status=502;body=x;id=1", Fault("http", status=502, body="x")),
        ("delay;seconds=0.5;call=client_token", Fault("delay", "client_token", seconds=0.5)),
    ],
)
def test_a_fault_header_is_parsed(text: str, expected: Fault) -> None:
    assert parse_fault_header(text) == expected


def test_a_reply_can_be_edited() -> None:
    reply = {"orders": [{"a": 1, "b": {"c": 2}}]}
    original = copy.deepcopy(reply)
    added = {"orders[].new": 1, "orders[].nowhere.name": 1}
    fault = Fault("edit", set_fields=added, remove_fields=["orders[].a"], as_text=["orders[].b.c"])
    assert fault.edit(reply) == {"orders": [{"b": {"c": "2"}, "new": 1}]}
    assert reply == original, "it shares its parts with the sample data"


def test_requests_are_listed_without_secrets(platform: Platform) -> None:
    token = platform.mint()
    list_code(platform, token)
    call(platform, MINT, {"client_key": APP_ID, "client_secret": APP_SECRET, "grant_type": "client_credential"})
    requests.get(f"{platform.url}/nowhere", timeout=5)
    response = requests.get(f"{platform.url}/_sandbox/requests", timeout=5)
    assert token not in response.text
    assert APP_SECRET not in response.text
    listed, minted, unknown = response.json()
    assert (listed["customer"], listed["account_id"], listed["status"]) == (CUSTOMER, ACCOUNT_ID, 200)
    assert listed["headers"]["access-token"] == f"…{token[-4:]}"
    assert minted["body"]["client_secret"] == f"…{APP_SECRET[-4:]}"
    assert (unknown["call"], unknown["path"], unknown["status"]) == (None, "/nowhere", 404)
    found = requests.get(f"{platform.url}/_sandbox/requests?customer={CUSTOMER}", timeout=5).json()
    assert [entry["call"] for entry in found] == ["query_user_certificates"]


def replies_of_a_server(seed: int) -> list[Any]:
    """Return what a new server with this seed replies to the same calls, with faults of probability 0.5."""
    mint = {"client_key": APP_ID, "client_secret": APP_SECRET, "grant_type": "client_credential"}
    query = {"account_id": ACCOUNT_ID, "open_id": "nobody"}

    def talk(url: str) -> list[Any]:
        requests.post(f"{url}/_sandbox/faults", json={"kind": "code", "probability": 0.5}, timeout=5)
        bodies = [(MINT, mint), (LIST, query)] * 12
        return [requests.post(url + path, json=body, timeout=5).json() for path, body in bodies]

    async def serve() -> list[Any]:
        port, _, stop = await server.start(seed=seed, now=1_800_000_000)
        try:
            return await asyncio.to_thread(talk, f"http://127.0.0.1:{port}")
        finally:
            await stop()

    return asyncio.run(serve())


def test_a_server_with_a_seed_and_a_stopped_clock_always_replies_the_same() -> None:
    first = replies_of_a_server(7)
    assert replies_of_a_server(7) == first
    assert replies_of_a_server(8) != first
    codes = {reply["data"]["error_code"] for reply in first}
    assert codes == {0, 2100004, 2190002}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_lists_every_customer_fault_and_endpoint(platform: Platform, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    is_chinese = page.name.endswith("zh-CN.md")
    for customer in sample_data.load().customers.values():
        situation = customer.situation_zh if is_chinese else customer.situation
        assert f"| `{customer.key}` | {customer.name} | {situation} |" in text
    for kind in faults.FAULT_KINDS:
        assert f"`{kind}`" in text
    for resource in platform.server.application().router.resources():
        assert resource.canonical in text
    for fault in re.findall(r"X-Mock-Fault: ([^'`\n]+)", text):
        parse_fault_header(fault)
    for rule in re.findall(r"faults -d '([^']+)'", text):
        Fault(**json.loads(rule))
