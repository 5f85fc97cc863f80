"""Fetching pages: one token for all, one renewal of a refused token, and rate limits that are cached."""

from unittest.mock import Mock

import pytest

from chalicelib import errors
from chalicelib.certificates.fetching import DEFAULT_LIMIT_SECONDS, PageFetcher, RateLimitCache
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery, Selection
from chalicelib.merchants import Merchant
from chalicelib.tokens.provider import TokenProvider
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.unit.fakes import APP_ID, OPEN_ID, Clock, FakeDouyin, FakeTable, make_context, token_row

QUERY = CertificatesQuery(Selection(ACCOUNT_ID, POI_ID), OPEN_ID)
KEY = "TOKEN#tokens"
REFUSAL = errors.Evidence(2190008, 0, "20260101R")
LIMIT = errors.Evidence(2119003, 12001, "20260101L")


def refused() -> errors.TokenRefusedError:
    return errors.TokenRefusedError("2190008", evidence=REFUSAL)


class Request:
    """One request's fetcher. `valid` are the tokens that the platform accepts."""

    def __init__(self, token: str, *valid: str) -> None:
        self.table = FakeTable(**{KEY: token_row(token)})
        self.douyin = FakeDouyin()
        self.douyin.fetch = self.answer
        self.valid = valid
        self.rate_limits = RateLimitCache(Clock())
        self.tokens = TokenProvider(self.table, self.douyin, lambda *_: "s", clock=Clock())
        self.context = make_context()
        self.merchant = Merchant(ACCOUNT_ID, APP_ID, "tokens", None, None, True)

    def answer(self, page: int, token: str) -> Page:
        if token not in self.valid:
            raise refused()
        return Page([], page, None)

    def raise_(self, *errors: errors.RedemptionError) -> None:
        """Let the platform fail with these errors, one after the other."""
        self.douyin.fetch = Mock(side_effect=errors)

    def fetcher(self) -> PageFetcher:
        return PageFetcher(
            QUERY,
            self.merchant,
            self.tokens.get("tokens", self.context),
            douyin=self.douyin,
            tokens=self.tokens,
            rate_limits=self.rate_limits,
            context=self.context,
        )


def test_pages_are_fetched_with_the_merchants_token() -> None:
    request = Request("clt.row", "clt.row")
    fetcher = request.fetcher()
    assert [fetcher.fetch_page(page, 10 * page).size for page in (3, 4)] == [3, 4]
    assert request.douyin.fetches == [(3, "clt.row"), (4, "clt.row")]
    assert (request.douyin.queries, request.douyin.known_totals) == ([QUERY, QUERY], [30, 40])
    assert all(context.deadline is fetcher.deadline for context in request.douyin.contexts)
    assert request.table.reads == [KEY]


def test_a_refused_token_is_renewed_and_the_page_fetched_again() -> None:
    request = Request("clt.revoked", "clt.1")
    fetcher = request.fetcher()
    # A renewal is not aborted with the pages: a minted token that nobody stores would be lost for all instances.
    request.douyin.on_mint = fetcher.deadline.cancel
    assert [fetcher.fetch_page(page, None).size for page in (1, 2)] == [1, 2]
    assert request.douyin.fetches == [(1, "clt.revoked"), (1, "clt.1"), (2, "clt.1")]
    assert len(request.douyin.mints) == 1
    assert request.table.items[KEY]["access_token"] == {"S": "clt.1"}


def test_no_token_is_renewed_for_a_page_that_is_no_longer_needed() -> None:
    request = Request("clt.revoked")
    fetcher = request.fetcher()
    fetcher.deadline.cancel()
    with pytest.raises(errors.TokenRefusedError):
        fetcher.fetch_page(1, None)
    assert request.douyin.mints == []


def test_one_request_renews_the_token_once() -> None:
    request = Request("clt.revoked", "clt.1")
    fetcher = request.fetcher()
    fetcher.fetch_page(1, None)
    request.raise_(errors.TokenRefusedError("2190008", evidence=errors.Evidence(2, 0)))
    with pytest.raises(errors.TokenUnavailableError, match="refused again") as raised:
        fetcher.fetch_page(2, None)
    assert raised.value.evidence == errors.Evidence(2, 0)
    assert request.douyin.fetches[2:] == [(2, "clt.1")]
    assert len(request.douyin.mints) == 1


