"""The client of the platform's API: sends each call over the transport and knows which calls may be repeated."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin import protocol
from chalicelib.douyin.pages import Page, parse_certificates
from chalicelib.douyin.protocol import CertificatesQuery, MintedToken, Request, Response
from chalicelib.douyin.transport import Transport
from chalicelib.retry import RetryPolicy, call_with_retries

T = TypeVar("T")

RETRY_POLICY = RetryPolicy(
    max_attempts=4,
    base_delay=0.1,
    min_seconds=0.3,
    # The platform's rate window is one second, and each attempt counts in it.
    rate_limited_delay=1.0,
)
"""The retries of a page. Logins and mints are sent once: see ONCE_MAX_IDLE_SECONDS."""

MAX_PAGE_BYTES = 320 * 1024
"""A page of 50 certificates with every field filled is below 100 KiB. Four of the largest fit into one response, also
when the runtime client writes all characters beyond printable ASCII as escapes."""

MAX_SHORT_REPLY_BYTES = 64 * 1024
"""The limit of every reply but a page. Replies to mints and logins are below 2 KiB."""

OPEN_CONNECTION_SECONDS = 1.0
"""Limit for opening a connection in advance. If that fails, the request that needs one opens it, with retries."""

ONCE_MAX_IDLE_SECONDS = 1.2
"""How long a connection may have been idle before a login or mint. Such a call must not depend on a connection that may
have been dropped: a login code is valid once, and a mint whose response is lost has replaced the token all the same.

The time is measured from the start of the connection's last exchange. So it includes that exchange.
"""


@dataclass(eq=False, repr=False)
class DouyinClient:
    """The calls of the platform. Several threads may use it: pages are read in parallel."""

    transport: Transport
    #: The base URL of tokens, certificates and code2session.
    open_api: str
    #: The base URL of jscode2session.
    login_api: str
    sleep: Callable[[float], None] = time.sleep

    def query_user_certificates(
        self, query: CertificatesQuery, number: int, access_token: str, context: RequestContext
    ) -> Page:
        """Return page `number` (from 1), with retries inside the deadline; raises UpstreamError."""
        request = protocol.certificates_request(query, number, access_token)

        def attempt() -> Page:
            with context.record_call("douyin", "query_user_certificates"):
                return parse_certificates(self.transport.send(self.open_api, request, context.deadline, MAX_PAGE_BYTES))

        return call_with_retries(attempt, RETRY_POLICY, context.deadline, sleep=self.sleep)

    def mint_token(self, app_id: str, app_secret: str, context: RequestContext) -> MintedToken:
        """Mint an access token, in one attempt; raises UpstreamError."""
        request = protocol.mint_request(app_id, app_secret)
        return self._call_once("client_token", self.open_api, request, protocol.parse_mint, context)

    def login(self, app_id: str, app_secret: str, code: str, context: RequestContext) -> str:
        """Return the open_id of a login code, in one attempt because a code is valid once; raises UpstreamError."""
        request = protocol.login_request(app_id, app_secret, code)
        return self._call_once("jscode2session", self.login_api, request, protocol.parse_login, context)

    def login_with_token(self, app_id: str, access_token: str, code: str, context: RequestContext) -> str:
        """Return the open_id of a login code in an app of a service provider, in one attempt; raises UpstreamError.

        A refused token does not use the code up.
        """
        request = protocol.provider_login_request(app_id, access_token, code)
        return self._call_once("code2session", self.open_api, request, protocol.parse_provider_login, context)

    def ensure_connection(self) -> None:
        """Open a connection to the open API that the next request reuses, unless one is open; raises RedemptionError.

        It must send a request: urllib3 finds the server's TLS session tickets waiting in an unused connection and
        drops it as broken.
        """
        if not self.transport.has_idle_connection(self.open_api, protocol.CONNECTION_TEST):
            deadline = Deadline(OPEN_CONNECTION_SECONDS)
            self.transport.send(self.open_api, protocol.CONNECTION_TEST, deadline, MAX_SHORT_REPLY_BYTES)

    def _call_once(
        self, name: str, base_url: str, request: Request, parse: Callable[[Response], T], context: RequestContext
    ) -> T:
        """Send a request once, over a connection that was not idle for long, and return its parsed response."""
        with context.record_call("douyin", name):
            return parse(
                self.transport.send(base_url, request, context.deadline, MAX_SHORT_REPLY_BYTES, ONCE_MAX_IDLE_SECONDS)
            )
