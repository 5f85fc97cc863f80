"""Access tokens, one per app, shared by all instances. Looked up in the cache, then in the table, then minted.

To mint is to request a new token from the platform. `lease` makes sure that one instance mints at a time.
"""

import math
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from chalicelib import errors
from chalicelib.aws import ConditionFailedError, Table
from chalicelib.cache import is_within
from chalicelib.context import RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.protocol import MintedToken
from chalicelib.retry import RetryPolicy, call_with_retries
from chalicelib.tokens.lease import Lease, TokenRow, token_key

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


class Wanted(NamedTuple):
    """Which token is wanted, and how it may be minted."""

    policy: RetryPolicy
    #: Another token than this one.
    other_than: str = ""
    #: Whether the platform refuses this one, and that is why it is to be replaced.
    is_refused: bool = False


class CachedToken(msgspec.Struct, frozen=True):
    """A token that this instance has read or minted, and how long it is used until the row is read again."""

    row: TokenRow = TokenRow()
    #: `max_age` counts from here, on the wall clock: just before the read or the mint, or after a failed read.
    since: float = 0.0
    #: The begin of the read, or the end of the mint, on the monotonic clock: of two tokens, the later one is newer.
    known_at: float = -math.inf
    max_age: float = TOKEN_SECONDS
    #: False for a new token that could not be written into the row: no other instance will use it.
    is_stored: bool = True

    def is_valid(self, now: float) -> bool:
        """Return whether the token has not expired."""
        return is_within(self.row.expires_at - self.since, self.since, now)

    def is_fresh(self, now: float) -> bool:
        """Return whether the token is valid and not older than `max_age`."""
        return self.is_valid(now) and is_within(self.max_age, self.since, now)


NO_TOKEN = CachedToken()


