"""The stand-in behaves as the platform's document says."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import world as worlds
from sandbox.platform import Platform, RefusalError
from tests.conftest import APP, MERCHANT, OTHER_APP, STORE

SECRET = "not-a-secret-of-sandbox-app-a1"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform(clock: Clock) -> Platform:
    return Platform(worlds.load(), clock=clock)


def mint(platform: Platform, **changes: Any) -> str:
    body = {"client_key": APP, "client_secret": SECRET, "grant_type": "client_credential"} | changes
    return str(platform.mint(body)["access_token"])


def query(platform: Platform, token: str, **changes: Any) -> dict[str, Any]:
    body = {"account_id": MERCHANT, "open_id": platform.world.customers["zhou"].open_ids[APP]} | changes
    body = {name: value for name, value in body.items() if value is not None}
    return platform.query({"access-token": token, "content-type": "application/json"}, body)


def refused(code: int) -> Any:
    return pytest.raises(RefusalError, check=lambda error: error.code == code)


def test_the_two_newest_tokens_live_and_the_older_of_them_five_minutes(platform: Platform, clock: Clock) -> None:
    first, second = mint(platform), mint(platform)
    query(platform, first)
    clock.now += 299
    query(platform, first)
    clock.now += 2
    with refused(2190008):
        query(platform, first)
    query(platform, second)
    mint(platform)
    mint(platform)
    with refused(2190002):
        query(platform, second)


def test_a_token_lives_two_hours(platform: Platform, clock: Clock) -> None:
    token = mint(platform)
    clock.now += 7199
    query(platform, token)
    clock.now += 2
    with refused(2190008):
        query(platform, token)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"client_key": "nobody"}, 10003), ({"client_secret": "wrong"}, 10013), ({"grant_type": "x"}, 10002)],
)
def test_a_wrong_mint_is_refused(platform: Platform, changes: dict[str, str], code: int) -> None:
    with refused(code):
        mint(platform, **changes)


def test_more_than_500_mints_in_five_minutes_are_too_many(platform: Platform, clock: Clock) -> None:
    for _ in range(500):
        mint(platform)
    with refused(10020):
        mint(platform)
    clock.now += 301
    mint(platform)


def test_a_login_code_is_good_once_for_five_minutes_and_one_app(platform: Platform, clock: Clock) -> None:
    def login(code: str, app_id: str = APP, secret: str = SECRET) -> Any:
        return platform.login({"appid": app_id, "secret": secret, "code": code})["openid"]

    code = platform.issue_code(APP, "lin")
    assert login(code) == platform.world.customers["lin"].open_ids[APP]
    with refused(40018):
        login(code)
    code = platform.issue_code(APP, "lin")
    clock.now += 301
    with refused(40018):
        login(code)
    code = platform.issue_code(OTHER_APP, "lin")
    with refused(40018):
        login(code)
    with refused(40015):
        login(code, app_id="nobody")
    with refused(40017):
        login(code, secret="wrong")
    with refused(40014):
        login("")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"account_id": None}, 2119001), ({"account_id": 1}, 2119001), ({"open_id": ""}, 2119001),
        ({"poi_id": 6601}, 2119001), ({"page": 0}, 2100005), ({"page": "1"}, 2100005), ({"page_size": 51}, 2100005),
        ({"page_dimension": 3}, 2100005), ({"biz_type": True}, 2100005), ({"time_range": []}, 2100005),
        ({"time_range": {"start_time": "1"}}, 2100005), ({"account_id": "7000"}, 2119005),
        ({"account_id": "7296781329369139233"}, 2119005),
    ],
)  # fmt: skip
def test_a_wrong_query_is_refused(platform: Platform, changes: dict[str, Any], code: int) -> None:
    with refused(code):
        query(platform, mint(platform), **changes)


def test_a_query_needs_a_token_a_content_type_and_a_capability(platform: Platform) -> None:
    with refused(2190002):
        query(platform, "clt.nobody")
    with refused(10000):
        platform.query({"access-token": mint(platform), "content-type": "text/plain"}, {})
    with refused(10000):
        platform.query({"access-token": mint(platform), "content-type": "application/json"}, None)
    platform.world.apps[APP].scopes.clear()
    with refused(2190004):
        query(platform, mint(platform))
    platform.world.apps[APP].banned = True
    with refused(28001016):
        query(platform, mint(platform))


def test_pages_are_cut_by_certificates_or_by_orders(platform: Platform) -> None:
    token = mint(platform)
    by_certificate = query(platform, token, page=8)
    assert by_certificate["total"] == 380
    assert sum(len(order["certificates"]) for order in by_certificate["orders"]) == 30
    by_order = query(platform, token, page=8, page_dimension=2)
    assert by_order["total"] == 360
    assert len(by_order["orders"]) == 10
    assert query(platform, token, page=9)["orders"] == []
    assert len(query(platform, token, page_size=7)["orders"]) == 7


def test_an_order_can_be_cut_across_two_pages(platform: Platform) -> None:
    token = mint(platform)
    first, second = (query(platform, token, page=page, page_size=11)["orders"] for page in (31, 32))
    assert first[-1]["order_id"] == second[0]["order_id"]


def test_can_use_depends_on_the_store(platform: Platform) -> None:
    token = mint(platform)
    usable = [order["can_use"] for order in query(platform, token, page=31, page_size=10, poi_id=STORE)["orders"]]
    assert set(usable) == {False}
    usable = [order["can_use"] for order in query(platform, token, page=31, page_size=10, poi_id="6602")["orders"]]
    assert set(usable) == {True}


def test_too_many_queries_a_second_are_refused(clock: Clock) -> None:
    platform = Platform(worlds.load(), qps=2, clock=clock)
    token = mint(platform)
    query(platform, token)
    query(platform, token)
    with refused(2119003):
        query(platform, token)
    clock.now += 1.1
    query(platform, token)


def test_the_sample_data_has_every_kind() -> None:
    world = worlds.load()
    assert len({app for merchant in world.merchants.values() for app in merchant.authorized}) == 2
    assert len(world.merchants) >= 3
    assert sum(len(merchant.stores) for merchant in world.merchants.values()) >= 8
    assert len(world.customers) >= 10
    assert world.purchases["wu"] == []
    text = str(world.purchases)
    for part in ("times_card_info", "voucher_info", "off_peak_time", "ladder_times_card_info", "novelty"):
        assert part in text
