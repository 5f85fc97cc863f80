"""Sessions: a login issues a signed token, and only such a token is accepted."""

from __future__ import annotations

import hashlib
import random
import string

import pytest
from itsdangerous import URLSafeSerializer

from chalicelib.errors import StorageUnavailableError, UnauthenticatedError, UpstreamMalformedError
from chalicelib.sessions import MAX_TOKEN_LENGTH, Authenticator, Session, hash_open_id
from tests.unit.fakes import (
    APP_ID,
    APP_SECRET,
    NOW,
    OPEN_ID,
    OTHER_KEY,
    SESSION_KEY,
    Clock,
    FakeDouyin,
    FakeSecret,
    make_context,
    make_credentials,
)

TTL = 7200


class Sessions:
    """A session service with its platform, secret and clock."""

    def __init__(self, secret: FakeSecret | None = None) -> None:
        self.clock = Clock()
        self.secret = secret or FakeSecret()
        self.douyin = FakeDouyin()
        self.context = make_context(clock=self.clock)
        self.service = Authenticator(make_credentials(self.secret, self.clock), self.douyin, TTL, clock=self.clock)

    def login(self, app_id: str = APP_ID) -> str:
        return self.service.login(app_id, "code", self.context).token

    def verify(self, token: str) -> Session:
        return self.service.verify(token, self.context)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


def test_a_login_returns_a_token_of_app_and_user_that_expires(sessions: Sessions) -> None:
    login = sessions.service.login(APP_ID, "code", sessions.context)
    sessions.clock.now += TTL - 1
    assert sessions.verify(login.token) == login.session == Session(APP_ID, OPEN_ID)
    assert sessions.douyin.logins == [(APP_ID, APP_SECRET, "code")]
    assert sessions.secret.reads == 2, "a known app is no reason to read the secret again"
    sessions.clock.now += 1
    with pytest.raises(UnauthenticatedError, match="session expired"):
        sessions.verify(login.token)


@pytest.mark.parametrize(("length", "works"), [(1500, True), (2600, False)])
def test_a_login_works_only_if_its_token_is_accepted_later(sessions: Sessions, length: int, works: bool) -> None:
    """Otherwise the customer would be logged in, and each list would answer that the session is invalid."""
    # Random letters: the token is compressed.
    open_id = "".join(random.Random(1).choices(string.ascii_letters, k=length))  # noqa: S311 - test data
    sessions.douyin.login_result = open_id
    if works:
        assert sessions.verify(sessions.login()).open_id == open_id
    else:
        with pytest.raises(UpstreamMalformedError):
            sessions.login()


def sign(payload: object) -> str:
    """Return a token with a valid signature and any payload."""
    serializer = URLSafeSerializer(
        [SESSION_KEY],
        salt="douyin-redemption session",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
    return str(serializer.dumps(payload))


def test_a_token_of_an_earlier_release_is_valid(sessions: Sessions) -> None:
    """Its form and its signature are part of the deployment: a release does not log everyone out."""
    assert sessions.verify(sign([APP_ID, OPEN_ID, int(NOW) + 1])) == Session(APP_ID, OPEN_ID)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "no session token"),
        ("x" * (MAX_TOKEN_LENGTH + 1), "no session token"),
        ("x" * MAX_TOKEN_LENGTH, "no valid signature"),
        ("a.b", "no valid signature"),
        ("店.店", "no valid signature"),
        (sign(None), "another form"),
        (sign([APP_ID, OPEN_ID]), "another form"),
        (sign([APP_ID, OPEN_ID, int(NOW) + 1, 7]), "another form"),
        (sign([APP_ID, None, int(NOW) + 1]), "another form"),
        (sign([APP_ID, OPEN_ID, str(int(NOW) + 1)]), "another form"),
    ],
)
def test_what_is_no_token_of_this_service_is_refused(sessions: Sessions, token: str, message: str) -> None:
    with pytest.raises(UnauthenticatedError, match=message):
        sessions.verify(token)


def test_the_newest_key_signs_and_every_key_verifies_also_one_added_a_moment_ago(sessions: Sessions) -> None:
    token = Sessions(FakeSecret(session_keys=[OTHER_KEY, SESSION_KEY])).login()
    for keys in ([OTHER_KEY], ["newer", OTHER_KEY]):
        assert Sessions(FakeSecret(session_keys=keys)).verify(token).app_id == APP_ID
    with pytest.raises(UnauthenticatedError):
        sessions.verify(token)
    sessions.secret.put({APP_ID: APP_SECRET}, [SESSION_KEY, OTHER_KEY])
    sessions.clock.now += 10
    assert sessions.verify(token).open_id == OPEN_ID


def test_the_user_is_logged_as_a_hash_of_user_and_newest_key(sessions: Sessions) -> None:
    token = sessions.login()
    value = sessions.context.record.user
    sessions.context.record.user = ""
    sessions.verify(token)
    assert sessions.context.record.user == value == hash_open_id(OPEN_ID, [SESSION_KEY, OTHER_KEY])
    assert len(value) == 16
    assert value != hash_open_id(OPEN_ID, [OTHER_KEY, SESSION_KEY])
    assert value != hash_open_id("another", [SESSION_KEY])


@pytest.mark.parametrize("apps", [{}, {APP_ID: ""}], ids=["no entry", "no secret"])
def test_an_unknown_app_is_refused_without_asking_the_platform_until_it_is_added(apps: dict[str, str]) -> None:
    sessions = Sessions(FakeSecret(apps))
    with pytest.raises(UnauthenticatedError, match="unknown app_id"):
        sessions.login()
    assert sessions.douyin.logins == []
    sessions.secret.put({APP_ID: APP_SECRET}, [SESSION_KEY])
    sessions.clock.now += 10
    assert sessions.verify(sessions.login()).app_id == APP_ID


def test_without_the_secret_nobody_logs_in(sessions: Sessions) -> None:
    sessions.secret.is_unavailable = True
    with pytest.raises(StorageUnavailableError):
        sessions.login()
    with pytest.raises(StorageUnavailableError):
        sessions.verify("a.b")
