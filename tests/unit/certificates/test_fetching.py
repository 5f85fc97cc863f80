"""Fetching pages: one token for all, and one renewal of a refused token."""

from unittest.mock import Mock

import pytest

from chalicelib import errors
from chalicelib.certificates.fetching import PageFetcher
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery, Selection
from chalicelib.tokens.provider import TokenProvider
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.unit.fakes import OPEN_ID, Clock, FakeDouyin, FakeTable, make_context, token_row

QUERY = CertificatesQuery(Selection(ACCOUNT_ID, POI_ID), OPEN_ID)
KEY = "TOKEN#tokens"
REFUSAL = errors.Evidence(2190008, 0, "20260101R")


def refused() -> errors.TokenRefusedError:
    return errors.TokenRefusedError("2190008", evidence=REFUSAL)


class Request:
    """One request's fetcher. `valid` are the tokens that the platform accepts."""

    def __init__(self, token: str, *valid: str) -> None:
        self.table = FakeTable(**{KEY: token_row(token)})
        self.douyin = FakeDouyin()
        self.douyin.fetch = self.answer
        self.valid = valid
        self.tokens = TokenProvider(self.table, self.douyin, lambda *_: "s", clock=Clock())
        self.context = make_context()

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
            "tokens",
            self.tokens.get("tokens", self.context),
            douyin=self.douyin,
            tokens=self.tokens,
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
def test_another_error_is_raised_unchanged(refusals: int) -> None:
    request = Request("clt.row")
    error = errors.RateLimitedError("2119003", retryable=True, retry_after=30.0)
    request.raise_(*[refused()] * refusals, error)
    with pytest.raises(errors.RateLimitedError) as raised:
        request.fetcher().fetch_page(1, None)
    assert raised.value is error
    assert len(request.douyin.fetches) == 1 + refusals
