"""The cache of rate limits: each app has its own, and it ends."""

import pytest

from chalicelib import errors
from chalicelib.rate_limits import DEFAULT_LIMIT_SECONDS, RateLimitCache
from tests.unit.fakes import Clock

LIMIT = errors.Evidence(2119003, 12001, "20260101L")


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(0.0, DEFAULT_LIMIT_SECONDS), (30.0, 30.0)],
)
def test_one_app_is_limited_until_the_limit_ends(retry_after: float, seconds: float) -> None:
    clock = Clock()
    cache = RateLimitCache(clock)
    cache.put("tta", errors.RateLimitedError("2119003", evidence=LIMIT, retry_after=retry_after))
    clock.now += seconds - 0.25
    with pytest.raises(errors.RateLimitedError) as raised:
        cache.check("tta")
    assert raised.value.retry_after == pytest.approx(0.25, abs=0.001)
    assert (raised.value.reason, raised.value.evidence) == ("cached", LIMIT)
    cache.check("ttb")
    clock.now += 0.25
    cache.check("tta")


@pytest.mark.parametrize(("first", "second", "ends_after"), [(30.0, 2.0, 30.0), (2.0, 30.0, 30.0)])
def test_a_limit_never_shortens_another_one(first: float, second: float, ends_after: float) -> None:
    clock = Clock()
    cache = RateLimitCache(clock)
    for retry_after in (first, second):
        cache.put("tta", errors.RateLimitedError("2119003", evidence=LIMIT, retry_after=retry_after))
    clock.now += ends_after - 0.1
    with pytest.raises(errors.RateLimitedError):
        cache.check("tta")
    clock.now += 0.1
    cache.check("tta")
