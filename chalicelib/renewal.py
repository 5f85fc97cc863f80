"""The scheduled renewal: every app's token that ends soon, one app's failure not being another's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from chalicelib.errors import StorageUnavailableError, TokenUnavailableError

if TYPE_CHECKING:
    from chalicelib.credentials import CredentialStore
    from chalicelib.scope import Scope
    from chalicelib.tokens import TokenStore

SECONDS_AN_APP = 10.0


def renew_tokens(tokens: TokenStore, credentials: CredentialStore, scope: Scope) -> dict[str, Any]:
    """Renew what ends within half an hour and leave the rest.

    The rows that may be renewed are those of the apps whose secret we hold, so they are looked up by their keys: no
    scan, and no row of somebody else's. Returns how many were left alone, and which app_ids were renewed or failed;
    raises StorageUnavailableError or ConfigurationError when the apps themselves cannot be read.
    """
    renewed: list[str] = []
    failed: dict[str, str] = {}
    left = 0
    for app_id, app_secret in credentials.current(scope).apps.items():
        part = scope.within_seconds(SECONDS_AN_APP)
        try:
            done = tokens.renew_early(app_id, app_secret, part)
        except (TokenUnavailableError, StorageUnavailableError) as error:
            failed[app_id] = str(error)
        else:
            renewed += [app_id] if done else []
            left += not done
        _note_life(tokens, app_id, part, scope)
    return {"renewed": renewed, "failed": failed, "left": left}


def _note_life(tokens: TokenStore, app_id: str, part: Scope, scope: Scope) -> None:
    """Note how long the token lasts that ends first, whoever renewed it, whether or not that went well."""
    try:
        row = tokens.row(app_id, part)
    except StorageUnavailableError:
        return
    if row.access_token is not None:
        left = max(0, row.expires_at - int(time.time()))
        scope.token_seconds_left = left if scope.token_seconds_left is None else min(left, scope.token_seconds_left)
