"""What each kind of platform error becomes at the front door, for each call: status, problem, headers, number of tries.

`tests/unit/douyin/test_codes.py` has the error of every code.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.douyin import codes
from sandbox.sample_data import APP_ID
from tests.harness import (
    FAST_RETRIES,
    LIST_URL,
    STAGE_SESSION_KEY,
    TOKEN_PK,
    Api,
    Aws,
    Platform,
    assert_problem,
    in_seconds,
)
from tests.platform_calls import SAMPLES, find_platform_calls
from tests.scripted_server import ScriptedServer

SHORT_MILLISECONDS = 2500
"""The time limit of requests that end only with it."""

MINT_MILLISECONDS = 6500
"""The same for a request that mints: a claim is made only if 5 s are left."""


@dataclass
class Kind:
    """A kind of platform error, and its problem: status, code, number of calls.

    `page`: of a call with an app's token that is repeated, as that of a page. `mint`, `login`: of these two calls.
    `provider`: of a login of a service provider's app, in which an error is that of `login` unless it is here.
    """

    fault: dict[str, Any]
    page: tuple[int, str, int] | None = None
    mint: tuple[int, str, int] | None = None
    login: tuple[int, str, int] | None = None
    milliseconds: int = 15_000
    headers: dict[str, str] = field(default_factory=dict)
    provider: tuple[int, str, int] | None = None

    def __post_init__(self) -> None:
        self.provider = self.provider or self.login


SENT_ONCE = {"client_token": "mint", "jscode2session": "login", "code2session": "provider"}
"""The calls that are sent once, and the member of Kind with their problems."""

CALLS = {name: SENT_ONCE.get(name, "page") for name in find_platform_calls()}


def code(number: int) -> dict[str, Any]:
    """Return the fault that reports an error code."""
    return {"kind": "code", "code": number}


UNAVAILABLE, MALFORMED, TIMEOUT = "upstream_unavailable", "upstream_malformed", "upstream_timeout"
NO_TOKEN = "token_unavailable"
KINDS = {
    "busy": Kind(code(2100004), (503, UNAVAILABLE, 4), (503, NO_TOKEN, 1), headers={"retry-after": "2"}),
    "rejected": Kind(code(2100005), (502, "upstream_rejected", 1), (503, NO_TOKEN, 1)),
    "rate limited": Kind(code(2119003), (429, "rate_limited", 4), headers={"retry-after": "5"}),
    "not authorized": Kind(code(2119005), (403, "merchant_not_authorized", 1)),
    "not permitted": Kind(code(2190004), (503, "app_not_permitted", 1), (503, NO_TOKEN, 1),
                          provider=(503, "app_not_permitted", 1)),
    "token refused": Kind(code(2190008), (503, NO_TOKEN, 2), provider=(503, NO_TOKEN, 1)),
    "quota": Kind(code(28003017), (503, "quota_exhausted", 1), provider=(503, "quota_exhausted", 1)),
    "rate limited by the gateway": Kind(code(28003018), (429, "rate_limited", 4), provider=(429, "rate_limited", 1)),
    "rejected by the gateway": Kind(code(28001007), (502, "upstream_rejected", 1),
                                    provider=(502, "upstream_rejected", 1)),
    "unknown code": Kind(code(987654321), (503, UNAVAILABLE, 1), (503, NO_TOKEN, 1), (503, UNAVAILABLE, 1)),
    "sub code": Kind({"kind": "sub", "code": 2100004, "sub_code": 11006}, (403, "merchant_not_authorized", 1)),
    "HTTP 503": Kind({"kind": "http"}, (503, UNAVAILABLE, 4), (503, NO_TOKEN, 1), (503, UNAVAILABLE, 1)),
    "HTTP 429": Kind(
        {"kind": "http", "status": 429, "headers": {"Retry-After": "30"}},
        (429, "rate_limited", 1),
        (503, NO_TOKEN, 1),
        (429, "rate_limited", 1),
        headers={"retry-after": "30"},
    ),
    "redirect": Kind({"kind": "http", "status": 302, "headers": {"Location": "/"}}, (503, UNAVAILABLE, 1)),
    "not JSON": Kind(
        {"kind": "body", "body": "<html>"}, (502, MALFORMED, 4), (503, NO_TOKEN, 1), (502, MALFORMED, 1)
    ),
    "reset": Kind({"kind": "reset"}, (503, UNAVAILABLE, 4), (503, NO_TOKEN, 1), (503, UNAVAILABLE, 1)),
    "truncated": Kind({"kind": "truncate"}, (503, UNAVAILABLE, 4), (503, NO_TOKEN, 1), (503, UNAVAILABLE, 1)),
    "no response": Kind(
        {"kind": "hang"}, (504, TIMEOUT, 1), (503, NO_TOKEN, 1), (504, TIMEOUT, 1), SHORT_MILLISECONDS
    ),
    "byte by byte": Kind({"kind": "drip", "seconds": 0.05}, (504, TIMEOUT, 1), milliseconds=SHORT_MILLISECONDS),
    "login code refused": Kind(code(40018), login=(401, "unauthenticated", 1)),
    "app secret refused": Kind(code(40017), login=(503, "app_misconfigured", 1), provider=(503, UNAVAILABLE, 1)),
}  # fmt: skip


def test_every_error_of_a_code_has_a_kind() -> None:
    tables = [codes.SUB_CODE_ERRORS, *(platform_call.error_table for platform_call in find_platform_calls().values())]
    tried = {kind.fault.get(part) for kind in KINDS.values() for part in ("code", "sub_code")}
    errors = [(number, error.__name__) for table in tables for number, error in table.items()]
    missing = {name for _, name in errors} - {name for number, name in errors if number in tried}
    assert not missing, f"KINDS has no code of {missing}"


@pytest.fixture(autouse=True)
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without delays."""
    monkeypatch.setattr("chalicelib.douyin.client.RETRY_POLICY", FAST_RETRIES)


