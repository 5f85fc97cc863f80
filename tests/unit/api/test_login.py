"""A login with a list: both succeed, or the list has a problem, or the login fails. The session is never lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chalicelib.api.login import LIST_SECONDS, LoginService
from chalicelib.api.validation import LoginRequest
from chalicelib.certificates.listing import CertificateLister, ListRequest
from chalicelib.certificates.prefetch import Prefetch, Prefetcher
from chalicelib.certificates.views import ListView
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.protocol import CertificateFilter
from chalicelib.errors import (
    Evidence,
    LoginRefusedError,
    MerchantNotFoundError,
    RateLimitedError,
    StorageUnavailableError,
    UnauthenticatedError,
    UpstreamTimeoutError,
    WrongAppError,
)
from chalicelib.sessions import Session, SessionService
from tests.unit.fakes import ACCOUNT_ID, APP_ID, OPEN_ID, POI_ID, FakeDouyin, make_context, make_credentials

WANTED = CertificateFilter(ACCOUNT_ID, POI_ID, 2)
VIEW = ListView(ACCOUNT_ID, POI_ID, [])


class FakePrefetch(Prefetch):
    """Records what is done with it; `error` is what waiting raises."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.error: Exception | None = None

    def wait(self, deadline: Deadline) -> None:
        del deadline
        self.events.append("wait")
        if self.error is not None:
            raise self.error

    def abandon(self) -> None:
        self.events.append("abandon")


class FakePrefetcher(Prefetcher):
    def __init__(self, prefetch: FakePrefetch) -> None:
        self.prefetch = prefetch

    def start(self, app_id: str, wanted: CertificateFilter, context: RequestContext) -> Prefetch:
        del context
        assert (app_id, wanted) == (APP_ID, WANTED)
        self.prefetch.events.append("start")
        return self.prefetch


class FakeLister(CertificateLister):
    """Returns or raises `result`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Session, ListRequest, float]] = []
        self.result: ListView | Exception = VIEW

    def list_certificates(self, session: Session, request: ListRequest, context: RequestContext) -> ListView:
        self.calls.append((session, request, context.deadline.remaining()))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Instance:
    def __init__(self) -> None:
        self.douyin, self.lister, self.prefetch = FakeDouyin(), FakeLister(), FakePrefetch()
        sessions = SessionService(make_credentials(), self.douyin, 7200)
        self.service = LoginService(sessions, self.lister, FakePrefetcher(self.prefetch))
        self.context = make_context()
        self.context.request_id = "request-1"

    def login(self, app_id: str = APP_ID, wanted: CertificateFilter | None = WANTED) -> Any:
        view = self.service.login(LoginRequest(app_id, "code", wanted), self.context)
        return msgspec.json.decode(msgspec.json.encode(view))


def test_without_a_list_only_the_code_is_exchanged() -> None:
    instance = Instance()
    assert set(instance.login(wanted=None)) == {"token", "expires_in"}
    assert (instance.prefetch.events, instance.lister.calls, instance.context.list_outcome) == ([], [], "")


def test_session_and_list_are_one_response() -> None:
    instance = Instance()
    instance.douyin.on_login = lambda: instance.prefetch.events.append("login")
    body = instance.login()
    assert list(body) == ["token", "expires_in", "list"]
    assert body["list"] == {"account_id": ACCOUNT_ID, "poi_id": POI_ID, "certificates": []}
    assert instance.prefetch.events == ["start", "login", "wait"]
    [(session, request, _)] = instance.lister.calls
    assert (session, request) == (Session(APP_ID, OPEN_ID), ListRequest(WANTED))
    context = instance.context
    assert (context.account_id, context.poi_id, context.list_outcome) == (ACCOUNT_ID, POI_ID, "ok")


@pytest.mark.parametrize(("seconds", "left"), [(9.0, LIST_SECONDS), (3.0, 3.0)])
def test_the_list_has_four_seconds_or_what_is_left(seconds: float, left: float) -> None:
    instance = Instance()
    instance.context.deadline = Deadline(seconds)
    instance.login()
    assert instance.lister.calls[0][2] == pytest.approx(left, abs=0.4)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WrongAppError("x"), "wrong_app"),
        (MerchantNotFoundError("x"), "merchant_not_found"),
        (UpstreamTimeoutError("budget"), "upstream_timeout"),
        (StorageUnavailableError("x"), "unavailable"),
        (ValueError("planted"), "internal_error"),
    ],
)
@pytest.mark.parametrize("where", ["prefetch", "list"])
def test_what_fails_for_the_list_is_its_problem_and_the_user_is_logged_in(
    error: Exception, code: str, where: str
) -> None:
    instance = Instance()
    if where == "prefetch":
        instance.prefetch.error = error
    else:
        instance.lister.result = error
    body = instance.login()
    assert list(body) == ["token", "expires_in", "list_problem"]
    assert (body["list_problem"]["code"], body["list_problem"]["request_id"]) == (code, "request-1")
    assert "planted" not in str(body)
    assert (instance.context.list_outcome, instance.context.list_error) == (code, error)
    assert len(instance.lister.calls) == (0 if where == "prefetch" else 1)


def test_the_problem_of_the_list_is_that_of_the_ordinary_call() -> None:
    instance = Instance()
    instance.lister.result = RateLimitedError("2119003", evidence=Evidence(2119003, 0, "2026L"), retry_after=30.0)
    assert instance.login()["list_problem"] == {
        "type": "about:blank",
        "title": "Too many requests upstream",
        "status": 429,
        "code": "rate_limited",
        "detail": "查询人数较多，请稍后再试",
        "request_id": "request-1",
        "retryable": True,
        "retry_after": 30,
        "upstream": {"error_code": 2119003, "sub_error_code": 0, "logid": "2026L"},
    }


def test_a_failed_login_is_raised_and_its_prefetch_abandoned() -> None:
    instance = Instance()
    instance.douyin.login_result = LoginRefusedError("40018")
    with pytest.raises(LoginRefusedError):
        instance.login()
    assert instance.prefetch.events == ["start", "abandon"]
    assert instance.lister.calls == []


def test_an_unknown_app_starts_no_prefetch() -> None:
    instance = Instance()
    with pytest.raises(UnauthenticatedError, match="unknown app_id"):
        instance.login("ttnobody")
    assert instance.prefetch.events == []
