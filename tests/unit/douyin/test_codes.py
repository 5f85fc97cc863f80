"""The error mapping: every code of the platform's documents, and which of several codes decides."""

from __future__ import annotations

import pytest

from chalicelib.douyin import codes
from chalicelib.douyin.codes import CodeRow, ErrorMapping, map_error
from chalicelib.errors import (
    AppMisconfiguredError,
    AppNotPermittedError,
    LoginRefusedError,
    MerchantNotAuthorizedError,
    QuotaExhaustedError,
    RateLimitedError,
    TokenRefusedError,
    UpstreamError,
    UpstreamRejectedError,
    UpstreamUnavailableError,
)

Outcome = tuple[type[UpstreamError], bool]

TRANSIENT: Outcome = (UpstreamUnavailableError, True)
RATE_LIMITED: Outcome = (RateLimitedError, True)
TOKEN_REFUSED: Outcome = (TokenRefusedError, False)
REJECTED: Outcome = (UpstreamRejectedError, False)
NOT_AUTHORIZED: Outcome = (MerchantNotAuthorizedError, False)
NOT_PERMITTED: Outcome = (AppNotPermittedError, False)
QUOTA: Outcome = (QuotaExhaustedError, False)
MISCONFIGURED: Outcome = (AppMisconfiguredError, False)
LOGIN_REFUSED: Outcome = (LoginRefusedError, False)
UNKNOWN: Outcome = (UpstreamUnavailableError, False)

# The error table of the document of query_user_certificates, in its order.
CERTIFICATE_ROWS: tuple[tuple[int, Outcome], ...] = (
    (2100001, TRANSIENT),
    (2100004, TRANSIENT),
    (2100005, REJECTED),
    (2119001, REJECTED),
    (2119002, TRANSIENT),
    (2119003, RATE_LIMITED),
    (2119005, NOT_AUTHORIZED),
    (2190002, TOKEN_REFUSED),
    (2190004, NOT_PERMITTED),
    (2190008, TOKEN_REFUSED),
    (3000001, REJECTED),
    (5000001, TRANSIENT),
    (4000001, REJECTED),
    (4000002, REJECTED),
    (28001005, TRANSIENT),
    (28001003, TOKEN_REFUSED),
    (28001008, TOKEN_REFUSED),
    (28001016, NOT_PERMITTED),
    (28001006, TRANSIENT),
    (28001014, NOT_PERMITTED),
    (28001018, NOT_PERMITTED),
    (28003017, QUOTA),
    (28001019, NOT_PERMITTED),
    (28001007, REJECTED),
    (10000, REJECTED),
    (13000, TRANSIENT),
    (5000001, TRANSIENT),
    (3000001, REJECTED),
)
COMMON_ROWS: tuple[tuple[int, Outcome], ...] = ((28003018, RATE_LIMITED),)
SUB_ROWS: tuple[tuple[int, Outcome], ...] = ((11002, TOKEN_REFUSED), (11006, NOT_AUTHORIZED), (12001, RATE_LIMITED))
LOGIN_ROWS: tuple[tuple[int, Outcome], ...] = (
    (-1, TRANSIENT),
    (40014, LOGIN_REFUSED),
    (40018, LOGIN_REFUSED),
    (40019, LOGIN_REFUSED),
    (40015, MISCONFIGURED),
    (40017, MISCONFIGURED),
    (10003, MISCONFIGURED),
    (10013, MISCONFIGURED),
)
MINT_ROWS: tuple[tuple[int, Outcome], ...] = (
    (10002, REJECTED),
    (10003, MISCONFIGURED),
    (10013, MISCONFIGURED),
    (10020, RATE_LIMITED),
)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (codes.CERTIFICATE_CODES, CERTIFICATE_ROWS),
        (codes.COMMON_CODES, COMMON_ROWS),
        (codes.SUB_CODES, SUB_ROWS),
        (codes.LOGIN_CODES, LOGIN_ROWS),
        (codes.MINT_CODES, MINT_ROWS),
    ],
    ids=["certificates", "common", "sub codes", "login", "mint"],
)
def test_a_table_has_these_codes_and_no_others(
    table: tuple[CodeRow, ...], expected: tuple[tuple[int, Outcome], ...]
) -> None:
    assert tuple((row.code, tuple(row.mapping)) for row in table) == expected
    assert all(row.description for row in table)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (codes.CERTIFICATES, dict(CERTIFICATE_ROWS + COMMON_ROWS)),
        (codes.LOGIN, dict(LOGIN_ROWS)),
        (codes.MINT, dict(CERTIFICATE_ROWS + COMMON_ROWS + MINT_ROWS)),
        (codes.BY_SUB_CODE, dict(SUB_ROWS)),
    ],
    ids=["certificates", "login", "mint", "sub codes"],
)
def test_an_endpoint_knows_these_codes(known: dict[int, ErrorMapping], expected: dict[int, Outcome]) -> None:
    assert {code: tuple(mapping) for code, mapping in known.items()} == expected


