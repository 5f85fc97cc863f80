"""The rate limits that the platform reports, cached by app."""

import time
from collections.abc import Callable

from chalicelib.errors import NO_EVIDENCE, Evidence, RateLimitedError

DEFAULT_LIMIT_SECONDS = 1.0
"""Duration of a limit when the platform does not send Retry-After."""


class RateLimitCache:
    """Caches when the rate limit of each app ends. Each instance has its own cache."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        #: By app_id: when the limit ends (epoch seconds), and what the platform has reported.
        self._limits: dict[str, tuple[float, Evidence]] = {}

    def check(self, app_id: str) -> None:
        """Raise RateLimitedError while the app is limited: more requests would only prolong the limit."""
        until, evidence = self._limits.get(app_id, (0.0, NO_EVIDENCE))
        seconds = until - self._clock()
        if seconds > 0:
            raise RateLimitedError("cached", evidence, retry_after=seconds)

    def put(self, app_id: str, error: RateLimitedError) -> None:
        """Store a limit that the platform reported and that retries did not overcome. It never shortens another one."""
        ends_at = self._clock() + (error.retry_after or DEFAULT_LIMIT_SECONDS)
        if ends_at > self._limits.get(app_id, (0.0, NO_EVIDENCE))[0]:
            self._limits[app_id] = ends_at, error.evidence
