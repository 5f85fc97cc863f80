"""The error mapping: every code of the platform's documents, and which of several codes decides."""

import pytest

from chalicelib import errors
from chalicelib.douyin import codes
from chalicelib.douyin.codes import ErrorMapping, find_mapping

Outcome = tuple[type[errors.UpstreamError], bool]

TRANSIENT: Outcome = (errors.UpstreamUnavailableError, True)
RATE_LIMITED: Outcome = (errors.RateLimitedError, True)
TOKEN_REFUSED: Outcome = (errors.TokenRefusedError, False)
REJECTED: Outcome = (errors.UpstreamRejectedError, False)
NOT_AUTHORIZED: Outcome = (errors.MerchantNotAuthorizedError, False)
NOT_PERMITTED: Outcome = (errors.AppNotPermittedError, False)
QUOTA: Outcome = (errors.QuotaExhaustedError, False)
MISCONFIGURED: Outcome = (errors.AppMisconfiguredError, False)
LOGIN_REFUSED: Outcome = (errors.LoginRefusedError, False)

CERTIFICATES: dict[Outcome, set[int]] = {
    TRANSIENT: {2100001, 2100004, 2119002, 5000001, 28001005, 28001006, 13000},
    RATE_LIMITED: {2119003},
    TOKEN_REFUSED: {2190002, 2190008, 28001003, 28001008},
    REJECTED: {2100005, 2119001, 3000001, 4000001, 4000002, 28001007, 10000},
    NOT_AUTHORIZED: {2119005},
    NOT_PERMITTED: {2190004, 28001014, 28001016, 28001018, 28001019},
    QUOTA: {28003017},
}
COMMON: dict[Outcome, set[int]] = {RATE_LIMITED: {28003018}}
SUB_CODES: dict[Outcome, set[int]] = {TOKEN_REFUSED: {11002}, NOT_AUTHORIZED: {11006}, RATE_LIMITED: {12001}}
LOGIN: dict[Outcome, set[int]] = {
    TRANSIENT: {-1},
    LOGIN_REFUSED: {40014, 40018, 40019},
    MISCONFIGURED: {40015, 40017, 10003, 10013},
}
PROVIDER_LOGIN: dict[Outcome, set[int]] = {
    TOKEN_REFUSED: {2190002, 2190008, 28001003, 28001008},
    LOGIN_REFUSED: {40014, 40018, 40019},
    REJECTED: {28001007},
    NOT_PERMITTED: {2190004, 28001014, 28001016, 28001018, 28001019},
    QUOTA: {28003017},
    RATE_LIMITED: {28003018},
    TRANSIENT: {28001005, 28001006},
}
MINT: dict[Outcome, set[int]] = {REJECTED: {10002}, MISCONFIGURED: {10003, 10013}, RATE_LIMITED: {10020}}


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
def test_an_endpoint_knows_these_codes(known: dict[int, ErrorMapping], expected: list[dict[Outcome, set[int]]]) -> None:
    outcomes = {code: outcome for table in expected for outcome, numbers in table.items() for code in numbers}
    assert {code: tuple(mapping) for code, mapping in known.items()} == outcomes


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
def test_precedence_of_codes(found: list[int], sub_code: int, expected: Outcome, decided_by: int) -> None:
    assert find_mapping(codes.CERTIFICATES, found, sub_code) == (decided_by, expected)


def test_an_unknown_code_has_no_mapping() -> None:
    assert find_mapping(codes.CERTIFICATES, [888, 777], 666) is None
    assert find_mapping(codes.CERTIFICATES, [], 0) is None


def test_a_code_means_what_the_document_of_its_endpoint_says() -> None:
    assert find_mapping(codes.LOGIN, [-1], 0) == (-1, TRANSIENT)
    assert find_mapping(codes.CERTIFICATES, [-1], 0) is None
