"""The error mapping: what each code of the platform's documents becomes, and which of several codes decides."""

import pytest

from chalicelib import errors
from chalicelib.douyin import codes
from chalicelib.douyin.codes import ErrorType, decide_error

TRANSIENT = errors.UpstreamUnavailableError
RATE_LIMITED = errors.RateLimitedError
TOKEN_REFUSED = errors.TokenRefusedError
NOT_AUTHORIZED = errors.MerchantNotAuthorizedError
REJECTED = errors.UpstreamRejectedError
NOT_PERMITTED = errors.AppNotPermittedError
QUOTA = errors.QuotaExhaustedError
MISCONFIGURED = errors.AppMisconfiguredError
LOGIN_REFUSED = errors.LoginRefusedError

GATEWAY: dict[int, ErrorType] = {
    2190002: TOKEN_REFUSED, 2190004: NOT_PERMITTED, 2190008: TOKEN_REFUSED,
    28001003: TOKEN_REFUSED, 28001005: TRANSIENT, 28001006: TRANSIENT, 28001007: REJECTED, 28001008: TOKEN_REFUSED,
    28001014: NOT_PERMITTED, 28001016: NOT_PERMITTED, 28001018: NOT_PERMITTED, 28001019: NOT_PERMITTED,
    28003017: QUOTA, 28003018: RATE_LIMITED,
}  # fmt: skip
QUERY: dict[int, ErrorType] = {
    **GATEWAY,
    2119001: REJECTED, 2119002: TRANSIENT, 2119003: RATE_LIMITED, 2119005: NOT_AUTHORIZED,
    2100001: TRANSIENT, 2100004: TRANSIENT, 2100005: REJECTED, 3000001: REJECTED, 4000001: REJECTED,
    4000002: REJECTED, 5000001: TRANSIENT, 10000: REJECTED, 13000: TRANSIENT,
}  # fmt: skip
REFUSED_CODES: dict[int, ErrorType] = dict.fromkeys((40014, 40018, 40019), LOGIN_REFUSED)
CLIENT_KEY: dict[int, ErrorType] = dict.fromkeys((10003, 10013), MISCONFIGURED)


TABLES: dict[str, dict[int, ErrorType]] = {
    "QUERY_ERRORS": QUERY,
    "MINT_ERRORS": {**QUERY, **CLIENT_KEY, 10002: REJECTED, 10020: RATE_LIMITED},
    "LOGIN_ERRORS": {**REFUSED_CODES, **CLIENT_KEY, -1: TRANSIENT, 40015: MISCONFIGURED, 40017: MISCONFIGURED},
    "PROVIDER_LOGIN_ERRORS": {**GATEWAY, **REFUSED_CODES},
    "SUB_CODE_ERRORS": {11002: TOKEN_REFUSED, 11006: NOT_AUTHORIZED, 12001: RATE_LIMITED},
}


def test_each_code_of_a_document_has_its_error() -> None:
    public = {name: table for name, table in vars(codes).items() if name.endswith("_ERRORS") and name[0] != "_"}
    assert public == TABLES


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
    known = {*codes.MINT_ERRORS.values(), *codes.LOGIN_ERRORS.values()}
    assert {error for error in known if error.is_transient} == {TRANSIENT, RATE_LIMITED}
