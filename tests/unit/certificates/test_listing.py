"""The list of one user in one store: checks, pages, views and the next cursor together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from chalicelib.certificates.cursors import Cursor, decode_cursor, encode_cursor, fingerprint
from chalicelib.certificates.listing import MAX_REPORTED_FIELDS, MAX_RESPONSE_BYTES, CertificateLister, ListRequest
from chalicelib.douyin.models import Certificate, Order, SkuInfo
from chalicelib.douyin.protocol import CertificateFilter, CertificatesQuery, Page
from chalicelib.errors import (
    InvalidRequestError,
    MerchantNotFoundError,
    RateLimitedError,
    RedemptionError,
    StorageUnavailableError,
    StoreNotFoundError,
    TokenUnavailableError,
    UpstreamMalformedError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    WrongAppError,
)
from chalicelib.merchants import MerchantStore
from chalicelib.sessions import Session
from chalicelib.tokens.store import TokenStore
from tests.unit.fakes import (
    ACCOUNT_ID,
    APP_ID,
    OPEN_ID,
    PAGE_SIZE,
    POI_ID,
    SESSION_KEY,
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    InlineExecutor,
    make_context,
    make_credentials,
    make_page,
    number_pages,
    token_row,
)

if TYPE_CHECKING:
    from chalicelib.aws import Item
    from chalicelib.certificates.views import ListView

FILTER = CertificateFilter(ACCOUNT_ID, POI_ID)
QUERY = CertificatesQuery(FILTER, OPEN_ID)
MERCHANT = f"MERCHANT#{ACCOUNT_ID}"
TOKEN = f"TOKEN#{APP_ID}"
OTHER_KEY = "session-key-planted-0000000002"


class Instance:
    """A lister over a table with one merchant and its token."""

    def __init__(self, count: int = 3, **merchant: Any) -> None:
        row: Item = {"app_id": {"S": APP_ID}, **merchant}
        self.table = FakeTable(**{MERCHANT: row, TOKEN: token_row("clt.row")})
        self.clock = Clock()
        self.secret = FakeSecret()
        self.douyin = FakeDouyin()
        self.context = make_context()
        self.set_certificates(count)
        self.lister = CertificateLister(
            MerchantStore(self.table, self.clock),
            TokenStore(self.table, self.douyin, clock=self.clock),
            make_credentials(self.secret, self.clock),
            self.douyin,
            InlineExecutor(),
        )

    def set_certificates(self, count: int) -> None:
        pages = number_pages(count, count)
        self.douyin.fetch = lambda page, _token: pages(page)

    def fail_page(self, lost: int, error: RedemptionError) -> None:
        fetch = self.douyin.fetch

        def fail(page: int, token: str) -> Page:
            if page == lost:
                raise error
            return fetch(page, token)

        self.douyin.fetch = fail

    def respond(self, cursor: str | None = None, app_id: str = APP_ID, wanted: CertificateFilter = FILTER) -> ListView:
        return self.lister.list_certificates(Session(app_id, OPEN_ID), ListRequest(wanted, cursor), self.context)

    def fetched(self) -> list[int]:
        return [page for page, _ in self.douyin.fetches]


def ids(view: ListView) -> list[str]:
    return [certificate.certificate_id for certificate in view.certificates]


def numbers(*spans: range) -> list[str]:
    return [f"{number:06d}" for span in spans for number in span]


@pytest.mark.parametrize("count", [0, 1, 49, 51, 200])
def test_a_list_of_up_to_four_pages_is_one_response(count: int) -> None:
    instance = Instance(count)
    view = instance.respond()
    assert (view.account_id, view.poi_id) == (ACCOUNT_ID, POI_ID)
    assert ids(view) == numbers(range(count))
    assert view.next_cursor is None


def test_the_next_cursor_continues_the_list() -> None:
    instance = Instance(340)
    first = instance.respond()
    second = instance.respond(first.next_cursor)
    assert (ids(first), ids(second)) == (numbers(range(200)), numbers(range(200, 340)))
    assert second.next_cursor is None
    assert instance.fetched() == [1, 2, 3, 4, 5, 6, 7]


def test_the_cursor_holds_page_and_last_certificates() -> None:
    instance = Instance(340)
    cursor = decode_cursor(instance.respond().next_cursor or "", QUERY, [SESSION_KEY])
    assert cursor == Cursor(5, frozenset(map(fingerprint, numbers(range(150, 200)))))


def test_certificates_that_move_to_a_later_page_are_not_shown_twice() -> None:
    instance = Instance(230)
    first = instance.respond()
    pages = number_pages(230, 235)
    # Five new certificates at the front move all others by five places.
    moved = [*numbers(range(195, 230))]
    instance.douyin.fetch = lambda page, _token: make_page(moved, 235) if page == 5 else pages(page)
    second = instance.respond(first.next_cursor)
    assert ids(second) == numbers(range(200, 230))


def test_the_query_has_user_filter_and_root_account() -> None:
    wanted = CertificateFilter(ACCOUNT_ID, POI_ID, 2, 100, 200)
    instance = Instance(life_account_id={"S": "8"})
    instance.respond(wanted=wanted)
    assert instance.douyin.queries == [CertificatesQuery(wanted, OPEN_ID, "8")]
    assert instance.douyin.fetches == [(1, "clt.row")]


def test_the_token_is_that_of_the_merchants_row() -> None:
    instance = Instance(token_id={"S": "theirs"})
    instance.table.items["TOKEN#theirs"] = token_row("clt.theirs")
    instance.respond()
    assert instance.douyin.fetches == [(1, "clt.theirs")]


def test_the_token_of_another_system_is_never_minted() -> None:
    instance = Instance(token_id={"S": "theirs"})
    with pytest.raises(TokenUnavailableError, match="another system"):
        instance.respond()
    assert instance.douyin.mints == []


def test_the_apps_secret_is_used_to_mint() -> None:
    instance = Instance()
    del instance.table.items[TOKEN]
    instance.respond()
    assert [(mint.app_id, mint.app_secret) for mint in instance.douyin.mints] == [(APP_ID, "app-secret-planted")]


@pytest.mark.parametrize(
    ("merchant", "app_id", "poi_id", "error_type"),
    [
        ({}, "ttother", POI_ID, WrongAppError),
        ({"active": {"BOOL": False}}, APP_ID, POI_ID, MerchantNotFoundError),
        ({"stores": {"M": {"6602": {"M": {}}}}}, APP_ID, POI_ID, StoreNotFoundError),
        # The first check that fails decides: a user of another app learns nothing about the stores.
        ({"stores": {"M": {}}}, "ttother", POI_ID, WrongAppError),
        ({"active": {"BOOL": False}}, "ttother", POI_ID, MerchantNotFoundError),
    ],
)
def test_a_request_that_is_not_allowed_does_not_reach_the_platform(
    merchant: dict[str, Any], app_id: str, poi_id: str, error_type: type[RedemptionError]
) -> None:
    instance = Instance(**merchant)
    with pytest.raises(error_type):
        instance.respond(app_id=app_id, wanted=CertificateFilter(ACCOUNT_ID, poi_id))
    assert instance.douyin.fetches == []
    assert TOKEN not in instance.table.reads


def test_an_unknown_merchant_is_not_found() -> None:
    with pytest.raises(MerchantNotFoundError):
        Instance().respond(wanted=CertificateFilter("7000000000000000000", POI_ID))


def test_an_unavailable_table_is_an_error() -> None:
    instance = Instance()
    instance.table.fails_reads = True
    with pytest.raises(StorageUnavailableError):
        instance.respond()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        encode_cursor(2, [], CertificatesQuery(FILTER, "another"), [SESSION_KEY]),
        encode_cursor(2, [], CertificatesQuery(CertificateFilter(ACCOUNT_ID, "6602"), OPEN_ID), [SESSION_KEY]),
        encode_cursor(2, [], QUERY, [OTHER_KEY]),
    ],
    ids=["garbage", "another user", "another store", "another key"],
)
def test_a_foreign_cursor_is_refused_before_anything_is_read(cursor: str) -> None:
    instance = Instance()
    with pytest.raises(InvalidRequestError, match="cursor"):
        instance.respond(cursor)
    assert instance.table.reads == []
    assert instance.douyin.fetches == []


def test_a_cursor_of_a_key_added_a_moment_ago_is_valid() -> None:
    instance = Instance(340)
    instance.respond()
    instance.secret.put({APP_ID: "s"}, [OTHER_KEY, SESSION_KEY])
    instance.clock.now += 10
    assert ids(instance.respond(encode_cursor(5, [], QUERY, [OTHER_KEY]))) == numbers(range(200, 340))


def test_the_next_cursor_is_signed_with_the_newest_key() -> None:
    instance = Instance(340)
    instance.secret.put({APP_ID: "s"}, [OTHER_KEY, SESSION_KEY])
    assert decode_cursor(instance.respond().next_cursor or "", QUERY, [OTHER_KEY]).page == 5


def test_a_lost_page_is_where_the_next_response_starts() -> None:
    instance = Instance(340)
    complete = instance.douyin.fetch
    error = UpstreamRejectedError("2119001")
    instance.fail_page(3, error)
    first = instance.respond()
    assert ids(first) == numbers(range(100))
    assert instance.context.lost_page_error is error
    instance.douyin.fetch = complete
    second = instance.respond(first.next_cursor)
    assert ids(second) == numbers(range(100, 300))
    assert instance.context.lost_page_error is None


def test_a_lost_first_page_is_an_error() -> None:
    instance = Instance()
    instance.fail_page(1, UpstreamTimeoutError("timeout"))
    with pytest.raises(UpstreamTimeoutError):
        instance.respond()
    assert instance.context.certificates_returned is None


def test_a_rate_limited_app_is_not_asked_again_until_the_limit_ends() -> None:
    instance = Instance()
    instance.fail_page(1, RateLimitedError("2119003", retry_after=30.0))
    for reason in ("2119003", "cached"):
        with pytest.raises(RateLimitedError) as raised:
            instance.respond()
        assert raised.value.reason == reason
    assert instance.fetched() == [1]
    instance.set_certificates(3)
    instance.lister.rate_limits.clear()
    assert len(ids(instance.respond())) == 3


def test_a_rate_limited_later_page_limits_the_next_request() -> None:
    instance = Instance(340)
    instance.fail_page(2, RateLimitedError("2119003", retry_after=30.0))
    assert len(ids(instance.respond())) == 50
    with pytest.raises(RateLimitedError, match="cached"):
        instance.respond()


def test_pages_have_a_deadline_of_their_own_that_can_be_cancelled() -> None:
    instance = Instance(340)
    instance.respond()
    [page_context] = {id(context): context for context in instance.douyin.contexts}.values()
    assert page_context.deadline is not instance.context.deadline
    assert page_context.deadline.remaining() == pytest.approx(9.0, abs=0.4)
    assert page_context.calls is instance.context.calls


def test_the_context_counts_pages_certificates_and_malformed_parts() -> None:
    instance = Instance()
    pages = {
        1: make_page(["a"] * 50, 60, removed=2, malformed={"": ["x"], "a": ["y"]}),
        2: make_page("abc", 60, removed=1, malformed={"b": [f"field{number}" for number in range(20)]}),
    }
    instance.douyin.fetch = lambda page, _token: pages[page]
    instance.respond()
    context = instance.context
    assert (context.pages, context.certificates_returned, context.certificates_malformed) == (2, 3, 5)
    assert context.malformed_fields == ["x", "y", *(f"field{number}" for number in range(8))]
    assert len(context.malformed_fields) == MAX_REPORTED_FIELDS
    assert context.lost_page_error is None


def test_an_empty_list_is_counted_as_zero() -> None:
    instance = Instance(0)
    instance.respond()
    assert (instance.context.pages, instance.context.certificates_returned) == (1, 0)


def large_page(number: int, title_bytes: int, total: int = 500) -> Page:
    """Return a full page whose views have titles of this many bytes together."""
    title = "x" * (title_bytes // PAGE_SIZE)
    certificates = [Certificate(f"{number}-{place:02d}", sku_info=SkuInfo(title=title)) for place in range(PAGE_SIZE)]
    return Page([Order("1", True, certificates)], PAGE_SIZE, total, body_bytes=title_bytes)


@pytest.mark.parametrize(
    ("bytes_per_page", "pages"),
    [(100_000, 4), (450_000, 4), (500_000, 3), (700_000, 2), (1_000_000, 1), (1_800_000, 1)],
)
def test_a_response_that_is_too_large_ends_before_a_page(bytes_per_page: int, pages: int) -> None:
    instance = Instance()
    instance.douyin.fetch = lambda page, _token: large_page(page, bytes_per_page)
    view = instance.respond()
    assert len(msgspec.json.encode(view)) <= MAX_RESPONSE_BYTES
    assert (len(view.certificates), instance.context.pages) == (50 * pages, pages)
    assert instance.context.certificates_returned == 50 * pages
    cursor = decode_cursor(view.next_cursor or "", QUERY, [SESSION_KEY])
    assert cursor.page == 1 + pages
    assert cursor.shown == frozenset(fingerprint(f"{pages}-{place:02d}") for place in range(PAGE_SIZE))


def test_a_large_list_is_complete_over_several_responses() -> None:
    instance = Instance()
    instance.douyin.fetch = lambda page, _token: large_page(page, 800_000, total=350)
    found: list[str] = []
    cursor: str | None = None
    while True:
        view = instance.respond(cursor)
        found += ids(view)
        cursor = view.next_cursor
        if cursor is None:
            break
    assert found == [f"{page}-{place:02d}" for page in range(1, 8) for place in range(PAGE_SIZE)]


def test_a_long_order_id_counts_as_often_as_it_is_sent() -> None:
    """The platform sends it once, each certificate of the order repeats it."""
    instance = Instance()

    def fetch(page: int, _token: str) -> Page:
        certificates = [Certificate(f"{page}-{place:02d}") for place in range(PAGE_SIZE)]
        return Page([Order("1" * 20_000, True, certificates)], PAGE_SIZE, 500, body_bytes=25_000)

    instance.douyin.fetch = fetch
    view = instance.respond()
    assert len(msgspec.json.encode(view)) <= MAX_RESPONSE_BYTES
    assert (len(view.certificates), instance.context.pages) == (50, 1)


def test_a_single_page_that_is_too_large_is_malformed() -> None:
    instance = Instance()
    instance.douyin.fetch = lambda page, _token: large_page(page, 2_000_000)
    with pytest.raises(UpstreamMalformedError, match="too_large") as raised:
        instance.respond()
    assert not raised.value.retryable
