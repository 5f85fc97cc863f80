"""The protocol as pure functions: requests byte by byte, and what each response means."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import errors
from chalicelib.douyin import calls, pages
from chalicelib.douyin.calls import ListQuery, PlatformCall, page_body
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import HttpReply, is_access_token
from tests.platform_calls import SAMPLES, find_platform_calls
from tests.unit.fakes import json_reply, parse, parse_page

Parse = Callable[[HttpReply], object]

NO_DATA: list[Any] = [None, 7, {}]
NO_COUNTS: list[Any] = ["9" * 19, 2**63, None, -1, 1.5, "many", "３４０", True, {}]
NO_IDS: list[Any] = [None, "", True, {}, 10**64, "x" * 65]
PLATFORM_CALLS = find_platform_calls()


def parser(platform_call: PlatformCall[Any]) -> Parse:
    """Return the function that parses a response to this call."""
    return lambda response: parse(platform_call, response)


def test_every_call_has_a_sample_and_the_codes_of_the_gateway() -> None:
    assert set(SAMPLES) == set(PLATFORM_CALLS), "tests/platform_calls.py has a sample of each call"
    authorized = [row for row in PLATFORM_CALLS.values() if row.needs_token]
    assert [row.name for row in authorized if 28001003 not in row.error_table] == [], "gateway's codes are missing"


@pytest.mark.parametrize("name", PLATFORM_CALLS)
def test_a_reply_without_its_data_is_malformed(name: str) -> None:
    for data in (*NO_DATA, *SAMPLES[name].malformed):
        error = raised_by(parser(PLATFORM_CALLS[name]), json_reply({"data": data, "extra": {}}))
        assert (type(error), error.reason, error.is_transient) == (errors.UpstreamMalformedError, "malformed", True)


@pytest.mark.parametrize(
    ("list_query", "optional"),
    [
        (ListQuery("7"), {}),
        (ListQuery("7", ""), {}),
        (ListQuery("7", start_time=0), {"time_range": {"start_time": 0}}),
        (ListQuery("7", end_time=200), {"time_range": {"end_time": 200}}),
    ],
)
def test_a_filter_that_is_not_given_is_not_sent(list_query: ListQuery, optional: dict[str, Any]) -> None:
    required = {"account_id": "7", "open_id": "user", "page": 1, "page_size": 50, "page_dimension": 1}
    assert page_body(list_query, "user", 1) == required | optional


def test_an_access_token_is_text_that_can_be_sent_in_a_header() -> None:
    assert all(is_access_token(text) for text in ("!~", "a" * 2048))
    assert not any(is_access_token(text) for text in ("", "a" * 2049, "a\n", "a\x7f", "券"))


def envelope(orders: Any = (), total: Any = None, **extra: Any) -> Any:
    """Return the body of a page."""
    data = {"orders": list(orders) if isinstance(orders, tuple) else orders, "error_code": 0, "description": ""}
    if total is not None:
        data["total"] = total
    return {"data": data, "extra": {"error_code": 0, "sub_error_code": 0, "logid": "1", **extra}}


def order(order_id: str | int, *certificate_ids: str | int, **fields: Any) -> dict[str, Any]:
    certificates = [{"certificate_id": certificate_id} for certificate_id in certificate_ids]
    return {"order_id": order_id, "can_use": True, "certificates": certificates, **fields}


def parsed_ids(page: Page) -> list[str]:
    return [certificate.certificate_id for certificate in page.certificates]


def raised_by(read: Parse, response: HttpReply) -> errors.UpstreamError:
    with pytest.raises(errors.UpstreamError) as raised:
        read(response)
    return raised.value


class TestCertificates:
    @pytest.mark.parametrize("number", [7, 10**64 - 1, 1 - 10**63])
    def test_a_page_has_its_orders_size_and_total(self, number: int) -> None:
        orders = (order("1", "a", number), order(number, "x" * 64))
        page = parse_page(json_reply(envelope(orders, 340)))
        found = [(each.order_id, each.certificate_id, each.can_use) for each in page.certificates]
        assert found == [("1", "a", True), ("1", str(number), True), (str(number), "x" * 64, True)]
        assert (page.size, page.total, page.unreadable) == (3, 340, [])
        assert [each.malformed_fields for each in page.certificates] == [[], [], []]

    @pytest.mark.parametrize(
        ("body", "is_page"),
        [
            # Missing codes mean no error, in any form of the envelope.
            ({"data": {"orders": []}}, True),
            ({"data": {"orders": [], "error_code": None}, "extra": {"error_code": None}}, True),
            ({"data": {"orders": [], "error_code": "0"}, "extra": {"error_code": "0"}, "err_no": 0}, True),
            ({"data": {"orders": []}, "extra": None}, True),
            # `data` has no sub code.
            ({"data": {"orders": [], "sub_error_code": "many"}}, True),
            # null is an empty list, whatever the total is.
            *(({"data": {"orders": None, "total": total}}, True) for total in (None, 0, 7, "many")),
            # A missing list is one if the total is 0,
            *(({"data": {"total": total}}, True) for total in (0, "0", 0.0)),
            *(({"data": {"total": total, "error_code": 0}}, False) for total in (1, "7", "many", -1, False)),
            # or missing too, and a code says that the call has succeeded.
            *(({"data": data}, False) for data in ({}, {"total": None}, {"total": None, "error_code": None})),
            *(({"data": data}, True) for data in ({"error_code": 0}, {"total": None, "error_code": "0"})),
            ({"data": {}, "extra": {"error_code": 0}}, True),
            ({"data": {}, "extra": {"sub_error_code": 0}}, True),
            ({"data": {}, "extra": {"logid": "1"}}, False),
            ({"data": {}, "err_no": 0}, True),
            # No other value is a list, or an object.
            ({"data": {"total": 0, "orders": {}}}, False),
            ({"data": {"total": 0, "orders": False}}, False),
            ({"data": None, "err_no": 0}, False),
            ({"err_no": 0}, False),
        ],
    )
    def test_null_is_an_empty_list_and_a_missing_one_too_where_nothing_contradicts(
        self, body: Any, is_page: bool
    ) -> None:
        if is_page:
            page = parse_page(json_reply(body))
            assert page == Page([], 0, page.total)
        else:
            error = raised_by(parse_page, json_reply(body))
            assert (type(error), error.is_transient) == (errors.UpstreamMalformedError, True)

    @pytest.mark.parametrize(
        ("can_use", "expected"),
        [
            *((value, True) for value in (True, "true", "True", "TRUE", 1, "1", 1.0)),
            *((value, False) for value in (False, "false", "False", "FALSE", 0, "0", 0.0)),
            *((value, None) for value in (None, "yes", " true ", "tRuE", "", " ", 2, -1, "01", "1.0", 0.5)),
            ([True], None),
            ({}, None),
        ],
    )
    def test_an_order_is_usable_or_not_in_any_form_of_a_boolean(self, can_use: Any, expected: bool | None) -> None:
        """Another value hides the certificates: they are counted, also one that is malformed itself."""
        page = parse_page(json_reply(envelope((order("1", "a", "", can_use=can_use),))))
        assert [(each.certificate_id, each.can_use) for each in page.certificates] == [("a", expected or False)]
        paths = ["orders.certificates.certificate_id", *(["orders.can_use"] if expected is None else [])]
        assert (page.size, page.unreadable) == (2, paths)

    def test_a_missing_can_use_is_reported_if_no_order_of_the_page_has_one(self) -> None:
        """The platform may leave out false. But it may also have renamed the field."""
        missing = order("1", "a", "b", can_use=None)
        page = parse_page(json_reply(envelope((missing, order("2", "c", can_use=False)))))
        assert ([each.can_use for each in page.certificates], page.unreadable) == ([False] * 3, [])
        page = parse_page(json_reply(envelope((missing, order("2", "c", can_use="yes")))))
        assert ([each.can_use for each in page.certificates], page.unreadable) == ([False] * 3, ["orders.can_use"] * 3)

    @pytest.mark.parametrize(
        ("total", "expected"),
        [
            *((good, 340) for good in (340, "340", 340.0)),
            (0, 0),
            ("9" * 18, 10**18 - 1),
            *((bad, None) for bad in NO_COUNTS),
        ],
    )
    def test_the_total_is_a_count_or_unusable(self, total: Any, expected: int | None) -> None:
        body = {"data": {"orders": [], "total": total}, "extra": {}}
        page = parse_page(json_reply(body))
        assert page.total == expected
        assert type(page.total) is type(expected)
        body["data"]["orders"] = [7]
        assert parse_page(json_reply(body)) == Page([], 0, expected, ["orders"])

    @pytest.mark.parametrize("bad", [None, 7, [], {}, *({"certificate_id": bad} for bad in NO_IDS)])
    def test_a_certificate_without_an_id_is_removed_and_counted(self, bad: Any) -> None:
        held = order("1", "good")
        held["certificates"].insert(0, bad)
        page = parse_page(json_reply(envelope((held, order("2", "other")), 3)))
        assert parsed_ids(page) == ["good", "other"]
        assert [each.can_use for each in page.certificates] == [True, True]
        path = "orders.certificates.certificate_id" if isinstance(bad, dict) else "orders.certificates"
        assert (page.size, page.total, page.unreadable) == (3, 3, [path])

    @pytest.mark.parametrize(
        ("bad", "size", "removed", "path"),
        [
            (None, 0, 1, "orders"),
            (7, 0, 1, "orders"),
            ({}, 0, 1, "orders.order_id"),
            *(({"order_id": bad, "certificates": [{}, 7, 8]}, 3, 3, "orders.order_id") for bad in NO_IDS),
            *(
                ({"order_id": "2", "can_use": True, "certificates": bad}, 0, 1, "orders.certificates")
                for bad in ({"a": 1}, {}, "", "null", 0, False, None)
            ),
            ({"order_id": "2", "can_use": True}, 0, 1, "orders.certificates"),
            ({"order_id": "2", "can_use": "1"}, 0, 1, "orders.certificates"),
        ],
    )
    def test_a_malformed_order_is_removed_with_its_certificates(
        self, bad: Any, size: int, removed: int, path: str
    ) -> None:
        page = parse_page(json_reply(envelope((bad, order("1", "good"), bad), 1)))
        assert parsed_ids(page) == ["good"]
        assert (page.size, page.total) == (1 + 2 * size, 1)
        assert page.unreadable == [path] * (2 * removed)

    @pytest.mark.parametrize("can_use", [True, "true"])
    def test_a_page_with_too_many_certificates_is_malformed(self, can_use: Any) -> None:
        ids = [str(number) for number in range(pages.MAX_PAGE_CERTIFICATES + 1)]
        assert parse_page(json_reply(envelope((order("1", *ids[1:], can_use=can_use),)))).size == 300
        error = raised_by(parse_page, json_reply(envelope((order("1", *ids, can_use=can_use),))))
        assert (type(error), error.reason, error.is_transient) == (errors.UpstreamMalformedError, "too_large", False)

    @pytest.mark.parametrize("bad", [[], [7]])
    def test_an_order_that_is_not_usable_or_has_an_empty_list_needs_no_certificates(self, bad: list[Any]) -> None:
        orders = (order("1", certificates=None, can_use=False), {"order_id": "2"}, order("3"), *bad)
        assert parse_page(json_reply(envelope(orders))) == Page([], 0, None, ["orders"] * len(bad))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"null",
            b'{"data":{"orders":[]},"extra":[0]}',
            b'{"data":[],"extra":{}}',
            b'{"data":{"orders":[],"error_code":NaN},"extra":{}}',
            b'{"data":{"orders":[],"error_code":"many"},"extra":{}}',
            b'{"data":{"orders":[],"error_code":""},"extra":{}}',
            b'{"data":{"orders":[]},"extra":{"error_code":true}}',
            b'{"data":{"orders":[]},"extra":{},"err_no":1.5}',
            b'{"data":{"orders":[]},"extra":{}',
            b'{"data":{"orders":[' + b"[" * 100_000,
            b'{"data":{"orders":[]},"extra":{},"err_no":"many"}',
        ],
        ids=lambda body: body[:50].decode("latin-1"),
    )
    def test_a_body_that_is_no_page_is_malformed_and_never_an_empty_list(self, body: bytes) -> None:
        error = raised_by(parse_page, HttpReply(200, {}, body))
        assert isinstance(error, errors.UpstreamMalformedError)
        assert (error.reason, error.is_transient, error.upstream) == ("malformed", True, errors.NO_CODES)


def body_with_code(place: str, code: Any, data: Any = None) -> dict[str, Any]:
    """Return a body that is a success but for a code in one place."""
    body: dict[str, Any] = envelope()
    body["data"] |= data or {}
    part, _, name = place.rpartition(".")
    (body[part] if part else body)[name] = code
    return body


class TestCodes:
    @pytest.mark.parametrize("name", PLATFORM_CALLS)
    @pytest.mark.parametrize("place", ["data.error_code", "extra.error_code", "extra.sub_error_code", "err_no"])
    def test_a_code_is_an_error_in_every_place(self, name: str, place: str) -> None:
        is_sub_code = place == "extra.sub_error_code"
        for code in (999, "999", -5):
            body = body_with_code(place, code, SAMPLES[name].data)
            error = raised_by(parser(PLATFORM_CALLS[name]), json_reply(body))
            assert (type(error), error.reason, error.is_transient) == (
                errors.UpstreamUnavailableError,
                f"unknown_code_{code}",
                False,
            )
            expected = (
                errors.UpstreamCodes(0, int(code), "1") if is_sub_code else errors.UpstreamCodes(int(code), 0, "1")
            )
            assert error.upstream == expected

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ({"data": "", "extra": {"error_code": 2119005}}, "2119005"),
            ({"data": {"error_code": 2119005}, "extra": 7}, "2119005"),
            ({"data": {"error_code": 2119005}}, "2119005"),
            ({"data": {"error_code": "many"}, "extra": {"error_code": 2119005}}, "2119005"),
            ({"data": {"error_code": 2119005}, "extra": {"error_code": "many"}}, "2119005"),
            ({"err_no": 2119005, "err_msg": "x", "log_id": "2026"}, "2119005"),
            # A sub code decides before the main code.
            ({"data": {"error_code": 2100004, "orders": []}, "extra": {"sub_error_code": 11006}}, "11006"),
        ],
    )
    def test_a_code_counts_although_the_rest_is_malformed(self, body: Any, reason: str) -> None:
        error = raised_by(parse_page, json_reply(body))
        assert (type(error), error.reason) == (errors.MerchantNotAuthorizedError, reason)

    @pytest.mark.parametrize(
        ("extra", "log_id", "logid"),
        [
            ({"logid": "20260101ABC"}, "2027", "20260101ABC"),
            ({}, "2027", "2027"),
            ({"logid": 7}, "2027", "2027"),
            ({"logid": "no log id"}, "2027", "2027"),
            ({"logid": "a" * 64}, None, "a" * 64),
            ({"logid": "a" * 65}, None, ""),
        ],
    )
    def test_only_what_looks_like_a_log_id_is_kept(self, extra: Any, log_id: Any, logid: str) -> None:
        body = {"data": {"orders": []}, "extra": {"error_code": 2119005, **extra}, "log_id": log_id}
        error = raised_by(parse_page, json_reply(body))
        assert error.upstream == errors.UpstreamCodes(2119005, 0, logid)


@pytest.mark.parametrize("name", PLATFORM_CALLS)
@pytest.mark.parametrize(
    ("status", "error_type", "retryable"),
    [
        (429, errors.RateLimitedError, True),
        (500, errors.UpstreamUnavailableError, True),
        (599, errors.UpstreamUnavailableError, True),
        (499, errors.UpstreamUnavailableError, False),
        (302, errors.UpstreamUnavailableError, False),
        (201, errors.UpstreamUnavailableError, False),
    ],
)
def test_without_a_known_code_the_status_decides_whatever_the_body_is(
    name: str, status: int, error_type: type[errors.UpstreamError], retryable: bool
) -> None:
    """The delay and the codes of the body are kept."""
    unknown, success = (body_with_code("err_no", code, SAMPLES[name].data) for code in (999, 0))
    for body, upstream in (
        (b"", errors.NO_CODES),
        (b"<html>", errors.NO_CODES),
        (json_reply(unknown).body, errors.UpstreamCodes(999, 0, "1")),
        (json_reply(success).body, errors.UpstreamCodes(0, 0, "1")),
    ):
        error = raised_by(parser(PLATFORM_CALLS[name]), HttpReply(status, {"retry-after": "7"}, body))
        assert (type(error), error.reason, error.is_transient) == (error_type, f"http_{status}", retryable)
        assert (error.upstream, error.retry_after) == (upstream, 7.0)


@pytest.mark.parametrize(
    ("platform_call", "status", "code", "error_type"),
    [
        (calls.QUERY_USER_CERTIFICATES, 503, 28001008, errors.TokenRefusedError),
        (calls.QUERY_USER_CERTIFICATES, 429, 28003017, errors.QuotaExhaustedError),
        (calls.CLIENT_TOKEN, 500, 10013, errors.AppMisconfiguredError),
        (calls.JSCODE2SESSION, 503, 40018, errors.LoginRefusedError),
        (calls.CODE2SESSION, 503, 28001008, errors.TokenRefusedError),
    ],
)
def test_the_codes_of_an_endpoint_are_read_before_the_status(
    platform_call: PlatformCall[Any], status: int, code: int, error_type: type[errors.UpstreamError]
) -> None:
    for place in ("data.error_code", "extra.error_code", "err_no"):
        error = raised_by(parser(platform_call), json_reply(body_with_code(place, code), status, retry_after="7"))
        assert (type(error), error.reason, error.upstream) == (
            error_type,
            str(code),
            errors.UpstreamCodes(code, 0, "1"),
        )
        assert error.retry_after == 7.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("61", 60.0),
        ("9" * 400, 60.0),
        ("", 0.0),
        ("1.5", 0.0),
        ("²", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_of_seconds_and_a_minute_at_most(header: str, seconds: float) -> None:
    error = raised_by(parse_page, json_reply({}, 429, retry_after=header))
    assert error.retry_after == seconds
