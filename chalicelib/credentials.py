"""App secrets and session keys, from one Secrets Manager secret, cached for five minutes."""

import math
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

from chalicelib.cache import Cache, is_within
from chalicelib.context import RequestContext
from chalicelib.errors import ConfigurationError, StorageUnavailableError
from chalicelib.redaction import RedactedStruct

T = TypeVar("T")

CREDENTIALS_MAX_AGE = 300.0
"""How long the content of the secret is cached, in seconds."""

MIN_REREAD_SECONDS = 10.0
"""Shortest time between two reads of the secret because of an unknown key or app, in seconds.

Without it, every invalid request would cause a read. Reads for other reasons do not count, so a key that was added just
after such a read is found at once.
"""

MIN_KEY_LENGTH = 32
"""The shortest session key, in characters. A shorter key could be found by brute force from one session token."""

SECRET_FORM = f'{{"apps": {{app_id: app_secret}}, "session_keys": [keys of {MIN_KEY_LENGTH} characters or more]}}'


class Credentials(RedactedStruct, frozen=True):
    """Content of the secret."""

    #: The app secrets by app_id. An app of a service provider (服务商) has "": the provider's system writes its token.
    apps: dict[str, str]
    #: The session keys. The first one signs and verifies, the others only verify.
    session_keys: Annotated[list[Annotated[str, msgspec.Meta(min_length=MIN_KEY_LENGTH)]], msgspec.Meta(min_length=1)]
    #: Apps whose tokens another system of the company mints. This service uses their app secrets only for logins.
    external_tokens: list[str] = msgspec.field(default_factory=list)

    def mints_tokens_of(self, app_id: str) -> bool:
        """Return whether this service mints the app's tokens. Otherwise another system does, or the app is unknown."""
        return bool(self.apps.get(app_id)) and app_id not in self.external_tokens


class CredentialsCache:
    """Reads the secret, and caches its content. `fetch` returns the text, or raises StorageUnavailableError.

    A malformed secret counts as an outage, so that it never replaces a well-formed one in the cache.
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
        """Return the content of the secret. It is less than `max_age` seconds old, or older during an outage.

        Raises StorageUnavailableError or ConfigurationError if the secret cannot be read, and the cache has no content
        that may still be used.
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
        if result is None and not is_within(MIN_REREAD_SECONDS, self._reread_at, now):
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
