"""The mock platform follows the platform's document, and the sample data has what the tests use."""

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
    OTHER_POI_ID,
    POI_ID,
)

ORDER_OF_OTHER_APP = sample_data.load().purchases[CUSTOMER_WITH_TIMES_CARDS][0].order["order_id"]


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform(clock: Clock) -> MockPlatform:
    return MockPlatform(sample_data.load(), clock=clock)


def mint(platform: MockPlatform, **changes: Any) -> str:
    body = {"client_key": APP_ID, "client_secret": APP_SECRET, "grant_type": "client_credential"} | changes
    return str(platform.mint_token(body)["access_token"])


def query(platform: MockPlatform, token: str, **changes: Any) -> dict[str, Any]:
    body = {
        "account_id": ACCOUNT_ID,
        "open_id": platform.data.customers[CUSTOMER_WITH_MANY_COUPONS].open_ids[APP_ID],
    } | changes
    body = {name: value for name, value in body.items() if value is not None}
    return platform.query_user_certificates({"access-token": token, "content-type": "application/json"}, body)


def raises_code(code: int) -> Any:
    return pytest.raises(PlatformError, check=lambda error: error.code == code)


def test_a_new_token_limits_the_previous_one_to_five_minutes_and_invalidates_older_ones(
    platform: MockPlatform, clock: Clock
) -> None:
    first, second = mint(platform), mint(platform)
    query(platform, first)
    clock.now += 299
    query(platform, first)
    clock.now += 2
    with raises_code(2190008):
        query(platform, first)
    query(platform, second)
    mint(platform)
    mint(platform)
    with raises_code(2190002):
        query(platform, second)


def test_a_token_expires_after_two_hours(platform: MockPlatform, clock: Clock) -> None:
    token = mint(platform)
    clock.now += 7199
    query(platform, token)
    clock.now += 2
    with raises_code(2190008):
        query(platform, token)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"client_key": "nobody"}, 10003), ({"client_secret": "wrong"}, 10013), ({"grant_type": "x"}, 10002)],
)
def test_an_invalid_mint_request_is_refused(platform: MockPlatform, changes: dict[str, str], code: int) -> None:
    with raises_code(code):
        mint(platform, **changes)


def test_more_than_500_mints_in_five_minutes_are_refused(platform: MockPlatform, clock: Clock) -> None:
    for _ in range(500):
        mint(platform)
    with raises_code(10020):
        mint(platform)
    clock.now += 301
    mint(platform)


def test_a_login_code_is_valid_once_for_five_minutes_and_for_one_app(platform: MockPlatform, clock: Clock) -> None:
    def login(code: str, app_id: str = APP_ID, secret: str = APP_SECRET) -> Any:
        return platform.login({"appid": app_id, "secret": secret, "code": code})["openid"]

    code = platform.issue_login_code(APP_ID, CUSTOMER)
    assert login(code) == platform.data.customers[CUSTOMER].open_ids[APP_ID]
    with raises_code(40018):
        login(code)
    code = platform.issue_login_code(APP_ID, CUSTOMER)
    clock.now += 301
    with raises_code(40018):
        login(code)
    code = platform.issue_login_code(OTHER_APP_ID, CUSTOMER)
    with raises_code(40018):
        login(code)
    with raises_code(40015):
        login(code, app_id="nobody")
    with raises_code(40017):
        login(code, secret="wrong")
    with raises_code(40014):
        login("")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"account_id": None}, 2119001), ({"account_id": 1}, 2119001), ({"open_id": ""}, 2119001),
        ({"poi_id": 6601}, 2119001), ({"page": 0}, 2100005), ({"page": "1"}, 2100005), ({"page_size": 51}, 2100005),
        ({"page_dimension": 3}, 2100005), ({"biz_type": True}, 2100005), ({"time_range": []}, 2100005),
        ({"time_range": {"start_time": "1"}}, 2100005), ({"account_id": "7000"}, 2119005),
        ({"account_id": OTHER_ACCOUNT_ID}, 2119005),
    ],
)  # fmt: skip
def test_an_invalid_query_is_refused(platform: MockPlatform, changes: dict[str, Any], code: int) -> None:
    with raises_code(code):
        query(platform, mint(platform), **changes)


