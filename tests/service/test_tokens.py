"""Tokens in requests: read from the table, minted when missing or expired, replaced once when refused; and renewal."""

import time
from typing import Any

import pytest

import app as application
from sandbox.sample_data import APP_ID, CUSTOMER_WITH_MANY_COUPONS, OTHER_APP_ID
from tests.harness import (
    SESSION_KEY,
    TOKEN_ROW,
    Api,
    Aws,
    Platform,
    age_token,
    assert_problem,
    in_seconds,
    read_report,
    restart,
    run_refresh_tokens,
)

OTHER_TOKEN_ROW = f"TOKEN#{OTHER_APP_ID}"


def test_a_token_is_minted_and_stored_when_there_is_none(api: Api, platform: Platform, aws: Aws) -> None:
    api.login()
    earliest = in_seconds(7200)
    assert api.list().status == 200
    assert len(platform.calls("client_token")) == 1
    row = aws.row(TOKEN_ROW)
    assert row["access_token"]["S"].startswith("clt.")
    assert earliest <= int(row["expires_at"]["N"]) <= in_seconds(7200)
    assert not {"lease_owner", "lease_until", "failed_until", "failure"} & set(row)


def test_parallel_pages_replace_a_refused_token_once(
    api: Api, platform: Platform, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(7000))
    mock = platform.server.platform
    query = mock.query_user_certificates

    def revoke_after_first_page(headers: dict[str, str], body: Any) -> dict[str, Any]:
        reply = query(headers, body)
        if body["page"] == 1:
            mock.revoke_tokens(APP_ID)
        return reply

    # Not a fault of each page: a page that starts late already has the new token.
    monkeypatch.setattr(mock, "query_user_certificates", revoke_after_first_page)
    response = api.list()
    assert len(response.json["certificates"]) == 200
    assert len(platform.calls("client_token")) == 1


def test_a_young_token_is_not_replaced_because_it_is_refused(
    api: Api, platform: Platform, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by the instance that has minted it nor by a new one. When the platform accepts it, all is well again."""
    api.login()
    assert api.list().status == 200
    row = aws.row(TOKEN_ROW)
    platform.fail("code", code=2190008)
    for _ in range(2):
        problem = assert_problem(api.list(), 503, "token_unavailable")
        assert problem["upstream"]["error_code"] == 2190008
        restart()
    assert "a token that was minted moments ago" in capsys.readouterr().out
    platform.clear_faults()
    assert api.list().status == 200
    assert (len(platform.calls("client_token")), aws.row(TOKEN_ROW)) == (1, row)
    platform.fail("code", code=2190008, times=1)
    age_token(aws.dynamodb, aws.table)
    assert api.list().status == 200
    assert len(platform.calls("client_token")) == 2


def test_a_mint_uses_the_secret_as_it_is_now(
    api: Api, platform: Platform, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that has become a service provider's: the provider's row is not overwritten."""
    api.login()
    assert api.list().status == 200
    aws.put_secret({APP_ID: ""}, [SESSION_KEY])
    aws.put(TOKEN_ROW, access_token="isvact.expired", expires_at=in_seconds(-1))
    row = aws.row(TOKEN_ROW)
    application.components().tokens.cached.clear()
    now = time.time
    monkeypatch.setattr(application.components().credentials_cache, "_clock", lambda: now() + 11)
    assert "upstream" not in assert_problem(api.list(), 503, "token_unavailable")
    assert (len(platform.calls("client_token")), aws.row(TOKEN_ROW)) == (1, row)


def test_a_row_in_milliseconds_is_used_and_renewed_in_time(api: Api, platform: Platform, aws: Aws) -> None:
    api.login()
    for seconds, mints in ((7000, 0), (1000, 1)):
        aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(seconds) * 1000)
        run_refresh_tokens()
        assert len(platform.calls("client_token")) == mints
        assert api.list().status == 200
    assert int(aws.row(TOKEN_ROW)["expires_at"]["N"]) <= in_seconds(7200)


def test_a_warm_request_makes_one_platform_call_per_page_and_no_aws_call(
    api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    api.login()
    api.list()
    capsys.readouterr()
    platform.server.calls.clear()
    for _ in range(10):
        assert api.list().status == 200
    assert len(platform.server.calls) == 10
    assert len({entry["connection"] for entry in platform.server.calls}) == 1
    output = capsys.readouterr().out
    assert "dynamodb" not in output
    assert "secretsmanager" not in output


def test_a_failed_renewal_keeps_the_token_and_does_not_stop_the_others(
    api: Api, platform: Platform, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = platform.mint(), platform.mint(OTHER_APP_ID)
    aws.put(TOKEN_ROW, access_token=first, expires_at=in_seconds(1000))
    aws.put(OTHER_TOKEN_ROW, access_token=second, expires_at=in_seconds(1000))
    platform.fail("code", "client_token", app_id=APP_ID, code=10013)
    run_refresh_tokens()
    assert aws.row(TOKEN_ROW)["access_token"]["S"] == first
    assert aws.row(OTHER_TOKEN_ROW)["access_token"]["S"] != second
    line, metrics = read_report(capsys)
    assert (line["renewed"], list(line["failed"]), line["left"]) == ([OTHER_APP_ID], [APP_ID], 0)
    assert (metrics["TokenMintFailures"], metrics["TokenMints"]) == ([1.0], [1.0])
    api.login()
    assert api.list().status == 200
