"""The cache of rate limits: an app is limited for as long as the platform asks, within bounds."""

import pytest

from chalicelib.certificates.fetching import DEFAULT_SECONDS, RateLimitCache
from chalicelib.errors import Evidence, RateLimitedError
from tests.unit.fakes import Clock

EVIDENCE = Evidence(2119003, 12001, "20260101L")


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, DEFAULT_SECONDS), (0.0, DEFAULT_SECONDS), (30.0, 30.0)],
)
def test_one_app_is_limited_until_the_limit_ends(retry_after: float | None, seconds: float) -> None:
    clock = Clock()
    cache = RateLimitCache(clock)
    cache.remember("tta", RateLimitedError("2119003", retryable=True, evidence=EVIDENCE, retry_after=retry_after))
    clock.now += seconds - 0.25
    with pytest.raises(RateLimitedError) as raised:
        cache.check("tta")
    assert raised.value.retry_after == pytest.approx(0.25, abs=0.001)
    assert (raised.value.reason, raised.value.evidence) == ("cached", EVIDENCE)
    assert not raised.value.retryable, "a retry inside this request would meet the same limit"
    cache.check("ttb")
    clock.now += 0.25
    cache.check("tta")
