"""Fetches pages for one request: with the merchant's token, one token renewal at most, and the cached rate limits."""

import threading
import time
from collections.abc import Callable

import msgspec

from chalicelib.cache import TtlCache
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery
from chalicelib.errors import Evidence, RateLimitedError, RedemptionError, TokenRefusedError, TokenUnavailableError
from chalicelib.merchants import Merchant
from chalicelib.tokens.provider import TokenProvider

MAX_CACHED_LIMITS = 100

DEFAULT_SECONDS = 1.0
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
        seconds = error.retry_after or DEFAULT_SECONDS
        self._cache.put(app_id, _Limit(self._clock() + seconds, error.evidence), seconds)


class PageFetcher:
    """Fetches the pages of one query. Thread-safe: all threads share one token, renewed at most once.

    `token` is the present access token. It is renewed with `context`, because what was minted must be stored. The pages
    have a deadline of their own at the same time: it can be cancelled without ending the renewal.
    """

    def __init__(
        self,
        query: CertificatesQuery,
        merchant: Merchant,
        token: str,
        *,
        douyin: DouyinClient,
        tokens: TokenProvider,
        rate_limits: RateLimitCache,
        context: RequestContext,
    ) -> None:
        self._query = query
        self._merchant = merchant
        self._douyin = douyin
        self._tokens = tokens
        self._rate_limits = rate_limits
        self._context = context
        self._page_context = context.cancellable()
        self._lock = threading.Lock()
        self._token = token
        self._renewal_was_tried = False
        self._renewal_error: RedemptionError | None = None

    @property
    def deadline(self) -> Deadline:
        """The deadline of all pages."""
        return self._page_context.deadline

    def fetch_page(self, number: int, known_total: int | None) -> Page:
        """Return page `number` (from 1); raises UpstreamError, TokenUnavailableError, StorageUnavailableError.

        `known_total`: see `parse_certificates`.
        """
        while True:
            token = self._token
            try:
                return self._fetch_with_token(token, number, known_total)
            except TokenRefusedError as refusal:
                self._replace(token, refusal)

    def wait_for_renewal(self) -> None:
        """Wait until no page renews the token: Lambda freezes the instance as soon as the response is sent."""
        with self._lock:
            pass

    def _fetch_with_token(self, token: str, number: int, known_total: int | None) -> Page:
        try:
            return self._douyin.query_user_certificates(self._query, number, token, self._page_context, known_total)
        except RateLimitedError as error:
            self._rate_limits.remember(self._merchant.app_id, error)
            raise

    def _replace(self, refused: str, refusal: TokenRefusedError) -> None:
        """Replace a refused token, unless another page has. It is tried once for all pages of a request.

        Raises TokenUnavailableError at a second refusal, and for every page what has stopped the renewal.
        """
        with self._lock:
            if self._token != refused:
                return
            if self._renewal_error is not None:
                raise self._renewal_error
            if self._renewal_was_tried:
                raise TokenUnavailableError("refused again, and a request renews only once", refusal.evidence)
            # The page is no longer needed. A renewal that begins now could go on after the response.
            if self.deadline.is_cancelled:
                raise refusal
            self._renewal_was_tried = True
            try:
                self._token = self._tokens.get_other_token(self._merchant.token_id, refused, refusal, self._context)
            except RedemptionError as error:
                self._renewal_error = error
                raise
