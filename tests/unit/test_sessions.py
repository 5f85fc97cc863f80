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


@pytest.mark.parametrize(("seconds", "is_valid"), [(7199, True), (7200, False)])
def test_a_token_stands_for_app_and_user_until_it_expires(seconds: int, is_valid: bool) -> None:
    token = encode_session(SESSION, int(NOW) + 7200, KEYS)
    if is_valid:
        assert decode_session(token, KEYS, NOW + seconds) == SESSION
    else:
        with pytest.raises(UnauthenticatedError, match="session expired"):
            decode_session(token, KEYS, NOW + seconds)


@pytest.mark.parametrize(("length", "works"), [(1500, True), (2600, False)])
def test_a_token_is_issued_only_if_it_is_accepted_later(length: int, works: bool) -> None:
    """Otherwise the customer would be logged in, and each list would answer that the session is invalid."""
    # Random letters: the token is compressed.
    session = Session(APP_ID, "".join(random.Random(1).choices(string.ascii_letters, k=length)))  # noqa: S311 - test data
    if works:
        assert decode_session(encode_session(session, int(NOW) + 1, KEYS), KEYS, NOW) == session
    else:
        with pytest.raises(UpstreamMalformedError):
            encode_session(session, int(NOW) + 1, KEYS)


def sign(payload: object) -> str:
    """Return a token with a valid signature and any payload."""
    serializer = URLSafeSerializer(
        [SESSION_KEY],
        salt="douyin-redemption session",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
    return str(serializer.dumps(payload))


def test_a_token_of_an_earlier_release_is_valid() -> None:
    """Its form and its signature are part of the deployment: a release does not log everyone out."""
    assert decode_session(sign([APP_ID, OPEN_ID, int(NOW) + 1]), KEYS, NOW) == SESSION


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [APP_ID, OPEN_ID],
        [APP_ID, OPEN_ID, int(NOW) + 1, 7],
        [APP_ID, None, int(NOW) + 1],
        [APP_ID, OPEN_ID, str(int(NOW) + 1)],
    ],
)
def test_what_is_no_token_of_this_service_does_not_verify(payload: object) -> None:
    assert decode_session(sign(payload), KEYS, NOW) is None


def test_a_token_that_is_too_long_needs_no_secret() -> None:
    secret = FakeSecret()
    with pytest.raises(UnauthenticatedError, match="too long"):
        verify_session("x" * (MAX_TOKEN_LENGTH + 1), make_credentials(secret), NOW, make_context())
    assert secret.reads == 0


def test_a_token_of_a_key_added_a_moment_ago_is_accepted() -> None:
    secret, context = FakeSecret(), make_context()
    credentials = make_credentials(secret)
    credentials.get(context)
    token = encode_session(SESSION, int(NOW) + 1, [OTHER_KEY])
    secret.put({}, [OTHER_KEY, SESSION_KEY])
    session, found = verify_session(token, credentials, NOW, context)
    assert (session, found.session_keys) == (SESSION, [OTHER_KEY, SESSION_KEY])
    with pytest.raises(UnauthenticatedError, match="no valid signature"):
        verify_session("a.b", credentials, NOW, context)


@pytest.mark.parametrize("token", ["x" * MAX_TOKEN_LENGTH, "a.b", "店.店"])
def test_what_no_key_has_signed_is_not_known(token: str) -> None:
    """Another key may have signed it, which this instance does not know yet."""
    assert decode_session(token, KEYS, NOW) is None


@pytest.mark.parametrize(
    ("keys", "is_known"),
    [([OTHER_KEY], True), (["newer", OTHER_KEY], True), ([OTHER_KEY, "older"], True), ([SESSION_KEY], False)],
)
def test_the_first_key_signs_and_every_key_verifies(keys: list[str], is_known: bool) -> None:
    token = encode_session(SESSION, int(NOW) + 1, [OTHER_KEY, SESSION_KEY])
    assert decode_session(token, keys, NOW) == (SESSION if is_known else None)


def test_the_user_is_logged_as_a_hash_of_user_and_first_key() -> None:
    value = hash_open_id(OPEN_ID, KEYS)
    assert value == hash_open_id(OPEN_ID, [SESSION_KEY, OTHER_KEY])
    assert len(value) == 16
    assert value != hash_open_id(OPEN_ID, [OTHER_KEY, SESSION_KEY])
    assert value != hash_open_id("another", KEYS)
