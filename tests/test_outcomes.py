"""Every row of the platform's error table, at every place a code can stand, comes out as the contract says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from chalicelib import codes, errors, problems
from sandbox.faults import PLACES
from sandbox.stack import free_port
from tests.conftest import APP
from tests.test_contract import assert_problem

if TYPE_CHECKING:
    from tests.conftest import Api, Aws, Platform

# The contract's table, by problem code.
OUTCOMES: dict[str, tuple[int, set[int]]] = {
    "merchant_not_authorized": (403, {2119005}),
    "rate_limited": (429, {2119003, 28003018}),
    "upstream_rejected": (502, {2100005, 2119001, 28001007, 10000, 4000001, 4000002, 3000001}),
    "upstream_unavailable": (503, {2100001, 2100004, 2119002, 28001005, 28001006, 13000, 5000001}),
    "token_unavailable": (503, {2190002, 2190008, 28001003, 28001008}),
    "app_not_permitted": (503, {2190004, 28001014, 28001016, 28001018, 28001019}),
    "quota_exhausted": (503, {28003017}),
}
SUB_CODES = {"merchant_not_authorized": 11006, "rate_limited": 12001, "token_unavailable": 11002}
RETRIED = {"rate_limited", "upstream_unavailable"}

CASES = [(code, problem, status) for problem, (status, found) in OUTCOMES.items() for code in sorted(found)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without the waiting between them."""
    monkeypatch.setattr("chalicelib.upstream.FIRST_WAIT_SECONDS", 0.0)


def test_the_table_has_every_code_of_the_contract_and_no_other() -> None:
    told = {code for _, found in OUTCOMES.values() for code in found}
    assert set(codes.CERTIFICATES) == told
    assert {row.code for row in codes.SUB_CODES} == set(SUB_CODES.values())
    assert len(codes.DOCUMENTED) == 28


def test_a_code_that_stands_twice_means_the_same_twice() -> None:
    for row in codes.DOCUMENTED:
        assert codes.CERTIFICATES[row.code] == row.treatment


def test_every_error_of_the_family_has_a_problem() -> None:
    def leaves(error: type[Exception]) -> list[type[Exception]]:
        return [leaf for child in error.__subclasses__() for leaf in leaves(child)] or [error]

    assert set(leaves(errors.RedemptionError)) == set(problems.KINDS)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("code", "problem", "status"), CASES)
def test_a_code_decides_wherever_it_stands(
    api: Api, platform: Platform, code: int, problem: str, status: int, place: str
) -> None:
    api.login()
    platform.fail("code", code=code, place=place)
    answer = api.list()
    body = assert_problem(answer, status, problem)
    evidence = body["upstream"]
    assert (evidence["sub_error_code"] if place == "extra.sub_error_code" else evidence["error_code"]) == code
    assert evidence["logid"].startswith("20")
    calls = len(platform.calls("query_user_certificates"))
    # A token refused anew after its one renewal ends the request.
    assert calls == (4 if problem in RETRIED else 2 if problem == "token_unavailable" else 1)
    if problem in {"rate_limited", "upstream_unavailable"}:
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("problem", "code"), SUB_CODES.items())
def test_a_sub_code_says_more_than_the_code_above_it(api: Api, platform: Platform, problem: str, code: int) -> None:
    api.login()
    platform.fail("sub", code=2100004, sub_code=code)
    assert_problem(api.list(), OUTCOMES[problem][0], problem)


def test_an_unknown_code_is_unavailable_and_not_retried(api: Api, platform: Platform) -> None:
    api.login()
    platform.fail("code", code=987654321)
    assert_problem(api.list(), 503, "upstream_unavailable")
    assert len(platform.calls("query_user_certificates")) == 1


@pytest.mark.usefixtures("impatient")
def test_a_passing_failure_passes(api: Api, platform: Platform) -> None:
    api.login()
    platform.fail("code", code=2100004, times=3)
    assert api.list().status == 200
    assert len(platform.calls("query_user_certificates")) == 4


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_http_5xx_is_unavailable(api: Api, platform: Platform, status: int) -> None:
    api.login()
    platform.fail("http", status=status, body="<html>bad gateway</html>")
    body = assert_problem(api.list(), 503, "upstream_unavailable")
    assert "upstream" not in body
    assert len(platform.calls("query_user_certificates")) == 4


def test_http_429_is_rate_limited_and_its_wish_is_told(api: Api, platform: Platform) -> None:
    api.login()
    platform.fail("http", status=429, headers={"Retry-After": "30"})
    answer = api.list()
    assert_problem(answer, 429, "rate_limited")
    assert answer.headers["retry-after"] == "30"


