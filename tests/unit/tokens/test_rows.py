"""Token rows: what is read of them, and the table of decisions."""

import msgspec
import pytest

from chalicelib.aws import Item
from chalicelib.tokens.rows import TokenRow, new_claim, next_action
from tests.unit.fakes import NOW, token_item


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, TokenRow()),
        (token_item("clt.1"), TokenRow("clt.1", int(NOW) + 3600)),
        (token_item("clt. 1"), TokenRow("", int(NOW) + 3600)),
        ({"access_token": {"S": "clt.1"}}, TokenRow("clt.1", 0)),
        ({"expires_at": {"N": "1800000000.75"}}, TokenRow("", 1800000000)),
        ({"expires_at": {"N": "18E+8"}}, TokenRow("", 1800000000)),
        # In milliseconds.
        ({"expires_at": {"N": "1800000000750"}}, TokenRow("", 1800000000)),
        ({"expires_at": {"N": str(10**11)}}, TokenRow("", 10**11)),
        ({"expires_at": {"N": str(10**11 + 1)}}, TokenRow("", 10**8)),
        (
            token_item(None, claimed_after=-1.5, outcome="http_503"),
            TokenRow("", int(NOW) + 3600, NOW - 1.5, "http_503"),
        ),
        (
            {
                "access_token": {"N": "7"},
                "expires_at": {"S": "soon"},
                "claim": {"N": "1800000000000"},
                "outcome": {"N": "7"},
            },
            TokenRow(),
        ),
        *(({"claim": {"S": text}}, TokenRow()) for text in ("", "-x", "soon-x", "1" * 16 + "-x", "١-x")),
    ],
)
def test_a_row_is_parsed_and_a_malformed_attribute_counts_as_missing(item: Item, expected: TokenRow) -> None:
    assert TokenRow.from_item(item) == msgspec.structs.replace(expected, item=item)


def test_a_failure_is_an_outcome_that_is_not_ok() -> None:
    assert [TokenRow(outcome=outcome).mint_failure for outcome in ("", "ok", "10013")] == ["", "", "10013"]


def test_a_claim_has_its_time_and_is_different_from_all_others() -> None:
    claims = [new_claim(NOW + 0.25) for _ in range(2)]
    assert [TokenRow.from_item({"claim": {"S": claim}}).claimed_at for claim in claims] == [NOW + 0.25] * 2
    assert claims[0] != claims[1]


def row(value: str = "clt.old", seconds: int = -1, claimed: float | None = None, outcome: str = "") -> TokenRow:
    return TokenRow.from_item(token_item(value, seconds, claimed_after=claimed, outcome=outcome))


@pytest.mark.parametrize(
    ("present", "unwanted", "remaining", "action"),
    [
        # A valid token is used, whatever else is in the row and however little time is left.
        (row(seconds=1), "", 9.0, "use"),
        (row(seconds=1, claimed=-1, outcome="10013"), "", 0.0, "use"),
        (row(seconds=1), "clt.another", 9.0, "use"),
        # There is none: the caller mints, if it has the time for it,
        (TokenRow(), "", 9.0, "mint"),
        (row(seconds=0), "", 5.0, "mint"),
        (row(seconds=0), "", 4.99, "too_late"),
        (row("", 1), "", 9.0, "mint"),
        (row(seconds=1), "clt.old", 9.0, "mint"),
        # or waits for the instance that has claimed the row,
        (row(claimed=0), "", 9.0, "wait"),
        (row(claimed=2), "", 9.0, "wait"),
        (row(claimed=-7.9), "", 1.0, "wait"),
        (row(claimed=-7.9), "", 0.99, "too_late"),
        (row(seconds=1, claimed=-1), "clt.old", 9.0, "wait"),
        # unless it has minted, failed or died: nobody mints before 20 s are over.
        (row(seconds=1, claimed=-1, outcome="ok"), "clt.old", 9.0, "blocked"),
        (row(claimed=-1, outcome="10013"), "", 9.0, "blocked"),
        (row(claimed=-8), "", 9.0, "blocked"),
        (row(claimed=-19.9, outcome="10013"), "", 9.0, "blocked"),
        (row(seconds=1, claimed=-19.9), "clt.old", 9.0, "blocked"),
        (row(claimed=-20, outcome="10013"), "", 5.0, "mint"),
        (row(claimed=-20), "", 4.99, "too_late"),
        # No synchronized clock has written this one.
        (row(claimed=2.1), "", 9.0, "mint"),
    ],
)
def test_the_row_and_the_time_decide_what_is_done(
    present: TokenRow, unwanted: str, remaining: float, action: str
) -> None:
    assert next_action(present, unwanted, NOW, remaining) == action


@pytest.mark.parametrize(("claimed", "seconds"), [(None, 0.0), (0.0, 20.0), (-19.5, 0.5), (-20.0, 0.0), (2.1, 0.0)])
def test_the_next_claim_may_be_made_twenty_seconds_after_the_last_one(claimed: float | None, seconds: float) -> None:
    assert row(claimed=claimed).seconds_until_claim(NOW) == pytest.approx(seconds)