def test_a_page_uses_the_token_that_another_page_has_renewed_meanwhile() -> None:
    request = Request("clt.revoked", "clt.1")
    fetcher = request.fetcher()

    def fetch_another_page_first(page: int, token: str) -> Page:
        request.douyin.fetch = request.answer
        fetcher.fetch_page(2, None)
        return request.answer(page, token)

    request.douyin.fetch = fetch_another_page_first
    fetcher.fetch_page(1, None)
    assert request.douyin.fetches == [(1, "clt.revoked"), (2, "clt.revoked"), (2, "clt.1"), (1, "clt.1")]
    assert len(request.douyin.mints) == 1


@pytest.mark.parametrize(
    ("error", "evidence"),
    [
        (errors.AppMisconfiguredError("10013", evidence=errors.Evidence(10013, 0)), errors.Evidence(10013, 0)),
        (errors.UpstreamTimeoutError("timeout"), REFUSAL),
    ],
    ids=["of the mint", "of the refusal"],
)
def test_a_failed_renewal_is_raised_for_every_page_with_the_best_evidence(
    error: errors.RedemptionError, evidence: errors.Evidence
) -> None:
    request = Request("clt.revoked")
    fetcher = request.fetcher()
    request.douyin.mint_results = [error]
    for page in (1, 2):
        with pytest.raises(errors.TokenUnavailableError, match="minting failed") as raised:
            fetcher.fetch_page(page, None)
        assert raised.value.evidence == evidence
    assert (len(request.douyin.fetches), len(request.douyin.mints)) == (2, 1)


@pytest.mark.parametrize("refusals", [0, 1], ids=["first token", "renewed token"])
def test_a_rate_limit_is_cached_for_the_app_and_raised(refusals: int) -> None:
    request = Request("clt.row")
    limit = errors.RateLimitedError("2119003", retryable=True, retry_after=30.0)
    request.raise_(*[refused()] * refusals, limit)
    with pytest.raises(errors.RateLimitedError) as raised:
        request.fetcher().fetch_page(1, None)
    assert raised.value is limit
    with pytest.raises(errors.RateLimitedError, match="cached"):
        request.rate_limits.check(APP_ID)
    request.rate_limits.check("tokens")


def test_a_page_that_was_aborted_between_two_attempts_sets_no_limit() -> None:
    request = Request("clt.row")
    request.raise_(errors.RateLimitedError("2119003", retryable=True))
    fetcher = request.fetcher()
    fetcher.abort()
    with pytest.raises(errors.RateLimitedError):
        fetcher.fetch_page(3, None)
    request.rate_limits.check(APP_ID)


def test_another_error_is_raised_unchanged_and_not_cached() -> None:
    request = Request("clt.row")
    error = errors.UpstreamTimeoutError("timeout", retryable=True)
    request.raise_(error)
    with pytest.raises(errors.UpstreamTimeoutError) as raised:
        request.fetcher().fetch_page(1, None)
    assert raised.value is error
    assert len(request.douyin.fetches) == 1
    request.rate_limits.check(APP_ID)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, DEFAULT_LIMIT_SECONDS), (0.0, DEFAULT_LIMIT_SECONDS), (30.0, 30.0)],
)
def test_one_app_is_limited_until_the_limit_ends(retry_after: float | None, seconds: float) -> None:
    clock = Clock()
    cache = RateLimitCache(clock)
    cache.remember("tta", errors.RateLimitedError("2119003", retryable=True, evidence=LIMIT, retry_after=retry_after))
    clock.now += seconds - 0.25
    with pytest.raises(errors.RateLimitedError) as raised:
        cache.check("tta")
    assert raised.value.retry_after == pytest.approx(0.25, abs=0.001)
    assert (raised.value.reason, raised.value.evidence) == ("cached", LIMIT)
    assert not raised.value.retryable, "a retry inside this request would meet the same limit"
    cache.check("ttb")
    clock.now += 0.25
    cache.check("tta")