@pytest.mark.parametrize("status", [301, 302, 400, 403, 404])
def test_other_statuses_are_unavailable_and_no_redirect_is_followed(api: Api, platform: Platform, status: int) -> None:
    api.login()
    platform.fail("http", status=status, headers={"Location": f"{platform.url}/_sandbox/calls"})
    assert_problem(api.list(), 503, "upstream_unavailable")
    assert len(platform.calls("query_user_certificates")) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "[]",
        "null",
        "0",
        "{}",
        '{"data":{}}',
        '{"data":{"orders":[],"total":0}}',
        '{"extra":{"error_code":0}}',
        '{"data":null,"extra":null}',
        '{"data":{"orders":null},"extra":{}}',
        '{"data":{"orders":{}},"extra":{}}',
        '{"data":{"orders":"none"},"extra":{}}',
        '{"data":{"orders":[]},"extra":[]}',
        '{"data":[],"extra":{}}',
        '{"data":{"orders":[],"total":NaN},"extra":{}}',
        '{"data":{"orders":[' + "[" * 100_000,
        '{"data":{"orders":[]},"extra":{"error_code":"many"}}',
    ],
)
def test_an_answer_that_is_none_is_malformed_and_never_an_empty_list(api: Api, platform: Platform, body: str) -> None:
    api.login()
    platform.fail("body", body=body)
    assert_problem(api.list(), 502, "upstream_malformed")
    assert len(platform.calls("query_user_certificates")) == 4


@pytest.mark.parametrize(
    "body",
    [
        '{"data":"","extra":{"error_code":2119005}}',
        '{"data":null,"extra":{"error_code":"2119005"}}',
        '{"data":{"error_code":2119005},"extra":7}',
        '{"err_no":2119005,"err_msg":"x","log_id":"2026"}',
        '{"data":{"orders":[],"error_code":0},"extra":{"error_code":0,"sub_error_code":2119005}}',
    ],
)
def test_a_code_is_read_though_the_rest_is_not_as_documented(api: Api, platform: Platform, body: str) -> None:
    api.login()
    platform.fail("body", body=body)
    assert_problem(api.list(), 403, "merchant_not_authorized")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_broken_connection_is_unavailable(api: Api, platform: Platform, kind: str) -> None:
    api.login()
    platform.fail(kind)
    assert_problem(api.list(), 503, "upstream_unavailable")
    assert len(platform.calls("query_user_certificates")) == 4


@pytest.mark.usefixtures("impatient")
def test_a_refused_connection_is_unavailable(api: Api, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUYIN_OPEN_API", f"http://127.0.0.1:{free_port()}")
    aws.put(f"TOKEN#{APP}", access_token="clt.live", expires_at=int(time.time()) + 3600)
    api.login()
    assert_problem(api.list(), 503, "upstream_unavailable")


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_an_answer_that_does_not_end_is_cut(api: Api, platform: Platform, kind: str) -> None:
    api.login()
    platform.fail(kind, seconds=0.05)
    assert_problem(api.list(milliseconds=1500), 504, "upstream_timeout")


def test_a_spent_budget_is_a_timeout(api: Api) -> None:
    api.login()
    api.list()
    assert_problem(api.list(milliseconds=100), 504, "upstream_timeout")


def test_an_answer_without_end_is_not_read_to_it(api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    api.login()
    monkeypatch.setattr("chalicelib.upstream.MAX_PAGE_BYTES", 1000)
    platform.fail("body", body="[" + "0," * 1000)
    assert_problem(api.list(), 502, "upstream_malformed")
    assert len(platform.calls("query_user_certificates")) == 1


@pytest.mark.parametrize("kind", ["close", "delay"])
def test_a_connection_that_was_closed_meanwhile_costs_nothing(api: Api, platform: Platform, kind: str) -> None:
    api.login()
    platform.fail(kind, seconds=0.01)
    assert api.list().status == 200
    assert api.list().status == 200
    assert len(platform.calls("query_user_certificates")) == 2


class TestLogin:
    def test_a_busy_platform_is_unavailable_and_the_code_is_not_sent_again(self, api: Api, platform: Platform) -> None:
        platform.fail("code", "jscode2session", code=-1)
        assert_problem(api.login(), 503, "upstream_unavailable")
        assert len(platform.calls("jscode2session")) == 1

    def test_garbage_is_malformed(self, api: Api, platform: Platform) -> None:
        platform.fail("body", "jscode2session", body="<html>")
        assert_problem(api.login(), 502, "upstream_malformed")

    def test_no_answer_is_a_timeout(self, api: Api, platform: Platform) -> None:
        platform.fail("hang", "jscode2session")
        code = platform.server.platform.issue_code("ttsandbox00000000a1", "lin")
        body = f'{{"app_id":"ttsandbox00000000a1","code":"{code}"}}'
        assert_problem(api.call("POST", "/v1/sessions", body, milliseconds=1000), 504, "upstream_timeout")
