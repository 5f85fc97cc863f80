"""Prefetch: merchant, token and connection are fetched beside the login; only the list sees what fails."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.certificates.listing import CertificateLister
from chalicelib.certificates.prefetch import CONNECT_SECONDS, PREFETCH_SECONDS, Prefetch, Prefetcher
from chalicelib.context import Deadline
from chalicelib.douyin.protocol import CertificateFilter
from chalicelib.errors import (
    MerchantNotFoundError,
    RateLimitedError,
    RedemptionError,
    StorageUnavailableError,
    StoreNotFoundError,
    TokenUnavailableError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
    WrongAppError,
)
from chalicelib.merchants import MerchantStore
from chalicelib.tokens.store import TokenStore
from tests.unit.fakes import (
    ACCOUNT_ID,
    APP_ID,
    POI_ID,
    Clock,
    FakeDouyin,
    FakeTable,
    InlineExecutor,
    make_context,
    make_credentials,
    token_row,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.aws import Item
    from chalicelib.context import RequestContext

WANTED = CertificateFilter(ACCOUNT_ID, POI_ID)
MERCHANT, TOKEN = f"MERCHANT#{ACCOUNT_ID}", f"TOKEN#{APP_ID}"


class BusyExecutor(Executor):
    """Has no free thread: nothing that is submitted begins."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        del fn, args, kwargs
        return Future()


class Instance:
    """A lister over a table with one merchant and its token."""

    def __init__(self, executor: Executor | None = None, **merchant: Any) -> None:
        row: Item = {"app_id": {"S": APP_ID}, **merchant}
        self.table = FakeTable(**{MERCHANT: row, TOKEN: token_row("clt.row")})
        self.douyin, clock = FakeDouyin(), Clock()
        self.lister = CertificateLister(
            MerchantStore(self.table, clock),
            TokenStore(self.table, self.douyin, clock=clock),
            make_credentials(clock=clock),
            self.douyin,
            InlineExecutor(),
        )
        self.prefetcher = Prefetcher(self.lister, self.douyin, executor or InlineExecutor())
        self.context = make_context()

    def prefetch(self, app_id: str = APP_ID) -> None:
        self.prefetcher.start(app_id, WANTED, self.context).wait(self.context.deadline)


def test_merchant_token_and_connection_are_there_afterwards() -> None:
    instance = Instance()
    instance.prefetch()
    assert instance.table.reads == [MERCHANT, TOKEN]
    assert instance.douyin.connections == [CONNECT_SECONDS]
    instance.table.fails_reads = True
    instance.prefetch()
    assert instance.douyin.fetches == [], "no certificates are requested before the user is known"


def test_a_missing_token_is_minted() -> None:
    instance = Instance()
    del instance.table.items[TOKEN]
    instance.prefetch()
    assert [mint.app_id for mint in instance.douyin.mints] == [APP_ID]


def test_a_prefetch_has_a_deadline_of_its_own() -> None:
    instance = Instance()
    seen: list[RequestContext] = []
    prefetch = instance.lister.prefetch
    instance.lister.prefetch = lambda *arguments: seen.append(arguments[2]) or prefetch(*arguments)  # type: ignore[method-assign,func-returns-value]
    instance.prefetch()
    [context] = seen
    assert context.deadline is not instance.context.deadline
    assert context.deadline.remaining() == pytest.approx(PREFETCH_SECONDS, abs=0.4)
    assert context.calls is instance.context.calls


@pytest.mark.parametrize(
    ("merchant", "app_id", "error_type"),
    [
        ({}, "ttother", WrongAppError),
        ({"active": {"BOOL": False}}, APP_ID, MerchantNotFoundError),
        ({"stores": {"M": {}}}, APP_ID, StoreNotFoundError),
        ({"token_id": {"S": "theirs"}}, APP_ID, TokenUnavailableError),
    ],
)
def test_the_error_of_the_list_is_raised_to_the_list(
    merchant: dict[str, Any], app_id: str, error_type: type[RedemptionError]
) -> None:
    instance = Instance(**merchant)
    started = instance.prefetcher.start(app_id, WANTED, instance.context)
    with pytest.raises(error_type):
        started.wait(instance.context.deadline)


def test_a_rate_limited_app_is_an_error_before_its_token_is_read() -> None:
    instance = Instance()
    instance.lister.rate_limits.record(APP_ID, RateLimitedError("2119003", retry_after=30.0))
    with pytest.raises(RateLimitedError, match="cached"):
        instance.prefetch()
    assert instance.table.reads == [MERCHANT]


def test_an_unavailable_table_is_an_error() -> None:
    instance = Instance()
    instance.table.fails_reads = True
    with pytest.raises(StorageUnavailableError):
        instance.prefetch()


def test_a_connection_that_cannot_be_opened_is_left_to_the_list() -> None:
    instance = Instance()
    instance.douyin.connection_error = UpstreamUnavailableError("connection")
    instance.prefetch()


def test_what_has_not_begun_is_left_to_the_list() -> None:
    instance = Instance(BusyExecutor())
    instance.prefetch()
    assert (instance.table.reads, instance.douyin.connections) == ([], [])


def running() -> Future[None]:
    """Return the future of a task that never ends."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future


def done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


def test_a_merchant_that_does_not_arrive_is_a_timeout() -> None:
    with pytest.raises(UpstreamTimeoutError, match="budget"):
        Prefetch(running(), done()).wait(Deadline(0.0, Clock()))


def test_a_connection_that_does_not_open_is_not_waited_for_after_the_deadline() -> None:
    Prefetch(done(), running()).wait(Deadline(0.0, Clock()))


def test_an_abandoned_prefetch_cancels_only_what_has_not_begun() -> None:
    merchant, connection = running(), Future[None]()
    Prefetch(merchant, connection).abandon()
    assert (merchant.cancelled(), connection.cancelled()) == (False, True)
