"""The problem response of each platform error: every code in every place, HTTP errors, unreadable responses."""

from __future__ import annotations

import json

import pytest

from chalicelib import errors
from chalicelib.api import problems
from chalicelib.douyin import codes
from sandbox.faults import PLACES
from sandbox.sample_data import APP_ID
from sandbox.stack import free_port
from tests.harness import FAST_RETRIES, TOKEN_ROW, Api, Aws, Platform, assert_problem, in_seconds

# The contract's table: problem code to status and platform codes.
PROBLEMS: dict[str, tuple[int, set[int]]] = {
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

CASES = [(code, problem, status) for problem, (status, known) in PROBLEMS.items() for code in sorted(known)]


@pytest.fixture
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without delays."""
    monkeypatch.setattr("chalicelib.douyin.client.RETRY_POLICY", FAST_RETRIES)


def test_the_mapping_has_exactly_the_codes_of_the_contract() -> None:
    assert set(codes.CERTIFICATES) == {code for _, known in PROBLEMS.values() for code in known}
    assert {row.code for row in codes.SUB_CODES} == set(SUB_CODES.values())
    assert len(codes.CERTIFICATE_CODES) == 28


def test_a_code_with_two_rows_has_the_same_mapping_in_both() -> None:
    for row in codes.CERTIFICATE_CODES:
        assert codes.CERTIFICATES[row.code] == row.mapping


def test_every_error_class_has_a_problem_type() -> None:
    def leaves(error: type[Exception]) -> list[type[Exception]]:
        return [leaf for child in error.__subclasses__() for leaf in leaves(child)] or [error]

    assert set(leaves(errors.RedemptionError)) == set(problems.ERROR_PROBLEMS)


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("code", "problem", "status"), CASES)
def test_a_code_has_the_same_problem_in_every_place(
    api: Api, platform: Platform, code: int, problem: str, status: int, place: str
) -> None:
    api.login()
    platform.fail("code", code=code, place=place)
    response = api.list()
    body = assert_problem(response, status, problem)
    evidence = body["upstream"]
    assert (evidence["sub_error_code"] if place == "extra.sub_error_code" else evidence["error_code"]) == code
    assert evidence["logid"].startswith("20")
    calls = len(platform.calls("query_user_certificates"))
    # A request replaces a refused token once.
    assert calls == (4 if problem in RETRIED else 2 if problem == "token_unavailable" else 1)
    if problem in {"rate_limited", "upstream_unavailable"}:
        assert int(response.headers["retry-after"]) >= 1


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize(("problem", "code"), SUB_CODES.items())
def test_a_sub_code_has_precedence_over_the_code(api: Api, platform: Platform, problem: str, code: int) -> None:
    api.login()
    platform.fail("sub", code=2100004, sub_code=code)
    assert_problem(api.list(), PROBLEMS[problem][0], problem)


def test_an_unknown_code_is_unavailable_and_not_retried(api: Api, platform: Platform) -> None:
    api.login()
    platform.fail("code", code=987654321)
    assert_problem(api.list(), 503, "upstream_unavailable")
    assert len(platform.calls("query_user_certificates")) == 1


@pytest.mark.usefixtures("fast_retries")
def test_a_transient_error_is_retried(api: Api, platform: Platform) -> None:
    api.login()
    platform.fail("code", code=2100004, times=3)
    assert api.list().status == 200
    assert len(platform.calls("query_user_certificates")) == 4


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_http_5xx_is_unavailable(api: Api, platform: Platform, status: int) -> None:
    api.login()
    platform.fail("http", status=status, body="<html>bad gateway</html>")
    body = assert_problem(api.list(), 503, "upstream_unavailable")
    assert "upstream" not in body
    assert len(platform.calls("query_user_certificates")) == 4


def test_http_429_is_rate_limited_with_the_platforms_retry_after(api: Api, platform: Platform) -> None:
    api.login()
    platform.fail("http", status=429, headers={"Retry-After": "30"})
    response = api.list()
    assert_problem(response, 429, "rate_limited")
    assert response.headers["retry-after"] == "30"


@pytest.mark.parametrize("status", [301, 302, 400, 403, 404])
def test_other_statuses_are_unavailable_and_redirects_are_not_followed(
    api: Api, platform: Platform, status: int
) -> None:
    api.login()
    platform.fail("http", status=status, headers={"Location": f"{platform.url}/_sandbox/calls"})
    assert_problem(api.list(), 503, "upstream_unavailable")
    assert len(platform.calls("query_user_certificates")) == 1


@pytest.mark.usefixtures("fast_retries")
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
def test_an_unreadable_response_is_malformed_and_never_an_empty_list(api: Api, platform: Platform, body: str) -> None:
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
def test_a_code_is_read_from_an_otherwise_malformed_response(api: Api, platform: Platform, body: str) -> None:
    api.login()
    platform.fail("body", body=body)
    assert_problem(api.list(), 403, "merchant_not_authorized")


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize("kind", ["reset", "truncate"])
def test_a_broken_connection_is_unavailable(api: Api, platform: Platform, kind: str) -> None:
    api.login()
    platform.fail(kind)
    assert_problem(api.list(), 503, "upstream_unavailable")
    assert len(platform.calls("query_user_certificates")) == 4


@pytest.mark.usefixtures("fast_retries")
def test_a_refused_connection_is_unavailable(api: Api, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUYIN_OPEN_API", f"http://127.0.0.1:{free_port()}")
    aws.put(TOKEN_ROW, access_token="clt.valid", expires_at=in_seconds(3600))
    api.login()
    assert_problem(api.list(), 503, "upstream_unavailable")


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_a_response_that_does_not_end_is_a_timeout(api: Api, platform: Platform, kind: str) -> None:
    api.login()
    platform.fail(kind, seconds=0.05)
    assert_problem(api.list(milliseconds=1500), 504, "upstream_timeout")


def test_a_request_without_time_left_is_a_timeout(api: Api) -> None:
    api.login()
    api.list()
    assert_problem(api.list(milliseconds=100), 504, "upstream_timeout")


def test_a_response_above_the_size_limit_is_malformed(
    api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.login()
    monkeypatch.setattr("chalicelib.douyin.client.MAX_PAGE_BYTES", 1000)
    platform.fail("body", body="[" + "0," * 1000)
    assert_problem(api.list(), 502, "upstream_malformed")
    assert len(platform.calls("query_user_certificates")) == 1


@pytest.mark.parametrize("kind", ["close", "delay"])
def test_a_connection_closed_by_the_platform_causes_no_error_and_no_retry(
    api: Api, platform: Platform, kind: str
) -> None:
    api.login()
    platform.fail(kind, seconds=0.01)
    assert api.list().status == 200
    assert api.list().status == 200
    assert len(platform.calls("query_user_certificates")) == 2


class TestLogin:
    def test_a_busy_platform_is_unavailable_and_the_login_is_not_retried(self, api: Api, platform: Platform) -> None:
        platform.fail("code", "jscode2session", code=-1)
        assert_problem(api.login(), 503, "upstream_unavailable")
        assert len(platform.calls("jscode2session")) == 1

    def test_an_unreadable_response_is_malformed(self, api: Api, platform: Platform) -> None:
        platform.fail("body", "jscode2session", body="<html>")
        assert_problem(api.login(), 502, "upstream_malformed")

    def test_no_response_is_a_timeout(self, api: Api, platform: Platform) -> None:
        platform.fail("hang", "jscode2session")
        body = json.dumps({"app_id": APP_ID, "code": platform.issue_login_code()})
        assert_problem(api.call("POST", "/v1/sessions", body, milliseconds=1000), 504, "upstream_timeout")
