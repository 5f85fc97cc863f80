"""The calls with an app's token: one token for a request, replaced once."""

from collections.abc import Callable

import pytest

from chalicelib import errors
from chalicelib.authorized_calls import AuthorizedCalls
from chalicelib.douyin.calls import QUERY_USER_CERTIFICATES
from chalicelib.douyin.pages import Page
from chalicelib.tokens.source import SharedTokenSource
from tests.unit.fakes import (
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    make_context,
    make_credentials_cache,
    make_page,
    token_item,
)

FIRST, SECOND = errors.UpstreamCodes(2190008, 0, "20260101A"), errors.UpstreamCodes(2190008, 0, "20260101B")
MISCONFIGURED = errors.AppMisconfiguredError("10013", upstream=errors.UpstreamCodes(10013, 0))


class Request:
    """One request. The row has the first token, which the platform refuses; it accepts the tokens `valid`."""

    def __init__(self, *valid: str) -> None:
        self.valid = valid
        self.table = FakeTable(**{"TOKEN#tta": token_item("clt.first")})
        self.douyin = FakeDouyin()
        self.douyin.fetch = self._answer
        self.on_answer: Callable[[], object] = lambda: None
        tokens = SharedTokenSource(self.table, self.douyin, make_credentials_cache(FakeSecret({"tta": "s"})), Clock())
        self.calls = AuthorizedCalls(self.douyin, tokens, "tta", make_context())

    def send(self) -> Page:
        return self.calls.send(QUERY_USER_CERTIFICATES, {"page": 1})

    def sent(self) -> list[str]:
        return [headers["access-token"] for _, headers in self.douyin.queries]

    def _answer(self, _page: int, token: str) -> Page:
        on_answer, self.on_answer = self.on_answer, lambda: None
        on_answer()
        if token not in self.valid:
            raise errors.TokenRefusedError("2190008", FIRST if len(self.douyin.queries) == 1 else SECOND)
        return make_page([token])


def test_a_refused_token_is_replaced_for_all_calls() -> None:
    request = Request("clt.1")
    for _ in range(2):
        request.send()
    assert (request.sent(), len(request.douyin.mints)) == (["clt.first", "clt.1", "clt.1"], 1)


def test_it_is_replaced_once() -> None:
    request = Request()
    with pytest.raises(errors.TokenUnavailableError, match="refused; a request") as raised:
        request.send()
    assert raised.value.upstream == SECOND
    assert (request.sent(), len(request.douyin.mints)) == (["clt.first", "clt.1"], 1)


def test_a_call_uses_the_token_that_another_call_has_replaced_meanwhile() -> None:
    request = Request("clt.1")
    request.on_answer = request.send
    request.send()
    assert (request.sent(), len(request.douyin.mints)) == (["clt.first", "clt.first", "clt.1", "clt.1"], 1)


@pytest.mark.parametrize(
    ("error", "upstream"),
    [(MISCONFIGURED, MISCONFIGURED.upstream), (errors.DeadlineExceededError("timeout"), FIRST)],
    ids=["of the mint", "of the refusal"],
)
def test_a_replacement_that_failed_is_raised_with_the_best_codes_and_not_repeated(
    error: errors.ServiceError, upstream: errors.UpstreamCodes
) -> None:
    request = Request()
    request.douyin.mint_results = [error]
    with pytest.raises(errors.TokenUnavailableError, match="minting failed") as raised:
        request.send()
    assert raised.value.upstream == upstream
    with pytest.raises(errors.TokenUnavailableError, match="refused"):
        request.send()
    assert (len(request.sent()), len(request.douyin.mints)) == (2, 1)
