"""What faults on the wire become at the front door: status, problem, headers, number of tries.

Every error code, call and status is in tests/unit: `douyin`, `tokens/test_source.py`, `api/test_problems.py`.
"""

from typing import Any

import pytest

from tests.harness import FAST_RETRIES, LIST_MEMBER, TOKEN_PK, Api, Aws, Platform, in_seconds
from tests.scripted_server import ScriptedServer


@pytest.mark.parametrize(
    ("fault", "status", "code", "tries"),
    [
        ({"kind": "http"}, 503, "upstream_unavailable", 4),
        ({"kind": "http", "status": 429, "headers": {"Retry-After": "30"}}, 429, "rate_limited", 1),
        ({"kind": "body", "body": "<html>"}, 502, "upstream_malformed", 4),
        ({"kind": "reset"}, 503, "upstream_unavailable", 4),
        ({"kind": "truncate"}, 503, "upstream_unavailable", 4),
        ({"kind": "hang"}, 504, "upstream_timeout", 1),
        ({"kind": "drip", "seconds": 0.05}, 504, "upstream_timeout", 1),
    ],
)
def test_a_fault_of_a_list_is_a_problem(
    api: Api,
    aws: Aws,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, Any],
    status: int,
    code: str,
    tries: int,
) -> None:
    monkeypatch.setattr("chalicelib.douyin.client.RETRY_POLICY", FAST_RETRIES)
    aws.put(TOKEN_PK, access_token=platform.mint(), expires_at=in_seconds(7200))
    api.login()
    platform.fail(**fault)
    response = api.list(milliseconds=2500)
    assert (response.status, response.json["code"]) == (status, code)
    assert len(platform.calls("query_user_certificates")) == tries
    assert ("retry-after", "30") in response.headers.items() or status != 429


@pytest.mark.parametrize(
    ("call", "kind", "status", "code"),
    [
        ("client_token", "reset", 503, "token_unavailable"),
        ("client_token", "hang", 503, "token_unavailable"),
        ("jscode2session", "reset", 503, "upstream_unavailable"),
        ("jscode2session", "hang", 504, "upstream_timeout"),
    ],
)
def test_a_mint_and_a_login_are_sent_once(
    api: Api, platform: Platform, call: str, kind: str, status: int, code: str
) -> None:
    platform.fail(kind, call)
    login = api.login(list=LIST_MEMBER, milliseconds=6500).json
    problem = login["list_problem"] if call == "client_token" else login
    assert (problem["status"], problem["code"], len(platform.calls(call))) == (status, code, 1)


def test_a_silent_aws_is_unavailable_after_two_attempts(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(lambda _: iter([60])) as silent_aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", silent_aws.url)
        assert api.login().json["code"] == "unavailable"
        assert len(silent_aws.requests) == 2, "each attempt has its own limit"
