"""The mock platform's rules for tokens and login codes, on which other tests rely."""

from typing import Any

import pytest

from infra.bundle import ROOT
from sandbox import sample_data
from sandbox.mock_platform import CALLS, MockPlatform, PlatformError
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    APP_SECRET,
    CUSTOMER,
    OTHER_APP_ID,
)


@pytest.fixture
def platform() -> MockPlatform:
    return MockPlatform(sample_data.load(), clock=lambda: 1_800_000_000.0)


def mint(platform: MockPlatform) -> str:
    body = {"client_key": APP_ID, "client_secret": APP_SECRET, "grant_type": "client_credential"}
    return str(platform.mint_token(body)["access_token"])


def login(platform: MockPlatform, code: str) -> str:
    return str(platform.login({"appid": APP_ID, "secret": APP_SECRET, "code": code})["openid"])


def query(platform: MockPlatform, token: str) -> None:
    open_id = platform.data.customers[CUSTOMER].open_ids[APP_ID]
    headers = {"access-token": token, "content-type": "application/json"}
    platform.query_user_certificates(headers, {"account_id": ACCOUNT_ID, "open_id": open_id})


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
    assert login(platform, used) == platform.data.customers[CUSTOMER].open_ids[APP_ID]
    for code, seconds in ((used, 0), (foreign, 0), (late, 301)):
        platform.advance_clock(seconds)
        with raises_code(40018):
            login(platform, code)


def test_the_page_lists_each_call() -> None:
    page = (ROOT / "sandbox" / "README.md").read_text(encoding="utf-8")
    assert [path for path in CALLS.values() if f"`POST {path}`" not in page] == []