def test_a_query_requires_a_token_a_content_type_and_a_capability(platform: MockPlatform) -> None:
    with raises_code(2190002):
        query(platform, "clt.nobody")
    with raises_code(10000):
        platform.query_user_certificates({"access-token": mint(platform), "content-type": "text/plain"}, {})
    with raises_code(10000):
        platform.query_user_certificates({"access-token": mint(platform), "content-type": "application/json"}, None)
    platform.data.apps[APP_ID].scopes.clear()
    with raises_code(2190004):
        query(platform, mint(platform))
    platform.data.apps[APP_ID].banned = True
    with raises_code(28001016):
        query(platform, mint(platform))


def test_pages_count_certificates_or_orders(platform: MockPlatform) -> None:
    token = mint(platform)
    by_certificate = query(platform, token, page=8)
    assert by_certificate["total"] == 380
    assert sum(len(order["certificates"]) for order in by_certificate["orders"]) == 30
    by_order = query(platform, token, page=8, page_dimension=2)
    assert by_order["total"] == 360
    assert len(by_order["orders"]) == 10
    assert query(platform, token, page=9)["orders"] == []
    assert len(query(platform, token, page_size=7)["orders"]) == 7


def test_an_order_can_be_split_across_two_pages(platform: MockPlatform) -> None:
    token = mint(platform)
    first, second = (query(platform, token, page=page, page_size=11)["orders"] for page in (31, 32))
    assert first[-1]["order_id"] == second[0]["order_id"]


def test_can_use_depends_on_the_store(platform: MockPlatform) -> None:
    token = mint(platform)
    usable = [order["can_use"] for order in query(platform, token, page=31, page_size=10, poi_id=POI_ID)["orders"]]
    assert set(usable) == {False}
    usable = [
        order["can_use"] for order in query(platform, token, page=31, page_size=10, poi_id=OTHER_POI_ID)["orders"]
    ]
    assert set(usable) == {True}


def test_queries_above_the_rate_limit_are_refused(clock: Clock) -> None:
    platform = MockPlatform(sample_data.load(), qps=2, clock=clock)
    token = mint(platform)
    query(platform, token)
    query(platform, token)
    with raises_code(2119003):
        query(platform, token)
    clock.now += 1.1
    query(platform, token)


def test_an_order_can_be_used_in_its_stores(platform: MockPlatform) -> None:
    headers = {"access-token": mint(platform), "content-type": "application/json"}
    [order_id] = [p.order["order_id"] for p in platform.data.purchases[CUSTOMER] if p.stores == [OTHER_POI_ID]]
    usable = platform.order_can_use(headers, {"order_id": order_id, "poi_id": OTHER_POI_ID})
    assert (usable["can_use"], len(usable["certificates"])) == (True, 1)
    assert platform.order_can_use(headers, {"order_id": order_id, "poi_id": POI_ID}) == {
        "order_id": order_id,
        "can_use": False,
    }
    assert platform.order_can_use(headers, {"order_id": order_id})["can_use"] is True


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, 10000), ({}, 2119001), ({"order_id": "1" * 64}, 2119001), ({"order_id": "1", "poi_id": 1}, 2119001),
        ({"order_id": "no-such-order"}, 2191004), ({"order_id": ORDER_OF_OTHER_APP}, 2119005),
    ],
)  # fmt: skip
def test_an_invalid_order_query_is_refused(platform: MockPlatform, body: Any, code: int) -> None:
    headers = {"access-token": mint(platform), "content-type": "application/json"}
    with raises_code(code):
        platform.order_can_use(headers, body)
