"""Problems: each error's status, code and headers, and the form of the body."""

import json
import re

import pytest

from chalicelib import errors
from chalicelib.api import problems
from chalicelib.api.problems import problem_for_error
from chalicelib.context import Outcome
from chalicelib.errors import UpstreamCodes
from tests.unit.fakes import PROBLEM_TYPES

EVIDENCE = UpstreamCodes(2119005, 11006, "20260101L")

# error, status and code, retryable, Retry-After
ROWS: list[tuple[BaseException, str, bool, str | None]] = [
    (errors.InvalidRequestError("cursor", "must be short"), "400 invalid_request", False, None),
    (errors.UnauthenticatedError("x"), "401 unauthenticated", False, None),
    (errors.UnknownAppError("x"), "401 unauthenticated", False, None),
    (errors.LoginRefusedError("40018"), "401 unauthenticated", False, None),
    (errors.WrongAppError("x"), "403 wrong_app", False, None),
    (errors.MerchantNotAuthorizedError("11006"), "403 merchant_not_authorized", False, None),
    (errors.MerchantNotFoundError("7"), "404 merchant_not_found", False, None),
    (errors.StoreNotFoundError("7"), "404 store_not_found", False, None),
    (errors.RateLimitedError("2119003"), "429 rate_limited", True, "5"),
    # The platform asks for a shorter time, a longer one, and one where an early retry does not help.
    (errors.RateLimitedError("2119003", retry_after=0.2), "429 rate_limited", True, "5"),
    (errors.RateLimitedError("2119003", retry_after=5.1), "429 rate_limited", True, "6"),
    (errors.UpstreamTimeoutError("timeout", retry_after=7.5), "504 upstream_timeout", True, None),
    (errors.DeadlineExceededError("budget"), "504 upstream_timeout", True, None),
    (errors.ConfigurationError("x"), "500 internal_error", False, None),
    (errors.UpstreamRejectedError("2100005"), "502 upstream_rejected", False, None),
    (errors.UpstreamMalformedError("malformed"), "502 upstream_malformed", True, None),
    (errors.UpstreamUnavailableError("2100004"), "503 upstream_unavailable", True, "2"),
    (errors.TokenUnavailableError("x"), "503 token_unavailable", True, "2"),
    (errors.TokenRefusedError("2190008"), "503 token_unavailable", True, "2"),
    (errors.AppNotPermittedError("2190004"), "503 app_not_permitted", False, None),
    (errors.AppMisconfiguredError("10013"), "503 app_misconfigured", False, None),
    (errors.QuotaExhaustedError("28003017"), "503 quota_exhausted", False, None),
    (errors.StorageUnavailableError("Throttling"), "503 unavailable", True, "2"),
    (errors.UpstreamTimeoutError("timeout"), "504 upstream_timeout", True, None),
    (ValueError("planted"), "500 internal_error", False, None),
]


@pytest.mark.parametrize(
    ("error", "expected", "retryable", "retry_after"), ROWS, ids=[type(row[0]).__name__ for row in ROWS]
)
def test_an_error_has_its_problem(
    error: BaseException, expected: str, retryable: bool, retry_after: str | None
) -> None:
    problem = problem_for_error(error, "request-1")
    body = json.loads(problem.body)
    status, code = problem.view.status, problem.view.code
    assert f"{status} {code}" == f"{body['status']} {body['code']}" == expected
    assert body["retryable"] is retryable
    assert problem.headers.get("Retry-After") == retry_after
    assert body.get("retry_after") == (None if retry_after is None else int(retry_after))
    assert problem.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert set(problem.headers) <= {"Retry-After", "WWW-Authenticate"}
    is_failure = status >= 500 or code in ("merchant_not_authorized", "rate_limited")
    by_platform = ("merchant_not_authorized", "app_not_permitted", "app_misconfigured", "quota_exhausted")
    by_own_rows = errors.UnknownAppError, errors.MerchantNotFoundError, errors.StoreNotFoundError
    assert problem.outcome == Outcome(code, is_failure, error, code in by_platform or isinstance(error, by_own_rows))
    assert "planted" not in problem.body


def test_every_error_of_the_family_is_in_the_table() -> None:
    def family(error: type[Exception]) -> set[type[Exception]]:
        return {error}.union(*map(family, error.__subclasses__()))

    raised = family(errors.ServiceError) - {errors.ServiceError, errors.UpstreamError}
    assert set(problems.ERROR_PROBLEM_TYPES) == raised


def test_an_error_without_a_row_has_the_problem_of_its_base_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "ERROR_PROBLEM_TYPES", {errors.UpstreamError: PROBLEM_TYPES["quota_exhausted"]})
    assert problem_for_error(errors.UpstreamTimeoutError("timeout")).view.code == "quota_exhausted"


def test_a_response_without_a_code_is_no_upstream() -> None:
    error = errors.UpstreamUnavailableError("http_503", UpstreamCodes(0, 0, "20260101L"), retry_after=7)
    body = json.loads(problem_for_error(error).body)
    assert (body["retry_after"], "upstream" in body) == (7, False)


def test_a_refused_login_looks_like_that_of_an_unknown_app() -> None:
    refused = problem_for_error(errors.LoginRefusedError("40018", upstream=EVIDENCE))
    assert refused.body == problem_for_error(errors.UnknownAppError("unknown app_id")).body


def test_a_problem_byte_for_byte() -> None:
    problem = problem_for_error(errors.MerchantNotAuthorizedError("11006", upstream=EVIDENCE), "request-1")
    assert problem.body == (
        '{"type":"about:blank","title":"Merchant not authorized","status":403,'
        '"code":"merchant_not_authorized","detail":"该商家暂未开通小程序查券","request_id":"request-1",'
        '"retryable":false,"upstream":{"error_code":2119005,"sub_error_code":11006,"logid":"20260101L"}}'
    )
    problem = problem_for_error(errors.InvalidRequestError("list.biz_type", "must be 1 or 2"), "request-1")
    assert problem.body == (
        '{"type":"about:blank","title":"Invalid request","status":400,"code":"invalid_request",'
        '"detail":"页面信息有误，请重新打开小程序","request_id":"request-1","retryable":false,'
        '"errors":[{"field":"list.biz_type","detail":"must be 1 or 2"}]}'
    )


def test_a_problem_type_is_english_for_engineers_and_chinese_for_customers() -> None:
    for code, problem_type in PROBLEM_TYPES.items():
        assert problem_type.title.isascii(), code
        assert re.fullmatch(r"[\u4e00-\u9fff，]+", problem_type.detail), code
        assert problem_type.retry_after is None or problem_type.retryable, code
