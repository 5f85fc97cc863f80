"""The error mapping: every code of the platform's documents, and which of several codes decides."""

import pytest

from chalicelib import errors
from chalicelib.douyin import codes
from chalicelib.douyin.codes import RETRYABLE, ErrorType, decide_error

TRANSIENT = errors.UpstreamUnavailableError
RATE_LIMITED = errors.RateLimitedError
TOKEN_REFUSED = errors.TokenRefusedError
REJECTED = errors.UpstreamRejectedError
NOT_AUTHORIZED = errors.MerchantNotAuthorizedError
NOT_PERMITTED = errors.AppNotPermittedError
QUOTA = errors.QuotaExhaustedError
MISCONFIGURED = errors.AppMisconfiguredError
LOGIN_REFUSED = errors.LoginRefusedError

CERTIFICATES: dict[ErrorType, set[int]] = {
    TRANSIENT: {2100001, 2100004, 2119002, 5000001, 28001005, 28001006, 13000},
    RATE_LIMITED: {2119003},
    TOKEN_REFUSED: {2190002, 2190008, 28001003, 28001008},
    REJECTED: {2100005, 2119001, 3000001, 4000001, 4000002, 28001007, 10000},
    NOT_AUTHORIZED: {2119005},
    NOT_PERMITTED: {2190004, 28001014, 28001016, 28001018, 28001019},
    QUOTA: {28003017},
}
COMMON: dict[ErrorType, set[int]] = {RATE_LIMITED: {28003018}}
SUB_CODES: dict[ErrorType, set[int]] = {TOKEN_REFUSED: {11002}, NOT_AUTHORIZED: {11006}, RATE_LIMITED: {12001}}
LOGIN: dict[ErrorType, set[int]] = {
    TRANSIENT: {-1},
    LOGIN_REFUSED: {40014, 40018, 40019},
    MISCONFIGURED: {40015, 40017, 10003, 10013},
}
PROVIDER_LOGIN: dict[ErrorType, set[int]] = {
    TOKEN_REFUSED: {2190002, 2190008, 28001003, 28001008},
    LOGIN_REFUSED: {40014, 40018, 40019},
    REJECTED: {28001007},
    NOT_PERMITTED: {2190004, 28001014, 28001016, 28001018, 28001019},
    QUOTA: {28003017},
    RATE_LIMITED: {28003018},
    TRANSIENT: {28001005, 28001006},
}
MINT: dict[ErrorType, set[int]] = {REJECTED: {10002}, MISCONFIGURED: {10003, 10013}, RATE_LIMITED: {10020}}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (codes.CERTIFICATES, [CERTIFICATES, COMMON]),
        (codes.LOGIN, [LOGIN]),
        (codes.PROVIDER_LOGIN, [PROVIDER_LOGIN]),
        (codes.MINT, [CERTIFICATES, COMMON, MINT]),
        (codes.BY_SUB_CODE, [SUB_CODES]),
    ],
    ids=["certificates", "login", "provider login", "mint", "sub codes"],
)
def test_an_endpoint_knows_these_codes(known: dict[int, ErrorType], expected: list[dict[ErrorType, set[int]]]) -> None:
    expected_errors = {code: error for table in expected for error, numbers in table.items() for code in numbers}
    assert known == expected_errors


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
    assert decide_error(codes.CERTIFICATES, found, sub_code) == (decided_by, expected)


def test_only_a_busy_platform_and_a_rate_limit_are_retried() -> None:
    assert {TRANSIENT, RATE_LIMITED} == RETRYABLE


def test_an_unknown_code_has_no_error() -> None:
    assert decide_error(codes.CERTIFICATES, [888, 777], 666) is None
    assert decide_error(codes.CERTIFICATES, [], 0) is None


def test_a_code_means_what_the_document_of_its_endpoint_says() -> None:
    assert decide_error(codes.LOGIN, [-1], 0) == (-1, TRANSIENT)
    assert decide_error(codes.CERTIFICATES, [-1], 0) is None
