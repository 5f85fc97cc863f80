"""The lease to mint one app's token, stored in the token's DynamoDB item.

The platform accepts only the two newest tokens of an app: the older one for five minutes after a mint. A second mint
invalidates it at once, so only one instance may mint at a time. Each change of the item increments its `version` (the
fencing token) and is conditional on the version that the writer has read. A slow holder finds another version and
cannot write. A dead holder is replaced: each waiting instance measures with its own monotonic clock how long the
row stays unchanged. The old token stays in the item until the new one replaces it.

The conditional writes alone ensure that an older token never replaces a newer one. Wrong wall clocks can only cost an
extra mint, if they differ by at most MAX_CLOCK_DIFFERENCE_SECONDS.

Item: `access_token` (S), `expires_at` (N, epoch seconds), `version` (N); while an instance mints, `lease_owner` (S) and
`lease_until` (N, epoch milliseconds); after a failed mint, `failed_at` and `failed_until` (N, epoch milliseconds: begin
and end of the pause) and `failure` (S, the reason); `minted_at` (N, epoch seconds). Released and new versions of this
service share the item during a deployment: attributes may be added, but not changed.
"""

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from chalicelib.aws import ConditionFailedError, Item, Table
from chalicelib.context import RequestContext
from chalicelib.douyin.protocol import is_access_token
from chalicelib.errors import DeadlineExceededError, RateLimitedError, RedemptionError, StorageUnavailableError
from chalicelib.redaction import RedactedStruct

LEASE_SECONDS = 4.0
"""A holder that has not changed the row for this time counts as dead and is replaced.

A living one takes longer only if a slow mint (MINT_SECONDS) is followed by a write that needs its second attempt. The
result is one more mint.
"""

MAX_CLOCK_DIFFERENCE_SECONDS = 120.0
"""The clocks of two instances are at most this far apart (each is at most 60 s wrong)."""

YOUNG_SECONDS = 10.0
"""A refused token is not replaced in this time after its mint.

If the platform refuses every token, each refusal would cause a mint, until the platform refuses the app's mints too.
"""

MAX_EPOCH_SECONDS = 10**11
"""An `expires_at` above this is in milliseconds. A system that writes the row itself may have used them."""

# After a failed mint no instance tries again for this time, or many requests would cause many mints.
TRANSIENT_PAUSE_SECONDS = 2.0
PERMANENT_PAUSE_SECONDS = 30.0


class TokenRow(RedactedStruct, frozen=True):
    """A TOKEN# row. Times are in epoch seconds."""

    #: Empty when there is none.
    access_token: str = ""
    expires_at: int = 0
    #: 0 when this service has not written the row.
    version: int = 0
    lease_owner: str = ""
    lease_until: float = 0.0
    #: The end of the pause after a failed mint.
    failed_until: float = 0.0
    #: The length of this pause.
    pause_seconds: float = PERMANENT_PAUSE_SECONDS
    #: The reason.
    failure: str = ""
    #: When this service minted the token.
    minted_at: int = 0
    #: The content in DynamoDB's format.
    item: Item = msgspec.field(default_factory=dict)

    def is_valid(self, now: float) -> bool:
        """Return whether there is a token, and it has not expired."""
        return bool(self.access_token) and self.expires_at > now

    def is_leased(self, now: float, unchanged_seconds: float) -> bool:
        """Return whether a living instance holds the lease.

        `now` is the wall clock. `unchanged_seconds` is how long the caller has seen this state of the row, measured
        by its own monotonic clock: a living holder changes the row sooner.
        """
        ended_long_ago = self.lease_until + MAX_CLOCK_DIFFERENCE_SECONDS < now
        return bool(self.lease_owner) and unchanged_seconds < LEASE_SECONDS and not ended_long_ago

    def is_paused(self, now: float, unchanged_seconds: float) -> bool:
        """Return whether a mint failed so recently that it must not be repeated yet.

        A `failed_until` that lies further in the future than the length of the pause was written by a wrong clock, and
        does not count.
        """
        is_in_pause = now < self.failed_until <= now + self.pause_seconds
        return is_in_pause and unchanged_seconds < self.pause_seconds

    def is_young(self, now: float, unchanged_seconds: float) -> bool:
        """Return whether the token was minted so recently that a refusal is no reason to replace it.

        Both must say so: `minted_at` is from another instance's clock, and one that has just started has seen nothing.
        """
        is_recent = abs(now - self.minted_at) < MAX_CLOCK_DIFFERENCE_SECONDS + YOUNG_SECONDS
        return is_recent and unchanged_seconds < YOUNG_SECONDS

    @classmethod
    def from_item(cls, item: Item) -> "TokenRow":
        """Parse an item. A malformed attribute counts as missing, so that a renewal repairs it."""
        access_token = item.get("access_token", {}).get("S", "")
        expires_at = _integer(item, "expires_at")
        failed_until = _integer(item, "failed_until") / 1000
        # Without `failed_at`, or with that of an earlier failure, the difference is longer than any pause and not used.
        pause = failed_until - _integer(item, "failed_at") / 1000
        return cls(
            access_token=access_token if is_access_token(access_token) else "",
            expires_at=expires_at // 1000 if expires_at > MAX_EPOCH_SECONDS else expires_at,
            version=_integer(item, "version"),
            lease_owner=item.get("lease_owner", {}).get("S", ""),
            lease_until=_integer(item, "lease_until") / 1000,
            failed_until=failed_until,
            pause_seconds=pause if 0 < pause < PERMANENT_PAUSE_SECONDS else PERMANENT_PAUSE_SECONDS,
            failure=item.get("failure", {}).get("S", ""),
            minted_at=_integer(item, "minted_at"),
            item=item,
        )


