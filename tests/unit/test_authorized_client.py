"""The calls with an app's token: one token for a request, replaced once; rate limits; and what is sent."""

from collections.abc import Callable

import pytest

from chalicelib import errors
from chalicelib.authorized_client import DEFAULT_RATE_LIMIT_SECONDS, AuthorizedClient
from chalicelib.douyin.endpoints import QUERY_USER_CERTIFICATES
from chalicelib.douyin.pages import Page
from chalicelib.tokens.provider import TokenProvider
from tests.unit.fakes import (
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    FixedToken,
    make_context,
    make_credentials,
    make_page,
    token_row,
)

FIRST, SECOND = errors.UpstreamCodes(2190008, 0, "20260101A"), errors.UpstreamCodes(2190008, 0, "20260101B")
MISCONFIGURED = errors.AppMisconfiguredError("10013", upstream=errors.UpstreamCodes(10013, 0))
LIMIT = errors.RateLimitedError("2119003", retry_after=30.0)


class Request:
    """One request. The row has the first token, which the platform refuses; it accepts the tokens `valid`."""

    def __init__(self, *valid: str) -> None:
        self.valid = valid
        self.table = FakeTable(**{"TOKEN#tta": token_row("clt.first")})
        self.douyin = FakeDouyin()
        self.douyin.fetch = self._answer
        self.on_answer: Callable[[], object] = lambda: None
        tokens = TokenProvider(self.table, self.douyin, make_credentials(FakeSecret({"tta": "s"})), Clock())
        self.calls = AuthorizedClient(self.douyin, tokens).for_request("tta", make_context())

    def send(self) -> Page:
        return self.calls.send(QUERY_USER_CERTIFICATES, {"page": 1})

    def sent(self) -> list[str]:
        return [token for _, token in self.douyin.fetches]

    def _answer(self, _page: int, token: str) -> Page:
        on_answer, self.on_answer = self.on_answer, lambda: None
        on_answer()
        if token not in self.valid:
            raise errors.TokenRefusedError("2190008", FIRST if len(self.douyin.fetches) == 1 else SECOND)
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
    error: errors.RedemptionError, upstream: errors.UpstreamCodes
) -> None:
    request = Request()
    request.douyin.mint_results = [error]
    with pytest.raises(errors.TokenUnavailableError, match="minting failed") as raised:
        request.send()
    assert raised.value.upstream == upstream
    with pytest.raises(errors.TokenUnavailableError, match="refused"):
        request.send()
    assert (len(request.sent()), len(request.douyin.mints)) == (2, 1)


def test_a_rate_limited_app_is_not_asked_again_by_any_request() -> None:
    douyin = FakeDouyin()
    client = AuthorizedClient(douyin, FixedToken())
    douyin.errors = {1: LIMIT}
    for app_id, reason in (("tta", "2119003"), ("tta", "cached"), ("ttb", "2119003")):
        with pytest.raises(errors.RateLimitedError) as raised:
            client.for_request(app_id, make_context()).send(QUERY_USER_CERTIFICATES, {"page": 1})
        assert raised.value.reason == reason
    assert len(douyin.fetches) == 2


@pytest.mark.parametrize("error", [errors.UpstreamTimeoutError("timeout"), errors.TokenRefusedError("2190008")])
def test_another_error_limits_nothing(error: errors.RedemptionError) -> None:
    douyin = FakeDouyin()
    client = AuthorizedClient(douyin, FixedToken())
    douyin.errors = {1: error}
    with pytest.raises(errors.RedemptionError):
        client.for_request("tta", make_context()).send(QUERY_USER_CERTIFICATES, {"page": 1})
    douyin.errors = {}
    client.for_request("tta", make_context()).send(QUERY_USER_CERTIFICATES, {"page": 1})


class TestRateLimit:
    EVIDENCE = errors.UpstreamCodes(2119003, 12001, "20260101L")

    def put(self, client: AuthorizedClient, retry_after: float) -> None:
        client.put_rate_limit("tta", errors.RateLimitedError("2119003", self.EVIDENCE, retry_after=retry_after))

    @pytest.mark.parametrize(
        ("limits", "seconds"),
        [((0.0,), DEFAULT_RATE_LIMIT_SECONDS), ((30.0,), 30.0), ((30.0, 2.0), 30.0), ((2.0, 30.0), 30.0)],
    )
    def test_an_app_is_limited_until_the_longest_limit_ends(self, limits: tuple[float, ...], seconds: float) -> None:
        clock = Clock()
        client = AuthorizedClient(FakeDouyin(), FixedToken(), clock)
        for retry_after in limits:
            self.put(client, retry_after)
        clock.now += seconds - 0.25
        with pytest.raises(errors.RateLimitedError) as raised:
            client.check_rate_limit("tta")
        assert raised.value.retry_after == pytest.approx(0.25, abs=0.001)
        assert (raised.value.reason, raised.value.upstream) == ("cached", self.EVIDENCE)
        client.check_rate_limit("ttb")
        clock.now += 0.25
        client.check_rate_limit("tta")
