"""The list of one user in one store: checks, pages, views and the next cursor together."""

import json
from typing import Any

import msgspec
import pytest

from chalicelib import errors
from chalicelib.aws import Item
from chalicelib.certificates.cursors import Cursor, decode_cursor, encode_cursor
from chalicelib.certificates.listing import MAX_REPORTED_FIELDS, CertificateLister
from chalicelib.certificates.views import ListView
from chalicelib.douyin.client import MAX_PAGE_BYTES
from chalicelib.douyin.pages import MAX_PAGE_CERTIFICATES, Page, parse_certificates
from chalicelib.douyin.protocol import PAGE_SIZE, CertificatesQuery, Response, Selection
from chalicelib.merchants import MerchantRepository
from chalicelib.record import ListReport
from chalicelib.sessions import Session
from chalicelib.tokens.provider import TokenProvider
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.unit.fakes import (
    APP_ID,
    APP_SECRET,
    OPEN_ID,
    OTHER_KEY,
    SESSION_KEY,
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    InlineExecutor,
    make_context,
    make_credentials,
    make_page,
    token_row,
)

SELECTION = Selection(ACCOUNT_ID, POI_ID)
MERCHANT = f"MERCHANT#{ACCOUNT_ID}"
TOKEN = f"TOKEN#{APP_ID}"


class Lists:
    """A lister over a table with one merchant and its token."""

    def __init__(self, count: int = 3, **merchant: Any) -> None:
        row: Item = {"app_id": {"S": APP_ID}, **merchant}
        self.table = FakeTable(**{MERCHANT: row, TOKEN: token_row("clt.row")})
        self.clock = Clock()
        self.secret = FakeSecret()
        self.credentials = make_credentials(self.secret, self.clock)
        self.douyin = FakeDouyin()
        self.context = make_context()
        shown = numbers(range(count))
        self.douyin.fetch = lambda page, _: make_page(shown[(page - 1) * PAGE_SIZE : page * PAGE_SIZE], count)
        self.lister = CertificateLister(
            MerchantRepository(self.table, self.clock),
            TokenProvider(self.table, self.douyin, self.credentials.find_app_secret, clock=self.clock),
            self.credentials,
            self.douyin,
            InlineExecutor(),
        )

    def respond(self, cursor: str | None = None, app_id: str = APP_ID, selection: Selection = SELECTION) -> ListView:
        return self.lister.list_certificates(Session(app_id, OPEN_ID), selection, self.context, cursor)

    @property
    def report(self) -> ListReport:
        assert self.context.record.list_report is not None
        return self.context.record.list_report

    def prefetch(self) -> None:
        self.lister.start_prefetch(ACCOUNT_ID, self.context)

    def fetched(self) -> list[int]:
        return [page for page, _ in self.douyin.fetches]


def ids(view: ListView) -> list[str]:
    return [certificate.certificate_id for certificate in view.certificates]


def numbers(span: range) -> list[str]:
    return [f"{number:06d}" for number in span]


def test_the_next_cursor_continues_the_list() -> None:
    instance = Lists(340)
    first = instance.respond()
    assert decode_cursor(first.next_cursor or "", SELECTION, OPEN_ID, [SESSION_KEY]) == Cursor(5, 200, 0, 340)
    second = instance.respond(first.next_cursor)
    assert (ids(first), ids(second)) == (numbers(range(200)), numbers(range(200, 340)))
    assert second.next_cursor is None
    assert instance.fetched() == [1, 2, 3, 4, 5, 6, 7]


def test_the_query_has_user_filter_and_root_account() -> None:
    selection = Selection(ACCOUNT_ID, POI_ID, 2, 100, 200)
    instance = Lists(life_account_id={"S": "8"})
    instance.respond(selection=selection)
    assert instance.douyin.queries == [CertificatesQuery(selection, OPEN_ID, "8")]
    assert instance.douyin.fetches == [(1, "clt.row")]


def test_the_list_has_each_attribute_of_the_merchant_that_the_view_has() -> None:
    instance = Lists(notice={"S": "今"}, redeeming={"BOOL": False})
    view = instance.respond()
    merchant = instance.lister.merchants.get(ACCOUNT_ID, instance.context)
    for field in msgspec.structs.fields(ListView):
        if hasattr(merchant, field.name):
            assert getattr(view, field.name) == getattr(merchant, field.name) != field.default, field.name


