"""Tokens in requests: read from the table, minted when missing or expired, replaced once when refused; and renewal."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

import app as application
from chalicelib.errors import StorageUnavailableError
from sandbox.sample_data import APP_ID, CUSTOMER_WITH_MANY_COUPONS, OTHER_APP_ID
from sandbox.stack import free_port
from tests.harness import (
    FAST_MINT_RETRIES,
    MERCHANT_ROW,
    TOKEN_ROW,
    Api,
    Aws,
    Platform,
    assert_problem,
    in_seconds,
    restart,
    run_refresh_tokens,
)

OTHER_TOKEN_ROW = f"TOKEN#{OTHER_APP_ID}"
FOREIGN_TOKEN_ROW = "TOKEN#foreign"
"""A row that another system writes."""


@pytest.fixture
def fast_mint_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.tokens.provider.MINT_RETRY_POLICY", FAST_MINT_RETRIES)


@pytest.fixture
def logged_in(api: Api) -> Api:
    api.login()
    return api


def test_a_token_is_minted_and_stored_when_there_is_none(logged_in: Api, platform: Platform, aws: Aws) -> None:
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1
    row = aws.row(TOKEN_ROW)
    assert row["access_token"]["S"].startswith("clt.")
    assert abs(int(row["expires_at"]["N"]) - in_seconds(7200)) <= 2
    assert not {"lease_owner", "lease_until", "failed_until", "failure"} & set(row)


def test_a_token_in_the_table_is_used(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(60))
    assert logged_in.list().status == 200
    assert platform.calls("client_token") == []


def test_an_expired_token_is_replaced(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(TOKEN_ROW, access_token="clt.old", expires_at=in_seconds(-1))
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1
    assert aws.row(TOKEN_ROW)["access_token"]["S"] != "clt.old"


def test_a_token_without_expiry_is_replaced(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(TOKEN_ROW, access_token="clt.old")
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1


def test_a_refused_token_is_replaced_once(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(TOKEN_ROW, access_token="clt.revoked", expires_at=in_seconds(7000))
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1
    assert len(platform.calls("query_user_certificates")) == 2


def test_a_newer_token_in_the_row_is_used_instead_of_a_mint(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(7000))
    assert logged_in.list().status == 200
    platform.server.platform.revoke_tokens(APP_ID)
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(7000))
    assert logged_in.list().status == 200
    assert platform.calls("client_token") == []


def test_parallel_pages_replace_a_refused_token_once(api: Api, platform: Platform, aws: Aws) -> None:
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(7000))
    for page in (2, 3, 4):
        platform.fail("code", page=page, code=2190008, times=1)
    response = api.list()
    assert len(response.json["certificates"]) == 200
    assert len(platform.calls("client_token")) == 1


@pytest.mark.parametrize(
    ("code", "reason"), [(10013, "10013"), (10003, "10003"), (10020, "10020"), (2190004, "2190004")]
)
def test_a_refused_mint_is_logged_and_not_repeated(
    logged_in: Api, platform: Platform, capsys: pytest.CaptureFixture[str], code: int, reason: str
) -> None:
    platform.fail("code", "client_token", code=code)
    body = assert_problem(logged_in.list(), 503, "token_unavailable")
    assert body["upstream"]["error_code"] == code
    assert_problem(logged_in.list(), 503, "token_unavailable")
    assert len(platform.calls("client_token")) == 1, "the row has the failure, so that no instance repeats the mint"
    assert f"minting failed moments ago: {reason}" in capsys.readouterr().out


@pytest.mark.usefixtures("fast_mint_retries")
def test_a_transient_mint_error_is_retried(logged_in: Api, platform: Platform) -> None:
    platform.fail("http", "client_token", status=502, times=2)
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 3


@pytest.mark.usefixtures("fast_mint_retries")
def test_a_mint_that_fails_three_times_is_tried_again_by_a_later_request(
    logged_in: Api, platform: Platform, aws: Aws
) -> None:
    platform.fail("body", "client_token", body='{"data":{"access_token":"","expires_in":7200}}')
    assert_problem(logged_in.list(), 503, "token_unavailable")
    assert len(platform.calls("client_token")) == 3
    platform.clear_faults()
    row = aws.row(TOKEN_ROW)
    assert float(row["failed_until"]["N"]) / 1000 <= time.time() + 2
    aws.put(TOKEN_ROW, version=int(row["version"]["N"]))
    assert logged_in.list().status == 200


def test_a_token_that_cannot_be_stored_is_used_by_its_instance(
    logged_in: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = application.components().tokens._table
    update_item = table.update_item

    def fail_after_mint(*arguments: Any) -> Any:
        monkeypatch.setattr(table, "_name", "no-such-table" if platform.calls("client_token") else table._name)
        return update_item(*arguments)

    monkeypatch.setattr(table, "update_item", fail_after_mint)
    assert logged_in.list().status == 200
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1


def test_a_row_of_another_system_is_only_read(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(MERCHANT_ROW, app_id=APP_ID, token_id="foreign")
    aws.put(FOREIGN_TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(600))
    assert logged_in.list().status == 200
    platform.server.platform.revoke_tokens(APP_ID)
    assert_problem(logged_in.list(), 503, "token_unavailable")
    assert platform.calls("client_token") == []
    assert set(aws.row(FOREIGN_TOKEN_ROW)) == {"pk", "access_token", "expires_at"}


def test_a_missing_token_of_another_system_is_unavailable(logged_in: Api, aws: Aws) -> None:
    aws.put(MERCHANT_ROW, app_id=APP_ID, token_id="foreign")
    assert_problem(logged_in.list(), 503, "token_unavailable")


class TestCache:
    def test_a_warm_request_makes_one_platform_call_per_page_and_no_aws_call(
        self, logged_in: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
    ) -> None:
        logged_in.list()
        capsys.readouterr()
        platform.server.calls.clear()
        for _ in range(10):
            assert logged_in.list().status == 200
        assert len(platform.server.calls) == 10
        assert len({entry["connection"] for entry in platform.server.calls}) == 1
        output = capsys.readouterr().out
        assert "dynamodb" not in output
        assert "secretsmanager" not in output

    def test_cached_merchants_and_tokens_are_used_while_the_table_is_unavailable(
        self, logged_in: Api, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert logged_in.list().status == 200
        monkeypatch.setattr(application.components().tokens._table, "_name", "no-such-table")
        assert logged_in.list().status == 200
        assert_problem(logged_in.list(account_id="7000000000000000000"), 503, "unavailable")
        del aws

    def test_a_token_close_to_expiry_is_used_while_the_table_is_unavailable(
        self, logged_in: Api, platform: Platform, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(30))
        assert logged_in.list().status == 200
        monkeypatch.setattr(application.components().tokens._table, "_name", "no-such-table")
        assert logged_in.list().status == 200

    def test_a_suspended_merchant_is_not_found_after_five_minutes(
        self, logged_in: Api, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert logged_in.list().status == 200
        aws.put(MERCHANT_ROW, app_id=APP_ID, active=False)
        assert logged_in.list().status == 200
        cache = application.components().lister._merchants._cache
        monkeypatch.setattr(cache, "_clock", lambda: time.time() + 300)
        assert_problem(logged_in.list(), 404, "merchant_not_found")


class TestAwsOutage:
    def test_without_a_cached_secret_requests_are_unavailable_within_the_time_limit(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        started = time.monotonic()
        response = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP_ID, "code": "c"}))
        assert_problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) >= 1
        assert time.monotonic() - started < 10

    def test_a_cached_secret_is_used_while_secrets_manager_is_unavailable(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api.login()
        credentials = application.components().credentials
        now = time.time()
        monkeypatch.setattr(credentials, "_clock", lambda: now + 400)

        def fail(_: object) -> str:
            raise StorageUnavailableError("AccessDeniedException")

        monkeypatch.setattr(credentials, "_fetch", fail)
        assert api.list().status == 200


class TestRenewal:
    def test_only_tokens_that_expire_within_half_an_hour_are_renewed(
        self, api: Api, platform: Platform, aws: Aws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        del api
        soon, late = platform.mint(), platform.mint(OTHER_APP_ID)
        aws.put(TOKEN_ROW, access_token=soon, expires_at=in_seconds(1700))
        aws.put(OTHER_TOKEN_ROW, access_token=late, expires_at=in_seconds(1900))
        run_refresh_tokens()
        assert aws.row(TOKEN_ROW)["access_token"]["S"] != soon
        assert aws.row(OTHER_TOKEN_ROW)["access_token"]["S"] == late
        [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"refresh_tokens"' in line]
        assert line["renewed"] == [APP_ID]
        assert line["left"] == 1

    def test_a_failed_renewal_keeps_the_token_and_does_not_stop_the_others(
        self, api: Api, platform: Platform, aws: Aws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = platform.mint(), platform.mint(OTHER_APP_ID)
        aws.put(TOKEN_ROW, access_token=first, expires_at=in_seconds(1000))
        aws.put(OTHER_TOKEN_ROW, access_token=second, expires_at=in_seconds(1000))
        platform.fail("code", "client_token", app_id=APP_ID, code=10013)
        run_refresh_tokens()
        assert aws.row(TOKEN_ROW)["access_token"]["S"] == first
        assert aws.row(OTHER_TOKEN_ROW)["access_token"]["S"] != second
        out = capsys.readouterr().out
        assert '"TokenMintFailures":[1.0]' in out
        assert '"TokenMints":[1.0]' in out
        api.login()
        assert api.list().status == 200

    def test_a_token_with_a_short_lifetime_is_minted_once_per_run(self, api: Api, platform: Platform, aws: Aws) -> None:
        """Its whole lifetime is less than the time before expiry at which tokens are renewed."""
        del api
        aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(100))
        platform.fail("patch", "client_token", patch={"expires_in": 600})
        run_refresh_tokens()
        assert len(platform.calls("client_token")) == 1

    def test_rows_of_other_systems_are_not_renewed(self, api: Api, platform: Platform, aws: Aws) -> None:
        del api
        aws.put(FOREIGN_TOKEN_ROW, access_token="clt.foreign", expires_at=in_seconds(10))
        run_refresh_tokens()
        assert platform.calls("client_token") == []
        assert aws.row(FOREIGN_TOKEN_ROW)["access_token"]["S"] == "clt.foreign"

    def test_a_run_without_the_secret_fails_with_the_reason_in_the_log(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        del api
        monkeypatch.setenv("SECRET_NAME", "no-such-secret")
        with pytest.raises(StorageUnavailableError):
            run_refresh_tokens()
        assert "ResourceNotFoundException" in capsys.readouterr().out


def test_a_new_instance_uses_the_token_of_the_previous_one(logged_in: Api, platform: Platform) -> None:
    logged_in.list()
    restart()
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1
