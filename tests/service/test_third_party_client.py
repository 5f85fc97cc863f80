"""Somebody else's client works with the mock platform: the unofficial SDK `bytedance`, unchanged.

sandbox/README.md says where the two disagree.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bytedance
import pytest

from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    APP_SECRET,
    CUSTOMER_AS_DOCUMENTED,
    OTHER_ACCOUNT_ID,
    OTHER_POI_ID,
    POI_ID,
)
from tests.harness import Platform

HOSTS = ("https://open.douyin.com", "https://developer.toutiao.com")


@pytest.fixture
def sdk(platform: Platform, tmp_path: Path) -> Iterator[Any]:
    with bytedance.ByteDance(
        app_id=APP_ID,
        app_secret=APP_SECRET,
        api_domains=dict.fromkeys(HOSTS, platform.url),
        access_token_type="file",
        ac_path=tmp_path / "token",
        timeout=5,
    ) as client:
        yield client


@pytest.fixture
def redemption(sdk: Any) -> Any:
    """The SDK's methods of the redemption tool (核销工具)."""
    return sdk.locallife.general_ability.self_operated_trading.write_off.fulfill_tool


def open_id(platform: Platform) -> str:
    return platform.data.customers[CUSTOMER_AS_DOCUMENTED].open_ids[APP_ID]


def test_it_mints_a_token_once_and_keeps_it(platform: Platform, sdk: Any) -> None:
    assert sdk.client_token == sdk.client_token == platform.newest_token()
    assert len(platform.calls("client_token")) == 1


def test_it_logs_in(platform: Platform, sdk: Any) -> None:
    session = sdk.code2_session(code=platform.issue_login_code(CUSTOMER_AS_DOCUMENTED))
    assert session["openid"] == open_id(platform)
    assert session["session_key"]
    with pytest.raises(bytedance.ByteDanceError) as raised:
        sdk.code2_session(code="used")
    assert raised.value.code == 40018


def test_it_lists(platform: Platform, redemption: Any) -> None:
    body = {"account_id": ACCOUNT_ID, "open_id": open_id(platform), "poi_id": POI_ID, "page": 1, "page_size": 50}
    reply = redemption.query_user_certificates(body)
    assert reply.data.total == 7
    assert [order["can_use"] for order in reply.data.orders].count(False) == 1
    assert reply.data.orders[0].certificates[0].sku_info.title == "双人下午茶"


def test_it_asks_for_an_order(platform: Platform, redemption: Any) -> None:
    purchases = platform.data.purchases[CUSTOMER_AS_DOCUMENTED]
    [order_id] = [purchase.order["order_id"] for purchase in purchases if purchase.stores == [OTHER_POI_ID]]
    assert redemption.order_can_use({"order_id": order_id, "poi_id": OTHER_POI_ID}).data.can_use is True
    assert redemption.order_can_use({"order_id": order_id, "poi_id": POI_ID}).data.can_use is False


def test_it_meets_a_refusal(platform: Platform, redemption: Any) -> None:
    with pytest.raises(bytedance.ByteDanceError) as raised:
        redemption.query_user_certificates({"account_id": OTHER_ACCOUNT_ID, "open_id": open_id(platform)})
    assert raised.value.code == 2119005
    assert raised.value.log_id == platform.server.calls[-1]["logid"]
    with pytest.raises(bytedance.ByteDanceError) as raised:
        redemption.query_user_certificates({"account_id": ACCOUNT_ID, "open_id": "x"}, token="clt.invalid")
    assert raised.value.code == 2190002


def test_it_meets_faults_that_its_request_asks_for(platform: Platform, redemption: Any) -> None:
    body = {"account_id": ACCOUNT_ID, "open_id": open_id(platform)}
    headers = {"X-Mock-Fault": "2100004;times=1"}
    with pytest.raises(bytedance.ByteDanceError) as raised:
        redemption.query_user_certificates(body, headers=headers)
    assert raised.value.code == 2100004
    assert redemption.query_user_certificates(body, headers=headers).data.total == 7


def test_the_disagreements_are_as_the_page_says(platform: Platform, sdk: Any, redemption: Any, tmp_path: Path) -> None:
    body = {"account_id": ACCOUNT_ID, "open_id": open_id(platform)}
    sub_code_alone = {"X-Mock-Fault": "11006;place=extra.sub_error_code"}
    assert redemption.query_user_certificates(body, headers=sub_code_alone).extra.sub_error_code == 11006
    with pytest.raises(bytedance.ByteDanceError, match="HTTP 404"):
        _ = sdk.access_token
    sandbox = bytedance.ByteDance(
        app_id=APP_ID, app_secret=APP_SECRET, environment="sandbox", access_token_type="file", ac_path=tmp_path / "x"
    )
    tool = sandbox.locallife.general_ability.self_operated_trading.write_off.fulfill_tool
    with sandbox, pytest.raises(bytedance.ByteDanceError, match="Sandbox support is not documented"):
        tool.query_user_certificates(body)
