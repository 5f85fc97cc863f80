"""Access tokens, one per app, shared by all instances: from the cache, from the row, or minted.

To mint is to request a new token from the platform. `rows` has the rule that says when.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.aws import Item, Table
from chalicelib.cache import Cache
from chalicelib.context import RequestContext
from chalicelib.credentials import CREDENTIALS_MAX_AGE, Credentials, CredentialsCache
from chalicelib.douyin.calls import CLIENT_TOKEN, client_token_body
from chalicelib.douyin.client import DouyinClient
from chalicelib.errors import DeadlineExceededError, StorageUnavailableError, TokenUnavailableError, UpstreamError
from chalicelib.tokens.rows import MINTED, Action, RowChangedError, TokenRow, new_claim, next_action, token_pk

ROW_MAX_AGE = 240.0
"""How long a row is cached, in seconds. Then it is read again.

Another instance may replace the token just after the read. The platform ends the old token five minutes later.
"""

INVALID_ROW_MAX_AGE = 3.0
"""How long a row without a valid token is cached, in seconds. It must be longer than a slow read, which takes two
seconds: otherwise a row would be read again directly after such a read."""

MINT_SECONDS = 3.0
"""Limit for a mint. With two writes, it is shorter than MINT_WAIT_SECONDS."""

MAX_LIFETIME_SECONDS = 86_400
"""The longest lifetime that is accepted for a new token. The platform documents two hours."""

WRITE_SECONDS = 1.0
"""The time kept for writing the new token into the row. Without it, the token could be lost."""

CREDENTIALS_MAX_AGE_FOR_MINT = 10.0
"""How old the content of the secret may be for a claim, in seconds. An operator may have changed it just now, so that
another system mints the app's tokens. Then a mint of ours would invalidate them. (During an outage of Secrets Manager,
the content may be older.)"""

POLL_SECONDS = 0.1
"""The delay between two reads while another instance mints."""

OTHER_SYSTEM_RETRY_SECONDS = 60.0
"""The `retry_after` if another system mints the app's tokens, and has not written a valid one."""

REMOVE_ATTRIBUTES_OF_0_14 = "REMOVE version, minted_at, lease_owner, lease_until, failed_at, failed_until, failure"
"""Removes the attributes that release 0.14.0 has written. Delete it in the release after 0.15.0."""


