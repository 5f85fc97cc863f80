"""User sessions: signed tokens that name a user of one app. This service does not store them.

A session token holds app_id, open_id and the expiry time (epoch seconds). Its holder can read them. It has no issue
time, so that no instance can refuse a token as issued in the future when clocks differ a little.
"""

import hashlib
import hmac

from chalicelib import signing
from chalicelib.errors import UnauthenticatedError
from chalicelib.redaction import RedactedStruct

_PURPOSE = b"douyin-redemption session"

PROBE_OPEN_ID = "redeemctl-doctor"
"""The reserved open_id of this project's own probes. If the platform returns it for a login, the login is refused."""

PROBE_CODE = "redeemctl-doctor"
"""The login code of this project's own probes. The platform refuses it.

Logins with this code count in no metric. Anybody can send it, but nobody is logged in with it, so the metrics
still count every login of a customer.
"""


PROBE_ACCOUNT_ID = "smoke-test"
"""The account_id with which this project's own probes ask for an unknown merchant. Douyin's account ids are numbers.

Requests for its list of stores count in no metric.
"""


class Session(RedactedStruct, frozen=True):
    """A user of one app."""

    app_id: str
    open_id: str


def encode_session(session: Session, expires_at: int, keys: list[str]) -> str:
    """Return the token of a session."""
    return signing.sign([session.app_id, session.open_id, expires_at], _PURPOSE, keys)


def decode_session(token: str, keys: list[str], now: float) -> Session | None:
    """Return the session of a token, or None when none of the keys has signed it.

    Raises UnauthenticatedError for an expired token.
    """
    content = signing.verify(token, _PURPOSE, keys, tuple[str, str, int])
    if content is None:
        return None
    app_id, open_id, expires_at = content
    if expires_at <= now:
        raise UnauthenticatedError("session expired")
    return Session(app_id, open_id)


def hash_open_id(open_id: str, keys: list[str]) -> str:
    """Return the salted hash that stands for a user in logs; stable until the first session key changes."""
    return hmac.new(keys[0].encode(), b"log " + open_id.encode(), hashlib.sha256).hexdigest()[:16]
