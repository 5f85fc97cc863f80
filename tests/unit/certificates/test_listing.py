"""The list of one user in one store: checks, pages, views and the next cursor together."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from chalicelib import errors
from chalicelib.aws import Item
from chalicelib.certificates.listing import MAX_REPORTED_FIELDS, CertificateLister
from chalicelib.certificates.paging import ListPosition, decode_cursor, encode_cursor
from chalicelib.certificates.views import ListView
from chalicelib.douyin.calls import PAGE_SIZE, QUERY_USER_CERTIFICATES, ListQuery, page_body
from chalicelib.douyin.pages import MAX_PAGE_CERTIFICATES, Page
from chalicelib.douyin.protocol import HttpReply
from chalicelib.merchants import MerchantRepository
from chalicelib.sessions import Session
from chalicelib.tokens.source import SharedTokenSource
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.unit.fakes import (
    APP_ID,
    OPEN_ID,
    OTHER_KEY,
    SESSION_KEY,
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    make_certificate,
    make_context,
    make_credentials_cache,
    make_page,
    parse_page,
    token_item,
)

LIST_QUERY = ListQuery(ACCOUNT_ID, POI_ID)
MERCHANT = f"MERCHANT#{ACCOUNT_ID}"
TOKEN = f"TOKEN#{APP_ID}"


class Lists:
    """A lister over a table with one merchant and its token."""

    def __init__(self, count: int = 3, **merchant: Any) -> None:
        row: Item = {"app_id": {"S": APP_ID}, **merchant}
        self.table = FakeTable(**{MERCHANT: row, TOKEN: token_item("clt.row")})
        self.clock = Clock()
        self.secret = FakeSecret()
        self.credentials = make_credentials_cache(self.secret, self.clock)
        self.douyin = FakeDouyin()
        self.context = make_context()
        shown = numbers(range(count))
        self.douyin.fetch = lambda page, _: make_page(shown[(page - 1) * PAGE_SIZE : page * PAGE_SIZE], count)
        self.merchants = MerchantRepository(self.table, self.clock)
        tokens = SharedTokenSource(self.table, self.douyin, self.credentials, self.clock)
        self.lister = CertificateLister(
            self.merchants, self.credentials, self.douyin, tokens, ThreadPoolExecutor(1), self.clock
        )

    def respond(self, cursor: str = "", app_id: str = APP_ID, list_query: ListQuery = LIST_QUERY) -> ListView:
        session = Session(app_id, OPEN_ID)
        return self.lister.list_certificates(session, list_query, self.context, cursor)

    def fetched(self) -> list[int]:
        return [body["page"] for body, _ in self.douyin.queries]


def ids(view: ListView) -> list[str]:
    return [certificate.certificate_id for certificate in view.certificates]


def numbers(span: range) -> list[str]:
    return [f"{number:06d}" for number in span]


def test_the_next_cursor_continues_the_list() -> None:
    instance = Lists(340)
    first = instance.respond()
    assert decode_cursor(first.next_cursor or "", LIST_QUERY, OPEN_ID, [SESSION_KEY]) == ListPosition(5, 200, 340)
    second = instance.respond(first.next_cursor or "")
    assert (ids(first), ids(second)) == (numbers(range(200)), numbers(range(200, 340)))
    assert second.next_cursor is None
    assert instance.fetched() == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("merchant", "root"), [({}, {}), ({"life_account_id": {"S": "8"}}, {"Rpc-Transit-Life-Account": "8"})]
)
def test_the_query_has_user_filter_and_root_account(merchant: dict[str, Any], root: dict[str, str]) -> None:
    list_query = ListQuery(ACCOUNT_ID, POI_ID, 2, 100, 200)
    instance = Lists(**merchant)
    instance.respond(list_query=list_query)
    headers = {"access-token": "clt.row", **root}
    assert instance.douyin.queries == [(page_body(list_query, OPEN_ID, 1), headers)]


def test_the_list_has_each_attribute_of_the_merchant_that_the_view_has() -> None:
    instance = Lists(notice={"S": "今"}, redeeming={"BOOL": False})
    view = instance.respond()
    merchant = instance.merchants.get(ACCOUNT_ID, instance.context)
    for field in msgspec.structs.fields(ListView):
        if hasattr(merchant, field.name):
            assert getattr(view, field.name) == getattr(merchant, field.name) != field.default, field.name


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
    merchant: dict[str, Any], app_id: str, error_type: type[errors.ServiceError]
) -> None:
    instance = Lists(**merchant)
    with pytest.raises(error_type):
        instance.respond(app_id=app_id)
    assert instance.douyin.queries == []
    assert TOKEN not in instance.table.reads


def test_a_foreign_cursor_is_refused_before_anything_is_read() -> None:
    instance = Lists()
    cursor = encode_cursor(ListPosition(2), LIST_QUERY, "another", [SESSION_KEY])
    with pytest.raises(errors.InvalidRequestError, match="cursor"):
        instance.respond(cursor)
    assert instance.table.reads == []
    assert instance.douyin.queries == []


def test_a_cursor_of_a_key_added_a_moment_ago_is_valid_and_that_key_signs_the_next_one() -> None:
    instance = Lists(500)
    instance.respond()
    instance.secret.put({APP_ID: "s"}, [OTHER_KEY, SESSION_KEY])
    instance.context = make_context()
    view = instance.respond(encode_cursor(ListPosition(5), LIST_QUERY, OPEN_ID, [OTHER_KEY]))
    assert instance.secret.reads == 2
    assert ids(view) == numbers(range(200, 400))
    assert decode_cursor(view.next_cursor or "", LIST_QUERY, OPEN_ID, [OTHER_KEY]) == ListPosition(9, 200, 500)


def test_the_report_counts_pages_certificates_and_malformed_parts() -> None:
    instance = Lists()
    many = [f"field{number}" for number in range(20)]
    pages = {
        1: Page([make_certificate("a", malformed_fields=["y"])], 50, 60, unreadable=["x", "x"]),
        2: Page([*make_page("ac").certificates, make_certificate("b", malformed_fields=many)], 3, 60, ["z"]),
    }
    instance.douyin.fetch = lambda page, _token: pages[page]
    instance.respond()
    report: Any = instance.context.record.report
    assert (report.pages, report.certificates, report.malformed) == (2, 3, 5)
    assert report.malformed_fields == ["x", "y", "z", *many[:7]]
    assert len(report.malformed_fields) == MAX_REPORTED_FIELDS
    assert (report.lost_page, report.received, report.total) == (None, 53, 60)


@pytest.mark.parametrize(
    ("pages", "received", "total"),
    [
        ({1: ("abc", 5)}, 3, 5),
        ({1: ("ab", 60), 2: ("c", 60)}, 3, 60),
        ({1: ("abc", 3)}, None, None),
        ({1: ("abc", 2)}, None, None),
        ({1: ("abc", None)}, None, None),
        ({1: ("abc", 500)}, None, None),  # it continues
    ],
)
def test_a_list_that_ends_below_its_total_says_so(
    pages: dict[int, tuple[str, int | None]], received: int | None, total: int | None
) -> None:
    instance = Lists()
    instance.douyin.fetch = lambda page, _token: make_page(*pages.get(page, ("", 500)))
    instance.respond()
    report: Any = instance.context.record.report
    assert (report.received, report.total) == (received, total)


MAX_PAGE_BYTES = QUERY_USER_CERTIFICATES.max_bytes

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
        return parse_page(HttpReply(200, {}, body))

    instance.douyin.fetch = fetch
    view = instance.respond()
    assert len(view.certificates) == 4 * count
    response = {"statusCode": 200, "headers": {}, "body": msgspec.json.encode(view).decode()}
    # Lambda's runtime client for Python 3.11 escapes every character that is not ASCII.
    assert len(json.dumps(response, ensure_ascii=True)) < LAMBDA_LIMIT - 4096
