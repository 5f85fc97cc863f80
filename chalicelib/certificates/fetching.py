"""Fetches pages for one request: with the merchant's token, one token renewal at most, and the cached rate limits."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from chalicelib.cache import TtlCache
from chalicelib.context import RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery
from chalicelib.errors import Evidence, RateLimitedError, RedemptionError, TokenRefusedError, TokenUnavailableError
from chalicelib.merchants import Merchant
from chalicelib.tokens.provider import TokenProvider

MAX_CACHED_LIMITS = 100

DEFAULT_LIMIT_SECONDS = 1.0
"""Duration of a limit when the platform does not send Retry-After."""


class _Limit(msgspec.Struct, frozen=True):
    until: float
    evidence: Evidence | None


class RateLimitCache:
    """Caches when the rate limit of each app ends. Each instance has its own cache."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._cache: TtlCache[_Limit] = TtlCache(MAX_CACHED_LIMITS, clock)

    def check(self, app_id: str) -> None:
        """Raise RateLimitedError while the app is limited: more requests would only prolong the limit."""
        limit = self._cache.get(app_id)
        if limit is not None:
            raise RateLimitedError("cached", evidence=limit.evidence, retry_after=limit.until - self._clock())

    def remember(self, app_id: str, error: RateLimitedError) -> None:
        """Store a limit that the platform reported and that retries did not overcome."""
        seconds = error.retry_after or DEFAULT_LIMIT_SECONDS
        self._cache.put(app_id, _Limit(self._clock() + seconds, error.evidence), seconds)


@dataclass(eq=False, repr=False)
class PageFetcher:
    """Fetches the pages of one query. Thread-safe: all threads share one token, renewed at most once."""

    query: CertificatesQuery
    merchant: Merchant
    #: The present access token.
    token: str
    douyin: DouyinClient
    tokens: TokenProvider
    rate_limits: RateLimitCache
    #: The token is renewed with it, because what was minted must be stored.
    context: RequestContext

    def __post_init__(self) -> None:
        # The deadline of the pages is that of the request, but it can be cancelled without ending the renewal.
        self._page_context = self.context.cancellable()
        #: The deadline of the pages.
        self.deadline = self._page_context.deadline
        self._lock = threading.Lock()
        self._first_token = self.token
        self._renewal_error: RedemptionError | None = None

    def fetch_page(self, number: int, known_total: int | None) -> Page:
        """Return page `number` (from 1); raises UpstreamError, TokenUnavailableError, StorageUnavailableError.

        `known_total`: see `parse_certificates`.
        """
        while True:
            token = self.token
            try:
                return self.douyin.query_user_certificates(self.query, number, token, self._page_context, known_total)
            except RateLimitedError as error:
                # A page that was aborted has not tried all its attempts.
                if not self.deadline.is_cancelled:
                    self.rate_limits.remember(self.merchant.app_id, error)
                raise
            except TokenRefusedError as refusal:
                self._replace(token, refusal)

    def abort(self) -> None:
        """Abort the calls of all pages.

        A renewal of the token is waited for: Lambda freezes the instance as soon as the response is sent.
        """
        self.deadline.cancel()
        with self._lock:
            pass

    def _replace(self, refused: str, refusal: TokenRefusedError) -> None:
        """Replace a refused token, unless another page has. It is tried once for all pages of a request.

        Raises TokenUnavailableError at a second refusal, and for every page what has stopped the renewal.
        """
        with self._lock:
            if self.token != refused:
                return
            if self._renewal_error is not None:
                raise self._renewal_error
            if refused != self._first_token:
                raise TokenUnavailableError("refused again, and a request renews only once", refusal.evidence)
            # The page is no longer needed. A renewal that begins now could go on after the response.
            if self.deadline.is_cancelled:
                raise refusal
            try:
                self.token = self.tokens.replace(self.merchant.token_id, refused, refusal, self.context)
            except RedemptionError as error:
                self._renewal_error = error
                raise
