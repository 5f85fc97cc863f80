"""What requests read: fresh for its age, and used longer only while it cannot be read."""

import pytest

from chalicelib.cache import OUTAGE_SECONDS, READ_PAUSE_SECONDS, Cache
from chalicelib.context import RequestContext
from chalicelib.errors import (
    ConfigurationError,
    DeadlineExceededError,
    MerchantNotFoundError,
    ServiceError,
    StorageUnavailableError,
)
from tests.unit.fakes import Clock, make_context

MAX_AGE = 100.0


class Cached:
    """A cache over one value, which each read increases by 1, or `error`. `context` is that of the last request."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reads = 0
        self.error: ServiceError | None = None
        self.read_seconds = 0.0
        self.cache = Cache("value", self._read, MAX_AGE, self.clock)
        self.context = make_context()

    def get(self, max_age: float | None = None) -> int:
        self.context = make_context()
        return self.cache.get("key", self.context, max_age)

    def _read(self, key: str, context: RequestContext) -> int:
        assert (key, context) == ("key", self.context)
        self.reads += 1
        self.clock.now += self.read_seconds
        if self.error is not None:
            raise self.error
        return self.reads


@pytest.mark.parametrize(
    ("seconds", "max_age", "reads"),
    [(99.9, None, 1), (100, None, 2), (-1, None, 2), (9.9, 10, 1), (10, 10, 2), (0, 0, 2)],
)
def test_a_value_is_used_until_it_has_its_age(seconds: float, max_age: float | None, reads: int) -> None:
    """A negative time: the clock was set back, so the age of what is cached is unknown."""
    cached = Cached()
    cached.get()
    cached.clock.now += seconds
    assert (cached.get(max_age), cached.context.record.warnings) == (reads, [])


def test_the_age_counts_from_before_the_read() -> None:
    cached = Cached()
    cached.read_seconds = 2.0
    cached.get()
    cached.clock.now += MAX_AGE - 2.0
    assert cached.get() == 2


def test_while_storage_is_unavailable_the_former_value_is_used_and_every_ten_seconds_another_looked_for() -> None:
    cached = Cached()
    cached.get()
    cached.clock.now += MAX_AGE
    cached.error = StorageUnavailableError("timeout")
    assert cached.get() == 1
    assert cached.context.record.warnings == ["the cached value is used: timeout"]
    cached.error = None
    cached.clock.now += READ_PAUSE_SECONDS - 0.1
    assert cached.get() == cached.get(0.0) == 1
    assert cached.context.record.warnings == ["the cached value is used"], "each request that uses it says so"
    cached.clock.now += 0.1
    assert (cached.get(), cached.reads, cached.context.record.warnings) == (3, 3, [])


@pytest.mark.parametrize("idle_seconds", [MAX_AGE, 10 * OUTAGE_SECONDS])
def test_the_former_value_is_used_for_an_hour_from_the_first_failed_read(idle_seconds: float) -> None:
    cached = Cached()
    cached.get()
    cached.error = StorageUnavailableError("timeout")
    cached.clock.now += idle_seconds
    begin = cached.clock.now
    for passed in (0, 5, 1800, OUTAGE_SECONDS - 1):
        cached.clock.now = begin + passed
        assert cached.get() == 1
    cached.clock.now = begin + OUTAGE_SECONDS
    for _ in range(2):
        with pytest.raises(StorageUnavailableError):
            cached.get()
    cached.error = None
    assert cached.get() == cached.reads


def test_a_value_that_is_known_otherwise_ends_the_outage() -> None:
    cached = Cached()
    cached.get()
    cached.error = StorageUnavailableError("timeout")
    cached.clock.now += MAX_AGE
    cached.get()
    cached.cache.put("key", 7, cached.clock.now)
    assert (cached.get(), cached.context.record.warnings) == (7, [])
    cached.clock.now += OUTAGE_SECONDS + MAX_AGE
    assert cached.get() == 7


def test_without_a_value_each_failed_read_is_raised() -> None:
    cached = Cached()
    cached.error = StorageUnavailableError("timeout")
    for _ in range(2):
        with pytest.raises(StorageUnavailableError):
            cached.get()
    assert cached.reads == 2


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [(MerchantNotFoundError("7"), False), (ConfigurationError("x"), False), (DeadlineExceededError("budget"), True)],
)
def test_what_is_not_there_any_more_does_not_come_back_when_storage_fails(error: ServiceError, is_kept: bool) -> None:
    cached = Cached()
    cached.get()
    cached.clock.now += MAX_AGE
    cached.error = error
    with pytest.raises(type(error)):
        cached.get()
    cached.error = StorageUnavailableError("timeout")
    if is_kept:
        assert cached.get() == 1
    else:
        with pytest.raises(StorageUnavailableError):
            cached.get()
