"""The scheduled renewal of tokens that expire soon. A failure of one app does not stop the others."""

import random
from collections.abc import Callable

from chalicelib.context import RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.errors import RedemptionError
from chalicelib.record import RenewalReport
from chalicelib.tokens.provider import TokenProvider
from chalicelib.tokens.rows import NO_ROW, TokenRow

SECONDS_PER_APP = 10.0
"""Limit for the renewal of one app's token."""

RENEW_BEFORE_EXPIRY_SECONDS = 30 * 60
"""How long before its expiry a token is renewed."""


def renew_expiring_tokens(
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
    report = RenewalReport()
    expiries: list[int] = []
    for app_id in sorted(app_ids, key=lambda app_id: not secrets[app_id]):
        app_context = context.with_timeout(SECONDS_PER_APP)
        row = NO_ROW
        try:
            row = tokens.read_row(app_id, app_context)
            if secrets[app_id] and is_expiring(row, tokens.clock()):
                row = tokens.renew_row(app_id, row.access_token, app_context)
                report.renewed.append(app_id)
            elif secrets[app_id]:
                report.unchanged += 1
            elif not row.is_valid(tokens.clock()):
                # It is not in the metric: the token of a merchant who has left would hide all others.
                report.expired.append(app_id)
                continue
        except RedemptionError as error:
            # The old token works until its expiry: it counts in the shortest lifetime.
            report.failed[app_id] = error
        if row.access_token:
            expiries.append(row.expires_at)
    if expiries:
        report.seconds_left = max(0, min(expiries) - int(tokens.clock()))
    return report


def is_expiring(row: TokenRow, now: float) -> bool:
    """Return whether the token of a row is to be renewed. An app without a token is not used."""
    return bool(row.access_token) and row.expires_at - RENEW_BEFORE_EXPIRY_SECONDS <= now