def test_an_app_added_a_moment_ago_is_found_when_its_token_is_minted() -> None:
    """A merchant of an app that this instance does not know yet. The secret is read again only to mint."""
    lists = Lists(token_id={"S": "ttnew"})
    lists.credentials.get(lists.context)
    lists.secret.put({APP_ID: "s", "ttnew": "new secret"}, [SESSION_KEY])
    lists.table.items["TOKEN#ttnew"] = token_row("clt.row")
    lists.respond()
    assert (lists.douyin.fetches[-1], lists.secret.reads) == ((1, "clt.row"), 1)
    lists.lister.tokens.cached.clear()
    del lists.table.items["TOKEN#ttnew"]
    lists.context = make_context()
    lists.respond()
    assert [(mint.app_id, mint.app_secret) for mint in lists.douyin.mints] == [("ttnew", "new secret")]
    assert lists.secret.reads == 2


@pytest.mark.parametrize(
    ("merchant", "app_id", "error_type"),
    [
        ({"active": {"BOOL": False}}, APP_ID, errors.MerchantNotFoundError),
        ({"stores": {"M": {"6602": {"M": {}}}}}, APP_ID, errors.StoreNotFoundError),
        # The first check that fails decides: a user of another app learns nothing about the stores.
        ({"stores": {"M": {}}}, "ttother", errors.WrongAppError),
    ],
)
def test_a_request_that_is_not_allowed_does_not_reach_the_platform(
    merchant: dict[str, Any], app_id: str, error_type: type[errors.RedemptionError]
) -> None:
    instance = Lists(**merchant)
    with pytest.raises(error_type):
        instance.respond(app_id=app_id)
    assert instance.douyin.fetches == []
    assert TOKEN not in instance.table.reads


def test_a_foreign_cursor_is_refused_before_anything_is_read() -> None:
    instance = Lists()
    cursor = encode_cursor(Cursor(2), SELECTION, "another", [SESSION_KEY])
    with pytest.raises(errors.InvalidRequestError, match="cursor"):
        instance.respond(cursor)
    assert instance.table.reads == []
    assert instance.douyin.fetches == []


def test_a_cursor_of_a_key_added_a_moment_ago_is_valid_and_that_key_signs_the_next_one() -> None:
    instance = Lists(500)
    instance.respond()
    instance.secret.put({APP_ID: "s"}, [OTHER_KEY, SESSION_KEY])
    instance.context = make_context()
    view = instance.respond(encode_cursor(Cursor(5), SELECTION, OPEN_ID, [OTHER_KEY]))
    assert instance.secret.reads == 2
    assert ids(view) == numbers(range(200, 400))
    assert decode_cursor(view.next_cursor or "", SELECTION, OPEN_ID, [OTHER_KEY]) == Cursor(9, 200, 0, 500)


def test_a_lost_page_is_where_the_next_response_starts() -> None:
    instance = Lists(340)
    error = errors.UpstreamRejectedError("2119001")
    instance.douyin.errors = {3: error}
    view = instance.respond()
    assert (ids(view), instance.report.lost_page_error) == (numbers(range(100)), error)
    assert decode_cursor(view.next_cursor or "", SELECTION, OPEN_ID, [SESSION_KEY]) == Cursor(3, 100, 0, 340)


def test_all_pages_share_a_token_that_is_replaced_once() -> None:
    lists = Lists(150)
    fetch = lists.douyin.fetch

    def refuse(page: int, token: str) -> Page:
        if token == "clt.row":
            raise errors.TokenRefusedError("2190008")
        return fetch(page, token)

    lists.douyin.fetch = refuse
    assert len(ids(lists.respond())) == 150
    assert lists.douyin.fetches == [(1, "clt.row"), (1, "clt.1"), (2, "clt.1"), (3, "clt.1")]
    assert len(lists.douyin.mints) == 1


LIMIT = errors.RateLimitedError("2119003", retry_after=30.0)


