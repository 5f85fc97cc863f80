"""Access tokens, one per app, shared by all instances. Looked up in the cache, then in the table, then minted.

To mint is to request a new token from the platform. `lease` makes sure that one instance mints at a time.
"""

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import msgspec

from chalicelib import errors
from chalicelib.aws import ConditionFailedError, Table
from chalicelib.context import RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.tokens.lease import Lease
from chalicelib.tokens.rows import (
    CLOCK_DIFFERENCE_SECONDS,
    LEASE_SECONDS,
    NO_ROW,
    TOKEN_MAX_AGE,
    TokenRow,
    token_key,
)

T = TypeVar("T")

REUSE_SECONDS = 10.0
"""How long a cached token is used after a failed read or mint: not every request waits for the next one."""

STORE_SECONDS = 1.0
"""The end of a lease, reserved for the write after the mint. Without it, the new token could be lost."""

MIN_MINT_SECONDS = LEASE_SECONDS + 0.5
"""The shortest time left in which a lease is taken: for its write, and for the whole lease."""

MIN_WAIT_SECONDS = 1.0
"""The shortest time left in which another read of the row is started."""

POLL_SECONDS = (0.04, 0.16)
"""Random delay between two reads while another instance mints."""

Action = Literal["use", "wait", "mint"]


@dataclass(eq=False, repr=False)
class TokenProvider:
    """Returns access tokens, and renews them when needed. Raises TokenUnavailableError and StorageUnavailableError.

    A token_id is the app_id of the app whose tokens the row has, or the name of a row that another system writes.
    """

    table: Table
    douyin: DouyinClient
    #: Returns an app's secret. "" or None: another system writes the row of this token_id, this service only reads it.
    find_secret: Callable[[str, RequestContext], str | None]
    #: The wall clock, in epoch seconds.
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = random.uniform
    #: The rows of the tokens in use, by token_id. No limit is needed: only operators write token_ids.
    cached: dict[str, TokenRow] = field(default_factory=dict, init=False)

    def get(self, token_id: str, context: RequestContext) -> str:
        """Return a token that has not expired: the cached one, that of the row, or a new one."""
        cached = self.cached.get(token_id, NO_ROW)
        now = self.clock()
        if cached.is_fresh(now):
            return cached.access_token
        try:
            return self._read_or_mint(token_id, context).access_token
        except (errors.StorageUnavailableError, errors.TokenUnavailableError):
            cached = self.cached.get(token_id, NO_ROW)
            now = self.clock()
            if not cached.is_valid(now):
                raise
            read_at = max(now - TOKEN_MAX_AGE + REUSE_SECONDS, cached.read_at)
            self.cached[token_id] = msgspec.structs.replace(cached, read_at=read_at)
            return cached.access_token

    def get_renewable(self, token_id: str, context: RequestContext) -> "RenewableToken":
        """Return what `get` returns, for a login or for all pages of a list."""
        return RenewableToken(self, token_id, context)

    def preload(self, token_id: str, context: RequestContext) -> None:
        """Read and cache the row, unless a fresh one is cached. Never mints. Raises StorageUnavailableError."""
        if not self.cached.get(token_id, NO_ROW).is_fresh(self.clock()):
            self._cache(token_id, self.read_row(token_id, context))

    def renew_refused(self, token_id: str, refused: str, context: RequestContext) -> str:
        """Return another token than `refused`, which the platform refuses: the newer one in the row, or a new one.

        A young token is not renewed: raises TokenUnavailableError.
        """
        return self._read_or_mint(token_id, context, refused, is_refused=True).access_token

    def renew_row(self, token_id: str, old_token: str, context: RequestContext) -> TokenRow:
        """Return the row with another token than `old_token`, which may still work: a new one, unless it has changed.

        Raises StorageUnavailableError too if the new token could not be stored.
        """
        row = self._read_or_mint(token_id, context, old_token)
        if not row.is_stored:
            raise errors.StorageUnavailableError("the new token could not be stored")
        return row

    def read_row(self, token_id: str, context: RequestContext) -> TokenRow:
        """Return the row from the table; raises StorageUnavailableError."""
        started = self.clock()
        return TokenRow.from_item(self.table.get_item(token_key(token_id), context), started)

    def _read_or_mint(
        self, token_id: str, context: RequestContext, old_token: str = "", *, is_refused: bool = False
    ) -> TokenRow:
        """Return a row with another token than `old_token`: that of the table, or a new one. Cache it.

        `is_refused`: the platform refuses the old token.
        """
        try:
            row = self.read_row(token_id, context)
            while True:
                seconds_left = context.deadline.remaining()
                action = decide(row, old_token, self.clock(), seconds_left, is_refused=is_refused)
                if action == "use":
                    return self._cache(token_id, row)
                if action == "wait":
                    self.sleep(self.uniform(*POLL_SECONDS))
                    # One failed read does not end the wait; the deadline does.
                    with suppress(errors.StorageUnavailableError):
                        row = self.read_row(token_id, context)
                    continue
                app_secret = self.find_secret(token_id, context)
                if not app_secret:
                    raise errors.TokenUnavailableError(
                        f"{token_id} has no app secret, and no other system has stored a valid token"
                    )
                lease = Lease(self.table, token_id, row, self.clock, context)
                started = self.clock()
                try:
                    lease.take()
                except ConditionFailedError as conflict:
                    # Another instance was faster.
                    row = TokenRow.from_item(conflict.item, started)
                    continue
                # The new token is used however short its lifetime is, so no loop is possible.
                return self._cache(token_id, self._mint(lease, app_secret))
        except errors.DeadlineExceededError:
            raise errors.TokenUnavailableError("no new token in time") from None

    def _cache(self, token_id: str, row: TokenRow) -> TokenRow:
        """Cache a row that has a token; return it."""
        if row.access_token:
            self.cached[token_id] = row
        return row

    def _mint(self, lease: Lease, app_secret: str) -> TokenRow:
        """Mint, end the lease that was taken, and return the new token's row: not `is_stored` if it was not written.

        The mint ends STORE_SECONDS before the lease, and the lease before the deadline. It is not repeated: if only its
        response was lost, a second one would invalidate the token that still works.
        """
        context = lease.context
        if context.deadline.remaining() < LEASE_SECONDS:
            lease.release()
            raise errors.TokenUnavailableError("no new token in time")
        started = self.clock()
        try:
            limit = lease.row.lease_until - STORE_SECONDS - started
            minted = self.douyin.mint_token(lease.token_id, app_secret, context.with_timeout(limit))
        except (errors.UpstreamError, errors.DeadlineExceededError) as error:
            lease.release(error)
            raise errors.TokenUnavailableError(f"minting failed: {error}", error.evidence) from None
        minted_at = int(started)
        expires_at = minted_at + minted.expires_in
        row = TokenRow(minted.access_token, expires_at, minted_at=minted_at, read_at=started)
        # If it cannot be stored, or another instance has taken this one for dead, this one can still use its token.
        with suppress(errors.StorageUnavailableError, errors.DeadlineExceededError, ConditionFailedError):
            lease.commit(row.access_token, row.minted_at, row.expires_at)
            row = lease.row
        return row


