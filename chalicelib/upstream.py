"""The platform over HTTP: one call bounded in time and bytes, and the client that knows which calls may be repeated."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import requests
import tenacity
import urllib3
import urllib3.exceptions as urllib3_errors

from chalicelib import douyin
from chalicelib.errors import RateLimitedError, UpstreamMalformedError, UpstreamTimeoutError, UpstreamUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.douyin import CertificatesQuery, Minted, Page, Reply, Request
    from chalicelib.scope import Deadline, Scope

CONNECT_SECONDS = 1.5
READ_SECONDS = 3.0
RETRIES = 3
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 1.0
SHORTEST_TRY_SECONDS = 0.3
"""With less than this left, another try is not begun."""

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""A page of 50 certificates with every field filled is below 100 KiB."""

MAX_ANSWER_BYTES = 64 * 1024
"""Tokens and logins are below 2 KiB."""

_CHUNK_BYTES = 64 * 1024

_T = TypeVar("_T")


class Transport:
    """POSTs over a kept session; every failure leaves as an UpstreamError that says whether it may pass."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session

    def post(self, base_url: str, request: Request, deadline: Deadline, max_bytes: int) -> Reply:
        """Send one request and read the whole answer before the deadline and within `max_bytes`."""
        left = deadline.remaining()
        if left <= 0:
            raise UpstreamTimeoutError("budget")
        try:
            with self._session.post(
                base_url + request.path,
                data=request.body,
                headers=request.headers,
                # requests hands urllib3's own Timeout on; only its stubs do not know that.
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS, total=left),  # type: ignore[arg-type]
                # A redirect would carry the access token to wherever it points.
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read(response, deadline, max_bytes)
        # `from None`: the library's errors quote URLs and header values, and nothing of that may reach a log.
        except requests.ConnectTimeout:
            raise UpstreamUnavailableError("connect_timeout", passing=True) from None
        except (requests.Timeout, urllib3_errors.TimeoutError):
            raise UpstreamTimeoutError("timeout", passing=True) from None
        except (requests.RequestException, urllib3_errors.HTTPError, OSError):
            raise UpstreamUnavailableError("connection", passing=True) from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return douyin.Reply(response.status_code, headers, body)


def _read(response: requests.Response, deadline: Deadline, max_bytes: int) -> bytes:
    """Read chunk by chunk, since a body that drips never trips the read timeout."""
    chunks: list[bytes] = []
    size = 0
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise UpstreamMalformedError("too_large")
        if deadline.remaining() <= 0:
            raise UpstreamTimeoutError("timeout")
    return b"".join(chunks)


class Douyin:
    """The three calls this service makes."""

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
                reply = self._transport.post(self._open_api, request, scope.deadline, MAX_PAGE_BYTES)
                return douyin.read_certificates(reply)

        return self._retrying(scope.deadline)(once)

    def mint(self, app_id: str, app_secret: str, scope: Scope, deadline: Deadline) -> Minted:
        """A new access token, tried once: whoever calls holds the right to mint and repeats as that allows."""
        request = douyin.mint_request(app_id, app_secret)
        with scope.timed("douyin", "client_token"):
            return douyin.read_mint(self._transport.post(self._open_api, request, deadline, MAX_ANSWER_BYTES))

    def login(self, app_id: str, app_secret: str, code: str, scope: Scope) -> str:
        """The open_id behind a login code; tried once, since a code that was seen by the platform is used up."""
        request = douyin.login_request(app_id, app_secret, code)
        with scope.timed("douyin", "jscode2session"):
            reply = self._transport.post(self._login_api, request, scope.deadline, MAX_ANSWER_BYTES)
            return douyin.read_login(reply)

    def _retrying(self, deadline: Deadline) -> tenacity.Retrying:
        jitter = tenacity.wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            wished = error.retry_after if isinstance(error, UpstreamUnavailableError | RateLimitedError) else None
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


def make_session(user_agent: str, connections: int) -> requests.Session:
    """A session that keeps `connections` open, asks no proxy or netrc of the environment, and repeats nothing."""
    session = requests.Session()
    session.trust_env = False
    session.headers["user-agent"] = user_agent
    adapter = requests.adapters.HTTPAdapter(pool_connections=2, pool_maxsize=connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
