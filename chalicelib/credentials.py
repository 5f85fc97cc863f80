"""The app secrets and the session keys, from one Secrets Manager secret, kept in memory for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import msgspec

from chalicelib.errors import ConfigurationError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.scope import Scope

T = TypeVar("T")

KEPT_SECONDS = 300.0
NEWS_SECONDS = 10.0
"""How old the copy in memory must be before an unknown key or app is a reason to look for news.

It lets a rotated key or an added app count at once, while strangers cannot make us ask at will."""


class Credentials(msgspec.Struct, frozen=True):
    """`apps`: app_id to app secret; `session_keys`: the first signs and reads, the others only read."""

    apps: dict[str, str]
    session_keys: list[str]

    def __post_init__(self) -> None:
        if not self.session_keys or not all(self.session_keys):
            raise ValueError("session_keys must hold at least one key, and no empty one")

    def __repr__(self) -> str:
        return f"Credentials(apps={len(self.apps)}, session_keys={len(self.session_keys)})"


class CredentialStore:
    """Reads the secret when it is needed; `fetch` returns its text and may raise StorageUnavailableError."""

    def __init__(self, fetch: Callable[[Scope], str], clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock
        self._current: Credentials | None = None
        self._read_at = 0.0

    def current(self, scope: Scope) -> Credentials:
        """The credentials, at most five minutes old; older ones serve while Secrets Manager does not answer."""
        return self._no_older_than(KEPT_SECONDS, scope)

    def news(self, scope: Scope) -> Credentials:
        """The credentials after something was not found in `current`: read again unless that was just done."""
        return self._no_older_than(NEWS_SECONDS, scope)

    def with_keys(self, read: Callable[[list[str]], T], refusal: type[Exception], scope: Scope) -> T:
        """What `read` makes of the session keys; when it raises `refusal`, once more with keys added a moment ago."""
        known = self.current(scope)
        try:
            return read(known.session_keys)
        except refusal:
            news = self.news(scope)
            if news is known:
                raise
            return read(news.session_keys)

    def _no_older_than(self, seconds: float, scope: Scope) -> Credentials:
        now = self._clock()
        if self._current is not None and now - self._read_at < seconds:
            return self._current
        try:
            text = self._fetch(scope)
        except StorageUnavailableError:
            if self._current is None:
                raise
            # Asking again at every request would make each of them wait for a service that is away.
            self._read_at = now - KEPT_SECONDS + NEWS_SECONDS
            return self._current
        self._current = read_credentials(text)
        self._read_at = now
        return self._current


def read_credentials(text: str) -> Credentials:
    """Read the secret's JSON; raises ConfigurationError that names what is wrong, never a value."""
    try:
        return msgspec.json.decode(text, type=Credentials)
    except (msgspec.MsgspecError, RecursionError):
        raise ConfigurationError('the secret is not {"apps": {app_id: app_secret}, "session_keys": [key, …]}') from None
