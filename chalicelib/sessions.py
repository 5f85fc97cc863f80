"""A user's session: from a login code to an open_id to a signed token, and back.

The token carries app_id, open_id and its own end, signed with HMAC-SHA256 by the newest session key; every key that
the secret lists is accepted. The end is a moment, not an age, so that clocks a little apart do not refuse each other.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

from itsdangerous import BadData, URLSafeSerializer

from chalicelib.errors import UnauthenticatedError
from chalicelib.guarded import Guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.credentials import CredentialStore
    from chalicelib.scope import Scope
    from chalicelib.upstream import Douyin

LONGEST_TOKEN = 2048

FIRST_LOGIN_SECONDS = 0.1
"""What a login is taken to last until an instance has seen one."""


class Session(Guarded, frozen=True):
    """Who asks: a user of one app."""

    app_id: str
    open_id: str


class SessionStore:
    """Opens sessions and recognises them; nothing of them is stored."""

    def __init__(
        self,
        credentials: CredentialStore,
        douyin: Douyin,
        ttl: int,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._credentials = credentials
        self._douyin = douyin
        self.ttl = ttl
        self._clock = clock
        self._sleep = sleep
        self._usual_seconds = FIRST_LOGIN_SECONDS

    def open(self, app_id: str, code: str, scope: Scope) -> str:
        """Exchange a login code for a session token; raises UnauthenticatedError for an app that is not ours."""
        secret = self._credentials.current(scope).apps.get(app_id) or self._credentials.news(scope).apps.get(app_id)
        if not secret:
            # Neither what is answered nor how soon may tell an app that is not ours from a code that is refused.
            self._sleep(max(0.0, min(self._usual_seconds, scope.deadline.remaining())))
            raise UnauthenticatedError("unknown app_id")
        begun = time.perf_counter()
        try:
            open_id = self._douyin.login(app_id, secret, code, scope)
        finally:
            self._usual_seconds = time.perf_counter() - begun
        keys = self._credentials.current(scope).session_keys
        scope.user = pseudonym(open_id, keys)
        return _serializer(*keys).dumps([app_id, open_id, int(self._clock()) + self.ttl])

    def recognise(self, token: str, scope: Scope) -> Session:
        """The session that a token stands for; raises UnauthenticatedError for a forged or ended one."""
        if not token or len(token) > LONGEST_TOKEN:
            raise UnauthenticatedError("no session token")
        try:
            payload = self._credentials.with_keys(lambda keys: _serializer(*keys).loads(token), BadData, scope)
        except BadData:
            raise UnauthenticatedError("session token not signed by us") from None
        app_id, open_id, ends_at = payload
        if ends_at <= self._clock():
            raise UnauthenticatedError("session ended")
        scope.user = pseudonym(open_id, self._credentials.current(scope).session_keys)
        return Session(app_id, open_id)


def pseudonym(open_id: str, keys: list[str]) -> str:
    """What logs call a user: the same name for the same user as long as the newest session key stays."""
    return hmac.new(keys[0].encode(), b"log " + open_id.encode(), hashlib.sha256).hexdigest()[:16]


@functools.lru_cache(maxsize=2)
def _serializer(*keys: str) -> URLSafeSerializer:
    # itsdangerous signs with the last key of its list; ours begins with the one that signs.
    return URLSafeSerializer(
        list(keys[::-1]),
        salt="douyin-redemption session",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