def test_a_rate_limited_app_is_not_asked_again() -> None:
    instance = Lists()
    instance.douyin.errors = {1: LIMIT}
    for reason in ("2119003", "cached"):
        with pytest.raises(errors.RateLimitedError) as raised:
            instance.respond()
        assert raised.value.reason == reason
    assert instance.fetched() == [1]


def test_the_app_is_limited_and_not_the_row_of_its_token() -> None:
    instance = Lists(token_id={"S": "theirs"})
    instance.table.items["TOKEN#theirs"] = token_row("clt.row")
    instance.douyin.errors = {1: LIMIT}
    with pytest.raises(errors.RateLimitedError, match="2119003"):
        instance.respond()
    instance.lister.rate_limits.check("theirs")
    with pytest.raises(errors.RateLimitedError, match="cached"):
        instance.lister.rate_limits.check(APP_ID)


def test_a_page_that_is_lost_to_a_rate_limit_limits_the_app() -> None:
    instance = Lists(150)
    instance.douyin.errors = {3: LIMIT}
    assert len(ids(instance.respond())) == 100
    with pytest.raises(errors.RateLimitedError, match="cached"):
        instance.respond()


def test_another_error_of_a_page_limits_nothing() -> None:
    instance = Lists(150)
    instance.douyin.errors = {2: errors.UpstreamTimeoutError("timeout")}
    for _ in range(2):
        assert len(ids(instance.respond())) == PAGE_SIZE


def test_the_report_counts_pages_certificates_and_malformed_parts() -> None:
    instance = Lists()
    pages = {
        1: make_page(["a"] * 50, 60, unreadable=2, unreadable_fields=["x"], malformed_by_id={"a": ["y"]}),
        2: make_page("abc", 60, unreadable=1, malformed_by_id={"b": [f"field{number}" for number in range(20)]}),
    }
    instance.douyin.fetch = lambda page, _token: pages[page]
    instance.respond()
    report = instance.report
    assert (report.pages, report.certificates, report.malformed_count) == (2, 3, 5)
    assert report.malformed_fields == ["x", "y", *(f"field{number}" for number in range(8))]
    assert len(report.malformed_fields) == MAX_REPORTED_FIELDS
    assert report.lost_page_error is None


LAMBDA_LIMIT = 6 * 1024 * 1024
"""Bytes of the payload that the runtime sends, in which the body is escaped once more."""


