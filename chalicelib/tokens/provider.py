"""Access tokens, one per app, shared by all instances. Looked up in the cache, then in the table, then minted.

To mint is to request a new token from the platform. `lease` makes sure that one instance mints at a time.
"""

import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import msgspec

from chalicelib.aws import ConditionFailedError, Table
from chalicelib.cache import TtlCache, is_within
from chalicelib.context import RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.protocol import MintedToken
from chalicelib.errors import (
    StorageUnavailableError,
    TokenRefusedError,
    TokenUnavailableError,
    UpstreamError,
    UpstreamTimeoutError,
)
from chalicelib.retry import RetryPolicy, call_with_retries
from chalicelib.tokens.lease import Lease, TokenRow, token_key

MAX_CACHED_TOKENS = 1000

TOKEN_SECONDS = 240.0
"""A cached token is used for this time, then the row is read again.

The platform ends a token five minutes after it was replaced; the schedule may have replaced it right after the read.
"""

RETRY_SECONDS = 10.0
"""After a failed read the cached token is used for this time, so that not every request waits for the table."""

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
"""For a mint that a request waits for, because no token works."""

ONE_ATTEMPT = msgspec.structs.replace(MINT_RETRY_POLICY, max_attempts=1)
"""For a mint while the present token works. If its response was lost, a second mint would invalidate that token."""


