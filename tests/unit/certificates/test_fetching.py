"""Fetching pages: one token for all."""

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
            self.tokens.get_request_token("tokens", self.context),
            self.douyin,
            self.context.cancellable(),
        )


def test_pages_are_fetched_with_the_merchants_token() -> None:
    request = Request("clt.row", "clt.row")
    fetcher = request.fetcher()
    assert [fetcher.fetch_page(page).size for page in (3, 4)] == [3, 4]
    assert request.douyin.fetches == [(3, "clt.row"), (4, "clt.row")]
    assert request.douyin.queries == [QUERY, QUERY]
    assert all(context.deadline is fetcher.context.deadline for context in request.douyin.contexts)
    assert request.table.reads == [KEY]


def test_a_refused_token_is_renewed_and_the_page_fetched_again() -> None:
    request = Request("clt.revoked", "clt.1")
    fetcher = request.fetcher()
    # A renewal is not aborted with the pages: a minted token that nobody stores would be lost for all instances.
    request.douyin.on_mint = fetcher.context.deadline.cancel
    assert [fetcher.fetch_page(page).size for page in (1, 2)] == [1, 2]
    assert request.douyin.fetches == [(1, "clt.revoked"), (1, "clt.1"), (2, "clt.1")]
    assert len(request.douyin.mints) == 1
    assert request.table.items[KEY]["access_token"] == {"S": "clt.1"}


def test_no_token_is_renewed_for_a_page_that_is_no_longer_needed() -> None:
    request = Request("clt.revoked")
    fetcher = request.fetcher()
    fetcher.abort()
    with pytest.raises(errors.TokenUnavailableError):
        fetcher.fetch_page(1)
    assert request.douyin.mints == []


@pytest.mark.parametrize("refusals", [0, 1], ids=["first token", "renewed token"])
def test_another_error_is_raised_unchanged(refusals: int) -> None:
    request = Request("clt.row")
    error = errors.RateLimitedError("2119003", retryable=True, retry_after=30.0)
    request.raise_(*[refused()] * refusals, error)
    with pytest.raises(errors.RateLimitedError) as raised:
        request.fetcher().fetch_page(1)
    assert raised.value is error
    assert len(request.douyin.fetches) == 1 + refusals
