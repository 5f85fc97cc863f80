"""The cache: entries expire, and the least recently used one is evicted."""

import time

import pytest

from chalicelib.cache import TtlCache
from tests.unit.fakes import Clock


@pytest.mark.parametrize(("seconds", "expected"), [(9.99, "v"), (10, None), (-0.01, None)])
def test_an_entry_is_there_until_it_expires_or_the_clock_is_set_back(seconds: float, expected: str | None) -> None:
    clock = Clock()
    cache: TtlCache[str] = TtlCache(2, clock)
    cache.put("k", "replaced", 1)
    cache.put("k", "v", 10)
    clock.now += seconds
    assert cache.get("k") == expected
    # An expired entry is removed, and does not come back with the time.
    clock.now -= seconds
    assert cache.get("k") == expected


@pytest.mark.parametrize(
    ("operations", "left"),
    [
        ([("put", "a"), ("put", "b"), ("put", "c")], {"b", "c"}),
        ([("put", "a"), ("put", "b"), ("get", "a"), ("put", "c")], {"a", "c"}),
        ([("put", "a"), ("put", "b"), ("put", "a"), ("put", "c")], {"a", "c"}),
    ],
)
def test_the_least_recently_used_entry_is_evicted(operations: list[tuple[str, str]], left: set[str]) -> None:
    cache: TtlCache[str] = TtlCache(2, Clock())
    for operation, key in operations:
        if operation == "put":
            cache.put(key, key, 10)
        else:
            cache.get(key)
    assert {key for key in ("a", "b", "c") if cache.get(key) == key} == left


def test_expiry_is_in_wall_clock_time_by_default() -> None:
    """The monotonic clock may stand still while Lambda has frozen the instance."""
    cache: TtlCache[str] = TtlCache(2)
    cache.put("past", "v", 60, time.time() - 61)
    cache.put("future", "v", 60)
    assert (cache.get("past"), cache.get("future")) == (None, "v")
