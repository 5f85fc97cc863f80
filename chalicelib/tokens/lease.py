"""The lease to mint one app's token, stored in the token's row.

The platform accepts only the two newest tokens of an app: the older one for five minutes after a mint. So a second mint
is likely to invalidate it at once, and only one instance may mint at a time. Each change of the row increments its
`version` (the fencing token) and is conditional on the version that the writer has read. A slow holder finds another
version and cannot write. A dead holder is replaced when its lease has ended. The old token stays in the row until the
new one replaces it.

The conditional writes alone ensure that an older token never replaces a newer one. Clocks that differ can only cost an
extra mint.
"""

import uuid
from collections.abc import Callable
from contextlib import suppress

from chalicelib.aws import ConditionFailedError, Item, Table
from chalicelib.context import RequestContext
from chalicelib.errors import DeadlineExceededError, RateLimitedError, RedemptionError, StorageUnavailableError
from chalicelib.tokens.rows import (
    LEASE_SECONDS,
    LONG_PAUSE_SECONDS,
    SHORT_PAUSE_SECONDS,
    TokenRow,
    token_key,
)


class Lease:
    """The exclusive right to mint one app's token. `row` is the row as it was read or written last.

    Each method writes only if the row still has the version and the token of `row`: a token that was written by hand,
    without a new version, is not overwritten. Otherwise it raises ConditionFailedError. Raises StorageUnavailableError
    too. `release` raises neither.
    """

    def __init__(
        self, table: Table, token_id: str, row: TokenRow, clock: Callable[[], float], context: RequestContext
    ) -> None:
        self.table = table
        self.token_id = token_id
        self.row = row
        self.clock = clock
        self.context = context
        self.owner = uuid.uuid4().hex

    def take(self) -> None:
        """Take the lease, for LEASE_SECONDS from now."""
        until = self.clock() + LEASE_SECONDS
        self._update({"lease_owner": {"S": self.owner}, **_numbers(lease_until=until * 1000)})

    def commit(self, access_token: str, minted_at: int, expires_at: int) -> None:
        """Replace the old token by the new one and end the lease, in one write."""
        self._update(
            {"access_token": {"S": access_token}, **_numbers(minted_at=minted_at, expires_at=expires_at)},
            "REMOVE lease_owner, lease_until, failed_at, failed_until, failure",
        )

    def release(self, error: RedemptionError | None = None) -> None:
        """End the lease without a new token. The error of a failed mint starts a pause, in which nobody mints."""
        changes: Item = {}
        if error is not None:
            is_long = isinstance(error, RateLimitedError) or (error.evidence.has_code and not error.is_transient)
            pause = LONG_PAUSE_SECONDS if is_long else SHORT_PAUSE_SECONDS
            now = self.clock()
            changes = {"failure": {"S": error.reason}}
            changes |= _numbers(failed_at=now * 1000, failed_until=(now + pause) * 1000)
        # When the table is unavailable too, or no time is left, the lease ends by itself. Or another instance has it.
        with suppress(StorageUnavailableError, DeadlineExceededError, ConditionFailedError):
            self._update(changes, "REMOVE lease_owner, lease_until")

    def _update(self, changes: Item, removes: str = "") -> None:
        started = self.clock()
        changes = {**changes, **_numbers(version=self.row.version + 1)}
        sets = ", ".join(f"{name} = :{name}" for name in changes)
        known = {name: self.row.item.get(name) for name in ("version", "access_token")}
        conditions = [f"{name} = :known_{name}" if known[name] else f"attribute_not_exists({name})" for name in known]
        values: Item = {f":{name}": value for name, value in changes.items()}
        values |= {f":known_{name}": value for name, value in known.items() if value}
        try:
            item = self.table.update_item(
                token_key(self.token_id), f"SET {sets} {removes}", " AND ".join(conditions), values, self.context
            )
        except ConditionFailedError as conflict:
            item = conflict.item
            # If the row has our values, our write succeeded but its response was lost: the retry found our own change.
            if any(item.get(name) != value for name, value in changes.items()):
                raise
        self.row = TokenRow.from_item(item, started)


def _numbers(**values: float) -> Item:
    """Return attributes with these numbers, without their fractions."""
    return {name: {"N": str(int(value))} for name, value in values.items()}