def largest_page(number: int, filling: str, count: int) -> bytes:
    """Return a page of the largest size, with `count` certificates in one order whose ids are of the largest length.

    `filling` is a character of the ids and of a title, or a number in a list of serial numbers.
    """
    character = "🥤" if len(filling) > 1 else filling
    certificates: list[dict[str, Any]] = [
        {"certificate_id": f"{number}-{place}-".ljust(64, character), "sku_info": {"title": ""}, "times_card_info": 0}
        for place in range(count)
    ]
    certificates[0]["times_card_info"] = {"total_times_serial_nums": ["here"]}
    order = {"order_id": character * 64, "can_use": True, "certificates": certificates}
    body = {"data": {"total": 10**6, "orders": [order]}, "extra": {}}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    free = MAX_PAGE_BYTES - len(text.encode())
    if len(filling) > 1:
        text = text.replace('"here"', ",".join([filling] * (free // (len(filling) + 1))))
    else:
        # Raw control characters are not JSON, but accepted.
        written = character if character in "\t\x7f" else json.dumps(character, ensure_ascii=False)[1:-1]
        text = text.replace('"title":""', f'"title":"{written * (free // len(written.encode()))}"', 1)
    return text.encode()


@pytest.mark.parametrize("count", [1, MAX_PAGE_CERTIFICATES])
@pytest.mark.parametrize("filling", ['"', "\t", "\x7f", "é", "🥤", "9e15"])
def test_four_of_the_largest_pages_fit_into_lambdas_response(filling: str, count: int) -> None:
    instance = Lists()

    def fetch(number: int, _token: str) -> Page:
        body = largest_page(number, filling, count)
        assert MAX_PAGE_BYTES - 16 < len(body) <= MAX_PAGE_BYTES
        return parse_certificates(Response(200, {}, body))

    instance.douyin.fetch = fetch
    view = instance.respond()
    assert len(view.certificates) == 4 * count
    response = {"statusCode": 200, "headers": {}, "body": msgspec.json.encode(view).decode()}
    # Lambda's runtime client for Python 3.11 escapes every character that is not ASCII.
    assert len(json.dumps(response, ensure_ascii=True)) < LAMBDA_LIMIT - 4096


class TestPrefetch:
    """What a list needs for any user is read beside the login; nothing is minted."""

    def test_the_list_reads_no_row_and_opens_no_connection_afterwards(self) -> None:
        instance = Lists()
        instance.prefetch()
        assert (instance.table.reads, instance.douyin.connections) == ([MERCHANT, TOKEN], 1)
        assert instance.douyin.fetches == [], "no certificates are requested before the user is known"
        instance.table.fails_reads = True
        for _ in range(2):
            assert len(ids(instance.respond())) == 3

    def test_the_user_is_checked(self) -> None:
        instance = Lists()
        instance.prefetch()
        with pytest.raises(errors.WrongAppError):
            instance.respond(app_id="ttother")
        assert instance.douyin.fetches == []

    @pytest.mark.parametrize("item", [None, token_row("clt.row", 1)])
    def test_no_token_is_minted_and_no_lease_taken_before_the_list(self, item: Item | None) -> None:
        """There is none, or it expires meanwhile."""
        instance = Lists()
        instance.table.items.pop(TOKEN)
        instance.table.items |= {} if item is None else {TOKEN: item}
        instance.prefetch()
        instance.clock.now += 1
        assert (instance.douyin.mints, instance.table.writes) == ([], [])
        instance.respond()
        assert [(mint.app_id, mint.app_secret) for mint in instance.douyin.mints] == [(APP_ID, APP_SECRET)]
        assert instance.douyin.fetches == [(1, "clt.1")]

    def test_what_fails_is_left_to_the_list(self) -> None:
        instance = Lists()
        instance.table.fails_reads = True
        instance.prefetch()
        instance.table.fails_reads = False
        assert len(ids(instance.respond())) == 3

    @pytest.mark.parametrize("is_connected", [False, True])
    def test_a_connection_that_cannot_be_opened_is_left_to_the_first_page(self, is_connected: bool) -> None:
        instance = Lists()
        instance.douyin.connection_error = None if is_connected else errors.UpstreamUnavailableError("connection")
        instance.prefetch()
        instance.table.reads.clear()
        assert len(ids(instance.respond())) == 3
        assert instance.table.reads == [], "the rows are used"


class TestWarmUp:
    """Secret, tokens and one connection, but no mint."""

    def lists(self) -> Lists:
        """Return an instance with five apps."""
        instance = Lists()
        names = [f"tt{number}" for number in range(5)]
        instance.secret.put(dict.fromkeys(names, "s"), [SESSION_KEY])
        instance.table.items |= {f"TOKEN#{name}": token_row(f"clt.{name}") for name in names}
        return instance

    @pytest.mark.parametrize("connection_error", [None, errors.UpstreamUnavailableError("connection")])
    def test_secret_first_tokens_and_connection_are_there_afterwards(
        self, connection_error: errors.UpstreamUnavailableError | None
    ) -> None:
        """A connection that fails is left to the first request."""
        instance = self.lists()
        instance.douyin.connection_error = connection_error
        instance.lister.preload_tokens(instance.context)
        assert (instance.secret.reads, instance.douyin.connections) == (1, 1)
        assert instance.table.reads == ["TOKEN#tt0", "TOKEN#tt1", "TOKEN#tt2"]
        instance.table.fails_reads = True
        assert instance.lister.tokens.get("tt0", instance.context) == "clt.tt0"

    def test_no_token_is_minted(self) -> None:
        instance = self.lists()
        instance.table.items.clear()
        instance.lister.preload_tokens(instance.context)
        assert instance.douyin.mints == []

    @pytest.mark.parametrize("part", ["secret", "table"])
    def test_unavailable_storage_is_raised(self, part: str) -> None:
        instance = self.lists()
        instance.secret.is_unavailable = part == "secret"
        instance.table.fails_reads = part == "table"
        with pytest.raises(errors.StorageUnavailableError):
            instance.lister.preload_tokens(instance.context)
