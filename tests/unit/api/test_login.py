"""A login with a list: both succeed, or the list has a problem, or the login fails. The session is never lost."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from chalicelib.api.login import LIST_SECONDS, LoginHandler
from chalicelib.api.validation import LoginRequest
from chalicelib.certificates.listing import CertificateLister, ListRequest
from chalicelib.certificates.views import ListView
from chalicelib.douyin.protocol import Selection
from chalicelib.errors import (
    LoginRefusedError,
    MerchantNotFoundError,
    QuotaExhaustedError,
    StorageUnavailableError,
    TokenTimeoutError,
    TokenUnavailableError,
    UnauthenticatedError,
    WrongAppError,
)
from chalicelib.sessions import Authenticator, Session
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.unit.fakes import APP_ID, OPEN_ID, FakeDouyin, make_context, make_credentials

if TYPE_CHECKING:
    from chalicelib.context import ListRecord, RequestContext

SELECTION = Selection(ACCOUNT_ID, POI_ID, 2)
VIEW = ListView(ACCOUNT_ID, POI_ID, [])


class FakeLister(CertificateLister):
    """Returns or raises `result`; `prefetched` are the futures that a prefetch returns."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.calls: list[tuple[Session, ListRequest, float]] = []
        self.result: ListView | Exception = VIEW
        self.prefetched: list[Future[None]] = []

    def prefetch(self, selection: Selection, context: RequestContext) -> list[Future[None]]:
        del context
        assert selection == SELECTION
        self.events.append("prefetch")
        return self.prefetched

    def list_certificates(self, session: Session, request: ListRequest, context: RequestContext) -> ListView:
        self.events.append("list")
        self.calls.append((session, request, context.deadline.remaining()))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Instance:
    def __init__(self, seconds: float = 9.0) -> None:
        self.events: list[str] = []
        self.douyin, self.lister = FakeDouyin(), FakeLister(self.events)
        self.douyin.on_login = lambda: self.events.append("login")
        self.handler = LoginHandler(Authenticator(make_credentials(), self.douyin, 7200), self.lister)
        self.context = make_context(seconds)
        self.context.record.request_id = "request-1"

    def login(self, app_id: str = APP_ID, selection: Selection | None = SELECTION) -> Any:
        view = self.handler.login(LoginRequest(app_id, "code", selection), self.context)
        return msgspec.json.decode(msgspec.json.encode(view))

    @property
    def record(self) -> ListRecord:
        """What the request's record says of the list."""
        assert self.context.record.listing is not None
        return self.context.record.listing


def test_without_a_list_only_the_code_is_exchanged() -> None:
    instance = Instance()
    assert set(instance.login(selection=None)) == {"token", "expires_in"}
    assert instance.events == ["login"]
    assert instance.context.record.listing is None


def test_session_and_list_are_one_response() -> None:
    instance = Instance()
    body = instance.login()
    assert list(body) == ["token", "expires_in", "list"]
    assert body["list"] == {"account_id": ACCOUNT_ID, "poi_id": POI_ID, "certificates": []}
    assert instance.events == ["prefetch", "login", "list"]
    [(session, request, _)] = instance.lister.calls
    assert (session, request) == (Session(APP_ID, OPEN_ID), ListRequest(SELECTION))
    assert instance.context.record.account_id == ACCOUNT_ID
    assert (instance.record.poi_id, instance.record.is_first, instance.record.error) == (POI_ID, True, None)


@pytest.mark.parametrize(("seconds", "left"), [(9.0, LIST_SECONDS), (3.0, 3.0)])
def test_the_list_has_six_seconds_or_what_is_left(seconds: float, left: float) -> None:
    instance = Instance(seconds)
    instance.login()
    assert instance.lister.calls[0][2] == pytest.approx(left, abs=0.4)


@pytest.mark.parametrize(
    ("error", "code"), [(WrongAppError("x"), "wrong_app"), (ValueError("planted"), "internal_error")]
)
def test_what_fails_for_the_list_is_its_problem_and_the_user_is_logged_in(error: Exception, code: str) -> None:
    instance = Instance()
    instance.lister.result = error
    body = instance.login()
    assert list(body) == ["token", "expires_in", "list_problem"]
    assert (body["list_problem"]["code"], body["list_problem"]["request_id"]) == (code, "request-1")
    assert "planted" not in str(body)
    assert instance.record.error is error


def test_a_refused_login_ends_before_the_list_and_leaves_nothing_in_the_executor() -> None:
    instance = Instance()
    waiting: Future[None] = Future()
    instance.lister.prefetched = [waiting]
    instance.douyin.login_result = LoginRefusedError("40018")
    with pytest.raises(LoginRefusedError):
        instance.login()
    assert instance.events == ["prefetch", "login"]
    assert waiting.cancelled()


@pytest.mark.parametrize(
    ("seconds", "error", "code"),
    [
        (9.0, TokenTimeoutError("no new token in time"), "upstream_timeout"),
        (0.0, StorageUnavailableError("budget"), "upstream_timeout"),
        (9.0, StorageUnavailableError("timeout"), "unavailable"),
        # A late error that has nothing to do with the time keeps its cause.
        (0.0, TokenUnavailableError("minting failed: 10013"), "token_unavailable"),
        (0.0, MerchantNotFoundError("7"), "merchant_not_found"),
        (0.0, QuotaExhaustedError("28003017"), "quota_exhausted"),
    ],
)
def test_a_list_whose_time_is_over_is_a_timeout(seconds: float, error: Exception, code: str) -> None:
    instance = Instance(seconds)
    instance.lister.result = error
    assert instance.login()["list_problem"]["code"] == code


def test_an_unknown_app_starts_no_prefetch() -> None:
    instance = Instance()
    with pytest.raises(UnauthenticatedError, match="unknown app_id"):
        instance.login("ttnobody")
    assert instance.events == []


def test_the_list_waits_for_the_prefetch_that_has_begun_until_the_deadline() -> None:
    instance = Instance(0.2)
    running: Future[None] = Future()
    running.set_running_or_notify_cancel()
    waiting: Future[None] = Future()
    instance.lister.prefetched = [running, waiting]
    started = time.monotonic()
    instance.login()
    assert 0.1 < time.monotonic() - started < 5
    assert (running.cancelled(), waiting.cancelled()) == (False, True)
    assert instance.events == ["prefetch", "login", "list"]
