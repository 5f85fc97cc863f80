"""How long ago something in a row was written, as one instance knows it: the pause, young tokens, the lease."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from chalicelib.tokens.rows import TokenRow
from chalicelib.tokens.seen import LEASE_SECONDS, NOTHING_SEEN, Moment, SeenRow
from tests.unit.fakes import NOW, moment, see


class Call(NamedTuple):
    """A call that has returned a row; its begin and end are in seconds after NOW, on both clocks."""

    row: TokenRow
    begun: float
    ended: float


def failure(at: float = NOW, pause: float = 30.0, **fields: Any) -> TokenRow:
    return TokenRow(failed_at=at, failed_until=at + pause, **fields)


def minted(value: str = "clt.1", at: float = NOW) -> TokenRow:
    return TokenRow(value, int(NOW) + 7000, minted_at=int(at))


def watch(*calls: Call) -> SeenRow:
    """Return what the last call has returned to an instance that has made these calls."""
    seen = NOTHING_SEEN
    for row, begun, ended in calls:
        seen = seen.followed_by(row, moment(begun), moment(ended))
    return seen


def find_end(holds: Callable[[Moment], bool], since: float) -> float:
    """Return when something ends that holds since a time, to the hundredth of a second; 0 if it does not hold then."""
    times = itertools.count(round(since * 100))
    end = next(time / 100 for time in times if not holds(moment(time / 100)))
    return end if end > since else 0.0


NONE, FAILED = TokenRow(version=1), failure(version=2)
AHEAD = failure(NOW + 100)


@pytest.mark.parametrize(
    ("calls", "ends_at"),
    [
        # The first row of an instance: its wall clock decides,
        ([Call(FAILED, 0, 0)], 30),
        ([Call(FAILED, 29.9, 29.9)], 30),
        ([Call(FAILED, 30, 30)], 0),
        ([Call(failure(pause=2.0), 0, 0)], 2),
        # and a stamp of a clock that is ahead counts from the end of the call, or not at all.
        ([Call(failure(NOW + 2), -1, 0)], 30),
        ([Call(failure(NOW + 2.01), 0, 0)], 0),
        # It has had the row without it: then the pause ends 30 s after the begin of that call, if its clock is fast,
        ([Call(NONE, 95, 96), Call(FAILED, 99, 100)], 125),
        ([Call(NONE, 60, 61), Call(NONE, 95, 96), Call(FAILED, 99, 100), Call(FAILED, 101, 102)], 125),
        ([Call(TokenRow(), 95, 96), Call(FAILED, 99, 100)], 125),
        ([Call(failure(NOW - 50), 95, 96), Call(FAILED, 99, 100)], 125),
        # or 30 s after the end of the call that has first returned it, if its clock is slow.
        ([Call(NONE, -9, -8), Call(AHEAD, 1, 2), Call(AHEAD, 5, 6)], 32),
        ([Call(AHEAD, 0, 0), Call(NONE, 1, 2), Call(AHEAD, 3, 4)], 34),
        # A failure that is repeated begins another pause, one that is removed ends it.
        ([Call(FAILED, 0, 0), Call(failure(NOW + 30), 31, 32)], 60),
        ([Call(FAILED, 0, 0), Call(NONE, 1, 2)], 0),
        # Missing or malformed: no pause. Longer than any pause: the longest.
        ([Call(TokenRow(failed_until=NOW + 30), 0, 0)], 0),
        ([Call(NONE, 0, 0), Call(TokenRow(failed_until=NOW + 30), 1, 1)], 0),
        ([Call(TokenRow(failed_at=NOW), 0, 0)], 0),
        ([Call(failure(pause=3600.0), 0, 0)], 30),
        ([Call(failure(pause=-1.0), 0, 0)], 0),
    ],
)
def test_a_pause_ends_by_the_clocks_within_what_the_instance_has_seen(calls: list[Call], ends_at: float) -> None:
    assert find_end(watch(*calls).is_paused, calls[-1].ended) == pytest.approx(ends_at, abs=0.01)


@pytest.mark.parametrize(
    ("calls", "ends_at"),
    [
        ([Call(minted(), 0, 0)], 10),
        ([Call(minted(), 10, 10)], 0),
        ([Call(minted(at=NOW + 2), -1, 0)], 10),
        ([Call(minted(at=NOW + 3), 0, 0)], 0),
        # What counts is how long it has had the token, whatever else is in the row.
        ([Call(minted("clt.0", NOW - 7000), 95, 96), Call(minted(), 99, 100)], 105),
        ([Call(minted("clt.0"), 0, 0), Call(minted(), 3, 4)], 10),
        ([Call(minted(), 0, 0), Call(TokenRow("clt.1", int(NOW) + 7000, 7, minted_at=int(NOW)), 5, 6)], 10),
        # Written by hand: without a stamp, or over a token whose stamp stays.
        ([Call(TokenRow("clt.1", int(NOW) + 7000), 0, 0)], 0),
        ([Call(minted("clt.0"), -9, -8), Call(TokenRow("clt.1", int(NOW) + 7000), 0, 0)], 0),
        ([Call(minted("clt.0", NOW - 50), -1, -1), Call(minted("clt.1", NOW - 50), 0, 0)], 9),
    ],
)
def test_a_token_is_young_for_ten_seconds_after_its_mint(calls: list[Call], ends_at: float) -> None:
    assert find_end(watch(*calls).is_young, calls[-1].ended) == pytest.approx(ends_at, abs=0.01)


@pytest.mark.parametrize(
    ("now", "paused"),
    [
        # Lambda has frozen the instance: its monotonic clock stood still.
        (Moment(NOW + 129.9, 1.0), True),
        (Moment(NOW + 130.0, 1.0), False),
        # The wall clock was set back.
        (Moment(NOW - 500, 29.9), True),
        (Moment(NOW - 500, 30.0), False),
    ],
)
def test_an_own_duration_is_the_longer_one_of_both_clocks(now: Moment, paused: bool) -> None:
    """The instance has had the row since 100 s and 0 s, and its clock is slow."""
    since = Moment(NOW + 100, 0.0)
    seen = NOTHING_SEEN.followed_by(NONE, since, since).followed_by(failure(NOW + 200), since, since)
    assert seen.is_paused(now) is paused


LEASED: dict[str, Any] = {"version": 7, "lease_owner": "another"}


@pytest.mark.parametrize(
    ("fields", "now", "leased"),
    [
        ({"lease_until": NOW + LEASE_SECONDS}, moment(3.9), True),
        # The holder is dead: a living one would have changed the row.
        ({"lease_until": NOW + LEASE_SECONDS}, moment(4.0), False),
        # The clocks of two instances differ: the end of the lease says little.
        ({"lease_until": NOW - 120.0}, moment(0), True),
        ({"lease_until": NOW + 86400}, moment(3.9), True),
        ({"lease_until": NOW + 86400}, moment(4.0), False),
        ({"lease_until": NOW + LEASE_SECONDS}, Moment(NOW + 60, 3.9), True),
        ({"lease_until": NOW + LEASE_SECONDS}, Moment(NOW, 4.0), False),
        # It ended long ago, by any clock.
        ({"lease_until": NOW - 120.01}, moment(0), False),
        ({"lease_until": NOW + LEASE_SECONDS, "lease_owner": ""}, moment(0), False),
    ],
)
def test_a_lease_ends_when_its_holder_no_longer_changes_the_row(
    fields: dict[str, Any], now: Moment, leased: bool
) -> None:
    assert see(TokenRow(**LEASED | fields)).is_leased(now) is leased


@pytest.mark.parametrize(
    "change",
    [
        {"version": {"N": "8"}},
        # The version starts again when an operator replaces the row.
        {"lease_owner": {"S": "second"}},
    ],
)
def test_a_lease_is_new_with_each_change_of_the_row(change: dict[str, Any]) -> None:
    item: dict[str, Any] = {"version": {"N": "7"}, "lease_owner": {"S": "first"}, "lease_until": {"N": "9999999999999"}}
    first, second = TokenRow.from_item(item), TokenRow.from_item(item | change)
    assert not watch(Call(first, 0, 0), Call(first, 60, 60)).is_leased(moment(60))
    assert watch(Call(first, 0, 0), Call(second, 60, 60)).is_leased(moment(63.9))


def test_a_row_that_was_seen_shows_no_token() -> None:
    assert "clt.1" not in repr(see(minted()))
