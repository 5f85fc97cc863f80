"""The scheduled renewal of tokens that expire soon. A failure of one app does not stop the others."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from chalicelib.errors import StorageUnavailableError, TokenUnavailableError

if TYPE_CHECKING:
    from chalicelib.context import RequestContext
    from chalicelib.credentials import CredentialsCache
    from chalicelib.errors import RedemptionError
    from chalicelib.tokens.provider import TokenProvider

SECONDS_PER_APP = 10.0


def renew_tokens(
    tokens: TokenProvider, credentials: CredentialsCache, context: RequestContext
) -> tuple[dict[str, Any], RedemptionError | None]:
    """Renew the tokens that expire within half an hour.

    Each app has one attempt; the next run comes in ten minutes. The order is random, so that many apps that hang do not
    use up the time of the same others in every run. The rows are read by key, one for each app in the secret: no scan,
    and no row of another system. Returns the fields to report (the app_ids that were renewed, those that failed with
    the reason, and the number of other apps) and the first error, or None. Raises StorageUnavailableError or
    ConfigurationError when the secret cannot be read.
    """
    renewed: list[str] = []
    failed: dict[str, str] = {}
    left = 0
    first_error: RedemptionError | None = None
    apps = list(credentials.get(context).apps.items())
    random.shuffle(apps)
    for app_id, app_secret in apps:
        app_context = context.with_timeout(SECONDS_PER_APP)
        try:
            was_renewed = tokens.renew_if_expiring(app_id, app_secret, app_context)
        except (TokenUnavailableError, StorageUnavailableError) as error:
            failed[app_id] = str(error)
            first_error = first_error or error
        else:
            renewed += [app_id] if was_renewed else []
            left += not was_renewed
        _record_lifetime(tokens, app_id, app_context, context)
    return {"renewed": renewed, "failed": failed, "left": left}, first_error


def _record_lifetime(tokens: TokenProvider, app_id: str, app_context: RequestContext, context: RequestContext) -> None:
    """Record the shortest remaining lifetime of all tokens, for the metric TokenSecondsLeft."""
    try:
        row = tokens.read_row(app_id, app_context)
    except StorageUnavailableError:
        return
    if row.access_token:
        left = max(0, row.expires_at - int(time.time()))
        shortest = context.record.token_seconds_left
        context.record.token_seconds_left = left if shortest is None else min(left, shortest)