@dataclass(eq=False, repr=False)
class SharedTokenSource:
    """Returns access tokens, and renews them."""

    table: Table
    douyin: DouyinClient
    credentials_cache: CredentialsCache
    #: The wall clock, in epoch seconds.
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._cache = Cache("token", self.read_row, ROW_MAX_AGE, self.clock)

    def obtain(self, app_id: str, context: RequestContext, refused_token: str = "") -> str:
        """Return a token that has not expired: from the cache, from the row, or a new one.

        If the platform has refused a token, `refused_token` is this token. Then the row is read again, and the result
        is another token.

        Raises TokenUnavailableError, StorageUnavailableError, and ConfigurationError for a malformed secret.
        """
        try:
            row = self._read_again(app_id, context) if refused_token else self._cache.get(app_id, context)
            if not refused_token and not row.is_valid(self.clock()):
                row = self._cache.get(app_id, context, INVALID_ROW_MAX_AGE)
            return self._find_token(app_id, row, refused_token, context)
        except DeadlineExceededError:
            raise TokenUnavailableError("no new token in time") from None

    def preload(self, app_id: str, context: RequestContext) -> None:
        """Read the row into the cache, unless it is there. Never mints. Raises StorageUnavailableError."""
        self._cache.get(app_id, context)

    def read_row(self, app_id: str, context: RequestContext) -> TokenRow:
        """Return the row from the table; raises StorageUnavailableError."""
        return TokenRow.from_item(self.table.get_item(token_pk(app_id), context))

    def renew(self, app_id: str, row: TokenRow, context: RequestContext) -> TokenRow:
        """Mint a token that replaces the token of `row`, even if that is still valid; return the new row.

        Raises RowChangedError if the row has changed, StorageUnavailableError if the secret cannot be read or the claim
        cannot be written, ConfigurationError for a malformed secret, and TokenUnavailableError if the token cannot be
        minted or stored. If a claim is the reason, its `retry_after` is the time until the next claim.
        """
        credentials = self.credentials_cache.get(context, CREDENTIALS_MAX_AGE_FOR_MINT)
        _require_minted_here(credentials, app_id)
        action = next_action(row, row.access_token, self.clock(), context.deadline.remaining())
        if action != "mint":
            raise self._unavailable_error(action, row)
        renewed = self._mint(app_id, credentials.apps[app_id], row, context)
        if not renewed.is_in_table:
            raise TokenUnavailableError("the new token could not be stored")
        return renewed

    def _find_token(self, app_id: str, row: TokenRow, unwanted_token: str, context: RequestContext) -> str:
        """Return a valid token other than `unwanted_token`. Use the row's, wait for another instance's, or mint."""
        while True:
            action = next_action(row, unwanted_token, self.clock(), context.deadline.remaining())
            if action == "use":
                return row.access_token
            max_age = CREDENTIALS_MAX_AGE_FOR_MINT if action == "mint" else CREDENTIALS_MAX_AGE
            credentials = self.credentials_cache.get(context, max_age)
            _require_minted_here(credentials, app_id)
            if action in ("blocked", "too_late"):
                raise self._unavailable_error(action, row)
            if action == "wait":
                self.sleep(POLL_SECONDS)
                # If a read fails, go on waiting until the deadline.
                with suppress(StorageUnavailableError):
                    row = self._read_again(app_id, context)
                continue
            # If the row has changed, the claim fails. Then decide again with the present row.
            try:
                return self._mint(app_id, credentials.apps[app_id], row, context).access_token
            except RowChangedError as conflict:
                row = conflict.row

    def _mint(self, app_id: str, app_secret: str, row: TokenRow, context: RequestContext) -> TokenRow:
        """Claim the row, mint, and store the token. Return the new row. If it cannot be stored, only the cache has it.

        If somebody else has stored another valid token meanwhile, return that row.

        The mint is not repeated: if only its reply was lost, a second mint would invalidate a token that works.
        Raises RowChangedError if the row has changed since `row` was read.
        """
        claim: Item = {"claim": {"S": new_claim(self.clock())}}
        claimed = self._write(app_id, row, claim, "REMOVE outcome", context)
        started = self.clock()
        limit = min(MINT_SECONDS, context.deadline.remaining() - WRITE_SECONDS)
        try:
            minted = self.douyin.send(CLIENT_TOKEN, client_token_body(app_id, app_secret), context.with_timeout(limit))
        except (UpstreamError, DeadlineExceededError) as error:
            # If the reason cannot be written, the claim still ends after CLAIM_INTERVAL_SECONDS.
            with suppress(StorageUnavailableError, DeadlineExceededError, RowChangedError):
                self._write(app_id, claimed, {"outcome": {"S": error.reason}}, "", context)
            retry_after = claimed.seconds_until_claim(self.clock())
            raise TokenUnavailableError(f"minting failed: {error}", error.upstream, retry_after=retry_after) from None
        expires_at = int(started) + min(minted.expires_in, MAX_LIFETIME_SECONDS)
        changes: Item = {"access_token": {"S": minted.access_token}, "expires_at": {"N": str(expires_at)}}
        changes["outcome"] = {"S": MINTED}
        try:
            return self._write(app_id, claimed, changes, REMOVE_ATTRIBUTES_OF_0_14, context)
        except RowChangedError as conflict:
            present = conflict.row
            # The row has another valid token. It was written by hand, or by an instance after CLAIM_INTERVAL_SECONDS.
            if present.is_valid(self.clock()) and present.access_token != row.access_token:
                return present
        except (StorageUnavailableError, DeadlineExceededError):
            pass
        context.record.warnings.append(f"the new token of {app_id} could not be stored; this instance uses it")
        unstored = TokenRow(minted.access_token, expires_at)
        self._cache.put(app_id, unstored, started)
        return unstored

    def _write(self, app_id: str, row: TokenRow, changes: Item, removal: str, context: RequestContext) -> TokenRow:
        """Change the row if its claim and token are still those of `row`; return the changed row, and cache it.

        `removal` is a REMOVE clause of DynamoDB, or "".
        If the row has changed, raises RowChangedError with the present row, and caches that. Raises
        StorageUnavailableError.
        """
        started = self.clock()
        known = {name: row.item.get(name) for name in ("claim", "access_token")}
        conditions = [f"{name} = :known_{name}" if known[name] else f"attribute_not_exists({name})" for name in known]
        values: Item = {f":{name}": value for name, value in changes.items()}
        values |= {f":known_{name}": value for name, value in known.items() if value}
        update = f"SET {', '.join(f'{name} = :{name}' for name in changes)} {removal}"
        item = self.table.update_item(token_pk(app_id), update, " AND ".join(conditions), values, context)
        present = TokenRow.from_item(item)
        self._cache.put(app_id, present, started)
        # If our write succeeded but its response was lost, the retry found our own change: that is a success, too.
        if any(item.get(name) != value for name, value in changes.items()):
            raise RowChangedError(present)
        return present

    def _read_again(self, app_id: str, context: RequestContext) -> TokenRow:
        """Read the row from the table, and cache it. Raises StorageUnavailableError: no cached row is used instead."""
        started = self.clock()
        row = self.read_row(app_id, context)
        self._cache.put(app_id, row, started)
        return row

    def _unavailable_error(self, action: Action, row: TokenRow) -> TokenUnavailableError:
        """Return the error that says why the row's token cannot be replaced now. `action` is neither use nor mint."""
        if action == "too_late":
            return TokenUnavailableError("no new token in time")
        failure = row.mint_failure
        text = f"minting failed moments ago: {failure}" if failure else "the last mint began moments ago"
        return TokenUnavailableError(text, retry_after=row.seconds_until_claim(self.clock()))


def _require_minted_here(credentials: Credentials, app_id: str) -> None:
    """Raise TokenUnavailableError if this service does not mint the app's tokens."""
    if not credentials.mints_tokens_of(app_id):
        text = f"no valid token of {app_id} is stored; another system mints them, or the app is not in the secret"
        raise TokenUnavailableError(text, retry_after=OTHER_SYSTEM_RETRY_SECONDS)
