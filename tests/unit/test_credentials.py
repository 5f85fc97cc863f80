"""The secret: parsed strictly, cached for five minutes, read again for unknown keys and apps."""

from __future__ import annotations

import pytest

from chalicelib.credentials import Credentials, CredentialsCache, parse_credentials
from chalicelib.errors import ConfigurationError, StorageUnavailableError
from tests.unit.fakes import APP_ID, APP_SECRET, SESSION_KEY, Clock, FakeSecret, make_context

OTHER_KEY = "session-key-planted-0000000002"


def test_a_secret_is_parsed_and_further_members_are_ignored() -> None:
    text = '{"session_keys": ["new", "old"], "apps": {"a": "1", "b": "2"}, "note": 1}'
    assert parse_credentials(text) == Credentials({"a": "1", "b": "2"}, ["new", "old"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"apps": {"tta": "planted"}}',
        '{"session_keys": ["planted"]}',
        '{"apps": {"tta": "planted"}, "session_keys": []}',
        '{"apps": {"tta": "planted"}, "session_keys": ["planted", ""]}',
        '{"apps": {"tta": 7}, "session_keys": ["planted"]}',
        '{"apps": ' * 5000,
    ],
)
def test_a_malformed_secret_is_a_configuration_error_that_shows_no_value(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the secret is not ") as raised:
        parse_credentials(text)
    assert "planted" not in str(raised.value)
    assert "tta" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_credentials_show_no_value() -> None:
    credentials = Credentials({"tta": "planted"}, ["planted", "planted"])
    assert repr(credentials) == "Credentials(apps=1, session_keys=2)"


class Store:
    """A credential store, its secret and its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.secret = FakeSecret()
        self.store = CredentialsCache(self.secret.fetch, self.clock)
        self.context = make_context()

    def get(self) -> Credentials:
        return self.store.get(self.context)

    def refresh(self) -> Credentials:
        return self.store.refresh(self.context)

    def fail(self, failure: str) -> None:
        """Make the secret "unavailable" or "malformed"."""
        self.secret.is_unavailable = failure == "unavailable"
        self.secret.text = "planted"


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.mark.parametrize(("seconds", "reads"), [(299.9, 1), (300, 2)])
def test_the_secret_is_cached_for_five_minutes(store: Store, seconds: float, reads: int) -> None:
    assert store.get() == Credentials({APP_ID: APP_SECRET}, [SESSION_KEY])
    store.clock.now += seconds
    store.get()
    assert store.secret.reads == reads


@pytest.mark.parametrize(("seconds", "reads"), [(9.9, 1), (10, 2)])
def test_a_refresh_reads_again_after_ten_seconds(store: Store, seconds: float, reads: int) -> None:
    store.get()
    store.clock.now += seconds
    store.refresh()
    assert store.secret.reads == reads


def test_a_new_secret_is_used_after_it_was_read_again(store: Store) -> None:
    store.get()
    store.secret.put({}, [OTHER_KEY])
    store.clock.now += 10
    assert store.refresh() == Credentials({}, [OTHER_KEY])
    assert store.get() == Credentials({}, [OTHER_KEY])
    assert store.secret.reads == 2


FAILURES = pytest.mark.parametrize(
    ("failure", "error_type", "message"),
    [
        ("unavailable", StorageUnavailableError, "secret unavailable"),
        ("malformed", ConfigurationError, "the secret is not"),
    ],
)


@FAILURES
def test_the_cached_secret_is_used_and_every_ten_seconds_a_newer_one_is_looked_for(
    store: Store, failure: str, error_type: type[Exception], message: str
) -> None:
    del error_type
    first = store.get()
    assert (store.context.record.warnings, store.context.record.is_secret_stale) == ([], False)
    store.fail(failure)
    store.clock.now += 300
    assert store.get() is first
    [warning] = store.context.record.warnings
    assert warning.startswith(f"the cached secret is used: {message}")
    assert store.context.record.is_secret_stale
    store.fail("nothing")
    store.secret.put({}, [OTHER_KEY])
    store.clock.now += 9.9
    assert store.get() is first
    store.clock.now += 0.1
    assert store.get() == Credentials({}, [OTHER_KEY])
    assert store.secret.reads == 3


@FAILURES
def test_without_a_cached_secret_a_failed_read_is_raised_each_time(
    store: Store, failure: str, error_type: type[Exception], message: str
) -> None:
    store.fail(failure)
    for _ in range(2):
        with pytest.raises(error_type, match=message):
            store.get()
    assert store.secret.reads == 2


class Verifier:
    """Accepts key lists that contain `key`, and records what it was given."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.tried: list[list[str]] = []

    def __call__(self, keys: list[str]) -> str:
        self.tried.append(keys)
        if self.key not in keys:
            raise LookupError(self.key)
        return "verified"


def verify(store: Store, verifier: Verifier) -> str:
    return store.store.verify_with_keys(verifier, LookupError, store.context)


def test_a_key_that_was_added_a_moment_ago_is_found(store: Store) -> None:
    store.get()
    store.secret.put({}, [OTHER_KEY, SESSION_KEY])
    store.clock.now += 10
    verifier = Verifier(OTHER_KEY)
    assert verify(store, verifier) == "verified"
    assert verifier.tried == [[SESSION_KEY], [OTHER_KEY, SESSION_KEY]]


@pytest.mark.parametrize(("seconds", "reads"), [(9.9, 1), (10, 2)])
def test_what_no_key_verifies_is_tried_once_with_each_version_of_the_keys(
    store: Store, seconds: float, reads: int
) -> None:
    store.get()
    store.clock.now += seconds
    verifier = Verifier("unknown")
    with pytest.raises(LookupError):
        verify(store, verifier)
    assert (len(verifier.tried), store.secret.reads) == (reads, reads)
