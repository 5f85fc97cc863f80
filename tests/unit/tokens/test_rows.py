"""Parsing of token rows, and how long lease, pause and youth last by the clock of any instance."""

from collections.abc import Callable

import msgspec
import pytest

from chalicelib.aws import Item
from chalicelib.tokens.rows import TokenRow
from tests.unit.fakes import NOW, token_row

MILLISECONDS = int(NOW) * 1000


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, TokenRow()),
        (token_row("clt.1"), TokenRow("clt.1", int(NOW) + 3600)),
        (token_row("", version=7), TokenRow("", int(NOW) + 3600, version=7)),
        (token_row("clt. 1", version=0), TokenRow("", int(NOW) + 3600)),
        ({"access_token": {"S": "clt.1"}}, TokenRow("clt.1", 0)),
        ({"expires_at": {"N": "1800000000.75"}}, TokenRow("", 1800000000)),
        # In milliseconds.
        ({"expires_at": {"N": "1800000000750"}}, TokenRow("", 1800000000)),
        ({"expires_at": {"N": str(10**11)}}, TokenRow("", 10**11)),
        ({"expires_at": {"N": str(10**11 + 1)}}, TokenRow("", 10**8)),
        # Larger than a float can count, and in DynamoDB's other notation.
        ({"version": {"N": str(2**53 + 1)}}, TokenRow(version=2**53 + 1)),
        ({"version": {"N": "9" * 38}}, TokenRow(version=int("9" * 38))),
        ({"version": {"N": "7E+2"}}, TokenRow(version=700)),
        ({"minted_at": {"N": "1800000000"}}, TokenRow(minted_at=1800000000)),
        (
            token_row(None, lease_until=MILLISECONDS + 4500, failed_at=MILLISECONDS, failed_until=MILLISECONDS + 2500)
            | {"lease_owner": {"S": "another"}, "failure": {"S": "http_503"}},
            TokenRow("", int(NOW) + 3600, 0, "another", NOW + 4.5, NOW, NOW + 2.5, "http_503"),
        ),
        (
            {
                "access_token": {"N": "7"},
                "expires_at": {"S": "soon"},
                "version": {"S": "7"},
                "failed_at": {"S": "x"},
                "failed_until": {"S": "x"},
                "failure": {"N": "7"},
                "minted_at": {"S": "now"},
                "lease_until": {"NULL": True},
                "lease_owner": {"N": "7"},
            },
            TokenRow(),
        ),
    ],
)
def test_a_row_is_parsed_and_a_malformed_attribute_counts_as_missing(item: Item, expected: TokenRow) -> None:
    assert TokenRow.from_item(item) == msgspec.structs.replace(expected, item=item)


def failure(at: float = NOW, pause: float = 30.0) -> TokenRow:
    return TokenRow(failed_at=at, failed_until=at + pause)


def minted(at: float) -> TokenRow:
    return TokenRow("clt.1", int(NOW) + 7000, minted_at=int(at))


def leased(until: float, owner: str = "another") -> TokenRow:
    return TokenRow(lease_owner=owner, lease_until=until)


@pytest.mark.parametrize(
    ("holds", "row", "seconds"),
    [
        (TokenRow.is_leased, leased(NOW + 4), 4),
        (TokenRow.is_leased, leased(NOW + 6), 6),
        (TokenRow.is_leased, leased(NOW + 4, owner=""), 0),
        (TokenRow.is_paused, failure(), 30),
        (TokenRow.is_paused, failure(pause=2.0), 2),
        (TokenRow.is_paused, failure(NOW + 2), 32),
        (TokenRow.is_young, minted(NOW), 10),
        (TokenRow.is_young, minted(NOW + 2), 12),
        # No clock has written it.
        (TokenRow.is_leased, leased(NOW + 6.1), 0),
        (TokenRow.is_paused, failure(NOW + 2.1), 0),
        (TokenRow.is_young, minted(NOW + 3), 0),
        # Missing or malformed: none. Longer than any pause: the longest.
        (TokenRow.is_leased, TokenRow(lease_owner="another"), 0),
        (TokenRow.is_paused, TokenRow(failed_until=NOW + 30), 0),
        (TokenRow.is_paused, TokenRow(failed_at=NOW), 0),
        (TokenRow.is_paused, failure(pause=3600.0), 30),
        (TokenRow.is_paused, failure(pause=-1.0), 0),
        (TokenRow.is_young, TokenRow("clt.1", int(NOW) + 7000), 0),
    ],
)
def test_lease_pause_and_youth_end_by_the_clock(
    holds: Callable[[TokenRow, float], bool], row: TokenRow, seconds: float
) -> None:
    assert holds(row, NOW) is (seconds > 0)
    assert not holds(row, NOW + seconds)
    assert seconds == 0 or holds(row, NOW + seconds - 0.1)
