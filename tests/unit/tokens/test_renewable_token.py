"""The token of one request: renewed once, for all its calls."""

import pytest

from chalicelib import errors
from chalicelib.tokens.provider import TokenProvider
from tests.unit.fakes import Clock, FakeDouyin, FakeTable, make_context, token_row

FIRST, SECOND = errors.Evidence(2190008, 0, "20260101A"), errors.Evidence(2190008, 0, "20260101B")
MISCONFIGURED = errors.AppMisconfiguredError("10013", evidence=errors.Evidence(10013, 0))


def refuse(evidence: errors.Evidence) -> errors.TokenRefusedError:
    return errors.TokenRefusedError("2190008", evidence=evidence)


class Request:
    """One request. The row has the first token, which the platform refuses; it accepts the tokens `valid`."""

    def __init__(self, *valid: str) -> None:
        self.valid = valid
        self.table = FakeTable(**{"TOKEN#tta": token_row("clt.first")})
        self.douyin = FakeDouyin()
        self.sent: list[str] = []
        tokens = TokenProvider(self.table, self.douyin, lambda *_: "s", clock=Clock())
        self.token = tokens.get_renewable("tta", make_context())

    def call(self, token: str) -> str:
        self.sent.append(token)
        if token not in self.valid:
            raise refuse(FIRST if len(self.sent) == 1 else SECOND)
        return f"with {token}"


def test_a_refused_token_is_replaced_for_all_calls() -> None:
    request = Request("clt.1")
    assert [request.token.use(request.call) for _ in range(2)] == ["with clt.1"] * 2
    assert (request.sent, len(request.douyin.mints)) == (["clt.first", "clt.1", "clt.1"], 1)


def test_it_is_replaced_once() -> None:
    request = Request()
    with pytest.raises(errors.TokenUnavailableError, match="refused; a request") as raised:
        request.token.use(request.call)
    assert raised.value.evidence == SECOND
    assert (request.sent, len(request.douyin.mints)) == (["clt.first", "clt.1"], 1)


def test_a_call_uses_the_token_that_another_call_has_replaced_meanwhile() -> None:
    request = Request("clt.1")

    def begin_before_another(token: str) -> str:
        if not request.sent:
            request.token.use(request.call)
        return request.call(token)

    assert request.token.use(begin_before_another) == "with clt.1"
    assert (request.sent, len(request.douyin.mints)) == (["clt.first", "clt.1", "clt.first", "clt.1"], 1)


@pytest.mark.parametrize(
    ("error", "evidence"),
    [(MISCONFIGURED, MISCONFIGURED.evidence), (errors.DeadlineExceededError("timeout"), FIRST)],
    ids=["of the mint", "of the refusal"],
)
def test_a_replacement_that_failed_is_raised_with_the_best_evidence_and_not_repeated(
    error: errors.RedemptionError, evidence: errors.Evidence
) -> None:
    request = Request()
    request.douyin.mint_results = [error]
    with pytest.raises(errors.TokenUnavailableError, match="minting failed") as raised:
        request.token.use(request.call)
    assert raised.value.evidence == evidence
    with pytest.raises(errors.TokenUnavailableError, match="refused"):
        request.token.use(request.call)
    assert (len(request.sent), len(request.douyin.mints)) == (2, 1)