class _Observed(NamedTuple):
    """What this instance has seen of a row."""

    #: Version, owner of the lease, end of the pause. Not only the version: it starts at 1 again when an operator
    #: replaces the row.
    state: tuple[int, str, float]
    #: Since when it has been seen, on the monotonic clock.
    since: float


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
    #: By token_id. Only operators write token_ids, into rows and secret: neither needs a limit.
    cached: dict[str, CachedToken] = field(default_factory=dict, init=False)
    _observed: dict[str, _Observed] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def get(self, token_id: str, context: RequestContext, found: CachedToken = NO_TOKEN) -> str:
        """Return a token that has not expired: the cached one, that of the row, or a new one.

        `found` is what `find` has returned, and takes the place of an older cached one.
        """
        cached = self._cache(token_id, found)
        now = self.clock()
        if cached.is_fresh(now):
            return cached.row.access_token
        policy = ONE_ATTEMPT if cached.is_valid(now) else MINT_RETRY_POLICY
        try:
            return self._obtain(token_id, Wanted(policy), context).row.access_token
        except (errors.StorageUnavailableError, errors.TokenUnavailableError):
            cached = self.cached.get(token_id, NO_TOKEN)
            now = self.clock()
            if not cached.is_valid(now):
                raise
            self._cache(token_id, msgspec.structs.replace(cached, since=now, max_age=RETRY_SECONDS))
            return cached.row.access_token

    def find(self, token_id: str, context: RequestContext) -> CachedToken:
        """Return the cached token, or that of the row, which may have expired or be missing. Never mints.

        Raises StorageUnavailableError.
        """
        cached = self.cached.get(token_id, NO_TOKEN)
        return cached if cached.is_fresh(self.clock()) else self._read(token_id, context)

    def preload(self, token_id: str, context: RequestContext) -> None:
        """Cache what `find` returns."""
        self._cache(token_id, self.find(token_id, context))

    def replace(self, token_id: str, refused: str, refusal: errors.TokenRefusedError, context: RequestContext) -> str:
        """Return another token than `refused`, which the platform refuses: the newer one in the row, or a new one.

        A young token is not replaced: raises TokenUnavailableError. This error has the evidence of the refusal, unless
        a mint has failed with its own.
        """
        try:
            wanted = Wanted(MINT_RETRY_POLICY, refused, is_refused=True)
            return self._obtain(token_id, wanted, context).row.access_token
        except errors.TokenUnavailableError as error:
            if not error.evidence.has_code:
                error.evidence = refusal.evidence
            raise

    def renew(self, token_id: str, row: TokenRow, context: RequestContext) -> TokenRow:
        """Return the row with another token than that of `row`, which may still work: a new one, unless it has changed.

        Mints in one attempt. Raises StorageUnavailableError too if the new token could not be stored.
        """
        token = self._obtain(token_id, Wanted(ONE_ATTEMPT, row.access_token), context)
        if not token.is_stored:
            raise errors.StorageUnavailableError("the new token could not be stored")
        return token.row

    def read_row(self, token_id: str, context: RequestContext) -> TokenRow:
        """Return the row from the table; raises StorageUnavailableError."""
        return self._read(token_id, context).row

    def _obtain(self, token_id: str, wanted: Wanted, context: RequestContext) -> CachedToken:
        """Return a token as it is wanted: that of the row, or a new one. Cache it."""
        may_mint = True
        try:
            token = self._read(token_id, context)
            while True:
                seen = self._observe(token_id, token.row)
                left = context.deadline.remaining()
                action = decide(
                    token.row, wanted, now=self.clock(), unchanged_seconds=seen, seconds_left=left, may_mint=may_mint
                )
                if action == "use":
                    self._cache(token_id, token)
                    return token
                if action == "wait":
                    self.sleep(self.uniform(*POLL_SECONDS))
                    # One failed read does not end the wait; the deadline does.
                    with suppress(errors.StorageUnavailableError):
                        token = self._read(token_id, context)
                    continue
                since, known_at = self.clock(), self.monotonic()
                app_secret = self.find_secret(token_id, context)
                if not app_secret:
                    raise errors.TokenUnavailableError(
                        f"{token_id} is renewed by another system, which has not done so"
                    )
                lease = Lease(self.table, token_id, token.row, self.clock, context)
                try:
                    lease.acquire()
                    may_mint = False
                    # Used however short its lifetime is: no loop is possible.
                    return self._mint(lease, since, app_secret, wanted.policy)
                except ConditionFailedError as conflict:
                    token = CachedToken(TokenRow.from_item(conflict.item), since, known_at)
        except errors.DeadlineExceededError:
            raise errors.TokenUnavailableError("no new token in time") from None

    def _read(self, token_id: str, context: RequestContext) -> CachedToken:
        """Read the row. The age counts from before: Lambda may freeze the instance during the read."""
        since, known_at = self.clock(), self.monotonic()
        row = TokenRow.from_item(self.table.get_item(token_key(token_id), context))
        self._observe(token_id, row)
        return CachedToken(row, since, known_at)

    def _cache(self, token_id: str, token: CachedToken) -> CachedToken:
        """Cache a token, unless it is empty or the cached one is newer; return what is cached then."""
        with self._lock:
            cached = self.cached.get(token_id, NO_TOKEN)
            if token.row.access_token and token.known_at >= cached.known_at:
                self.cached[token_id] = cached = token
        return cached

    def _mint(self, lease: Lease, since: float, app_secret: str, policy: RetryPolicy) -> CachedToken:
        """Mint under the lease, commit and cache; raises ConditionFailedError when the lease was lost."""

        def attempt() -> tuple[MintedToken, int]:
            minted_at = int(self.clock())
            context = lease.context.with_timeout(MINT_SECONDS)
            return self.douyin.mint_token(lease.token_id, app_secret, context), minted_at

        try:
            minted, minted_at = call_with_retries(
                attempt, policy, lease.context.deadline, before_retry=lease.acquire, sleep=self.sleep
            )
        except (errors.UpstreamError, errors.DeadlineExceededError) as error:
            lease.release(error)
            raise errors.TokenUnavailableError(f"minting failed: {error}", error.evidence) from None
        expires_at = minted_at + minted.expires_in
        try:
            row, is_stored = lease.commit(minted.access_token, minted_at, expires_at), True
        except (errors.StorageUnavailableError, errors.DeadlineExceededError):
            # The token is valid although no other instance will read it: use it in this one.
            row, is_stored = TokenRow(minted.access_token, expires_at), False
        self._observe(lease.token_id, row)
        return self._cache(lease.token_id, CachedToken(row, since, self.monotonic(), is_stored=is_stored))

    def _observe(self, token_id: str, row: TokenRow) -> float:
        """Return how long this instance has seen this state of the row, by its monotonic clock.

        Called whenever a row was read or written, because that is when the time begins.
        """
        state = (row.version, row.lease_owner, row.failed_until)
        now = self.monotonic()
        observed = self._observed.get(token_id)
        if observed is None or observed.state != state:
            observed = self._observed[token_id] = _Observed(state, now)
        return now - observed.since


def decide(
    row: TokenRow, wanted: Wanted, *, now: float, unchanged_seconds: float, seconds_left: float, may_mint: bool
) -> Literal["use", "wait", "mint"]:
    """Decide what to do with a row: use its token, wait for the instance that mints, or mint.

    `unchanged_seconds`: how long this instance has seen the row unchanged. `seconds_left`: until the caller's deadline.
    `may_mint`: the caller has not minted yet. Raises TokenUnavailableError when there is nothing to do.
    """
    if row.is_valid(now) and row.access_token != wanted.other_than:
        return "use"
    if row.is_paused(now, unchanged_seconds):
        raise errors.TokenUnavailableError(f"minting failed moments ago: {row.failure}")
    if seconds_left < MIN_WAIT_SECONDS:
        raise errors.TokenUnavailableError("no new token in time")
    if row.is_leased(now, unchanged_seconds):
        return "wait"
    if not may_mint:
        raise errors.TokenUnavailableError("lost the lease, and no other instance has minted")
    if wanted.is_refused and row.is_valid(now) and row.is_young(now, unchanged_seconds):
        raise errors.TokenUnavailableError("the platform refuses a token that was minted moments ago")
    return "mint"
