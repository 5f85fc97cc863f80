"""Parsing of token rows."""

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
