"""The calls that carry an app's access token: with the token, its replacement, and the app's rate limit."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from chalicelib.context import RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.endpoints import Endpoint
from chalicelib.errors import RateLimitedError, TokenRefusedError, TokenUnavailableError
from chalicelib.rate_limits import RateLimitCache

T = TypeVar("T")


class TokenSource(Protocol):
    """Where the apps' access tokens come from. Raises TokenUnavailableError. `tokens.provider` has the usual one."""

    def get(self, app_id: str, context: RequestContext) -> str:
        """Return a token."""

    def replace(self, app_id: str, refused: str, context: RequestContext) -> str:
        """Return another token than `refused`, which the platform refuses."""


@dataclass(eq=False, repr=False)
class FixedToken:
    """A source of one token. It is empty where the platform adds the token itself."""

    token: str = ""

    def get(self, app_id: str, context: RequestContext) -> str:
        """Return the token."""
        del app_id, context
        return self.token

    def replace(self, app_id: str, refused: str, context: RequestContext) -> str:
        """Raise TokenUnavailableError: there is no other token."""
        del refused, context
        raise TokenUnavailableError(f"the platform refuses the token of {app_id}, and there is no other")


@dataclass(eq=False, repr=False)
class AppClients:
    """Creates the clients of requests. All of this instance share token source and rate limits."""

    douyin: DouyinClient
    tokens: TokenSource
    rate_limits: RateLimitCache = field(default_factory=RateLimitCache)

    def for_request(self, app_id: str, context: RequestContext, life_account_id: str | None = None) -> "AppClient":
        """Return the client of one request. `life_account_id` is the merchant's root account, if calls need it."""
        return AppClient(self, app_id, context, life_account_id)


class AppClient:
    """Sends the calls of one request that carry an app's token. Thread-safe.

    All of them share a token. If the platform refuses it, it is replaced once.
    """

    def __init__(
        self, shared: AppClients, app_id: str, context: RequestContext, life_account_id: str | None = None
    ) -> None:
        self._shared = shared
        self._app_id = app_id
        self._context = context
        self._headers = {} if life_account_id is None else {"Rpc-Transit-Life-Account": life_account_id}
        self._lock = threading.Lock()
        self._token: str | None = None
        self._is_replaced = False

    def send(self, endpoint: Endpoint[T], body: Mapping[str, Any]) -> T:
        """Send a call, and return its result. A refused token is replaced, and the call sent once more.

        Raises UpstreamError, TokenUnavailableError and StorageUnavailableError; RateLimitedError also while a limit
        that was reported before lasts. The evidence of a TokenUnavailableError is that of the failed mint, otherwise
        that of the refusal.
        """
        self._shared.rate_limits.check(self._app_id)
        while True:
            token = self._get_token()
            try:
                return self._shared.douyin.send(endpoint, body, self._context, {"access-token": token, **self._headers})
            except TokenRefusedError as refusal:
                self._replace_once(token, refusal)
            except RateLimitedError as error:
                self._shared.rate_limits.put(self._app_id, error)
                raise

    def _get_token(self) -> str:
        with self._lock:
            if self._token is None:
                self._token = self._shared.tokens.get(self._app_id, self._context)
            return self._token

    def _replace_once(self, refused: str, refusal: TokenRefusedError) -> None:
        """Replace a refused token, unless another call has. A second attempt raises TokenUnavailableError."""
        with self._lock:
            if self._token != refused:
                return
            if self._is_replaced:
                raise TokenUnavailableError("refused; a request replaces its token once", refusal.evidence)
            self._is_replaced = True
            try:
                self._token = self._shared.tokens.replace(self._app_id, refused, self._context)
            except TokenUnavailableError as error:
                if not error.evidence.has_code:
                    error.evidence = refusal.evidence
                raise
