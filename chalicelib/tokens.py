"""Access tokens: one an app, shared by every instance, from memory, the table, or a mint.

Who may mint, and how the others learn of it, is `lease`'s business.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from chalicelib.errors import (
    RateLimitedError,
    StorageUnavailableError,
    TokenUnavailableError,
    UpstreamError,
)
from chalicelib.lease import Lease, TokenRow, token_key
from chalicelib.memory import Memory
from chalicelib.scope import Deadline
from chalicelib.storage import ConditionFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.scope import Scope
    from chalicelib.storage import Table
    from chalicelib.upstream import Douyin

KEPT_TOKENS = 200

FRESH_SECONDS = 60
"""A token that ends within this is looked up again at every request: a newer one may stand in the table."""

EARLY_SECONDS = 30 * 60
"""The scheduled renewal replaces what ends within this."""

MINT_SECONDS = 3.0
"""One try to mint, answer and all; the lease that covers it is longer."""

MINT_TRIES = 3

SHORTEST_WAIT_SECONDS = 0.5
"""With less than this left, neither a mint nor a wait for one is begun."""

POLL_SECONDS = (0.04, 0.16)
"""Those who wait for another's mint look again after a random while between these."""


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

    def recall(self, token_id: str, scope: Scope) -> None:
        """Look a token up before it is asked for; one that is missing or has ended is left to whoever needs it.

        Raises StorageUnavailableError.
        """
        row = self.row(token_id, scope)
        if row.access_token:
            self._memory.keep(token_id, row, row.expires_at)

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
        row = self.row(token_id, scope)
        if row.access_token is None or row.expires_at - EARLY_SECONDS > self._wall():
            return False
        self._obtain(token_id, app_secret, lambda row: row.expires_at - EARLY_SECONDS > self._wall(), scope)
        return True

    def row(self, token_id: str, scope: Scope) -> TokenRow:
        """The row as it stands in the table; raises StorageUnavailableError."""
        return TokenRow.read(self._table.read(token_key(token_id), scope))

    def _obtain(self, token_id: str, app_secret: str | None, serves: Callable[[TokenRow], bool], scope: Scope) -> str:
        row = self.row(token_id, scope)
        may_mint = True
        while not (row.access_token and serves(row)):
            if app_secret is None:
                raise TokenUnavailableError(f"{token_id} is renewed by another system, which has not done so")
            now = self._wall()
            if row.failed_until > now:
                raise TokenUnavailableError(f"minting failed moments ago: {row.failure}")
            if scope.deadline.remaining() < SHORTEST_WAIT_SECONDS:
                raise TokenUnavailableError("no new token in time")
            if row.is_leased(now):
                self._sleep(self._uniform(*POLL_SECONDS))
                row = self.row(token_id, scope)
                continue
            if not may_mint:
                raise TokenUnavailableError("lost the right to mint, and nobody else has minted")
            lease = Lease(self._table, token_id, row, self._wall, scope)
            try:
                lease.take()
            except ConditionFailedError as found:
                row = TokenRow.read(found.item)
                continue
            # One call mints once, and does not judge what it minted: no life is too short to be used, no loop possible.
            may_mint = False
            try:
                row = self._mint(lease, token_id, app_secret, scope)
                break
            except ConditionFailedError as found:
                row = TokenRow.read(found.item)
        assert row.access_token  # noqa: S101 - for the type checker: both ways out of the loop have one
        self._memory.keep(token_id, row, row.expires_at)
        return row.access_token

    def _mint(self, lease: Lease, token_id: str, app_secret: str, scope: Scope) -> TokenRow:
        """Mint under the lease and hand in; raises ConditionFailedError when the right has gone to somebody else."""
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
