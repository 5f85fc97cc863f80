"""The platform's client over a fake transport: what is sent where, what is repeated, and what is logged."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.douyin import protocol
from chalicelib.douyin.client import (
    MAX_PAGE_BYTES,
    MAX_SHORT_REPLY_BYTES,
    ONCE_MAX_IDLE_SECONDS,
    OPEN_CONNECTION_SECONDS,
    DouyinClient,
)
from chalicelib.douyin.pages import parse_certificates
from chalicelib.douyin.protocol import CertificatesQuery, MintedToken, Request, Response, Selection
from chalicelib.douyin.transport import MAX_IDLE_SECONDS
from chalicelib.errors import RedemptionError, UpstreamError, UpstreamTimeoutError
from tests.unit.fakes import Clock, FakeTransport, Sent, json_response, make_context

OPEN_API = "https://open.example"
LOGIN_API = "https://login.example"
ONCE = MAX_SHORT_REPLY_BYTES, ONCE_MAX_IDLE_SECONDS
QUERY = CertificatesQuery(Selection("7", "6601"), "user")

PAGE = json_response({"data": {"orders": [{"order_id": "1", "certificates": [{"certificate_id": "a"}]}]}, "extra": {}})
MINTED = json_response({"data": {"access_token": "clt.new", "expires_in": 7200}, "extra": {}})
LOGGED_IN = json_response({"err_no": 0, "data": {"openid": "user", "open_id": "user"}})


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

    def login_with_token(self) -> Any:
        return self.client.login_with_token("tta", "isvact.x", "code", self.context)

    def logged(self) -> list[tuple[str, str, str]]:
        return [(call.service, call.name, call.outcome) for call in self.context.record.calls]


REQUESTS: dict[str, tuple[Callable[[Platform], Any], str, Request]] = {
    "query_user_certificates": (Platform.query, OPEN_API, protocol.certificates_request(QUERY, 3, "clt.x")),
    "client_token": (Platform.mint, OPEN_API, protocol.mint_request("tta", "secret")),
    "jscode2session": (Platform.login, LOGIN_API, protocol.login_request("tta", "secret", "code")),
    "code2session": (Platform.login_with_token, OPEN_API, protocol.provider_login_request("tta", "isvact.x", "code")),
}


@pytest.mark.parametrize(
    ("name", "response", "result", "limits"),
    [
        ("query_user_certificates", PAGE, parse_certificates(PAGE), (MAX_PAGE_BYTES, MAX_IDLE_SECONDS)),
        ("client_token", MINTED, MintedToken("clt.new", 7200), ONCE),
        ("jscode2session", LOGGED_IN, "user", ONCE),
        ("code2session", LOGGED_IN, "user", ONCE),
    ],
)
def test_each_call_is_sent_once_within_its_limits_and_logged(
    name: str, response: Response, result: Any, limits: tuple[int, float]
) -> None:
    platform = Platform(response)
    call, base_url, request = REQUESTS[name]
    assert call(platform) == result
    assert platform.transport.sent == [Sent(base_url, request, platform.context.deadline, *limits)]
    assert platform.logged() == [("douyin", name, "ok")]


def test_a_connection_is_opened_if_none_is_idle_and_the_response_is_ignored() -> None:
    platform = Platform(Response(404, {}, b"<html>"))
    platform.client.ensure_connection()
    platform.transport.is_connected = True
    platform.client.ensure_connection()
    [sent] = platform.transport.sent
    assert (sent.base_url, sent.request, sent.max_bytes) == (OPEN_API, protocol.CONNECTION_TEST, MAX_SHORT_REPLY_BYTES)
    assert 0 < sent.deadline.remaining() <= OPEN_CONNECTION_SECONDS
    assert platform.logged() == []


TIMEOUT = UpstreamTimeoutError("timeout")


@pytest.mark.parametrize(
    ("failure", "reason", "attempts"),
    [
        (json_response({"err_no": 2119003}), "2119003", 4),
        (json_response({"err_no": 2190008}), "2190008", 1),
        (Response(429, {"retry-after": "30"}, b""), "http_429", 1),
        (Response(200, {}, b"<html>"), "malformed", 4),
        (TIMEOUT, "timeout", 4),
    ],
)
def test_a_page_is_requested_again_after_a_transient_error(
    failure: Response | RedemptionError, reason: str, attempts: int
) -> None:
    platform = Platform(failure)
    with pytest.raises(UpstreamError) as raised:
        platform.query()
    assert raised.value.reason == reason
    assert [sent.request for sent in platform.transport.sent] == [platform.transport.sent[0].request] * attempts
    assert platform.logged() == [("douyin", "query_user_certificates", reason)] * attempts
    assert len(platform.clock.sleeps) == attempts - 1


@pytest.mark.parametrize("failure", [Response(503, {}, b""), TIMEOUT])
@pytest.mark.parametrize("name", ["client_token", "jscode2session", "code2session"])
def test_a_login_and_a_mint_are_sent_once(name: str, failure: Response | RedemptionError) -> None:
    """A code is valid once, and a mint invalidates older tokens."""
    platform = Platform(failure)
    call, _, request = REQUESTS[name]
    with pytest.raises(UpstreamError):
        call(platform)
    assert [sent.request for sent in platform.transport.sent] == [request]


def test_a_transient_error_is_overcome_after_the_wait_that_the_platform_asks_for() -> None:
    platform = Platform(Response(503, {"retry-after": "2"}, b""), PAGE)
    assert platform.query().size == 1
    assert 2.0 <= sum(platform.clock.sleeps) <= 2.1
    assert [call.outcome for call in platform.context.record.calls] == ["http_503", "ok"]
