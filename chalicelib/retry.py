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

    The delay before retry n (from 1) is the error's `retry_after` plus a random time between 0 and
    `base_delay` × 2^(n-1). For a RateLimitedError, `rate_limited_delay` replaces a shorter `retry_after`.
    """

    #: The number of attempts, including the first one.
    max_attempts: int
    base_delay: float
    #: If less time is left after the delay, no retry starts.
    min_seconds_left: float
    rate_limited_delay: float = 0.0
    #: Returns a random number between its two arguments.
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
    """Return the result of `call`. Repeat it after a transient error as `policy` allows.

    Raises the last error. But if the deadline has ended a retry, raises the error of the attempt before it: this error
    was the reason for the retry, and says more about the cause.
    """
    attempt = 1
    previous: ServiceError | None = None
    while True:
        try:
            return call()
        except ServiceError as error:
            delay = policy.delay(error, attempt, deadline.remaining())
            if delay is None:
                if previous is not None and isinstance(error, DeadlineExceededError):
                    raise previous from None
                raise
            previous = error
        sleep(delay)
        attempt += 1
