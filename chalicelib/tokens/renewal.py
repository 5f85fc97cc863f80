"""The scheduled renewal of tokens that expire soon. A failure of one app does not stop the others."""

import random
import time
from contextlib import suppress

import msgspec

from chalicelib.context import RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.errors import RedemptionError
from chalicelib.tokens.provider import TokenProvider

SECONDS_PER_APP = 10.0


class Renewal(msgspec.Struct):
    """What a run has done.

    `renewed`: app_ids. `failed`: the reason for each app that failed. `left`: number of apps with nothing to renew.
    `error`: the first one. `seconds_left`: the shortest remaining lifetime of the tokens that could be read after the
    run, or None.
    """

    renewed: list[str] = []
    failed: dict[str, str] = {}
    left: int = 0
    error: RedemptionError | None = None
    seconds_left: int | None = None


def renew_tokens(tokens: TokenProvider, credentials: CredentialsCache, context: RequestContext) -> Renewal:
    """Renew the tokens that expire within half an hour.

    Each app has one attempt; the next run comes in ten minutes. The order is random: if many apps hang and the run ends
    early, other apps are left out each time. The rows are read by key, one for each app in the secret: no scan,
    and no row of another system. Raises StorageUnavailableError or ConfigurationError when the secret cannot be read.
    """
    renewal = Renewal()
    apps = list(credentials.get(context).apps)
    random.shuffle(apps)
    lifetimes: list[int] = []
    for app_id in apps:
        app_context = context.with_timeout(SECONDS_PER_APP)
        try:
            was_renewed = tokens.renew_if_expiring(app_id, app_context)
        except RedemptionError as error:
            renewal.failed[app_id] = str(error)
            renewal.error = renewal.error or error
        else:
            renewal.renewed += [app_id] if was_renewed else []
            renewal.left += not was_renewed
        with suppress(RedemptionError):
            row = tokens.read_row(app_id, app_context)
            lifetimes += [max(0, row.expires_at - int(time.time()))] if row.access_token else []
    renewal.seconds_left = min(lifetimes, default=None)
    return renewal
