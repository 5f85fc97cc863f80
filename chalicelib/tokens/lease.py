"""The lease to mint one app's token, stored in the token's DynamoDB item.

Every mint invalidates the app's token before the previous one, so only one instance may mint at a time. Each change of
the item increments its `version` (the fencing token) and is conditional on the version that the writer has read. A slow
holder finds another version and cannot write. A dead holder is replaced when its lease expires. The old token stays in
the item until the new one replaces it. Safety depends only on the conditions; clocks only decide how soon a dead holder
is replaced.

Item: `access_token` (S), `expires_at` (N, epoch seconds), `version` (N); while an instance mints, `lease_owner` (S) and
`lease_until` (N, epoch milliseconds); after a failed mint, `failed_until` (N, epoch milliseconds) and `failure` (S, the
reason).
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from chalicelib.aws import ConditionFailedError
from chalicelib.errors import RateLimitedError, StorageUnavailableError, UpstreamError
from chalicelib.records import RedactedStruct

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from chalicelib.aws import Item, Table
    from chalicelib.context import RequestContext

LEASE_SECONDS = 4.0
"""A dead holder is replaced after this time. Each attempt of a living holder ends before its lease does."""

# After a failed mint no instance tries again for this time, or many requests would cause many mints.
TRANSIENT_PAUSE_SECONDS = 2.0
PERMANENT_PAUSE_SECONDS = 30.0


class TokenRow(RedactedStruct, frozen=True):
    """A TOKEN# row. `version` is None when this service has not written the row."""

    access_token: str | None = None
    expires_at: int = 0
    version: int | None = None
    lease_until: float = 0.0
    failed_until: float = 0.0
    failure: str = ""

    def is_leased(self, now: float) -> bool:
        """Return whether another instance holds the lease."""
        # A longer lease was written by a wrong clock; it must not block the other instances.
        return now < self.lease_until <= now + 2 * LEASE_SECONDS

    @classmethod
    def from_item(cls, item: Item) -> TokenRow:
        """Parse an item. A malformed attribute counts as missing, so that a renewal repairs it."""
        return cls(
            access_token=item.get("access_token", {}).get("S") or None,
            expires_at=int(_number(item, "expires_at") or 0),
            version=None if (version := _number(item, "version")) is None else int(version),
            lease_until=(_number(item, "lease_until") or 0) / 1000,
            failed_until=(_number(item, "failed_until") or 0) / 1000,
            failure=item.get("failure", {}).get("S", ""),
        )


class Lease:
    """The exclusive right to mint one app's token.

    Each method raises ConditionFailedError when another instance has changed the row, and StorageUnavailableError.
    """

    def __init__(
        self, table: Table, token_id: str, row: TokenRow, clock: Callable[[], float], context: RequestContext
    ) -> None:
        self._table = table
        self._pk = token_key(token_id)
        self._version = row.version
        self._seen_token = row.access_token
        self._owner = uuid.uuid4().hex
        self._clock = clock
        self._context = context

    def acquire(self) -> None:
        """Acquire the lease if the row has not changed since it was read."""
        # Do not overwrite a token that was written by hand, without a `version`.
        if self._seen_token is None:
            self._set_lease(" AND attribute_not_exists(access_token)", {})
        else:
            self._set_lease(" AND access_token = :seen_token", {":seen_token": {"S": self._seen_token}})

    def extend(self) -> None:
        """Extend the lease by its full duration."""
        self._set_lease("", {})

    def commit(self, access_token: str, expires_at: int) -> TokenRow:
        """Replace the old token by the new one and end the lease, in one write."""
        return self._update(
            "SET access_token = :token, expires_at = :expires_at",
            "REMOVE lease_owner, lease_until, failed_until, failure",
            {":token": {"S": access_token}, ":expires_at": {"N": str(expires_at)}},
        )

    def release(self, error: UpstreamError) -> None:
        """End the lease after a failed mint and record the failure, so that others do not repeat it at once."""
        is_permanent = isinstance(error, RateLimitedError) or (error.evidence is not None and not error.retryable)
        until = self._clock() + (PERMANENT_PAUSE_SECONDS if is_permanent else TRANSIENT_PAUSE_SECONDS)
        # When the table is unavailable too, the lease expires by itself.
        with suppress(StorageUnavailableError):
            self._update(
                "SET failed_until = :until, failure = :failure",
                "REMOVE lease_owner, lease_until",
                {":until": _milliseconds(until), ":failure": {"S": error.reason}},
            )

    def _set_lease(self, condition: str, values: Item) -> None:
        until = _milliseconds(self._clock() + LEASE_SECONDS)
        self._update(
            "SET lease_owner = :owner, lease_until = :until",
            "",
            {":owner": {"S": self._owner}, ":until": until, **values},
            condition,
        )

    def _update(self, sets: str, removes: str, values: Item, condition: str = "") -> TokenRow:
        version = (self._version or 0) + 1
        values = {":version": {"N": str(version)}, **values}
        version_condition = "attribute_not_exists(version)"
        if self._version is not None:
            version_condition = "version = :seen"
            values[":seen"] = {"N": str(self._version)}
        try:
            item = self._table.update_item(
                self._pk, f"{sets}, version = :version {removes}", version_condition + condition, values, self._context
            )
        except ConditionFailedError as conflict:
            # Our write may have succeeded with its response lost; then the retry conflicts with our own change.
            item = conflict.item
            if item.get("lease_owner", {}).get("S") != self._owner or TokenRow.from_item(item).version != version:
                raise
        self._version = version
        return TokenRow.from_item(item)


def token_key(token_id: str) -> str:
    """Return the partition key of a token's row."""
    return f"TOKEN#{token_id}"


def _number(item: Item, name: str) -> float | None:
    text = item.get(name, {}).get("N")
    return None if text is None else float(text)


def _milliseconds(epoch_seconds: float) -> AttributeValueTypeDef:
    return {"N": str(int(epoch_seconds * 1000))}
