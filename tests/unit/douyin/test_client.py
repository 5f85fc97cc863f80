"""The platform's client over a fake transport: what is sent where, what is repeated, and what is logged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.douyin import protocol
from chalicelib.douyin.client import (
    LOGIN_MAX_IDLE_SECONDS,
    MAX_PAGE_BYTES,
    MAX_SHORT_REPLY_BYTES,
    OPEN_CONNECTION_SECONDS,
    RETRY_POLICY,
    DouyinClient,
)
from chalicelib.douyin.protocol import CertificatesQuery, MintedToken, Response, Selection
from chalicelib.douyin.transport import MAX_IDLE_SECONDS
from chalicelib.errors import (
    RateLimitedError,
    RedemptionError,
    TokenRefusedError,
    UpstreamError,
    UpstreamMalformedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tests.unit.fakes import Clock, FakeTransport, code_response, json_response, make_context

OPEN_API = "https://open.example"
LOGIN_API = "https://login.example"
QUERY = CertificatesQuery(Selection("7", "6601"), "user")

PAGE = json_response({"data": {"orders": [{"order_id": "1", "certificates": [{"certificate_id": "a"}]}]}, "extra": {}})
MINTED = json_response({"data": {"access_token": "clt.new", "expires_in": 7200}, "extra": {}})
LOGGED_IN = json_response({"err_no": 0, "data": {"openid": "user"}})


class Platform:
    """A client, its transport, and a clock that delays between attempts move."""

    def __init__(self, *results: Response | RedemptionError) -> None:
        self.clock = Clock()
        self.context = make_context(clock=self.clock)
        self.transport = FakeTransport(*results)
        self.client = DouyinClient(self.transport, OPEN_API, LOGIN_API, self.clock.sleep)

    def query(self) -> Any:
        return self.client.query_user_certificates(QUERY, 3, "clt.x", self.context)

    def mint(self) -> Any:
        return self.client.mint_token("tta", "secret", self.context)

    def login(self) -> Any:
        return self.client.login("tta", "secret", "code", self.context)

    def logged(self) -> list[tuple[str, str, str]]:
        return [(call.service, call.name, call.outcome) for call in self.context.record.calls]


def test_a_page_is_requested_from_the_open_api() -> None:
    platform = Platform(PAGE)
    page = platform.query()
    assert (page.orders[0].order_id, page.size) == ("1", 1)
    [sent] = platform.transport.sent
    assert (sent.base_url, sent.request.path) == (OPEN_API, protocol.CERTIFICATES_PATH)
    assert sent.request.headers["access-token"] == "clt.x"
    assert json.loads(sent.request.body)["page"] == 3
    assert sent.deadline is platform.context.deadline
    assert (sent.max_bytes, sent.max_idle) == (MAX_PAGE_BYTES, MAX_IDLE_SECONDS)
    assert platform.logged() == [("douyin", "query_user_certificates", "ok")]


def test_a_token_is_minted_by_the_open_api() -> None:
    platform = Platform(MINTED)
    assert platform.mint() == MintedToken("clt.new", 7200)
    [sent] = platform.transport.sent
    assert (sent.base_url, sent.request.path) == (OPEN_API, protocol.MINT_PATH)
    assert json.loads(sent.request.body)["client_secret"] == "secret"
    assert sent.deadline is platform.context.deadline
    assert sent.max_bytes == MAX_SHORT_REPLY_BYTES
    assert platform.logged() == [("douyin", "client_token", "ok")]


def test_a_user_is_logged_in_by_the_login_api() -> None:
    platform = Platform(LOGGED_IN)
    assert platform.login() == "user"
    [sent] = platform.transport.sent
    assert (sent.base_url, sent.request.path) == (LOGIN_API, protocol.LOGIN_PATH)
    assert json.loads(sent.request.body) == {"appid": "tta", "secret": "secret", "code": "code"}
    assert sent.deadline is platform.context.deadline
    assert (sent.max_bytes, sent.max_idle) == (MAX_SHORT_REPLY_BYTES, LOGIN_MAX_IDLE_SECONDS)
    assert platform.logged() == [("douyin", "jscode2session", "ok")]


def test_a_connection_is_opened_with_a_request_whose_response_is_ignored() -> None:
    platform = Platform(Response(404, {}, b"<html>"))
    platform.client.open_connection()
    [sent] = platform.transport.sent
    assert (sent.base_url, sent.request, sent.max_bytes) == (OPEN_API, protocol.CONNECT_REQUEST, MAX_SHORT_REPLY_BYTES)
    assert sent.deadline.remaining() == pytest.approx(OPEN_CONNECTION_SECONDS, abs=0.4)
    assert platform.logged() == []


@pytest.mark.parametrize("is_connected", [False, True])
def test_a_connection_is_opened_only_if_none_is_idle(is_connected: bool) -> None:
    platform = Platform(Response(404, {}, b""))
    platform.transport.is_connected = is_connected
    platform.client.ensure_connection()
    assert [sent.request for sent in platform.transport.sent] == ([] if is_connected else [protocol.CONNECT_REQUEST])


TIMEOUT = UpstreamTimeoutError("timeout", retryable=True)


@pytest.mark.parametrize(
    ("failure", "error_type", "reason", "attempts"),
    [
        (code_response(2100004), UpstreamUnavailableError, "2100004", 4),
        (code_response(2119003), RateLimitedError, "2119003", 4),
        (code_response(2190008), TokenRefusedError, "2190008", 1),
        (Response(429, {"retry-after": "30"}, b""), RateLimitedError, "http_429", 1),
        (Response(200, {}, b"<html>"), UpstreamMalformedError, "malformed", 4),
        (TIMEOUT, UpstreamTimeoutError, "timeout", 4),
        (UpstreamTimeoutError("budget"), UpstreamTimeoutError, "budget", 1),
    ],
)
def test_a_page_is_requested_again_after_a_transient_error(
    failure: Response | RedemptionError, error_type: type[UpstreamError], reason: str, attempts: int
) -> None:
    platform = Platform(failure)
    with pytest.raises(error_type) as raised:
        platform.query()
    assert raised.value.reason == reason
    assert len(platform.transport.sent) == attempts
    assert platform.logged() == [("douyin", "query_user_certificates", reason)] * attempts
    assert len({sent.request.body for sent in platform.transport.sent}) == 1
    assert len(platform.clock.sleeps) == attempts - 1


@pytest.mark.parametrize("failure", [Response(503, {}, b""), TIMEOUT])
def test_a_login_and_a_mint_are_sent_once(failure: Response | RedemptionError) -> None:
    """A code is valid once, and a mint invalidates older tokens."""
    platform = Platform(failure)
    for call in (platform.login, platform.mint):
        with pytest.raises(UpstreamError):
            call()
    requested = [sent.request.path for sent in platform.transport.sent]
    assert requested == [protocol.LOGIN_PATH, protocol.MINT_PATH]
    assert len(platform.logged()) == 2


def test_a_transient_error_is_overcome_after_the_wait_that_the_platform_asks_for() -> None:
    platform = Platform(Response(503, {"retry-after": "2"}, b""), PAGE)
    assert platform.query().size == 1
    assert platform.clock.sleeps == [2.0]
    assert [call.outcome for call in platform.context.record.calls] == ["http_503", "ok"]


def test_a_page_whose_deadline_is_cancelled_is_abandoned_and_not_repeated() -> None:
    platform = Platform(UpstreamUnavailableError("connection", retryable=True))
    send = platform.transport.send

    def cancel(*arguments: Any) -> Response:
        platform.context.deadline.cancel()
        return send(*arguments)

    platform.transport.send = cancel  # type: ignore[method-assign, assignment]
    with pytest.raises(UpstreamUnavailableError):
        platform.query()
    assert platform.logged() == [("douyin", "query_user_certificates", "abandoned")]


def test_all_retries_fit_into_a_request() -> None:
    longest = RETRY_POLICY.max_delay * (RETRY_POLICY.max_attempts - 1)
    assert longest + RETRY_POLICY.min_seconds < 9.0
