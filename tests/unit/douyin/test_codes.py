"""The error mapping: which of several codes decides. The tables of `chalicelib/douyin/codes.py` are the documents'."""

import pytest

from chalicelib import errors
from chalicelib.douyin import codes
from chalicelib.douyin.codes import ErrorType, decide_error

TRANSIENT = errors.UpstreamUnavailableError
RATE_LIMITED = errors.RateLimitedError
TOKEN_REFUSED = errors.TokenRefusedError
NOT_AUTHORIZED = errors.MerchantNotAuthorizedError


@pytest.mark.parametrize(
    ("found", "sub_code", "expected", "decided_by"),
    [
        # A known sub code is more specific than the main code.
        ([2119005], 11002, TOKEN_REFUSED, 11002),
        ([], 11002, TOKEN_REFUSED, 11002),
        # An ordinary code as sub code is less specific than a known main code.
        ([2100004], 2119005, TRANSIENT, 2100004),
        ([999], 2119005, NOT_AUTHORIZED, 2119005),
        # The first known code decides.
        ([2119003, 2119005, 2100004], 0, RATE_LIMITED, 2119003),
        ([999, 2119005], 999, NOT_AUTHORIZED, 2119005),
    ],
)
def test_precedence_of_codes(found: list[int], sub_code: int, expected: ErrorType, decided_by: int) -> None:
    assert decide_error(codes.QUERY_ERRORS, found, sub_code) == (decided_by, expected)


def test_only_a_busy_platform_and_a_rate_limit_are_retried() -> None:
    rows = (*codes.QUERY_CODES, *codes.COMMON_CODES, *codes.SUB_CODES, *codes.LOGIN_CODES, *codes.MINT_CODES)
    assert {row.error for row in rows if row.error.is_transient} == {TRANSIENT, RATE_LIMITED}


def test_an_unknown_code_has_no_error() -> None:
    assert decide_error(codes.QUERY_ERRORS, [888, 777], 666) is None
    assert decide_error(codes.QUERY_ERRORS, [], 0) is None


def test_a_code_means_what_the_document_of_its_endpoint_says() -> None:
    assert decide_error(codes.LOGIN_ERRORS, [-1], 0) == (-1, TRANSIENT)
    assert decide_error(codes.QUERY_ERRORS, [-1], 0) is None