@dataclass(eq=False, repr=False)
class Lease:
    """The exclusive right to mint one app's token.

    Each method writes only if the row still has the version and the token that were read or written last: a token that
    was written by hand, without a new version, is not overwritten. Otherwise it raises ConditionFailedError. Raises
    StorageUnavailableError too, except for `release`.
    """

    table: Table
    token_id: str
    #: As it was read or written last.
    row: TokenRow
    clock: Callable[[], float]
    context: RequestContext
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)

    def acquire(self) -> None:
        """Acquire the lease, or extend it by its full duration."""
        self._update({"lease_owner": {"S": self.owner}, **_milliseconds(lease_until=self.clock() + LEASE_SECONDS)})

    def commit(self, access_token: str, minted_at: int, expires_at: int) -> TokenRow:
        """Replace the old token by the new one and end the lease, in one write."""
        return self._update(
            {
                "access_token": {"S": access_token},
                "minted_at": {"N": str(minted_at)},
                "expires_at": {"N": str(expires_at)},
            },
            "REMOVE lease_owner, lease_until, failed_at, failed_until, failure",
        )

    def release(self, error: RedemptionError) -> None:
        """End the lease after a failed mint and record the failure, so that others do not repeat it at once."""
        is_long = isinstance(error, RateLimitedError) or (error.evidence.has_code and not error.retryable)
        pause = PERMANENT_PAUSE_SECONDS if is_long else TRANSIENT_PAUSE_SECONDS
        now = self.clock()
        # When the table is unavailable too, or no time is left, the lease ends by itself.
        with suppress(StorageUnavailableError, DeadlineExceededError):
            self._update(
                {**_milliseconds(failed_at=now, failed_until=now + pause), "failure": {"S": error.reason}},
                "REMOVE lease_owner, lease_until",
            )

    def _update(self, changes: Item, removes: str = "") -> TokenRow:
        changes = {**changes, "version": {"N": str(self.row.version + 1)}}
        sets = ", ".join(f"{name} = :{name}" for name in changes)
        seen = {name: self.row.item.get(name) for name in ("version", "access_token")}
        conditions = [f"{name} = :seen_{name}" if seen[name] else f"attribute_not_exists({name})" for name in seen]
        values: Item = {f":{name}": value for name, value in changes.items()}
        values |= {f":seen_{name}": value for name, value in seen.items() if value}
        try:
            item = self.table.update_item(
                token_key(self.token_id), f"SET {sets} {removes}", " AND ".join(conditions), values, self.context
            )
        except ConditionFailedError as conflict:
            item = conflict.item
            # If the row has our values, the write succeeded and its response was lost: the retry met our own change.
            if any(item.get(name) != value for name, value in changes.items()):
                raise
        self.row = TokenRow.from_item(item)
        return self.row


def token_key(token_id: str) -> str:
    """Return the partition key of a token's row."""
    return f"TOKEN#{token_id}"


def _integer(item: Item, name: str) -> int:
    """Return a number attribute without its fraction, or 0 when it is missing or of another type.

    Exactly: the fencing token may be larger than a float can count.
    """
    return int(Decimal(item.get(name, {}).get("N", 0)))


def _milliseconds(**times: float) -> Item:
    """Return attributes with these times (epoch seconds), in milliseconds."""
    return {name: {"N": str(int(seconds * 1000))} for name, seconds in times.items()}
