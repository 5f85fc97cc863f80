"""The scheduled renewal of tokens that expire soon. A failure of one app does not stop the others."""

import random
from collections.abc import Callable

import msgspec

from chalicelib.context import RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.errors import RedemptionError
from chalicelib.tokens.lease import TokenRow
from chalicelib.tokens.provider import TokenProvider

SECONDS_PER_APP = 10.0

RENEW_SECONDS = 30 * 60
"""A token that expires within this time is replaced."""


class Renewal(msgspec.Struct):
    """What a run has done."""

    #: The app_ids whose token was renewed.
    renewed: list[str] = []
    #: The reason for each app that failed.
    failed: dict[str, str] = {}
    #: The number of apps with nothing to renew.
    unchanged: int = 0
    #: The apps of service providers without a valid token: the provider's system has not written one.
    expired: list[str] = []
    #: The first error.
    error: RedemptionError | None = None
    #: The shortest remaining lifetime after the run, of the tokens that could be read; None without any.
    seconds_left: int | None = None


def renew_tokens(
    tokens: TokenProvider,
    credentials_cache: CredentialsCache,
    context: RequestContext,
    *,
    shuffle: Callable[[list[str]], object] = random.shuffle,
) -> Renewal:
    """Renew the tokens that expire within RENEW_SECONDS.

    Each app has one attempt; the next run comes in ten minutes. The order is random: if many apps hang and the run ends
    early, other apps are left out each time. The rows are read by key, one for each app in the secret: no scan,
    and no row of another system. Then the rows of service providers' apps are read, and no token is minted for them.
    Raises StorageUnavailableError or ConfigurationError when the secret cannot be read.
    """
    renewal = Renewal()
    secrets = credentials_cache.get(context).apps
    app_ids = list(secrets)
    shuffle(app_ids)
    lifetimes: list[int] = []
    for app_id in sorted(app_ids, key=lambda app_id: not secrets[app_id]):
        is_own = bool(secrets[app_id])
        app_context = context.with_timeout(SECONDS_PER_APP)
        row, renewed = TokenRow(), None
        try:
            row = tokens.read_row(app_id, app_context)
            if is_own and is_expiring(row, tokens.clock()):
                renewed = tokens.renew(app_id, row, app_context)
        except RedemptionError as error:
            renewal.failed[app_id] = str(error)
            renewal.error = renewal.error or error
        else:
            if renewed is not None:
                renewal.renewed.append(app_id)
            elif is_own:
                renewal.unchanged += 1
            elif not row.is_valid(tokens.clock()):
                renewal.expired.append(app_id)
        newest = renewed or row
        # An expired token of a provider is not in the metric: that of a merchant who has left would hide all others.
        if newest.access_token and app_id not in renewal.expired:
            lifetimes.append(max(0, newest.expires_at - int(tokens.clock())))
    renewal.seconds_left = min(lifetimes, default=None)
    return renewal


def is_expiring(row: TokenRow, now: float) -> bool:
    """Return whether the token of a row is to be renewed. An app without a token is not used."""
    return bool(row.access_token) and row.expires_at - RENEW_SECONDS <= now
