"""App secrets and session keys, from one Secrets Manager secret, cached for five minutes."""

import math
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

from chalicelib.cache import Cache, is_fresh
from chalicelib.context import RequestContext
from chalicelib.errors import ConfigurationError, StorageUnavailableError
from chalicelib.redaction import RedactedStruct

T = TypeVar("T")

CREDENTIALS_MAX_AGE = 300.0
"""How long the content of the secret is cached, in seconds."""

MIN_REREAD_SECONDS = 10.0
"""Shortest time between two reads for an unknown key or app: invalid requests do not each cause a read.

Only these reads count: an instance that has just read the former keys for another reason reads again after a rotation.
"""

MIN_KEY_LENGTH = 32
"""Characters of a session key. A shorter one could be found from one session token, by trying all keys."""

SECRET_FORM = f'{{"apps": {{app_id: app_secret}}, "session_keys": [keys of {MIN_KEY_LENGTH} characters or more]}}'


class Credentials(RedactedStruct, frozen=True):
    """Content of the secret."""

    #: app_id to app secret. It is "" for an app of a service provider (服务商), whose system writes the app's token.
    apps: dict[str, str]
    #: The session keys. The first one signs and verifies, the others only verify.
    session_keys: Annotated[list[Annotated[str, msgspec.Meta(min_length=MIN_KEY_LENGTH)]], msgspec.Meta(min_length=1)]
    #: The apps with an app secret whose tokens another system of the company makes. Their app secrets are for logins.
    external_tokens: list[str] = msgspec.field(default_factory=list)

    def is_minted_here(self, app_id: str) -> bool:
        """Return whether this service mints the app's tokens. Otherwise another system does, or the app is unknown."""
        return bool(self.apps.get(app_id)) and app_id not in self.external_tokens


class CredentialsCache:
    """Reads the secret, and caches its content. `fetch` returns its text and may raise StorageUnavailableError.

    A malformed secret counts as an outage: it never replaces a good one.
    """

    def __init__(self, fetch: Callable[[RequestContext], str], clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._reread_at = -math.inf
        self._cache = Cache(
            "secret",
            lambda _, context: parse_credentials(fetch(context)),
            CREDENTIALS_MAX_AGE,
            clock,
            (StorageUnavailableError, ConfigurationError),
        )

    def get(self, context: RequestContext, max_age: float = CREDENTIALS_MAX_AGE) -> Credentials:
        """Return the content of the secret, at most `max_age` seconds old if it can be read.

        Raises StorageUnavailableError or ConfigurationError if it cannot be read and none is cached.
        """
        return self._cache.get("", context, max_age)

    def find_or_reread(
        self, lookup: Callable[[Credentials], T | None], context: RequestContext
    ) -> tuple[T | None, Credentials]:
        """Look something up in the credentials, for example an app. Return it, or None, and the credentials.

        If `lookup` returns None, an operator may have changed the secret: it is read again, for this reason at most
        once in MIN_REREAD_SECONDS, and `lookup` decides again. Raises what `get` and `lookup` raise.
        """
        credentials = self.get(context)
        result = lookup(credentials)
        now = self._clock()
        if result is None and not is_fresh(MIN_REREAD_SECONDS, self._reread_at, now):
            credentials = self.get(context, max_age=0.0)
            self._reread_at = now
            result = lookup(credentials)
        return result, credentials


def parse_credentials(text: str) -> Credentials:
    """Parse the secret's JSON; raises ConfigurationError that names the expected form, never a value."""
    try:
        return msgspec.json.decode(text, type=Credentials)
    except (msgspec.MsgspecError, RecursionError):
        raise ConfigurationError(f"the secret is not {SECRET_FORM}") from None
