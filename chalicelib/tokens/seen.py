"""A token's row as one instance has seen it: how long ago something was written, although clocks differ.

The stamps in the row are from the wall clock of another instance, which may be wrong. So this instance measures itself
how long ago a stamp was written: at least the time since it first had the row with the stamp, and at most the time
since it last had the row without it.
"""

import math
from typing import NamedTuple

import msgspec

from chalicelib.redaction import RedactedStruct
from chalicelib.tokens.rows import TokenRow

LEASE_SECONDS = 4.0
"""How long a living holder of the lease leaves the row unchanged. After that, it counts as dead and is replaced.

A living one takes longer only if a slow mint (MINT_SECONDS) comes after or before a write that needs its second
attempt: the acquisition, an extension, or the commit. The result is one more mint.
"""

MAX_CLOCK_DIFFERENCE_SECONDS = 120.0
"""The largest difference between the clocks of two instances (each is at most 60 s wrong)."""

MAX_AHEAD_SECONDS = 2.0
"""How far ahead a stamp may be when an instance first has the row. If it is further, a wrong clock has written it."""

# After a failed mint no instance tries again for this time, or many requests would cause many mints.
TRANSIENT_PAUSE_SECONDS = 2.0
PERMANENT_PAUSE_SECONDS = 30.0

YOUNG_SECONDS = 10.0
"""How long after its mint a refused token is not replaced.

If the platform refuses every token, each refusal would cause a mint, until the platform refuses the app's mints too.
"""


class Moment(NamedTuple):
    """A time on both clocks of this instance: epoch seconds, and seconds of the monotonic clock."""

    wall: float
    monotonic: float

    def seconds_until(self, later: "Moment") -> float:
        """Return the larger of the two differences.

        Nothing is promised about the monotonic clock while Lambda freezes the instance. The wall clock may be set back.
        """
        return max(later.wall - self.wall, later.monotonic - self.monotonic)


NEVER = Moment(-math.inf, -math.inf)


class SeenRow(RedactedStruct, frozen=True):
    """A row that this instance has read, written, or got from a refused write."""

    row: TokenRow = TokenRow()
    #: The start of the call that returned the row.
    started: Moment = NEVER
    #: By attribute: the end of the call that first returned a row with its value, and the start of the call that last
    #: returned one without it.
    sightings: dict[str, tuple[Moment, Moment]] = msgspec.field(default_factory=dict)

    def followed_by(self, row: TokenRow, started: Moment, ended: Moment) -> "SeenRow":
        """Return the row that the next call has returned."""
        sightings = dict(self.sightings)
        for name in ("item", "failed_at", "access_token"):
            if name not in sightings or getattr(self.row, name) != getattr(row, name):
                sightings[name] = ended, self.started
        return SeenRow(row, started, sightings)

    def is_leased(self, now: Moment) -> bool:
        """Return whether a living instance holds the lease: it changes the row sooner than in LEASE_SECONDS.

        `lease_until` is from another instance's clock, and ends a lease only long after it.
        """
        unchanged_seconds = now.monotonic - self.sightings["item"][0].monotonic
        ended_long_ago = self.row.lease_until + MAX_CLOCK_DIFFERENCE_SECONDS < now.wall
        return bool(self.row.lease_owner) and unchanged_seconds < LEASE_SECONDS and not ended_long_ago

    def is_paused(self, now: Moment) -> bool:
        """Return whether a mint failed so recently that it must not be repeated yet."""
        pause = min(self.row.failed_until - self.row.failed_at, PERMANENT_PAUSE_SECONDS)
        return self._elapsed("failed_at", self.row.failed_at, now) < pause

    def is_young(self, now: Moment) -> bool:
        """Return whether the token was minted so recently that a refusal is no reason to replace it."""
        return self._elapsed("access_token", self.row.minted_at, now) < YOUNG_SECONDS

    def _elapsed(self, name: str, stamp: float, now: Moment) -> float:
        """Return how long ago the stamp was written, in seconds; infinity when that is not known.

        `name` is the attribute whose value came with the stamp: the token, or the stamp itself.
        """
        first_with, last_without = self.sightings[name]
        if not stamp or (last_without == NEVER and stamp > first_with.wall + MAX_AHEAD_SECONDS):
            return math.inf
        return max(first_with.seconds_until(now), min(last_without.seconds_until(now), now.wall - stamp))


NOTHING_SEEN = SeenRow()
"""What an instance has seen that has just started."""
