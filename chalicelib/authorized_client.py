"""Sends the calls with an app's access token: gets the token, replaces a refused one, respects the app's rate limit."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from chalicelib.context import RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.endpoints import Endpoint
from chalicelib.errors import NO_CODES, RateLimitedError, TokenRefusedError, TokenUnavailableError, UpstreamCodes

T = TypeVar("T")

DEFAULT_RATE_LIMIT_SECONDS = 1.0
"""Duration of a rate limit when the platform does not send Retry-After."""

NO_RATE_LIMIT = 0.0, NO_CODES


class TokenSource(Protocol):
    """Where the apps' access tokens come from. Raises TokenUnavailableError. `tokens.provider` has the usual one."""

    def get(self, app_id: str, context: RequestContext, refused_token: str = "") -> str:
        """Return a token. `refused_token` is one that the platform refuses: then return another one."""


class AuthorizedCalls:
    """The calls of one request. They share a token, which is replaced once if the platform refuses it. Thread-safe."""

    def __init__(
        self, client: "AuthorizedClient", app_id: str, context: RequestContext, life_account_id: str | None = None
    ) -> None:
        self._client = client
        self._app_id = app_id
        self._context = context
        self._headers = {} if life_account_id is None else {"Rpc-Transit-Life-Account": life_account_id}
        self._lock = threading.Lock()
        self._token: str | None = None
        self._is_replaced = False

    def send(self, endpoint: Endpoint[T], body: Mapping[str, Any]) -> T:
        """Send a call, and return its result. A refused token is replaced, and the call sent once more.

        Raises UpstreamError, TokenUnavailableError and StorageUnavailableError; RateLimitedError also while a limit
        that was reported before lasts. The codes of a TokenUnavailableError are those of the failed mint, otherwise
        those of the refusal.
        """
        self._client.check_rate_limit(self._app_id)
        while True:
            token = self._get_token()
            try:
                return self._client.douyin.send(endpoint, body, self._context, {"access-token": token, **self._headers})
            except TokenRefusedError as refusal:
                self._replace_once(token, refusal)
            except RateLimitedError as error:
                self._client.put_rate_limit(self._app_id, error)
                raise

    def _get_token(self) -> str:
        with self._lock:
            if self._token is None:
                self._token = self._client.tokens.get(self._app_id, self._context)
            return self._token

    def _replace_once(self, refused_token: str, refusal: TokenRefusedError) -> None:
        """Replace a refused token, unless another call has. A second attempt raises TokenUnavailableError."""
        with self._lock:
            if self._token != refused_token:
                return
            if self._is_replaced:
                raise TokenUnavailableError("refused; a request replaces its token once", refusal.upstream)
            self._is_replaced = True
            try:
                self._token = self._client.tokens.get(self._app_id, self._context, refused_token)
            except TokenUnavailableError as error:
                if not error.upstream.has_code:
                    error.upstream = refusal.upstream
                raise


@dataclass(eq=False, repr=False)
class AuthorizedClient:
    """Sends calls with the access token of an app. All requests share the token source and the rate limits."""

    douyin: DouyinClient
    tokens: TokenSource
    #: The wall clock, in epoch seconds.
    clock: Callable[[], float] = time.time
    #: By app_id: when a rate limit ends that the platform has reported (epoch seconds), and its codes.
    rate_limits: dict[str, tuple[float, UpstreamCodes]] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def for_request(self, app_id: str, context: RequestContext, life_account_id: str | None = None) -> AuthorizedCalls:
        """Return the calls of one request. `life_account_id` is the merchant's root account, if the calls need it."""
        return AuthorizedCalls(self, app_id, context, life_account_id)

    def check_rate_limit(self, app_id: str) -> None:
        """Raise RateLimitedError while the app is limited: more requests would only prolong the limit."""
        ends_at, upstream = self.rate_limits.get(app_id, NO_RATE_LIMIT)
        if (seconds := ends_at - self.clock()) > 0:
            raise RateLimitedError("cached", upstream, retry_after=seconds)

    def put_rate_limit(self, app_id: str, error: RateLimitedError) -> None:
        """Store a limit that the platform reported and that retries did not overcome. A longer one stays."""
        limit = self.clock() + (error.retry_after or DEFAULT_RATE_LIMIT_SECONDS), error.upstream
        with self._lock:
            self.rate_limits[app_id] = max(limit, self.rate_limits.get(app_id, NO_RATE_LIMIT), key=lambda each: each[0])
