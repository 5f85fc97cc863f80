"""The row of a token in the table: `TOKEN#<token_id>`.

`access_token` (S), `expires_at` (N, epoch seconds), `version` (N); `minted_at` (N, epoch seconds) if this service has
minted it; while an instance mints, `lease_owner` (S) and `lease_until` (N, epoch milliseconds); after a failed mint,
`failed_at` and `failed_until` (N, epoch milliseconds: start and end of the pause) and `failure` (S, the reason).
Released and new versions of this service share the row during a deployment: attributes may be added, but not changed.

The stamps are wall-clock times. Lambda synchronizes its instances' clocks: they differ by CLOCK_DIFFERENCE_SECONDS at
most. A stamp that is further in the future was not written by a clock, and does not count.
"""

import math
from decimal import Decimal

import msgspec

from chalicelib.aws import Item
from chalicelib.douyin.protocol import is_access_token
from chalicelib.freshness import is_fresh
from chalicelib.redaction import RedactedStruct

MAX_EPOCH_SECONDS = 10**11
"""The largest `expires_at` in seconds. A larger one is in milliseconds: the system that has written it may use them."""

CLOCK_DIFFERENCE_SECONDS = 2.0

TOKEN_MAX_AGE = 240.0
"""How long a token is used after its row was read, in seconds. Then the row is read again.

The platform ends a token five minutes after it was replaced; the schedule may have replaced it right after the read.
"""

LEASE_SECONDS = 4.0
"""How long an instance holds the lease: three for the mint, one for the write after it. Then it counts as dead."""

# After a failed mint no instance tries again for this time, or many requests would cause many mints. It is long after a
# rate limit or a permanent error.
SHORT_PAUSE_SECONDS = 2.0
LONG_PAUSE_SECONDS = 30.0

YOUNG_SECONDS = 10.0
"""How long after its mint a refused token is not renewed.

If the platform refuses every token, each refusal would cause a mint, until the platform refuses the app's mints too.
"""


class TokenRow(RedactedStruct, frozen=True):
    """A TOKEN# row. Times are in epoch seconds, and 0 when they are missing."""

    #: The token, or "" for none.
    access_token: str = ""
    expires_at: int = 0
    #: The number of changes by this service; 0 when it has not written the row.
    version: int = 0
    lease_owner: str = ""
    lease_until: float = 0.0
    #: When a mint failed, and when the pause after it ends.
    failed_at: float = 0.0
    failed_until: float = 0.0
    #: Why the mint failed.
    failure: str = ""
    #: When this service minted the token.
    minted_at: int = 0
    #: The content in DynamoDB's format.
    item: Item = msgspec.field(default_factory=dict)
    #: When the call that returned the row started: the row may have changed since. After a failed read or mint, a later
    #: time, so that the token is used for `REUSE_SECONDS` more.
    read_at: float = -math.inf

    @property
    def is_stored(self) -> bool:
        """Whether the table has this row: not if it is missing, or if its token was minted and not written."""
        return bool(self.item)

    def is_valid(self, now: float) -> bool:
        """Return whether there is a token, and it has not expired."""
        return bool(self.access_token) and self.expires_at > now

    def is_fresh(self, now: float) -> bool:
        """Return whether there is a valid token that may be used without reading the row again."""
        return self.is_valid(now) and is_fresh(TOKEN_MAX_AGE, self.read_at, now)

    def is_leased(self, now: float) -> bool:
        """Return whether a living instance holds the lease."""
        return bool(self.lease_owner) and now < self.lease_until <= now + LEASE_SECONDS + CLOCK_DIFFERENCE_SECONDS

    def is_paused(self, now: float) -> bool:
        """Return whether a mint failed so recently that it must not be repeated yet."""
        ends_at = min(self.failed_until, self.failed_at + LONG_PAUSE_SECONDS)
        return self.failed_at - CLOCK_DIFFERENCE_SECONDS <= now < ends_at

    def is_young(self, now: float) -> bool:
        """Return whether the token was minted so recently that a refusal is no reason to renew it."""
        return self.minted_at - CLOCK_DIFFERENCE_SECONDS <= now < self.minted_at + YOUNG_SECONDS

    @classmethod
    def from_item(cls, item: Item, read_at: float = -math.inf) -> "TokenRow":
        """Parse an item. A malformed attribute counts as missing, so that a renewal repairs it."""
        access_token = item.get("access_token", {}).get("S", "")
        expires_at = _integer(item, "expires_at")
        return cls(
            access_token=access_token if is_access_token(access_token) else "",
            expires_at=expires_at // 1000 if expires_at > MAX_EPOCH_SECONDS else expires_at,
            version=_integer(item, "version"),
            lease_owner=item.get("lease_owner", {}).get("S", ""),
            lease_until=_integer(item, "lease_until") / 1000,
            failed_at=_integer(item, "failed_at") / 1000,
            failed_until=_integer(item, "failed_until") / 1000,
            failure=item.get("failure", {}).get("S", ""),
            minted_at=_integer(item, "minted_at"),
            item=item,
            read_at=read_at,
        )


NO_ROW = TokenRow()


def token_key(token_id: str) -> str:
    """Return the partition key of a token's row."""
    return f"TOKEN#{token_id}"


def _integer(item: Item, name: str) -> int:
    """Return a number attribute without its fraction, or 0 when it is missing or of another type.

    Exactly: the fencing token may be larger than a float can count.
    """
    return int(Decimal(item.get(name, {}).get("N", 0)))