def decide(row: TokenRow, old_token: str, now: float, seconds_left: float, *, is_refused: bool) -> Action:
    """Decide what to do with a row: use its token, wait for the instance that mints, or mint.

    `old_token`: a token that is not wanted, or "". `is_refused`: the platform refuses it. `seconds_left`: until the
    caller's deadline. Raises TokenUnavailableError when there is nothing to do.
    """
    is_valid = row.is_valid(now)
    if is_valid and row.access_token != old_token:
        return "use"
    if row.is_paused(now):
        raise errors.TokenUnavailableError(f"minting failed moments ago: {row.failure}")
    has_time = seconds_left >= MIN_MINT_SECONDS
    # If the holder's clock is behind, its lease seems to end too early: a request that could not mint waits longer.
    is_leased = row.is_leased(now) or (not has_time and row.is_leased(now - CLOCK_DIFFERENCE_SECONDS))
    if is_leased and seconds_left >= MIN_WAIT_SECONDS:
        return "wait"
    if not has_time:
        raise errors.TokenUnavailableError("no new token in time")
    if is_refused and is_valid and row.is_young(now):
        raise errors.TokenUnavailableError("the platform refuses a token that was minted moments ago")
    return "mint"


class RenewableToken:
    """The token of one request: renewed once, for all its calls, if the platform refuses it. Thread-safe."""

    def __init__(self, provider: TokenProvider, token_id: str, context: RequestContext) -> None:
        self._provider = provider
        self._token_id = token_id
        self._context = context
        self._token = provider.get(token_id, context)
        self._lock = threading.Lock()
        self._is_renewed = False

    def use(self, call: Callable[[str], T]) -> T:
        """Return what `call` returns for the token, or for another one if the platform refuses it.

        Raises what `call` raises. If no other token can be obtained, or it is refused too, raises TokenUnavailableError
        or StorageUnavailableError. The evidence of a TokenUnavailableError is that of the failed mint, otherwise that
        of the refusal.
        """
        while True:
            token = self._token
            try:
                return call(token)
            except errors.TokenRefusedError as refusal:
                self._renew_once(token, refusal)

    def _renew_once(self, refused: str, refusal: errors.TokenRefusedError) -> None:
        """Renew a refused token, unless another call has. A second attempt raises TokenUnavailableError."""
        with self._lock:
            if self._token != refused:
                return
            if self._is_renewed:
                raise errors.TokenUnavailableError("refused; a request renews its token once", refusal.evidence)
            self._is_renewed = True
            try:
                self._token = self._provider.renew_refused(self._token_id, refused, self._context)
            except errors.TokenUnavailableError as error:
                if error.evidence.has_code:
                    raise
                raise errors.TokenUnavailableError(error.reason, refusal.evidence) from None
