"""Session tokens: signed by the first key, verified by every key."""

import hashlib

import pytest
from itsdangerous import URLSafeSerializer

from chalicelib.sessions import Session, decode_session, hash_open_id
from tests.unit.fakes import APP_ID, NOW, OPEN_ID, OTHER_KEY, SESSION_KEY

SESSION = Session(APP_ID, OPEN_ID)
KEYS = [SESSION_KEY]


def sign(payload: object) -> str:
    """Return a token with a valid signature and any payload."""
    serializer = URLSafeSerializer(
        [SESSION_KEY],
        salt="douyin-redemption session",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
    return str(serializer.dumps(payload))


@pytest.mark.parametrize(
    ("token", "session"),
    [
        # Of an earlier release: its form and its signature stay, so that a release does not log everyone out.
        (sign([APP_ID, OPEN_ID, int(NOW) + 1]), SESSION),
        (sign([APP_ID, OPEN_ID]), None),
        (sign([APP_ID, OPEN_ID, int(NOW) + 1, 7]), None),
        (sign([APP_ID, None, int(NOW) + 1]), None),
        (sign([APP_ID, OPEN_ID, str(int(NOW) + 1)]), None),
        # Not signed. Another key may have signed it, which this instance does not know yet.
        ("x" * 10_000, None),
        ("a.b", None),
        ("店.店", None),
    ],
)
def test_only_a_signed_token_of_this_service_verifies(token: str, session: Session | None) -> None:
    assert decode_session(token, KEYS, NOW) == session


def test_the_user_is_logged_as_a_hash_of_user_and_first_key() -> None:
    value = hash_open_id(OPEN_ID, KEYS)
    assert value == hash_open_id(OPEN_ID, [SESSION_KEY, OTHER_KEY])
    assert len(value) == 16
    assert value != hash_open_id(OPEN_ID, [OTHER_KEY, SESSION_KEY])
    assert value != hash_open_id("another", KEYS)
