"""Session tokens: signed by the first key, verified by every key."""

import hashlib
import random
import string

import pytest
from itsdangerous import URLSafeSerializer

from chalicelib.errors import UnauthenticatedError, UpstreamMalformedError
from chalicelib.sessions import MAX_TOKEN_LENGTH, Session, decode_session, encode_session, hash_open_id, verify_session
from tests.unit.fakes import (
    APP_ID,
    NOW,
    OPEN_ID,
    OTHER_KEY,
    SESSION_KEY,
    FakeSecret,
    make_context,
    make_credentials,
)

SESSION = Session(APP_ID, OPEN_ID)
KEYS = [SESSION_KEY]


def test_a_token_stands_for_app_and_user_until_it_expires() -> None:
    token = encode_session(SESSION, int(NOW) + 7200, KEYS)
    assert decode_session(token, KEYS, NOW + 7199) == SESSION
    with pytest.raises(UnauthenticatedError, match="session expired"):
        decode_session(token, KEYS, NOW + 7200)


def test_a_token_is_issued_only_if_it_is_accepted_later() -> None:
    """Otherwise the customer would be logged in, and each list would answer that the session is invalid."""
    # Random letters: the token is compressed.
    letters = "".join(random.Random(1).choices(string.ascii_letters, k=2600))  # noqa: S311 - test data
    long = Session(APP_ID, letters[:1500])
    assert decode_session(encode_session(long, int(NOW) + 1, KEYS), KEYS, NOW) == long
    with pytest.raises(UpstreamMalformedError):
        encode_session(Session(APP_ID, letters), int(NOW) + 1, KEYS)


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
        ("x" * MAX_TOKEN_LENGTH, None),
        ("a.b", None),
        ("店.店", None),
    ],
)
def test_only_a_signed_token_of_this_service_verifies(token: str, session: Session | None) -> None:
    assert decode_session(token, KEYS, NOW) == session


def test_a_token_that_is_too_long_needs_no_secret() -> None:
    secret = FakeSecret()
    with pytest.raises(UnauthenticatedError, match="too long"):
        verify_session("x" * (MAX_TOKEN_LENGTH + 1), make_credentials(secret), NOW, make_context())
    assert secret.reads == 0


def test_the_first_key_signs_and_every_key_verifies() -> None:
    token = encode_session(SESSION, int(NOW) + 1, [OTHER_KEY, SESSION_KEY])
    for keys in ([OTHER_KEY], ["newer", OTHER_KEY], [OTHER_KEY, "older"]):
        assert decode_session(token, keys, NOW) == SESSION
    assert decode_session(token, [SESSION_KEY], NOW) is None


def test_the_user_is_logged_as_a_hash_of_user_and_first_key() -> None:
    value = hash_open_id(OPEN_ID, KEYS)
    assert value == hash_open_id(OPEN_ID, [SESSION_KEY, OTHER_KEY])
    assert len(value) == 16
    assert value != hash_open_id(OPEN_ID, [OTHER_KEY, SESSION_KEY])
    assert value != hash_open_id("another", KEYS)