@pytest.mark.parametrize(
    ("name", "call"),
    [(name, call) for name, kind in KINDS.items() for call, member in CALLS.items() if getattr(kind, member)],
)
def test_an_error_of_a_call_is_a_problem(api: Api, aws: Aws, platform: Platform, name: str, call: str) -> None:
    kind, member = KINDS[name], CALLS[call]
    if member == "provider":
        aws.put_secret({APP_ID: ""}, [STAGE_SESSION_KEY])
        token = platform.server.platform.issue_provider_token(APP_ID).value
        aws.put(TOKEN_PK, access_token=token, expires_at=in_seconds(7200))
    status, problem, calls = getattr(kind, member)
    platform.fail(call=call, **kind.fault)
    if member in ("login", "provider"):
        response = api.login(milliseconds=kind.milliseconds)
    else:
        api.login()
        if member == "page":
            aws.put(TOKEN_PK, access_token=platform.mint(), expires_at=in_seconds(7200))
        is_short_mint = member == "mint" and kind.milliseconds == SHORT_MILLISECONDS
        milliseconds = MINT_MILLISECONDS if is_short_mint else kind.milliseconds
        response = api.call("GET", SAMPLES[call].url or LIST_URL, milliseconds=milliseconds)
    assert_problem(response, status, problem)
    assert len(platform.calls(call)) == calls
    if member == "page":
        assert kind.headers.items() <= response.headers.items()
        is_with_code = kind.fault["kind"] in ("code", "sub") or (kind.fault["kind"] == "http" and "body" in kind.fault)
        assert ("upstream" in response.json) == is_with_code


def test_a_silent_aws_is_unavailable_after_two_attempts(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(lambda _: iter([60])) as silent_aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", silent_aws.url)
        assert_problem(api.login(), 503, "unavailable")
        assert len(silent_aws.requests) == 2, "each attempt has its own limit"
