"""The secret: parsed strictly, cached for five minutes, read again for unknown keys and apps."""

from collections.abc import Callable

import pytest

from chalicelib.credentials import Credentials, CredentialsCache, parse_credentials
from chalicelib.errors import ConfigurationError, DeadlineExceededError
from tests.unit.fakes import APP_ID, APP_SECRET, OTHER_KEY, SESSION_KEY, Clock, FakeSecret, make_context


def test_a_secret_is_parsed_and_further_members_are_ignored() -> None:
    text = f'{{"session_keys": ["{SESSION_KEY}", "{"k" * 32}"], "apps": {{"a": "1", "b": "2"}}, "note": 1}}'
    assert parse_credentials(text) == Credentials({"a": "1", "b": "2"}, [SESSION_KEY, "k" * 32])
    text = f'{{"session_keys": ["{SESSION_KEY}"], "apps": {{}}, "external_tokens": ["a"]}}'
    assert parse_credentials(text) == Credentials({}, [SESSION_KEY], ["a"])


@pytest.mark.parametrize(("app_id", "mints"), [("own", True), ("provider", False), ("external", False), ("?", False)])
def test_this_service_mints_for_an_own_app_only(app_id: str, mints: bool) -> None:
    apps = {"own": "1", "provider": "", "external": "2"}
    assert Credentials(apps, [SESSION_KEY], ["external"]).mints_tokens_of(app_id) is mints


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"apps": {"tta": "planted"}}',
        '{"apps": {"tta": "planted"}, "session_keys": []}',
        f'{{"apps": {{"tta": "planted"}}, "session_keys": ["{SESSION_KEY}", ""]}}',
        f'{{"apps": {{"tta": "planted"}}, "session_keys": ["{SESSION_KEY}", "planted{"k" * 24}"]}}',
        f'{{"apps": {{"tta": "planted"}}, "session_keys": ["{SESSION_KEY}"], "external_tokens": "tta"}}',
        '{"apps": ' * 5000,
    ],
)
def test_a_malformed_secret_is_a_configuration_error_that_shows_no_value(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the secret is not .*session_keys") as raised:
        parse_credentials(text)
    assert "planted" not in str(raised.value)
    assert "tta" not in str(raised.value)
    assert raised.value.__suppress_context__


class Store:
    """A credentials cache, its secret and its clock. Each method is a request; `context` is that of the last one."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.secret = FakeSecret()
        self.store = CredentialsCache(self.secret.fetch, self.clock)
        self.context = make_context()

    def get(self) -> Credentials:
        self.context = make_context()
        return self.store.get(self.context)

    def refresh(self) -> Credentials:
        """Look for an app that is not in the secret."""
        self.context = make_context()
        return self.store.find_or_reread(lambda _: None, self.context)[1]

    def fail(self, failure: str) -> None:
        """Make the secret "unavailable" or "malformed"."""
        self.secret.is_unavailable = failure == "unavailable"
        self.secret.text = "planted"


Read = Callable[[Store], Credentials]


def get_and_refresh(store: Store) -> Credentials:
    store.get()
    return store.refresh()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.mark.parametrize(
    ("before", "read", "seconds", "reads"),
    [
        (Store.get, Store.get, 299.9, 0),
        (Store.get, Store.get, 300, 1),
        # An ordinary read does not delay the one because of an unknown key.
        (Store.get, Store.refresh, 0, 1),
        (get_and_refresh, Store.refresh, 9.9, 0),
        (get_and_refresh, Store.refresh, 10, 1),
        (get_and_refresh, Store.refresh, -1, 2),
    ],
)
def test_the_secret_is_cached_for_five_minutes_and_refreshed_every_ten_seconds(
    store: Store, before: Read, read: Read, seconds: float, reads: int
) -> None:
    """A negative time: the clock was set back, so the age of what is cached is unknown."""
    assert before(store) == Credentials({APP_ID: APP_SECRET}, [SESSION_KEY])
    store.secret.put({}, [OTHER_KEY])
    store.secret.reads = 0
    store.clock.now += seconds
    assert read(store) == store.get()
    assert (store.get() == Credentials({}, [OTHER_KEY])) is (reads > 0)
    assert store.secret.reads == reads


@pytest.mark.parametrize(
    ("failure", "message"), [("unavailable", "secret unavailable"), ("malformed", "the secret is not")]
)
def test_the_cached_secret_is_used_while_there_is_no_other(store: Store, failure: str, message: str) -> None:
    first = store.get()
    store.fail(failure)
    store.clock.now += 300
    assert store.get() is first
    [text] = store.context.record.warnings
    assert text.startswith(f"the cached secret is used: {message}")


def test_without_time_left_nothing_is_read_and_the_next_request_looks_for_the_new_app(store: Store) -> None:
    store.get()
    store.secret.put({"ttnew": "s"})
    with pytest.raises(DeadlineExceededError, match="budget"):
        store.store.find_or_reread(lambda credentials: credentials.apps.get("ttnew"), make_context(0.0))
    assert store.store.find_or_reread(lambda credentials: credentials.apps.get("ttnew"), make_context())[0] == "s"
