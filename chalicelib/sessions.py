"""User sessions: log a user in with a code from tt.login, and verify the session token that the login returned.

A session token holds app_id, open_id and the expiry time (epoch seconds), signed with HMAC-SHA256 by the first session
key of the secret; every key verifies. It is signed, not encrypted: its holder can read the open_id. The token holds an
expiry time rather than an issue time, so that small clock differences between instances do not matter.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from chalicelib.errors import UnauthenticatedError, UpstreamMalformedError
from chalicelib.redaction import RedactedStruct

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.context import RequestContext
    from chalicelib.credentials import CredentialsCache
    from chalicelib.douyin.client import DouyinClient

MAX_TOKEN_LENGTH = 2048


class Session(RedactedStruct, frozen=True):
    """A verified user of one app."""

    app_id: str
    open_id: str


class Login(RedactedStruct, frozen=True):
    """A successful login: the session, and the token that stands for it."""

    token: str
    session: Session


class Authenticator:
    """Logs users in, and verifies the session tokens that it has issued. Sessions are not stored."""

    def __init__(
        self,
        credentials: CredentialsCache,
        douyin: DouyinClient,
        ttl: int,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._douyin = douyin
        self.ttl = ttl
        self._clock = clock

    def get_app_secret(self, app_id: str, context: RequestContext) -> str:
        """Return the secret of an app.

        Raises UnauthenticatedError for an unknown app, and StorageUnavailableError or ConfigurationError when the
        secret cannot be read.
        """
        secret = self._credentials.get(context).apps.get(app_id)
        secret = secret or self._credentials.refresh(context).apps.get(app_id)
        if not secret:
            raise UnauthenticatedError("unknown app_id")
        return secret

    def login(self, app_id: str, code: str, context: RequestContext) -> Login:
        """Exchange a login code for a session.

        Raises what `get_app_secret` raises, and UpstreamError: LoginRefusedError for a bad code, UpstreamMalformedError
        for an open_id of which `verify` would not accept the token.
        """
        open_id = self._douyin.login(app_id, self.get_app_secret(app_id, context), code, context)
        keys = self._credentials.get(context).session_keys
        context.record.user = hash_open_id(open_id, keys)
        token = _serializer(*keys).dumps([app_id, open_id, int(self._clock()) + self.ttl])
        if len(token) > MAX_TOKEN_LENGTH:
            raise UpstreamMalformedError("too_large")
        return Login(token, Session(app_id, open_id))

    def verify(self, token: str, context: RequestContext) -> Session:
        """Return the session of a token; raises UnauthenticatedError for a forged or expired one."""
        if not token or len(token) > MAX_TOKEN_LENGTH:
            raise UnauthenticatedError("no session token")
        try:
            payload = self._credentials.verify_with_keys(lambda keys: _serializer(*keys).loads(token), BadData, context)
        except BadData:
            raise UnauthenticatedError("session token has no valid signature") from None
        try:
            app_id, open_id, expires_at = msgspec.convert(payload, tuple[str, str, int])
        except msgspec.ValidationError:
            # Signed by one of our keys, but for another purpose or by another version.
            raise UnauthenticatedError("session token has another form") from None
        if expires_at <= self._clock():
            raise UnauthenticatedError("session expired")
        context.record.user = hash_open_id(open_id, self._credentials.get(context).session_keys)
        return Session(app_id, open_id)


def hash_open_id(open_id: str, keys: list[str]) -> str:
    """Return the salted hash that stands for a user in logs; stable until the first session key changes."""
    return hmac.new(keys[0].encode(), b"log " + open_id.encode(), hashlib.sha256).hexdigest()[:16]


@functools.lru_cache(maxsize=2)
def _serializer(*keys: str) -> URLSafeSerializer:
    # itsdangerous signs with the last key of its list; the secret lists the signing key first.
    return URLSafeSerializer(
        list(keys[::-1]),
        salt="douyin-redemption session",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