def test_a_code_that_is_listed_twice_has_one_mapping() -> None:
    for row in codes.CERTIFICATE_CODES:
        assert codes.CERTIFICATES[row.code] == row.mapping


@pytest.mark.parametrize(
    ("known", "found", "sub_code", "expected", "decided_by"),
    [
        # One code, in each place.
        (codes.CERTIFICATES, (2119005, 0, 0), 0, NOT_AUTHORIZED, 2119005),
        (codes.CERTIFICATES, (0, 2119005, 0), 0, NOT_AUTHORIZED, 2119005),
        (codes.CERTIFICATES, (0, 0, 2119005), 0, NOT_AUTHORIZED, 2119005),
        (codes.CERTIFICATES, (0, 0, 0), 2119005, NOT_AUTHORIZED, 2119005),
        # A known sub code is more specific than the main code.
        (codes.CERTIFICATES, (2100004, 2100004, 0), 11006, NOT_AUTHORIZED, 11006),
        (codes.CERTIFICATES, (2100004, 0, 0), 12001, RATE_LIMITED, 12001),
        (codes.CERTIFICATES, (2119005, 0, 0), 11002, TOKEN_REFUSED, 11002),
        (codes.CERTIFICATES, (0, 0, 0), 11002, TOKEN_REFUSED, 11002),
        # An ordinary code as sub code is less specific than a known main code.
        (codes.CERTIFICATES, (2100004, 0, 0), 2119005, TRANSIENT, 2100004),
        (codes.CERTIFICATES, (999, 0, 0), 2119005, NOT_AUTHORIZED, 2119005),
        # An unknown sub code does not hide a known main code.
        (codes.CERTIFICATES, (2119005, 0, 0), 999, NOT_AUTHORIZED, 2119005),
        # The first known code decides.
        (codes.CERTIFICATES, (2119003, 2119005, 2100004), 0, RATE_LIMITED, 2119003),
        (codes.CERTIFICATES, (999, 2119005, 2100004), 0, NOT_AUTHORIZED, 2119005),
        (codes.CERTIFICATES, (999, 888, 2100004), 0, TRANSIENT, 2100004),
        # Unknown codes.
        (codes.CERTIFICATES, (999, 888, 777), 666, UNKNOWN, 999),
        (codes.CERTIFICATES, (0, 888, 777), 666, UNKNOWN, 888),
        (codes.CERTIFICATES, (0, 0, 0), 666, UNKNOWN, 666),
        (codes.CERTIFICATES, (-1, 0, 0), 0, UNKNOWN, -1),
        # A code means what the document of its endpoint says.
        (codes.LOGIN, (0, 0, -1), 0, TRANSIENT, -1),
        (codes.LOGIN, (2190008, 0, 0), 0, UNKNOWN, 2190008),
        (codes.LOGIN, (40018, 0, 0), 12001, RATE_LIMITED, 12001),
        (codes.MINT, (10020, 0, 0), 0, RATE_LIMITED, 10020),
        (codes.CERTIFICATES, (10020, 0, 0), 0, UNKNOWN, 10020),
        (codes.CERTIFICATES, (10013, 0, 0), 0, UNKNOWN, 10013),
    ],
)
def test_precedence_of_codes(
    known: dict[int, ErrorMapping], found: tuple[int, ...], sub_code: int, expected: Outcome, decided_by: int
) -> None:
    mapping, code = map_error(known, found, sub_code)
    assert (tuple(mapping), code) == (expected, decided_by)


def test_an_unknown_code_is_recognizable() -> None:
    """It has the same error and retryability as no other mapping."""
    assert map_error(codes.CERTIFICATES, (999,), 0)[0] is codes.UNKNOWN
    assert codes.UNKNOWN not in {*codes.MINT.values(), *codes.LOGIN.values(), *codes.BY_SUB_CODE.values()}
