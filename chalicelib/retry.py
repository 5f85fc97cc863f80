"""The retries of outgoing calls: exponential backoff with full jitter. No retry starts after the request's deadline."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from chalicelib.context import Deadline
from chalicelib.errors import DeadlineExceededError, RateLimitedError, ServiceError

T = TypeVar("T")


class RetryPolicy(msgspec.Struct, frozen=True):
    """When a failed call is repeated. Times are in seconds.

    The delay before retry n (from 1) is random between 0 and `base_delay` × 2^(n-1). It comes after the `retry_after`
    of the error, and for a RateLimitedError after `rate_limited_delay` at least.
    """

    #: The number of attempts, with the first one.
    max_attempts: int
    base_delay: float
    #: The time that must be left after the delay, or no retry starts.
    min_seconds_left: float
    rate_limited_delay: float = 0.0
    #: Returns a random number between two others.
    uniform: Callable[[float, float], float] = random.uniform

    def delay(self, error: ServiceError, attempt: int, remaining: float) -> float | None:
        """Return the seconds to wait before the next attempt, or None when the call must not be repeated.

        `attempt` is the number of the attempt that failed, from 1; `remaining` is the time left before the deadline.
        """
        min_delay = self.rate_limited_delay if isinstance(error, RateLimitedError) else 0.0
        if not error.is_transient or attempt >= self.max_attempts:
            return None
        delay = max(min_delay, error.retry_after) + self.uniform(0, self.base_delay * 2 ** (attempt - 1))
        return delay if remaining >= delay + self.min_seconds_left else None


def call_with_retries(
    call: Callable[[], T], policy: RetryPolicy, deadline: Deadline, *, sleep: Callable[[float], None] = time.sleep
) -> T:
    """Call, and repeat after a transient error as `policy` allows.

    Raises the last error. If the deadline has cut the last attempt off, raises the error before it, which is the cause.
    """
    attempt = 1
    previous: ServiceError | None = None
    while True:
        try:
            return call()
        except ServiceError as error:
            delay = policy.delay(error, attempt, deadline.remaining())
            if delay is None:
                raise ((previous or error) if isinstance(error, DeadlineExceededError) else error) from None
            previous = error
        sleep(delay)
        attempt += 1
