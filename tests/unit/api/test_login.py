"""A login with a list: both succeed, or the list has a problem, or the login fails. The session is never lost."""

from typing import Any

import msgspec
import pytest

from chalicelib import errors
from chalicelib.api.login import LIST_SECONDS, LoginHandler, LoginView
from chalicelib.api.validation import LoginBody
from chalicelib.aws import Item
from chalicelib.certificates.listing import CertificateLister
from chalicelib.certificates.views import ListView
from chalicelib.context import Outcome
from chalicelib.douyin.calls import ListQuery
from chalicelib.sessions import PROBE_OPEN_ID, Session, decode_session, hash_open_id
from chalicelib.tokens.source import SharedTokenSource
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.unit.fakes import (
    APP_ID,
    APP_SECRET,
    NOW,
    OPEN_ID,
    SESSION_KEY,
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    make_context,
    make_credentials_cache,
    token_item,
)

LIST_QUERY = ListQuery(ACCOUNT_ID, POI_ID, 2)
VIEW = ListView(ACCOUNT_ID, POI_ID, [])
TOKEN = f"TOKEN#{APP_ID}"


class FakeLister(CertificateLister):
    """Returns or raises `result`, and has the arguments of each list."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.calls: list[tuple[Session, ListQuery, float]] = []
        self.result: ListView | Exception = VIEW

    def list_certificates(self, *arguments: Any) -> ListView:
        session, list_query, context = arguments
        self.events.append("list")
        self.calls.append((session, list_query, context.deadline.remaining()))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Logins:
    """A login handler with its platform, lister, secret and clock."""

    def __init__(self, seconds: float = 9.0, secret: FakeSecret | None = None) -> None:
        self.events: list[str] = []
        self.douyin, self.lister, self.clock = FakeDouyin(), FakeLister(self.events), Clock()
        self.douyin.on_login = lambda: self.events.append("login")
        self.secret = secret or FakeSecret()
        self.credentials = make_credentials_cache(self.secret, self.clock)
        self.table = FakeTable()
        tokens = SharedTokenSource(self.table, self.douyin, self.credentials, self.clock)
        self.handler = LoginHandler(self.credentials, self.douyin, tokens, self.lister, 7200, self.clock)
        self.context = make_context(seconds)
        self.context.record.request_id = "request-1"

    def log_in(self, app_id: str = APP_ID, list_query: ListQuery | None = LIST_QUERY) -> LoginView:
        return self.handler.log_in(LoginBody(app_id, "code", list_query), self.context)


def to_json(view: LoginView) -> Any:
    return msgspec.json.decode(msgspec.json.encode(view))


def test_without_a_list_only_the_code_is_exchanged() -> None:
    logins = Logins()
    view, record = logins.log_in(list_query=None), logins.context.record
    assert (record.app_id, record.user) == (APP_ID, hash_open_id(OPEN_ID, [SESSION_KEY]))
    assert (record.ids, record.list_outcome, record.is_probe) == ({}, None, False)
    assert decode_session(view.token, [SESSION_KEY], NOW + 7199) == Session(APP_ID, OPEN_ID)
    with pytest.raises(errors.UnauthenticatedError, match="expired"):
        decode_session(view.token, [SESSION_KEY], NOW + 7200)
    assert set(to_json(view)) == {"token", "expires_in"}
    assert logins.douyin.logins == [(APP_ID, APP_SECRET, "code")]
    assert logins.events == ["login"]


def test_session_and_list_are_one_response() -> None:
    logins = Logins()
    body = to_json(logins.log_in())
    assert list(body) == ["token", "expires_in", "list"]
    assert body["list"] == {"account_id": ACCOUNT_ID, "poi_id": POI_ID, "certificates": []}
    record = logins.context.record
    assert (*record.ids.values(), record.list_outcome) == (ACCOUNT_ID, POI_ID, Outcome())
    assert logins.events == ["login", "list"]
    [(session, list_query, _)] = logins.lister.calls
    assert (session, list_query) == (Session(APP_ID, OPEN_ID), LIST_QUERY)


@pytest.mark.parametrize(("seconds", "left"), [(9.0, LIST_SECONDS), (3.0, 3.0)])
def test_the_list_has_six_seconds_or_what_is_left(seconds: float, left: float) -> None:
    logins = Logins(seconds)
    logins.log_in()
    assert logins.lister.calls[0][-1] == left


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.WrongAppError("x"), "wrong_app"),
        (ValueError("planted"), "internal_error"),
        # The code is that of the same error in a list, however much time is left.
        (errors.DeadlineExceededError("budget"), "upstream_timeout"),
    ],
)
@pytest.mark.parametrize("seconds", [9.0, 0.001])
def test_what_fails_for_the_list_is_its_problem_and_the_user_is_logged_in(
    error: Exception, code: str, seconds: float
) -> None:
    logins = Logins(seconds)
    logins.lister.result = error
    body, outcome = to_json(logins.log_in()), logins.context.record.list_outcome
    assert list(body) == ["token", "expires_in", "list_problem"]
    assert (body["list_problem"]["code"], body["list_problem"]["request_id"]) == (code, "request-1")
    assert "planted" not in str(body)
    assert outcome is not None
    assert (outcome.code, outcome.error) == (code, error)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (errors.LoginRefusedError("40018"), errors.LoginRefusedError),
        (PROBE_OPEN_ID, errors.UpstreamMalformedError),
    ],
)
def test_a_failed_login_ends_before_the_list(result: str | errors.ServiceError, error: type[Exception]) -> None:
    logins = Logins()
    logins.douyin.login_result = result
    with pytest.raises(error):
        logins.log_in()
    assert logins.events == ["login"]


def test_an_unknown_app_causes_no_call_until_it_is_added() -> None:
    secret = FakeSecret({})
    logins = Logins(secret=secret)
    with pytest.raises(errors.UnauthenticatedError, match="unknown app_id"):
        logins.log_in()
    assert logins.events == []
    secret.put({APP_ID: APP_SECRET}, [SESSION_KEY])
    logins.clock.now += 10
    logins.context = make_context()
    assert logins.log_in().list == VIEW


class TestProvidersApp:
    """An app of a service provider logs in with the token of its row, which another system writes."""

    @pytest.fixture
    def logins(self) -> Logins:
        logins = Logins(secret=FakeSecret({APP_ID: ""}))
        logins.table.items[TOKEN] = token_item("isvact.1")
        return logins

    def test_the_token_takes_the_place_of_the_secret(self, logins: Logins) -> None:
        for _ in range(2):
            assert logins.log_in().list == VIEW
        assert logins.douyin.logins == [(APP_ID, "isvact.1", "code")] * 2
        assert logins.table.reads == [TOKEN], "it is cached like any other"
        assert (logins.douyin.mints, logins.secret.reads) == ([], 1)

    @pytest.mark.parametrize("row", [{}, token_item("isvact.1", -1), token_item("clt. malformed")])
    def test_without_a_valid_token_the_code_is_not_sent(self, logins: Logins, row: Item) -> None:
        logins.table.items[TOKEN] = row
        with pytest.raises(errors.TokenUnavailableError, match="another system"):
            logins.log_in()
        assert logins.events == []
        assert (logins.douyin.mints, logins.table.writes) == ([], [])

    def test_a_refused_code_is_sent_again_with_another_token_only(self, logins: Logins) -> None:
        logins.douyin.refused_login_tokens = {"isvact.1"}
        with pytest.raises(errors.TokenUnavailableError) as raised:
            logins.log_in()
        assert raised.value.upstream == errors.UpstreamCodes(28001008, 0)
        logins.table.items[TOKEN] = token_item("isvact.2")
        assert logins.log_in().list == VIEW
        used = ["isvact.1", "isvact.1", "isvact.2"]
        assert logins.douyin.logins == [(APP_ID, token, "code") for token in used]
        assert logins.douyin.mints == []
