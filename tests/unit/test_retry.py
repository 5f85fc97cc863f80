"""The retry policy as a table, and the loop around a call."""

from typing import NamedTuple
from unittest.mock import Mock

import msgspec
import pytest

from chalicelib.context import Deadline
from chalicelib.errors import (
    DeadlineExceededError,
    RateLimitedError,
    ServiceError,
    UpstreamRejectedError,
    UpstreamUnavailableError,
)
from chalicelib.retry import RetryPolicy, call_with_retries
from tests.unit.fakes import Clock

POLICY = RetryPolicy(max_attempts=4, base_delay=0.1, min_seconds_left=0.3, rate_limited_delay=1.0)
WITHOUT_JITTER = msgspec.structs.replace(POLICY, base_delay=0.0)

BUSY = UpstreamUnavailableError("2100004")
LIMITED = RateLimitedError("2119003")


def limited(retry_after: float) -> RateLimitedError:
    return RateLimitedError("http_429", retry_after=retry_after)


def busy(retry_after: float) -> UpstreamUnavailableError:
    return UpstreamUnavailableError("http_503", retry_after=retry_after)


class Row(NamedTuple):
    """`shortest` and `longest` are the delay for the least and the greatest random number; None for no retry."""

    name: str
    error: ServiceError
    shortest: float | None
    longest: float | None
    attempt: int = 1
    remaining: float = 9.0


ROWS = [
    Row("first retry", BUSY, 0.0, 0.1),
    Row("third retry", BUSY, 0.0, 0.4, attempt=3),
    Row("attempts used up", BUSY, None, None, attempt=4),
    Row("rejected", UpstreamRejectedError("2100005"), None, None),
    Row("rate limited: not in the same second", LIMITED, 1.0, 1.1),
    Row("rate limited, third retry", LIMITED, 1.0, 1.4, attempt=3),
    Row("Retry-After is the least delay", limited(2.0), 2.0, 2.1),
    Row("a short Retry-After of a rate limit", limited(0.2), 1.0, 1.1),
    Row("just enough time after Retry-After", busy(2.0), 2.0, 2.1, remaining=2.4),
    Row("Retry-After ends a moment too late", busy(2.0), None, None, remaining=2.29),
    Row("just enough time for the longest delay", BUSY, 0.0, 0.1, remaining=0.4),
    Row("enough time for a short delay only", BUSY, 0.0, None, remaining=0.35),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_delay_before_the_next_attempt(row: Row) -> None:
    least = msgspec.structs.replace(POLICY, uniform=lambda low, _: low)
    greatest = msgspec.structs.replace(POLICY, uniform=lambda _, high: high)
    shortest = least.delay(row.error, row.attempt, row.remaining)
    longest = greatest.delay(row.error, row.attempt, row.remaining)
    assert (shortest, longest) == (row.shortest, row.longest)


@pytest.mark.parametrize(
    ("errors", "seconds", "sleeps"),
    [
        # Repeated until the call succeeds, until the attempts are used up, or until an error of another kind.
        ([busy(0.2), busy(0.3), busy(0.5)], 9.0, [0.2, 0.3, 0.5]),
        ([busy(0.2), busy(0.3), busy(0.5), busy(0.7)], 9.0, [0.2, 0.3, 0.5]),
        ([busy(0.2), ZeroDivisionError("x")], 9.0, [0.2]),
        # Each delay is 0.4 s and each retry needs 0.3 s: with 1 s there is time for one retry.
        ([busy(0.4), busy(0.4)], 1.0, [0.4]),
    ],
)
def test_a_call_is_repeated_after_a_delay_and_the_last_error_raised(
    errors: list[Exception], seconds: float, sleeps: list[float]
) -> None:
    clock, call = Clock(), Mock(side_effect=[*errors, "done"])
    deadline = Deadline(seconds, clock)
    if len(errors) == len(sleeps):
        assert call_with_retries(call, WITHOUT_JITTER, deadline, sleep=clock.sleep) == "done"
    else:
        with pytest.raises(type(errors[-1])) as raised:
            call_with_retries(call, WITHOUT_JITTER, deadline, sleep=clock.sleep)
        assert raised.value is errors[-1]
    assert (call.call_count, clock.sleeps) == (len(sleeps) + 1, sleeps)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([busy(0.0), DeadlineExceededError("cut off")], "http_503"),
        # The attempt has ended before the deadline: this is what it found out.
        ([busy(0.0), UpstreamRejectedError("2100005")], "2100005"),
        ([DeadlineExceededError("cut off")], "cut off"),
    ],
)
def test_an_attempt_that_the_deadline_has_cut_off_does_not_hide_the_cause(
    errors: list[ServiceError], expected: str
) -> None:
    with pytest.raises(ServiceError, match=expected):
        call_with_retries(Mock(side_effect=errors), POLICY, Deadline(5.0, Clock()), sleep=Mock())
