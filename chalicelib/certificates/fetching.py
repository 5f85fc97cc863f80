"""Fetches pages for one request: with the merchant's token, one token renewal at most, and the cached rate limits."""

import threading
from collections.abc import Callable

from chalicelib.certificates.ratelimit import RateLimitCache
from chalicelib.context import RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery
from chalicelib.errors import RateLimitedError, TokenRefusedError, TokenUnavailableError
from chalicelib.merchants import Merchant
from chalicelib.tokens.provider import TokenProvider


class PageFetcher:
    """Fetches the pages of one query. Thread-safe: all threads share one token, renewed at most once.

    `token` is the present access token. Pages are requested with `page_context`, which may be cancelled. A token is
    renewed with `context`, which is not: what was minted must be stored.
    """

    def __init__(
        self,
        query: CertificatesQuery,
        merchant: Merchant,
        find_secret: Callable[[], str | None],
        token: str,
        *,
        douyin: DouyinClient,
        tokens: TokenProvider,
        rate_limits: RateLimitCache,
        context: RequestContext,
        page_context: RequestContext,
    ) -> None:
        self._query = query
        self._merchant = merchant
        self._find_secret = find_secret
        self._douyin = douyin
        self._tokens = tokens
        self._rate_limits = rate_limits
        self._context = context
        self._page_context = page_context
        self._lock = threading.Lock()
        self._token = token
        self._was_replaced = False

    def fetch(self, page: int) -> Page:
        """Return page `page` (from 1); raises UpstreamError, TokenUnavailableError, StorageUnavailableError."""
        token = self._token
        try:
            return self._fetch(page, token)
        except TokenRefusedError as refusal:
            token = self._replace(token, refusal)
        try:
            return self._fetch(page, token)
        except TokenRefusedError as refusal:
            raise TokenUnavailableError("the renewed token was refused as well", refusal.evidence) from None

    def _fetch(self, page: int, token: str) -> Page:
        try:
            return self._douyin.query_user_certificates(self._query, page, token, self._page_context)
        except RateLimitedError as error:
            self._rate_limits.remember(self._merchant.app_id, error)
            raise

    def _replace(self, refused: str, refusal: TokenRefusedError) -> str:
        """Return the token that replaces `refused`: the one that another page has obtained, or a newer one."""
        with self._lock:
            if self._token == refused:
                if self._was_replaced:
                    raise TokenUnavailableError("the renewed token was refused as well", refusal.evidence)
                self._was_replaced = True
                try:
                    self._token = self._tokens.get_other_token(
                        self._merchant.token_id, self._find_secret, refused, self._context
                    )
                except TokenUnavailableError as error:
                    error.evidence = error.evidence or refusal.evidence
                    raise
            return self._token
