"""The right to mint one app's token: a lease in the token's own DynamoDB item.

Every mint kills the app's token before last, so of all instances one at a time may mint. Each change of the item raises
its `version` and is conditional on the version its writer has seen: that is the fencing value. A holder that was slow
finds another version and cannot write; one that died is replaced when its lease has run out. The old token stays until
the new one stands. Safety rests on the conditions alone; clocks only decide how soon a dead holder is replaced.

Item: `access_token` (S), `expires_at` (N, epoch seconds), and for the renewal `version` (N), `lease_owner` (S) and
`lease_until` (N, epoch milliseconds) while somebody mints, `failed_until` (N, epoch milliseconds) and
`failure` (S, the reason) after a mint that failed.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from chalicelib.errors import RateLimitedError, StorageUnavailableError, UpstreamError
from chalicelib.guarded import Guarded
from chalicelib.storage import ConditionFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from chalicelib.scope import Scope
    from chalicelib.storage import Item, Table

LEASE_SECONDS = 4.0
"""A holder that died is replaced after this; every try of a living one is over before its lease is."""

# After a mint that failed, nobody tries again for a while, or a storm of requests becomes a storm of mints.
PASSING_PAUSE_SECONDS = 2.0
LASTING_PAUSE_SECONDS = 30.0


class TokenRow(Guarded, frozen=True):
    """A TOKEN# row as it was read; `version` is None where this service never wrote it."""

    access_token: str | None = None
    expires_at: int = 0
    version: int | None = None
    lease_until: float = 0.0
    failed_until: float = 0.0
    failure: str = ""

    def is_leased(self, now: float) -> bool:
        """Whether somebody holds the right to mint."""
        # No lease reaches further than this; a clock that is far ahead must not bind everybody else.
        return now < self.lease_until <= now + 2 * LEASE_SECONDS

    @classmethod
    def read(cls, item: Item) -> TokenRow:
        """Read an item; what is missing or of the wrong type counts as absent, so that a renewal mends it."""
        return cls(
            access_token=item.get("access_token", {}).get("S") or None,
            expires_at=int(_number(item, "expires_at") or 0),
            version=None if (version := _number(item, "version")) is None else int(version),
            lease_until=(_number(item, "lease_until") or 0) / 1000,
            failed_until=(_number(item, "failed_until") or 0) / 1000,
            failure=item.get("failure", {}).get("S", ""),
        )


class Lease:
    """The right to mint one app's token; each step raises ConditionFailedError once it has gone to somebody else."""

    def __init__(self, table: Table, token_id: str, row: TokenRow, wall: Callable[[], float], scope: Scope) -> None:
        self._table = table
        self._pk = token_key(token_id)
        self._version = row.version
        self._seen_token = row.access_token
        self._owner = uuid.uuid4().hex
        self._wall = wall
        self._scope = scope

    def take(self) -> None:
        """Take the lease if the row still is as it was read."""
        # A writer that knows nothing of versions (an operator's hand) must not have its token minted away.
        if self._seen_token is None:
            self._hold(" AND attribute_not_exists(access_token)", {})
        else:
            self._hold(" AND access_token = :seen_token", {":seen_token": {"S": self._seen_token}})

    def renew(self) -> None:
        """Hold it for another while."""
        self._hold("", {})

    def hand_in(self, access_token: str, expires_at: int) -> TokenRow:
        """Put the new token in the place of the old and release the lease, in one write."""
        return self._write(
            "SET access_token = :token, expires_at = :expires_at",
            "REMOVE lease_owner, lease_until, failed_until, failure",
            {":token": {"S": access_token}, ":expires_at": {"N": str(expires_at)}},
        )

    def give_up(self, error: UpstreamError) -> None:
        """Release the lease and leave word of the failure, so that others do not repeat it at once."""
        lasting = isinstance(error, RateLimitedError) or (error.evidence is not None and not error.passing)
        until = self._wall() + (LASTING_PAUSE_SECONDS if lasting else PASSING_PAUSE_SECONDS)
        # Should the table be away as well, the lease simply runs out.
        with suppress(StorageUnavailableError):
            self._write(
                "SET failed_until = :until, failure = :failure",
                "REMOVE lease_owner, lease_until",
                {":until": _milliseconds(until), ":failure": {"S": error.reason}},
            )

    def _hold(self, also: str, values: Item) -> None:
        until = _milliseconds(self._wall() + LEASE_SECONDS)
        self._write(
            "SET lease_owner = :owner, lease_until = :until",
            "",
            {":owner": {"S": self._owner}, ":until": until, **values},
            also,
        )

    def _write(self, sets: str, removes: str, values: Item, also: str = "") -> TokenRow:
        version = (self._version or 0) + 1
        values = {":version": {"N": str(version)}, **values}
        condition = "attribute_not_exists(version)"
        if self._version is not None:
            condition = "version = :seen"
            values[":seen"] = {"N": str(self._version)}
        try:
            item = self._table.write(
                self._pk, f"{sets}, version = :version {removes}", condition + also, values, self._scope
            )
        except ConditionFailedError as found:
            # The answer to our own write was lost, and its repetition met what it had done.
            item = found.item
            if item.get("lease_owner", {}).get("S") != self._owner or TokenRow.read(item).version != version:
                raise
        self._version = version
        return TokenRow.read(item)


def token_key(token_id: str) -> str:
    """The partition key of a token's row."""
    return f"TOKEN#{token_id}"


def _number(item: Item, name: str) -> float | None:
    text = item.get(name, {}).get("N")
    return None if text is None else float(text)


def _milliseconds(moment: float) -> AttributeValueTypeDef:
    return {"N": str(int(moment * 1000))}
