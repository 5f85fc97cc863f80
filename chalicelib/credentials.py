"""App secrets and session keys, from one Secrets Manager secret, cached for five minutes."""

import math
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from chalicelib.context import RequestContext
from chalicelib.errors import ConfigurationError, StorageUnavailableError
from chalicelib.freshness import is_fresh
from chalicelib.redaction import RedactedStruct

T = TypeVar("T")

SECRET_MAX_AGE = 300.0
"""How long the secret is cached, in seconds."""

MIN_REFRESH_SECONDS = 10.0
"""Shortest time between two reads of the secret for an unknown key or app, for a mint, and after a read that failed.

Invalid requests do not each cause a read. An ordinary read does not delay a read for an unknown key or app.
"""


class Credentials(RedactedStruct, frozen=True):
    """Content of the secret."""

    #: app_id to app secret. An empty secret: the app is a service provider's (服务商), whose system writes its token.
    apps: dict[str, str]
    #: The session keys. The first one signs and verifies, the others only verify.
    session_keys: list[str]

    def __post_init__(self) -> None:
        if not self.session_keys or not all(self.session_keys):
            raise ValueError("session_keys must hold at least one key, and no empty one")


class CredentialsCache:
    """Reads and caches the secret. `fetch` returns its text and may raise StorageUnavailableError."""

    def __init__(self, fetch: Callable[[RequestContext], str], clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock
        self._cached: Credentials | None = None
        self._read_at = -math.inf
        self._forced_read_at = -math.inf
        self._failed_at = -math.inf

    def get(self, context: RequestContext, max_age: float = SECRET_MAX_AGE) -> Credentials:
        """Return credentials that are at most `max_age` seconds old.

        Older ones are used while Secrets Manager is unavailable or the secret is malformed. Without any, raises
        StorageUnavailableError or ConfigurationError.
        """
        now = self._clock()
        is_due = not is_fresh(max_age, self._read_at, now)
        # Wait after a failed read, or every request would wait for a service that is unavailable.
        if self._cached is None or (is_due and not is_fresh(MIN_REFRESH_SECONDS, self._failed_at, now)):
            return self._read(now, context)
        if is_due:
            context.record.warnings.append("the cached secret is used")
        return self._cached

    def find(
        self, look_up: Callable[[Credentials], T | None], context: RequestContext, max_age: float = SECRET_MAX_AGE
    ) -> tuple[T | None, Credentials]:
        """Look something up: an app, or a key that verifies a signature. Return it, or None, and the credentials.

        If it is not found, an operator may have changed the secret: it is read again, for this reason at most once in
        MIN_REFRESH_SECONDS. Raises what `get` and `look_up` raise.
        """
        credentials = self.get(context, max_age)
        found = look_up(credentials)
        now = self._clock()
        if found is None and not is_fresh(MIN_REFRESH_SECONDS, self._forced_read_at, now):
            credentials = self._read(now, context)
            self._forced_read_at = now
            found = look_up(credentials)
        return found, credentials

    def find_app_secret(self, app_id: str, context: RequestContext) -> str | None:
        """Return the secret of an app for a mint, "" for one of a service provider, or None for an unknown one.

        It is as new as possible: a mint with the former secret of an app would replace the token of a service provider.
        """
        return self.find(lambda credentials: credentials.apps.get(app_id), context, MIN_REFRESH_SECONDS)[0]

    def _read(self, now: float, context: RequestContext) -> Credentials:
        try:
            self._cached = parse_credentials(self._fetch(context))
        except (StorageUnavailableError, ConfigurationError) as error:
            if self._cached is None:
                raise
            self._failed_at = now
            context.record.warnings.append(f"the cached secret is used: {error}")
            return self._cached
        self._read_at = now
        return self._cached


def parse_credentials(text: str) -> Credentials:
    """Parse the secret's JSON; raises ConfigurationError that names the expected form, never a value."""
    try:
        return msgspec.json.decode(text, type=Credentials)
    except (msgspec.MsgspecError, RecursionError):
        raise ConfigurationError('the secret is not {"apps": {app_id: app_secret}, "session_keys": [key, …]}') from None
