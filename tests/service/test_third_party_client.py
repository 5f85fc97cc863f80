"""Somebody else's client works with the mock platform: the unofficial SDK `bytedance`, unchanged.

sandbox/README.md says where the two disagree.
"""

from pathlib import Path

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


def test_the_sdk_logs_in_lists_asks_for_an_order_and_meets_a_refusal(platform: Platform, tmp_path: Path) -> None:
    with bytedance.ByteDance(
        app_id=APP_ID,
        app_secret=APP_SECRET,
        api_domains=dict.fromkeys(HOSTS, platform.url),
        access_token_type="file",
        ac_path=tmp_path / "token",
        timeout=5,
    ) as sdk:
        # The redemption tool (核销工具).
        tool = sdk.locallife.general_ability.self_operated_trading.write_off.fulfill_tool
        open_id = sdk.code2_session(code=platform.issue_login_code(CUSTOMER_AS_DOCUMENTED))["openid"]
        body = {"account_id": ACCOUNT_ID, "open_id": open_id, "poi_id": POI_ID}
        reply = tool.query_user_certificates(body)
        assert (reply.data.total, reply.data.orders[0].certificates[0].sku_info.title) == (7, "双人下午茶")
        [order_id] = [order["order_id"] for order in reply.data.orders if not order["can_use"]]
        assert tool.order_can_use({"order_id": order_id, "poi_id": OTHER_POI_ID}).data.can_use is True
        with pytest.raises(bytedance.ByteDanceError) as raised:
            tool.query_user_certificates(body | {"account_id": OTHER_ACCOUNT_ID})
        assert (raised.value.code, raised.value.log_id) == (2119005, platform.server.calls[-1]["logid"])
        # The SDK takes a sub code alone for a success.
        reply = tool.query_user_certificates(body, headers={"X-Mock-Fault": "11006;place=extra.sub_error_code"})
        assert reply.extra.sub_error_code == 11006
