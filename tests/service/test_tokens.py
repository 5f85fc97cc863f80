"""Tokens in requests: read from the table, minted when missing or expired, replaced once when refused; and renewal."""

from typing import Any

import pytest

from sandbox.sample_data import APP_ID, CUSTOMER_WITH_MANY_COUPONS
from tests.harness import (
    TOKEN_ROW,
    Api,
    Aws,
    Platform,
    in_seconds,
)


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
