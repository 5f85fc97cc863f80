"""The scheduled renewal: every app's token that ends soon, one app's failure not being another's."""

from __future__ import annotations

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
        try:
            done = tokens.renew_early(app_id, app_secret, scope.within_seconds(SECONDS_AN_APP))
        except (TokenUnavailableError, StorageUnavailableError) as error:
            failed[app_id] = str(error)
            continue
        renewed += [app_id] if done else []
        left += not done
    return {"renewed": renewed, "failed": failed, "left": left}
