"""The scheduled renewal of tokens that expire soon. A failure of one app does not stop the others."""

import random
from collections.abc import Callable
from typing import Literal, NamedTuple

from chalicelib.context import RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.errors import RedemptionError
from chalicelib.record import RenewalReport
from chalicelib.tokens.provider import TokenProvider
from chalicelib.tokens.rows import NO_ROW, TokenRow

SECONDS_PER_APP = 10.0
"""Limit for the renewal of one app's token."""

RENEW_BEFORE_EXPIRY_SECONDS = 30 * 60
"""How long before its expiry a token is replaced."""


class AppRenewal(NamedTuple):
    """The result of a run for one app."""

    #: The row of its token, as it was read or written last.
    row: TokenRow
    #: `unchanged`: nothing to renew. `expired`: the system of a service provider has written no valid token.
    result: Literal["renewed", "unchanged", "expired", "failed"]
    #: The error of a failure.
    error: RedemptionError | None = None


def renew_tokens(
    tokens: TokenProvider,
    credentials_cache: CredentialsCache,
    context: RequestContext,
    *,
    shuffle: Callable[[list[str]], object] = random.shuffle,
) -> RenewalReport:
    """Renew the tokens that expire within RENEW_BEFORE_EXPIRY_SECONDS.

    Each app has one attempt; the next run comes in ten minutes. The order is random: if many apps hang and the run ends
    early, other apps are left out each time. The rows are read by key, one for each app in the secret: no scan,
    and no row of another system. Then the rows of service providers' apps are read, and no token is minted for them.
    Raises StorageUnavailableError or ConfigurationError when the secret cannot be read.
    """
    secrets = credentials_cache.get(context).apps
    app_ids = list(secrets)
    shuffle(app_ids)
    apps = {
        app_id: renew_app(tokens, app_id, context.with_timeout(SECONDS_PER_APP), is_own=bool(secrets[app_id]))
        for app_id in sorted(app_ids, key=lambda app_id: not secrets[app_id])
    }
    # An expired token of a provider is not in the metric: that of a merchant who has left would hide all others.
    expiries = [app.row.expires_at for app in apps.values() if app.row.access_token and app.result != "expired"]
    return RenewalReport(
        renewed=[app_id for app_id, app in apps.items() if app.result == "renewed"],
        failed={app_id: app.error for app_id, app in apps.items() if app.error is not None},
        left=sum(app.result == "unchanged" and bool(secrets[app_id]) for app_id, app in apps.items()),
        expired=[app_id for app_id, app in apps.items() if app.result == "expired"],
        seconds_left=max(0, min(expiries) - int(tokens.clock())) if expiries else None,
    )


def renew_app(tokens: TokenProvider, app_id: str, context: RequestContext, *, is_own: bool) -> AppRenewal:
    """Renew the token of one app if it expires soon. That of a service provider's app (not `is_own`) is only read."""
    row = NO_ROW
    try:
        row = tokens.read_row(app_id, context)
        if is_own and is_expiring(row, tokens.clock()):
            return AppRenewal(tokens.renew(app_id, row.access_token, context), "renewed")
    except RedemptionError as error:
        return AppRenewal(row, "failed", error)
    return AppRenewal(row, "unchanged" if is_own or row.is_valid(tokens.clock()) else "expired")


def is_expiring(row: TokenRow, now: float) -> bool:
    """Return whether the token of a row is to be renewed. An app without a token is not used."""
    return bool(row.access_token) and row.expires_at - RENEW_BEFORE_EXPIRY_SECONDS <= now
