"""The retry policy as a table, and the loop around a call."""

from __future__ import annotations

import random
from typing import NamedTuple

import msgspec
import pytest

from chalicelib.context import Deadline
from chalicelib.errors import (
    RateLimitedError,
    RedemptionError,
    UpstreamRejectedError,
    UpstreamUnavailableError,
)
from chalicelib.retry import RetryPolicy, call_with_retries
from tests.unit.fakes import Clock

POLICY = RetryPolicy(max_attempts=4, base_delay=0.1, max_delay=1.0, min_seconds=0.3, rate_limited_delay=0.5)
PATIENT = msgspec.structs.replace(POLICY, max_attempts=10)
WITHOUT_RATE_LIMITS = msgspec.structs.replace(POLICY, rate_limited_delay=None)

BUSY = UpstreamUnavailableError("2100004", retryable=True)
LIMITED = RateLimitedError("2119003", retryable=True)


def limited(retry_after: float) -> RateLimitedError:
    return RateLimitedError("http_429", retryable=True, retry_after=retry_after)


def busy(retry_after: float) -> UpstreamUnavailableError:
    return UpstreamUnavailableError("http_503", retryable=True, retry_after=retry_after)


class Row(NamedTuple):
    """`shortest` and `longest` are the delay for the least and the greatest random number; None for no retry."""

    name: str
    policy: RetryPolicy
    error: RedemptionError
    attempt: int
    remaining: float
    shortest: float | None
    longest: float | None


ROWS = [
    Row("first retry", POLICY, BUSY, 1, 9.0, 0.0, 0.1),
    Row("third retry", POLICY, BUSY, 3, 9.0, 0.0, 0.4),
    Row("attempts used up", POLICY, BUSY, 4, 9.0, None, None),
    Row("limit of the delay", PATIENT, BUSY, 5, 9.0, 0.0, 1.0),
    Row("rejected", POLICY, UpstreamRejectedError("2100005"), 1, 9.0, None, None),
    Row("rate limited, first retry", POLICY, LIMITED, 1, 9.0, 0.0, 0.5),
    Row("rate limited, limit of the delay", POLICY, LIMITED, 3, 9.0, 0.0, 1.0),
    Row("rate limits are not retried", WITHOUT_RATE_LIMITS, LIMITED, 1, 9.0, None, None),
    Row("Retry-After is the least delay", POLICY, limited(0.2), 1, 9.0, 0.2, 0.5),
    Row("Retry-After exceeds the limit of the delay", POLICY, limited(2.0), 1, 9.0, 2.0, 2.0),
    Row("Retry-After ends with just enough time", POLICY, limited(2.0), 1, 2.3, 2.0, 2.0),
    Row("Retry-After ends a moment too late", POLICY, limited(2.0), 1, 2.29, None, None),
    Row("just enough time for the longest delay", POLICY, BUSY, 1, 0.4, 0.0, 0.1),
    Row("enough time for a short delay only", POLICY, BUSY, 1, 0.35, 0.0, None),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_delay_before_the_next_attempt(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, _: low)
    shortest = row.policy.delay(row.error, row.attempt, row.remaining)
    monkeypatch.setattr(random, "uniform", lambda _, high: high)
    longest = row.policy.delay(row.error, row.attempt, row.remaining)
    assert (shortest, longest) == (row.shortest, row.longest)


def test_the_delay_is_random() -> None:
    delays = [POLICY.delay(BUSY, 1, 9.0) for _ in range(100)]
    assert len(set(delays)) > 50
    assert all(delay is not None and 0 <= delay <= 0.1 for delay in delays)


class Attempts:
    """A call that raises the given errors, one per attempt, and then returns "done"."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def run(call: Attempts, clock: Clock, policy: RetryPolicy = POLICY, seconds: float = 9.0) -> str:
    return call_with_retries(call, policy, Deadline(seconds, clock), sleep=clock.sleep)


def test_a_call_is_repeated_until_it_succeeds() -> None:
    call, clock = Attempts(busy(0.2), busy(0.3), busy(0.5)), Clock()
    assert run(call, clock) == "done"
    assert (call.count, clock.sleeps) == (4, [0.2, 0.3, 0.5])


def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    errors = [busy(0.2), busy(0.2), busy(0.2), UpstreamUnavailableError("last", retryable=True), busy(0.2)]
    call, clock = Attempts(*errors), Clock()
    with pytest.raises(UpstreamUnavailableError, match="last"):
        run(call, clock)
    assert (call.count, len(clock.sleeps)) == (4, 3)


@pytest.mark.parametrize("error", [UpstreamRejectedError("2100005"), ZeroDivisionError("x")])
def test_an_error_that_is_not_retryable_ends_the_loop(error: Exception) -> None:
    call, clock = Attempts(busy(0.2), error), Clock()
    with pytest.raises(type(error)) as raised:
        run(call, clock)
    assert raised.value is error
    assert (call.count, clock.sleeps) == (2, [0.2])


def test_no_attempt_starts_when_too_little_time_is_left() -> None:
    """Each delay is 0.4 s and each retry needs 0.3 s: with 1 s there is time for one retry."""
    call, clock = Attempts(busy(0.4), busy(0.4), busy(0.4)), Clock()
    with pytest.raises(UpstreamUnavailableError):
        run(call, clock, seconds=1.0)
    assert (call.count, clock.sleeps) == (2, [0.4])


def test_before_retry_runs_after_the_delay_and_before_each_retry() -> None:
    events: list[str] = []
    errors = iter([busy(0.2), busy(0.2)])

    def call() -> str:
        events.append("call")
        error = next(errors, None)
        if error is not None:
            raise error
        return "done"

    result = call_with_retries(
        call,
        POLICY,
        Deadline(9.0, Clock()),
        before_retry=lambda: events.append("before"),
        sleep=lambda _: events.append("sleep"),
    )
    assert result == "done"
    assert events == ["call", "sleep", "before", "call", "sleep", "before", "call"]


def test_a_retryable_error_of_before_retry_ends_the_loop() -> None:
    call, clock = Attempts(busy(0.2), busy(0.2)), Clock()

    def before_retry() -> None:
        raise UpstreamUnavailableError("renewal", retryable=True)

    with pytest.raises(UpstreamUnavailableError, match="renewal"):
        call_with_retries(call, POLICY, Deadline(9.0, clock), before_retry=before_retry, sleep=clock.sleep)
    assert call.count == 1
