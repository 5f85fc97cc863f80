"""The scheduled renewal of tokens that expire soon. A failure of one app does not stop the others."""

import msgspec

from chalicelib.context import Report, RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.errors import ServiceError, TokenUnavailableError
from chalicelib.tokens.rows import RowChangedError, TokenRow
from chalicelib.tokens.source import SharedTokenSource

SECONDS_PER_APP = 10.0
"""Limit for the renewal of one app's token."""

RENEW_BEFORE_EXPIRY_SECONDS = 30 * 60
"""How long before its expiry a token is renewed."""


class RenewalReport(Report, frozen=True):
    """What the renewal of expiring tokens has done."""

    #: The apps whose token was renewed.
    renewed: list[str] = msgspec.field(default_factory=list)
    #: The shortest remaining lifetime of a token after the run, in seconds, of the rows that could be read. A row
    #: without a valid token has 0. None if no row was found.
    seconds_left: int | None = None

    def metrics(self) -> dict[str, tuple[str, float]]:
        """Return the shortest lifetime, if a row was found."""
        return {} if self.seconds_left is None else {"TokenSecondsLeft": ("Seconds", self.seconds_left)}


def renew_expiring_tokens(
    tokens: SharedTokenSource, credentials_cache: CredentialsCache, context: RequestContext
) -> RenewalReport:
    """Renew the tokens that expire within RENEW_BEFORE_EXPIRY_SECONDS.

    Each app has one attempt, because the next run is in ten minutes. This reads the row of each app in the secret. It
    never writes the row of an app whose tokens another system mints. Raises StorageUnavailableError or
    ConfigurationError if the secret cannot be read.
    """
    credentials = credentials_cache.get(context)
    renewed: list[str] = []
    failed: dict[str, ServiceError] = {}
    lifetimes: list[int] = []
    for app_id in credentials.apps:
        app_context = context.with_timeout(SECONDS_PER_APP)
        row = TokenRow()
        try:
            row = tokens.read_row(app_id, app_context)
            if credentials.mints_tokens_of(app_id) and needs_renewal(row, tokens.clock()):
                if not row.blocks_claims(tokens.clock()):
                    row = tokens.renew(app_id, row, app_context)
                    renewed.append(app_id)
                elif row.mint_failure:
                    failed[app_id] = TokenUnavailableError(f"minting failed: {row.mint_failure}")
        except RowChangedError as conflict:
            # Another instance is renewing the token, or the row was written by hand.
            row = conflict.row
        except ServiceError as error:
            failed[app_id] = error
        now = tokens.clock()
        # Leave out apps without a row, which nobody uses, and rows that could not be read.
        if row.is_in_table:
            lifetimes.append(row.expires_at - int(now) if row.is_valid(now) else 0)
    return RenewalReport(renewed, min(lifetimes, default=None), failed=failed)


def needs_renewal(row: TokenRow, now: float) -> bool:
    """Return whether the token of a row must be renewed. False if there is no row: then nobody uses the app."""
    return row.is_in_table and not row.is_valid(now + RENEW_BEFORE_EXPIRY_SECONDS)
