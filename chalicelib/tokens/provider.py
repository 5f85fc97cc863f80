"""Access tokens, one per app, shared by all instances. Looked up in the cache, then in the table, then minted.

`lease` decides which instance may mint.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from chalicelib.aws import ConditionFailedError
from chalicelib.cache import TtlCache
from chalicelib.errors import StorageUnavailableError, TokenUnavailableError, UpstreamError
from chalicelib.retry import RetryPolicy, call_with_retries
from chalicelib.tokens.lease import Lease, TokenRow, token_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.aws import Table
    from chalicelib.context import RequestContext
    from chalicelib.douyin.client import DouyinClient
    from chalicelib.douyin.protocol import MintedToken

MAX_CACHED_TOKENS = 200

REREAD_SECONDS = 60
"""A cached token that expires within this time is read again at each request: the table may hold a newer one."""

EARLY_SECONDS = 10 * 60
"""A request renews a token that expires within this time, in case the schedule does not run. Less for short-lived
tokens: a twelfth of their lifetime."""

EARLY_RENEWAL_SECONDS = 4.0
"""Limit for the early renewal by a request, which waits for it."""

EARLY_CHECK_SECONDS = 30.0
"""Minimum interval between two attempts of one instance to renew the same token early."""

RENEW_SECONDS = 30 * 60
"""The scheduled renewal replaces a token that expires within this time."""

MINT_SECONDS = 3.0
"""Limit for one mint. Shorter than the lease that covers it."""

MIN_WAIT_SECONDS = 0.5
"""With less than this left, neither a mint nor a wait for one is started."""

POLL_SECONDS = (0.04, 0.16)
"""Random delay between two reads while another instance mints."""

MINT_RETRY_POLICY = RetryPolicy(
    max_attempts=3,
    base_delay=0.2,
    max_delay=1.0,
    min_seconds=MIN_WAIT_SECONDS,
    # The platform counts every mint of the app: do not repeat one that was rate limited.
    rate_limited_delay=None,
)


class TokenProvider:
    """Returns access tokens, and renews them when needed.

    `clock` is the wall clock (epoch seconds); `monotonic` measures durations in this instance.
    """

    def __init__(
        self,
        table: Table,
        douyin: DouyinClient,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._table = table
        self._douyin = douyin
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._uniform = uniform
        self._cache: TtlCache[TokenRow] = TtlCache(MAX_CACHED_TOKENS, clock)
        self._seen_states: dict[str, tuple[tuple[int | None, str, float] | None, float]] = {}
        self._next_early_check: dict[str, float] = {}

    def get_token(self, token_id: str, app_secret: str | None, context: RequestContext) -> str:
        """Return a token that has not expired; raises TokenUnavailableError, StorageUnavailableError.

        `app_secret` is None for a token_id that is not one of our apps: another system writes that row, and this
        service only reads it.
        """
        cached = self._cache.get(token_id)
        if cached is not None and cached.access_token:
            remaining = cached.expires_at - self._clock()
            if remaining > min(EARLY_SECONDS, cached.lifetime / 12) or (
                app_secret is None and remaining > REREAD_SECONDS
            ):
                return cached.access_token
            if remaining > REREAD_SECONDS and app_secret is not None:
                return self._renew_early(token_id, app_secret, cached, context)
        try:
            return self._read_or_mint(token_id, app_secret, lambda row: row.expires_at > self._clock(), context)
        except StorageUnavailableError:
            if cached is not None and cached.access_token:
                return cached.access_token
            raise

    def preload(self, token_id: str, context: RequestContext) -> None:
        """Read a token into the cache unless it is there; never mints. Raises StorageUnavailableError."""
        if self._cache.get(token_id) is not None:
            return
        row = self.read_row(token_id, context)
        if row.access_token:
            self._cache.put(token_id, row, row.expires_at - self._clock())

    def replace_refused(self, token_id: str, app_secret: str | None, refused: str, context: RequestContext) -> str:
        """Return another token than `refused`: the newer one in the row, or a new one.

        Raises TokenUnavailableError, StorageUnavailableError.
        """
        return self._read_or_mint(
            token_id,
            app_secret,
            lambda row: row.access_token != refused and row.expires_at > self._clock(),
            context,
        )

    def renew_if_expiring(self, token_id: str, app_secret: str, context: RequestContext) -> bool:
        """Renew a token that expires within half an hour; return False when there was nothing to do.

        Raises TokenUnavailableError, StorageUnavailableError.
        """
        row = self.read_row(token_id, context)
        if row.access_token is None or row.expires_at - RENEW_SECONDS > self._clock():
            return False
        self._read_or_mint(token_id, app_secret, lambda row: row.expires_at - RENEW_SECONDS > self._clock(), context)
        return True

    def _renew_early(self, token_id: str, app_secret: str, cached: TokenRow, context: RequestContext) -> str:
        """Renew a token that still works, unless another instance does; return the present one when that fails."""
        assert cached.access_token  # noqa: S101 - for the type checker: the caller has checked it
        if self._monotonic() < self._next_early_check.get(token_id, 0.0):
            return cached.access_token
        self._next_early_check[token_id] = self._monotonic() + EARLY_CHECK_SECONDS
        # The request has a token and must have time left to use it.
        context = context.with_timeout(min(EARLY_RENEWAL_SECONDS, context.deadline.remaining() / 2))
        try:
            row = self.read_row(token_id, context)
            if row.access_token == cached.access_token and not self._is_busy(token_id, row):
                lease = Lease(self._table, token_id, row, self._clock, context)
                lease.acquire()
                row = self._mint(lease, token_id, app_secret, context)
        except (ConditionFailedError, StorageUnavailableError, TokenUnavailableError):
            return cached.access_token
        if row.access_token is None or row.expires_at <= self._clock():
            return cached.access_token
        self._cache.put(token_id, row, row.expires_at - self._clock())
        return row.access_token

    def read_row(self, token_id: str, context: RequestContext) -> TokenRow:
        """Return the row from the table; raises StorageUnavailableError."""
        return TokenRow.from_item(self._table.get_item(token_key(token_id), context))

    def _read_or_mint(
        self, token_id: str, app_secret: str | None, is_usable: Callable[[TokenRow], bool], context: RequestContext
    ) -> str:
        """Return the row's token when it is usable; otherwise mint one, or wait for the instance that does."""
        row = self.read_row(token_id, context)
        may_mint = True
        while not (row.access_token and is_usable(row)):
            if app_secret is None:
                raise TokenUnavailableError(f"{token_id} is renewed by another system, which has not done so")
            if row.is_paused(self._clock(), self._unchanged_seconds(token_id, row)):
                raise TokenUnavailableError(f"minting failed moments ago: {row.failure}")
            if context.deadline.remaining() < MIN_WAIT_SECONDS:
                raise TokenUnavailableError("no new token in time")
            if self._is_busy(token_id, row):
                self._sleep(self._uniform(*POLL_SECONDS))
                # One failed read does not end the wait; the deadline does.
                with suppress(StorageUnavailableError):
                    row = self.read_row(token_id, context)
                continue
            if not may_mint:
                raise TokenUnavailableError("lost the lease, and no other instance has minted")
            lease = Lease(self._table, token_id, row, self._clock, context)
            try:
                lease.acquire()
            except ConditionFailedError as conflict:
                row = TokenRow.from_item(conflict.item)
                continue
            # One call mints at most once and uses what it minted, however short its lifetime: no loop is possible.
            may_mint = False
            try:
                row = self._mint(lease, token_id, app_secret, context)
                break
            except ConditionFailedError as conflict:
                row = TokenRow.from_item(conflict.item)
        assert row.access_token  # noqa: S101 - for the type checker: true after both exits of the loop
        self._cache.put(token_id, row, row.expires_at - self._clock())
        return row.access_token

    def _mint(self, lease: Lease, token_id: str, app_secret: str, context: RequestContext) -> TokenRow:
        """Mint under the lease and commit; raises ConditionFailedError when the lease was lost."""

        def attempt() -> tuple[MintedToken, int]:
            minted_at = int(self._clock())
            return self._douyin.mint_token(token_id, app_secret, context.with_timeout(MINT_SECONDS)), minted_at

        try:
            minted, minted_at = call_with_retries(
                attempt, MINT_RETRY_POLICY, context.deadline, before_retry=lease.extend, sleep=self._sleep
            )
        except UpstreamError as error:
            lease.release(error)
            raise TokenUnavailableError(f"minting failed: {error}", error.evidence) from None
        expires_at = minted_at + minted.expires_in
        try:
            return lease.commit(minted.access_token, minted_at, expires_at)
        except StorageUnavailableError:
            # The token is valid although no other instance will read it: use it in this one.
            return TokenRow(minted.access_token, expires_at, minted.expires_in)

    def _is_busy(self, token_id: str, row: TokenRow) -> bool:
        """Return whether another instance is minting, or a mint failed moments ago."""
        now, unchanged = self._clock(), self._unchanged_seconds(token_id, row)
        return row.is_leased(now, unchanged) or row.is_paused(now, unchanged)

    def _unchanged_seconds(self, token_id: str, row: TokenRow) -> float:
        """Return how long this instance has seen this state of the row, by its monotonic clock."""
        # Not only the version: it starts at 1 again when an operator replaces the row.
        state = (row.version, row.lease_owner, row.failed_until)
        now = self._monotonic()
        seen, since = self._seen_states.get(token_id, (None, now))
        if seen != state:
            since = now
        self._seen_states[token_id] = (state, since)
        return now - since
