"""The rate limits that the platform reports, cached by app."""

import time
from collections.abc import Callable

import msgspec

from chalicelib.cache import TtlCache
from chalicelib.errors import Evidence, RateLimitedError

MAX_CACHED_LIMITS = 100

DEFAULT_LIMIT_SECONDS = 1.0
"""Duration of a limit when the platform does not send Retry-After."""


class _Limit(msgspec.Struct, frozen=True):
    #: When the limit ends, in epoch seconds.
    until: float
    evidence: Evidence


class RateLimitCache:
    """Caches when the rate limit of each app ends. Each instance has its own cache."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._cache: TtlCache[_Limit] = TtlCache(MAX_CACHED_LIMITS, clock)

    def check(self, app_id: str) -> None:
        """Raise RateLimitedError while the app is limited: more requests would only prolong the limit."""
        if limit := self._cache.get(app_id):
            raise RateLimitedError("cached", evidence=limit.evidence, retry_after=limit.until - self._clock())

    def put(self, app_id: str, error: RateLimitedError) -> None:
        """Store a limit that the platform reported and that retries did not overcome."""
        seconds = error.retry_after or DEFAULT_LIMIT_SECONDS
        self._cache.put(app_id, _Limit(self._clock() + seconds, error.evidence), seconds)