class _KnownToken(msgspec.Struct):
    """What this instance knows of one token."""

    #: The row that was used last.
    row: TokenRow = TokenRow()
    #: `max_age` counts from here, on the wall clock: just before a read or write of the row, or after a failed read.
    since: float = 0.0
    #: After this time the row is read again.
    max_age: float = 0.0
    #: The state that was seen last: version, owner of the lease, end of the pause.
    seen_state: tuple[int, str, float] | None = None
    #: Since when it has been seen, on the monotonic clock.
    seen_since: float = 0.0

    def is_valid(self, now: float, max_age: float = math.inf) -> bool:
        """Return whether the token has not expired, and is not older than `max_age` (seconds)."""
        return is_within(min(self.row.expires_at - self.since, max_age), self.since, now)


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
    #: Measures durations in this instance.
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = random.uniform

    def __post_init__(self) -> None:
        # The entries never expire. The cache has the monotonic clock, because the wall clock may be set back.
        self.known_tokens: TtlCache[_KnownToken] = TtlCache(MAX_CACHED_TOKENS, self.monotonic)

    def get_token(self, token_id: str, context: RequestContext) -> str:
        """Return a token that has not expired."""
        known = self._known(token_id)
        now = self.clock()
        if known.is_valid(now, known.max_age):
            return known.row.access_token
        try:
            policy = ONE_ATTEMPT if known.is_valid(now) else MINT_RETRY_POLICY
            return self._obtain(token_id, "", policy, context).access_token
        except (StorageUnavailableError, TokenUnavailableError):
            now = self.clock()
            if not known.is_valid(now):
                raise
            known.since, known.max_age = now, RETRY_SECONDS
            return known.row.access_token

    def preload(self, token_id: str, context: RequestContext) -> None:
        """Read a token into the cache unless it is there; never mints. Raises StorageUnavailableError."""
        read_at = self.clock()
        known = self._known(token_id)
        if not known.is_valid(read_at, known.max_age):
            row = self.read_row(token_id, context)
            if row.access_token:
                self._remember(token_id, row, read_at)

    def get_other_token(self, token_id: str, refused: str, refusal: TokenRefusedError, context: RequestContext) -> str:
        """Return another token than `refused`, which the platform refuses: the newer one in the row, or a new one.

        A young token is not replaced: raises TokenUnavailableError. This error has the evidence of the refusal, unless
        a mint has failed with its own.
        """
        try:
            return self._obtain(token_id, refused, MINT_RETRY_POLICY, context, is_refused=True).access_token
        except TokenUnavailableError as error:
            error.evidence = error.evidence or refusal.evidence
            raise

    def renew(self, token_id: str, row: TokenRow, context: RequestContext) -> TokenRow:
        """Return the row with another token than that of `row`, which may still work: a new one, unless it has changed.

        Mints in one attempt. Raises StorageUnavailableError too if the new token could not be stored.
        """
        renewed = self._obtain(token_id, row.access_token, ONE_ATTEMPT, context)
        if not renewed.item:
            raise StorageUnavailableError("the new token could not be stored")
        return renewed

    def read_row(self, token_id: str, context: RequestContext) -> TokenRow:
        """Return the row from the table; raises StorageUnavailableError."""
        return TokenRow.from_item(self.table.get_item(token_key(token_id), context))

    def _obtain(
        self, token_id: str, other_than: str, policy: RetryPolicy, context: RequestContext, *, is_refused: bool = False
    ) -> TokenRow:
        """Return the row with a token that has not expired and is not `other_than`: the present one, or a new one.

        `is_refused`: the platform refuses `other_than`, and that is why it is to be replaced.
        """
        try:
            return self._use_or_mint(token_id, other_than, policy, context, is_refused=is_refused)
        except UpstreamTimeoutError:
            raise TokenUnavailableError("no new token in time") from None

    def _use_or_mint(
        self, token_id: str, other_than: str, policy: RetryPolicy, context: RequestContext, *, is_refused: bool
    ) -> TokenRow:
        """Do what `_obtain` does; raises UpstreamTimeoutError when no time is left for the next step."""
        may_mint = True
        # The age counts from before a read: Lambda may freeze the instance during it.
        read_at = self.clock()
        row = self.read_row(token_id, context)
        while True:
            action = decide(
                row,
                other_than,
                now=self.clock(),
                unchanged_seconds=self._unchanged_seconds(token_id, row),
                seconds_left=context.deadline.remaining(),
                may_mint=may_mint,
            )
            if action == "use":
                return self._remember(token_id, row, read_at)
            read_at = self.clock()
            if action == "wait":
                self.sleep(self.uniform(*POLL_SECONDS))
                # One failed read does not end the wait; the deadline does.
                with suppress(StorageUnavailableError):
                    row = self.read_row(token_id, context)
                continue
            is_present = row.access_token == other_than and row.expires_at > read_at
            if is_refused and is_present and row.is_young(read_at, self._unchanged_seconds(token_id, row)):
                raise TokenUnavailableError("the platform refuses a token that was minted moments ago")
            app_secret = self.find_secret(token_id, context)
            if not app_secret:
                raise TokenUnavailableError(f"{token_id} is renewed by another system, which has not done so")
            lease = Lease(self.table, token_id, row, self.clock, context)
            try:
                lease.acquire()
                may_mint = False
                # Used however short its lifetime is: no loop is possible.
                return self._remember(token_id, self._mint(lease, token_id, app_secret, policy, context), read_at)
            except ConditionFailedError as conflict:
                row = TokenRow.from_item(conflict.item)

    def _known(self, token_id: str) -> _KnownToken:
        known = self.known_tokens.get(token_id)
        if known is None:
            known = _KnownToken()
            self.known_tokens.put(token_id, known, math.inf)
        return known

    def _remember(self, token_id: str, row: TokenRow, since: float) -> TokenRow:
        known = self._known(token_id)
        known.row, known.since, known.max_age = row, since, TOKEN_SECONDS
        self._unchanged_seconds(token_id, row)
        return row

    def _mint(
        self, lease: Lease, token_id: str, app_secret: str, policy: RetryPolicy, context: RequestContext
    ) -> TokenRow:
        """Mint under the lease and commit; raises ConditionFailedError when the lease was lost."""

        def attempt() -> tuple[MintedToken, int]:
            minted_at = int(self.clock())
            return self.douyin.mint_token(token_id, app_secret, context.with_timeout(MINT_SECONDS)), minted_at

        try:
            minted, minted_at = call_with_retries(
                attempt, policy, context.deadline, before_retry=lease.acquire, sleep=self.sleep
            )
        except UpstreamError as error:
            lease.release(error)
            raise TokenUnavailableError(f"minting failed: {error}", error.evidence) from None
        expires_at = minted_at + minted.expires_in
        try:
            return lease.commit(minted.access_token, minted_at, expires_at)
        except (StorageUnavailableError, UpstreamTimeoutError):
            # The token is valid although no other instance will read it: use it in this one. Its row has no `item`.
            return TokenRow(minted.access_token, expires_at)

    def _unchanged_seconds(self, token_id: str, row: TokenRow) -> float:
        """Return how long this instance has seen this state of the row, by its monotonic clock.

        Called whenever a row was read or written, because that is when the time begins.
        """
        # Not only the version: it starts at 1 again when an operator replaces the row.
        state = (row.version, row.lease_owner, row.failed_until)
        now = self.monotonic()
        known = self._known(token_id)
        if known.seen_state != state:
            known.seen_state = state
            known.seen_since = now
        return now - known.seen_since


def decide(
    row: TokenRow, other_than: str, *, now: float, unchanged_seconds: float, seconds_left: float, may_mint: bool
) -> Literal["use", "wait", "mint"]:
    """Decide what to do with a row: use its token, wait for the instance that mints, or mint.

    A token is wanted that has not expired and is not `other_than`. `unchanged_seconds`: how long this instance has seen
    the row unchanged. `seconds_left`: until the caller's deadline. `may_mint`: the caller has not minted yet. Raises
    TokenUnavailableError when there is nothing to do.
    """
    if row.access_token and row.access_token != other_than and row.expires_at > now:
        return "use"
    if row.is_paused(now, unchanged_seconds):
        raise TokenUnavailableError(f"minting failed moments ago: {row.failure}")
    if seconds_left < MIN_WAIT_SECONDS:
        raise TokenUnavailableError("no new token in time")
    if row.is_leased(now, unchanged_seconds):
        return "wait"
    if not may_mint:
        raise TokenUnavailableError("lost the lease, and no other instance has minted")
    return "mint"
