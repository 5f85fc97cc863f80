"""The platform over HTTP: the client that knows which calls may be repeated.

One call is `transport`'s business.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import tenacity

from chalicelib import douyin
from chalicelib.errors import RateLimitedError, UpstreamUnavailableError
from chalicelib.scope import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.douyin import CertificatesQuery, Minted, Page
    from chalicelib.scope import Scope
    from chalicelib.transport import Transport

RETRIES = 3
FIRST_WAIT_SECONDS = 0.1
LIMITED_WAITS = 5
"""How many times longer the waits are after "too often": its window is a second, and each try counts in it."""

LONGEST_WAIT_SECONDS = 1.0
SHORTEST_TRY_SECONDS = 0.3
"""With less than this left, another try is not begun."""

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""A page of 50 certificates with every field filled is below 100 KiB."""

MAX_ANSWER_BYTES = 64 * 1024
"""Tokens and logins are below 2 KiB."""


class Douyin:
    """The calls this service makes."""

    def __init__(
        self, transport: Transport, open_api: str, login_api: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._transport = transport
        self._open_api = open_api
        self._login_api = login_api
        self._sleep = sleep

    def certificates(self, query: CertificatesQuery, page: int, access_token: str, scope: Scope) -> Page:
        """One page, tried again while its failure may pass and the budget lasts; raises UpstreamError."""
        request = douyin.certificates_request(query, page, access_token)

        def once() -> Page:
            with scope.timed("douyin", "query_user_certificates"):
                reply = self._transport.send(self._open_api, request, scope.deadline, MAX_PAGE_BYTES)
                return douyin.read_certificates(reply)

        return self._retrying(scope.deadline)(once)

    def mint(self, app_id: str, app_secret: str, scope: Scope, deadline: Deadline) -> Minted:
        """A new access token, tried once: whoever calls holds the right to mint and repeats as that allows."""
        request = douyin.mint_request(app_id, app_secret)
        with scope.timed("douyin", "client_token"):
            return douyin.read_mint(self._transport.send(self._open_api, request, deadline, MAX_ANSWER_BYTES))

    def login(self, app_id: str, app_secret: str, code: str, scope: Scope) -> str:
        """The open_id behind a login code; tried once, since a code that was seen by the platform is used up."""
        request = douyin.login_request(app_id, app_secret, code)
        with scope.timed("douyin", "jscode2session"):
            reply = self._transport.send(self._login_api, request, scope.deadline, MAX_ANSWER_BYTES)
            return douyin.read_login(reply)

    def greet(self, seconds: float) -> None:
        """Open a connection to the open API and keep it for the first page; raises UpstreamError.

        A connection that was never used would not do: the pool finds the server's TLS session tickets waiting in it and
        takes it for broken.
        """
        self._transport.send(self._open_api, douyin.GREETING, Deadline(seconds), MAX_ANSWER_BYTES)

    def _retrying(self, deadline: Deadline) -> tenacity.Retrying:
        soon = tenacity.wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS)
        later = tenacity.wait_random_exponential(
            multiplier=LIMITED_WAITS * FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS
        )

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            wished = error.retry_after if isinstance(error, UpstreamUnavailableError | RateLimitedError) else None
            jitter = later if isinstance(error, RateLimitedError) else soon
            return max(jitter(state), wished or 0.0)

        return tenacity.Retrying(
            sleep=self._sleep,
            wait=wait,
            stop=tenacity.stop_any(tenacity.stop_after_attempt(1 + RETRIES), _Spent(deadline)),
            retry=tenacity.retry_if_exception(douyin.is_passing),
            reraise=True,
        )


class _Spent(tenacity.stop.stop_base):
    """Stops when the next try would begin too close to the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        return self._deadline.remaining() < retry_state.upcoming_sleep + SHORTEST_TRY_SECONDS
