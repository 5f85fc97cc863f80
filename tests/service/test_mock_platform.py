"""The mock platform follows the platform's document where other tests rely on it."""

from collections.abc import Callable
from typing import Any

import pytest

from sandbox import sample_data
from sandbox.mock_platform import MockPlatform, PlatformError
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    APP_SECRET,
    CUSTOMER,
    CUSTOMER_WITH_MANY_COUPONS,
    CUSTOMER_WITH_TIMES_CARDS,
    OTHER_ACCOUNT_ID,
    OTHER_APP_ID,
)

ORDER_OF_OTHER_APP = sample_data.load().purchases[CUSTOMER_WITH_TIMES_CARDS][0].order["order_id"]


@pytest.fixture
def platform() -> MockPlatform:
    return MockPlatform(sample_data.load(), clock=lambda: 1_800_000_000.0)


def mint(platform: MockPlatform, **changes: Any) -> str:
    body = {"client_key": APP_ID, "client_secret": APP_SECRET, "grant_type": "client_credential"} | changes
    return str(platform.mint_token(body)["access_token"])


def login(platform: MockPlatform, **changes: Any) -> str:
    return str(platform.login({"appid": APP_ID, "secret": APP_SECRET, "code": "unknown"} | changes)["openid"])


def headers_of(platform: MockPlatform, token: str) -> dict[str, str]:
    return {"access-token": token or mint(platform), "content-type": "application/json"}


def query(platform: MockPlatform, token: str = "", **changes: Any) -> dict[str, Any]:
    open_id = platform.data.customers[CUSTOMER_WITH_MANY_COUPONS].open_ids[APP_ID]
    body = {"account_id": ACCOUNT_ID, "open_id": open_id} | changes
    present = {name: value for name, value in body.items() if value is not None}
    return platform.query_user_certificates(headers_of(platform, token), present)


def query_order(platform: MockPlatform, **body: Any) -> dict[str, Any]:
    return platform.order_can_use(headers_of(platform, ""), body)


def raises_code(code: int) -> Any:
    return pytest.raises(PlatformError, check=lambda error: error.code == code)


def test_a_new_token_limits_the_previous_one_to_five_minutes_and_invalidates_older_ones(platform: MockPlatform) -> None:
    first, second = mint(platform), mint(platform)
    platform.advance_clock(299)
    query(platform, first)
    platform.advance_clock(2)
    with raises_code(2190008):
        query(platform, first)
    query(platform, second)
    mint(platform)
    mint(platform)
    with raises_code(2190002):
        query(platform, second)


def test_a_token_expires_after_two_hours(platform: MockPlatform) -> None:
    token = mint(platform)
    platform.advance_clock(7199)
    query(platform, token)
    platform.advance_clock(2)
    with raises_code(2190008):
        query(platform, token)


def test_a_login_code_is_valid_once_for_five_minutes_and_for_one_app(platform: MockPlatform) -> None:
    used, late, foreign = (platform.issue_login_code(app_id, CUSTOMER) for app_id in (APP_ID, APP_ID, OTHER_APP_ID))
    assert login(platform, code=used) == platform.data.customers[CUSTOMER].open_ids[APP_ID]
    for code, seconds in ((used, 0), (foreign, 0), (late, 301)):
        platform.advance_clock(seconds)
        with raises_code(40018):
            login(platform, code=code)


@pytest.mark.parametrize(
    ("call", "changes", "code"),
    [
        (mint, {"client_key": "nobody"}, 10003), (mint, {"client_secret": "wrong"}, 10013),
        (mint, {"grant_type": "x"}, 10002),
        (login, {"appid": "nobody"}, 40015), (login, {"secret": "wrong"}, 40017), (login, {"code": ""}, 40014),
        (query, {"token": "clt.nobody"}, 2190002), (query, {"account_id": None}, 2119001),
        (query, {"account_id": 1}, 2119001), (query, {"open_id": ""}, 2119001), (query, {"poi_id": 6601}, 2119001),
        (query, {"page": 0}, 2100005), (query, {"page": "1"}, 2100005), (query, {"page_size": 51}, 2100005),
        (query, {"page_dimension": 3}, 2100005), (query, {"biz_type": True}, 2100005),
        (query, {"time_range": []}, 2100005), (query, {"time_range": {"start_time": "1"}}, 2100005),
        (query, {"account_id": "7000"}, 2119005), (query, {"account_id": OTHER_ACCOUNT_ID}, 2119005),
        (query_order, {}, 2119001), (query_order, {"order_id": "1" * 64}, 2119001),
        (query_order, {"order_id": "1", "poi_id": 1}, 2119001), (query_order, {"order_id": "no-such-order"}, 2191004),
        (query_order, {"order_id": ORDER_OF_OTHER_APP}, 2119005),
    ],
)  # fmt: skip
def test_an_invalid_request_is_refused(
    platform: MockPlatform, call: Callable[..., Any], changes: dict[str, Any], code: int
) -> None:
    with raises_code(code):
        call(platform, **changes)


def test_a_query_needs_the_content_type_of_json(platform: MockPlatform) -> None:
    with raises_code(10000):
        platform.query_user_certificates({"access-token": mint(platform), "content-type": "text/plain"}, {})


def test_pages_count_certificates_and_split_orders(platform: MockPlatform) -> None:
    last = query(platform, page=8)
    assert (last["total"], sum(len(order["certificates"]) for order in last["orders"])) == (380, 30)
    assert query(platform, page=9)["orders"] == []
    first, second = (query(platform, page=page, page_size=11)["orders"] for page in (31, 32))
    assert first[-1]["order_id"] == second[0]["order_id"]


def test_queries_above_the_rate_limit_are_refused(platform: MockPlatform) -> None:
    platform.qps = 1
    query(platform)
    with raises_code(2119003):
        query(platform)
    platform.advance_clock(1.1)
    query(platform)
