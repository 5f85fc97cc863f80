"""TOKEN# rows: one access token an app, shared by every instance, minted by one of them at a time.

Every mint kills the app's token before last, so the right to mint is a lease in the token's own item. Each change of
the item, by whomever, raises its `version`, and each is conditional on the version its writer has seen: that is the
fencing value. A holder that was slow finds another version and cannot write; one that died is replaced when its lease
has run out. The old token stays until the new one stands.

Item: `access_token` (S), `expires_at` (N, epoch seconds), and for the renewal `version` (N), `lease_owner` (S) and
`lease_until` (N, epoch milliseconds) while somebody mints, `failed_until` (N, epoch milliseconds) and
`failure` (S, the reason) after a mint that failed.
"""

from __future__ import annotations

import random
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chalicelib.errors import (
    RateLimitedError,
    StorageUnavailableError,
    TokenUnavailableError,
    UpstreamError,
)
from chalicelib.memory import Memory
from chalicelib.scope import Deadline
from chalicelib.storage import ConditionFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from chalicelib.scope import Scope
    from chalicelib.storage import Item, Table
    from chalicelib.upstream import Douyin

KEPT_TOKENS = 200

FRESH_SECONDS = 60
"""A token that ends within this is looked up again at every request: a newer one may stand in the table."""

EARLY_SECONDS = 30 * 60
"""The scheduled renewal replaces what ends within this."""

LEASE_SECONDS = 4.0
"""A holder that died is replaced after this; every try of a living one is over before its lease is."""

MINT_SECONDS = 3.0
MINT_TRIES = 3

SHORTEST_WAIT_SECONDS = 0.5
"""With less than this left, neither a mint nor a wait for one is begun."""

POLL_SECONDS = (0.04, 0.16)
"""Those who wait for another's mint look again after a random while between these."""

# After a mint that failed, nobody tries again for a while, or a storm of requests becomes a storm of mints.
PASSING_PAUSE_SECONDS = 2.0
LASTING_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A TOKEN# row as it was read; `version` is None where this service never wrote it."""

    access_token: str | None = field(default=None, repr=False)
    expires_at: int = 0
    version: int | None = None
    lease_until: float = 0.0
    failed_until: float = 0.0
    failure: str = ""

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


class TokenStore:
    """Hands out access tokens, and sees to it that however many need a new one at once, one is minted.

    `wall` is epoch seconds, `sleep` and `uniform` are seams for tests.
    """

    def __init__(
        self,
        table: Table,
        douyin: Douyin,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._table = table
        self._douyin = douyin
        self._wall = wall
        self._sleep = sleep
        self._uniform = uniform
        self._memory: Memory[TokenRow] = Memory(KEPT_TOKENS, wall)

    def current(self, token_id: str, app_secret: str | None, scope: Scope) -> str:
        """A token that has not ended, from memory, the table, or a mint; raises TokenUnavailableError.

        `app_secret` is None for a token_id that is no app of ours: such a row is another system's and only read.
        """
        kept = self._memory.get(token_id)
        if kept is not None and kept.access_token and kept.expires_at - FRESH_SECONDS > self._wall():
            return kept.access_token
        try:
            return self._obtain(token_id, app_secret, lambda row: row.expires_at > self._wall(), scope)
        except StorageUnavailableError:
            if kept is not None and kept.access_token:
                return kept.access_token
            raise

    def replace(self, token_id: str, app_secret: str | None, refused: str, scope: Scope) -> str:
        """A token other than the one the platform refused: the row's newer one, or a new one.

        Raises TokenUnavailableError, StorageUnavailableError.
        """
        return self._obtain(
            token_id,
            app_secret,
            lambda row: row.access_token != refused and row.expires_at > self._wall(),
            scope,
        )

    def renew_early(self, token_id: str, app_secret: str, scope: Scope) -> bool:
        """Renew a token that ends within half an hour, whoever does it; False when nothing was to be done.

        Raises TokenUnavailableError, StorageUnavailableError.
        """
        row = self._read(token_id, scope)
        if row.access_token is None or row.expires_at - EARLY_SECONDS > self._wall():
            return False
        self._obtain(token_id, app_secret, lambda row: row.expires_at - EARLY_SECONDS > self._wall(), scope)
        return True

    def _obtain(self, token_id: str, app_secret: str | None, serves: Callable[[TokenRow], bool], scope: Scope) -> str:
        row = self._read(token_id, scope)
        while not (row.access_token and serves(row)):
            if app_secret is None:
                raise TokenUnavailableError(f"{token_id} is renewed by another system, which has not done so")
            now = self._wall()
            if row.failed_until > now:
                raise TokenUnavailableError(f"minting failed moments ago: {row.failure}")
            if scope.deadline.remaining() < SHORTEST_WAIT_SECONDS:
                raise TokenUnavailableError("no new token in time")
            if row.lease_until <= now:
                lease = _Lease(self._table, token_id, row, self._wall, scope)
                try:
                    row = self._mint(lease, token_id, app_secret, scope)
                    # Whatever its life, it is the one mint this call may cause: it is not judged again.
                    break
                except ConditionFailedError as found:
                    row = TokenRow.read(found.item)
            else:
                self._sleep(self._uniform(*POLL_SECONDS))
                row = self._read(token_id, scope)
        assert row.access_token  # noqa: S101 - for the type checker: both ways out of the loop have one
        self._memory.keep(token_id, row, row.expires_at)
        return row.access_token

    def _read(self, token_id: str, scope: Scope) -> TokenRow:
        return TokenRow.read(self._table.read(_key(token_id), scope))

    def _mint(self, lease: _Lease, token_id: str, app_secret: str, scope: Scope) -> TokenRow:
        """Take the lease, mint and hand in; raises ConditionFailedError when the right has gone to somebody else."""
        lease.take()
        tries = 0
        while True:
            tries += 1
            begun = self._wall()
            try:
                deadline = Deadline(min(MINT_SECONDS, scope.deadline.remaining()))
                minted = self._douyin.mint(token_id, app_secret, scope, deadline)
            except UpstreamError as error:
                pause = self._uniform(0, min(1.0, 0.1 * 2**tries))
                # "Too often" counts every call of the app, this one included: repeating it at once feeds the storm.
                worthwhile = error.passing and not isinstance(error, RateLimitedError) and tries < MINT_TRIES
                if not worthwhile or scope.deadline.remaining() < pause + SHORTEST_WAIT_SECONDS:
                    lease.give_up(error)
                    raise TokenUnavailableError(f"minting failed: {error}", error.evidence) from None
                self._sleep(pause)
                lease.renew()
                continue
            expires_at = int(begun) + minted.expires_in
            try:
                return lease.hand_in(minted.access_token, expires_at)
            except StorageUnavailableError:
                # It counts with the platform though nobody else will learn of it: serve this instance with it.
                return TokenRow(minted.access_token, expires_at)


class _Lease:
    """The right to mint one app's token; each step raises ConditionFailedError once it has gone to somebody else."""

    def __init__(self, table: Table, token_id: str, row: TokenRow, wall: Callable[[], float], scope: Scope) -> None:
        self._table = table
        self._pk = _key(token_id)
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


def _key(token_id: str) -> str:
    return f"TOKEN#{token_id}"


def _number(item: Item, name: str) -> float | None:
    text = item.get(name, {}).get("N")
    return None if text is None else float(text)


def _milliseconds(moment: float) -> AttributeValueTypeDef:
    return {"N": str(int(moment * 1000))}
