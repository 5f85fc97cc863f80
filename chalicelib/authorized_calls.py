"""Sends the calls of the platform that need an app's access token: adds the token, and replaces a refused one."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from chalicelib.context import RequestContext
from chalicelib.douyin.calls import PlatformCall
from chalicelib.douyin.client import DouyinClient
from chalicelib.errors import TokenRefusedError, TokenUnavailableError

T = TypeVar("T")


class TokenSource(Protocol):
    """Interface: returns the access tokens of the apps. `tokens.source.SharedTokenSource` implements it."""

    def obtain(self, app_id: str, context: RequestContext, refused_token: str = "") -> str:
        """Return a token; raises TokenUnavailableError, StorageUnavailableError and ConfigurationError.

        If the platform has refused a token, `refused_token` is this token. Then the result is another token.
        """


@dataclass(eq=False, repr=False)
class AuthorizedCalls:
    """Sends the calls of one request, all with the same token. Thread-safe.

    If the platform refuses the token, the request replaces it once.
    """

    douyin: DouyinClient
    tokens: TokenSource
    app_id: str
    context: RequestContext
    #: The merchant's root account, if the calls need it.
    life_account_id: str | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._token: str | None = None
        self._is_replaced = False

    def send(self, call: PlatformCall[T], body: Mapping[str, Any]) -> T:
        """Send a call, and return its result. If the platform refuses the token, send the call with another token.

        Raises UpstreamError, TokenUnavailableError, StorageUnavailableError and ConfigurationError. After a refusal, a
        TokenUnavailableError has the codes of the failed mint. If the mint has failed without a code, it has those of
        the refusal.
        """
        while True:
            token = self._get_token()
            try:
                return self.douyin.send(call, body, self.context, token_headers(token, self.life_account_id))
            except TokenRefusedError as refusal:
                self._replace_once(token, refusal)

    def _get_token(self) -> str:
        with self._lock:
            if self._token is None:
                self._token = self.tokens.obtain(self.app_id, self.context)
            return self._token

    def _replace_once(self, refused_token: str, refusal: TokenRefusedError) -> None:
        """Replace the request's token, unless another call of the request has already replaced it.

        Raises TokenUnavailableError if the platform refuses the replacement, too.
        """
        with self._lock:
            if self._token != refused_token:
                return
            if self._is_replaced:
                raise TokenUnavailableError("refused; a request replaces its token once", refusal.upstream)
            self._is_replaced = True
            try:
                self._token = self.tokens.obtain(self.app_id, self.context, refused_token)
            except TokenUnavailableError as error:
                codes = error.upstream if error.upstream.has_code else refusal.upstream
                raise TokenUnavailableError(error.reason, codes, retry_after=error.retry_after) from None


def token_headers(access_token: str, life_account_id: str | None = None) -> dict[str, str]:
    """Return the headers of a call with an app's token; `life_account_id` is the merchant's root account, if known."""
    root_account = {} if life_account_id is None else {"Rpc-Transit-Life-Account": life_account_id}
    return {"access-token": access_token, **root_account}
