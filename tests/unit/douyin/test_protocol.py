"""The protocol as pure functions: requests byte by byte, and what each response means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from chalicelib.douyin import models, protocol
from chalicelib.douyin.protocol import CertificatesQuery, MintedToken, Page, Response, Selection
from chalicelib.errors import (
    AppMisconfiguredError,
    Evidence,
    LoginRefusedError,
    MerchantNotAuthorizedError,
    RateLimitedError,
    TokenRefusedError,
    UpstreamError,
    UpstreamMalformedError,
    UpstreamUnavailableError,
)
from tests.unit.fakes import json_response

if TYPE_CHECKING:
    from collections.abc import Callable

PARSERS = [protocol.parse_certificates, protocol.parse_mint, protocol.parse_login]


class TestRequests:
    def test_a_page_is_requested_with_every_option(self) -> None:
        query = CertificatesQuery(Selection("7", "6601", 2, 100, 200), "user", "8", 10)
        request = protocol.certificates_request(query, 3, "clt.x")
        assert (request.method, request.path) == ("POST", "/api/trade/v2/fulfillment/query_user_certificates/")
        assert request.headers == {
            "content-type": "application/json",
            "access-token": "clt.x",
            "Rpc-Transit-Life-Account": "8",
        }
        assert json.loads(request.body) == {
            "account_id": "7",
            "open_id": "user",
            "poi_id": "6601",
            "biz_type": 2,
            "page": 3,
            "page_size": 10,
            "page_dimension": 1,
            "time_range": {"start_time": 100, "end_time": 200},
        }

    @pytest.mark.parametrize(
        ("selection", "optional"),
        [
            (Selection("7"), {}),
            (Selection("7", ""), {}),
            (Selection("7", start_time=0), {"time_range": {"start_time": 0}}),
            (Selection("7", end_time=200), {"time_range": {"end_time": 200}}),
        ],
    )
    def test_a_filter_that_is_not_given_is_not_sent(self, selection: Selection, optional: dict[str, Any]) -> None:
        request = protocol.certificates_request(CertificatesQuery(selection, "user"), 1, "clt.x")
        required = {"account_id": "7", "open_id": "user", "page": 1, "page_size": 50, "page_dimension": 1}
        assert json.loads(request.body) == required | optional
        assert set(request.headers) == {"content-type", "access-token"}

    def test_a_token_is_requested_with_the_apps_credentials(self) -> None:
        request = protocol.mint_request("tta", "secret")
        assert (request.method, request.path) == ("POST", "/oauth/client_token/")
        assert request.headers == {"content-type": "application/json"}
        assert json.loads(request.body) == {
            "client_key": "tta",
            "client_secret": "secret",
            "grant_type": "client_credential",
        }

    def test_an_open_id_is_requested_with_a_code(self) -> None:
        request = protocol.login_request("tta", "secret", "code")
        assert (request.method, request.path) == ("POST", "/api/apps/v2/jscode2session")
        assert request.headers == {"content-type": "application/json"}
        assert json.loads(request.body) == {"appid": "tta", "secret": "secret", "code": "code"}

    def test_a_connection_is_opened_with_an_empty_request(self) -> None:
        request = protocol.CONNECT_REQUEST
        assert (request.method, request.path, request.body, request.headers) == ("HEAD", "/", b"", {})


def envelope(orders: Any = (), total: Any = None, **extra: Any) -> Any:
    """Return the body of a page."""
    data = {"orders": list(orders) if isinstance(orders, tuple) else orders, "error_code": 0, "description": ""}
    if total is not None:
        data["total"] = total
    return {"data": data, "extra": {"error_code": 0, "sub_error_code": 0, "logid": "1", **extra}}


def order(order_id: str, *certificate_ids: str, **fields: Any) -> dict[str, Any]:
    certificates = [{"certificate_id": certificate_id} for certificate_id in certificate_ids]
    return {"order_id": order_id, "can_use": True, "certificates": certificates, **fields}


def parsed_ids(page: Page) -> list[str | int]:
    return [certificate.certificate_id for order in page.orders for certificate in order.certificates or ()]


def raised_by(parse: Callable[[Response], object], response: Response) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        parse(response)
    return raised.value


class TestCertificates:
    def test_a_page_has_its_orders_size_and_total(self) -> None:
        page = protocol.parse_certificates(json_response(envelope((order("1", "a", "b"), order("2", "c")), 340)))
        assert [(held.order_id, held.can_use) for held in page.orders] == [("1", True), ("2", True)]
        assert parsed_ids(page) == ["a", "b", "c"]
        assert (page.size, page.total, page.removed, page.malformed) == (3, 340, 0, {})

    @pytest.mark.parametrize(
        "body",
        [
            {"data": {"orders": []}, "extra": {}},
            {"data": {"orders": [], "error_code": None}, "extra": {"error_code": None, "sub_error_code": None}},
            {"data": {"orders": [], "error_code": "0"}, "extra": {"error_code": "0"}, "err_no": 0},
        ],
    )
    def test_missing_codes_mean_no_error(self, body: Any) -> None:
        assert protocol.parse_certificates(json_response(body)) == Page([], 0, None)

    @pytest.mark.parametrize(
        ("total", "expected"),
        [
            (340, 340),
            ("340", 340),
            (340.0, 340),
            ("9" * 18, 10**18 - 1),
            ("9" * 19, None),
            (None, None),
            (-1, None),
            (1.5, None),
            ("many", None),
            ("３４０", None),
            (True, None),
            ({}, None),
        ],
    )
    def test_the_total_is_a_count_or_unusable(self, total: Any, expected: int | None) -> None:
        body = {"data": {"orders": [], "total": total}, "extra": {}}
        page = protocol.parse_certificates(json_response(body))
        assert page.total == expected
        assert type(page.total) is type(expected)
        body["data"]["orders"] = [7]
        lenient = Page([], 0, expected, removed=1, malformed={"": ["orders"]})
        assert protocol.parse_certificates(json_response(body)) == lenient

    @pytest.mark.parametrize(
        ("bad", "path"),
        [
            (None, "orders.certificates"),
            (7, "orders.certificates"),
            ([], "orders.certificates"),
            ({}, "orders.certificates.certificate_id"),
            ({"certificate_id": None}, "orders.certificates.certificate_id"),
            ({"certificate_id": ""}, "orders.certificates.certificate_id"),
            ({"certificate_id": True}, "orders.certificates.certificate_id"),
            ({"certificate_id": 10**64}, "orders.certificates.certificate_id"),
        ],
    )
    def test_a_certificate_without_an_id_is_removed_and_counted(self, bad: Any, path: str) -> None:
        held = order("1", "good")
        held["certificates"].insert(0, bad)
        page = protocol.parse_certificates(json_response(envelope((held, order("2", "other")), 3)))
        assert parsed_ids(page) == ["good", "other"]
        assert [held.can_use for held in page.orders] == [True, True]
        assert (page.size, page.total) == (3, 3)
        assert (page.removed, page.malformed) == (1, {"": [path]})

    def test_a_malformed_field_is_omitted_and_named(self) -> None:
        held = order("1", "good")
        held["certificates"].append({"certificate_id": "bad", "start_time": {}, "expire_time": 7, "code": 5})
        page = protocol.parse_certificates(json_response(envelope((held,), 2)))
        certificates = [models.Certificate("good"), models.Certificate("bad", expire_time=7)]
        assert page.orders == [models.Order("1", True, certificates)]
        assert (page.size, page.removed) == (2, 0)
        assert page.malformed == {"bad": ["orders.certificates.code", "orders.certificates.start_time"]}

    @pytest.mark.parametrize(
        ("bad", "size", "removed", "path"),
        [
            (None, 0, 1, "orders"),
            (7, 0, 1, "orders"),
            ({}, 0, 1, "orders.order_id"),
            ({"order_id": {}, "certificates": [{"certificate_id": "a"}, 7, 8]}, 3, 3, "orders.order_id"),
            ({"order_id": "2", "can_use": True, "certificates": {"a": 1}}, 0, 1, "orders.certificates"),
        ],
    )
    def test_a_malformed_order_is_removed_with_its_certificates(
        self, bad: Any, size: int, removed: int, path: str
    ) -> None:
        page = protocol.parse_certificates(json_response(envelope((bad, order("1", "good"), bad), 1)))
        assert parsed_ids(page) == ["good"]
        assert (page.size, page.total) == (1 + 2 * size, 1)
        assert (page.removed, page.malformed) == (2 * removed, {"": [path, path]})

    @pytest.mark.parametrize("bad", [[], [7]])
    def test_an_order_without_certificates_is_readable(self, bad: list[Any]) -> None:
        """With and without another part that is malformed."""
        orders = (order("1", certificates=None), {"order_id": "2"}, *bad)
        page = protocol.parse_certificates(json_response(envelope(orders)))
        assert [held.order_id for held in page.orders] == ["1", "2"]
        assert (page.size, page.removed) == (0, len(bad))

    def test_codes_in_a_body_with_invalid_text_count(self) -> None:
        body = b'{"data":{"orders":[],"error_code":2119005,"description":"\xff"},"extra":{}}'
        assert isinstance(raised_by(protocol.parse_certificates, Response(200, {}, body)), MerchantNotAuthorizedError)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"null",
            b'{"data":{}}',
            b'{"data":{"orders":[],"total":0}}',
            b'{"data":{"orders":null},"extra":{}}',
            b'{"data":{"orders":{}},"extra":{}}',
            b'{"data":{"orders":[]},"extra":[]}',
            b'{"data":{"orders":[7]},"extra":7}',
            b'{"data":{"orders":[7]}}',
            b'{"data":[],"extra":{}}',
            b'{"data":{"orders":[],"total":NaN},"extra":{}}',
            b'{"data":{"orders":[],"error_code":"many"},"extra":{}}',
            b'{"data":{"orders":[]},"extra":{}',
            b'{"data":{"orders":[' + b"[" * 100_000,
            b'{"data":{"orders":[]},"extra":{},"err_no":"many"}',
        ],
        ids=lambda body: body[:50].decode("latin-1"),
    )
    def test_a_body_that_is_no_page_is_malformed_and_never_an_empty_list(self, body: bytes) -> None:
        error = raised_by(protocol.parse_certificates, Response(200, {}, body))
        assert isinstance(error, UpstreamMalformedError)
        assert (error.reason, error.retryable, error.evidence) == ("malformed", True, None)


class TestMint:
    def test_a_token_has_its_lifetime(self) -> None:
        body = {"data": {"access_token": "clt.x", "expires_in": "7200", "error_code": 0}, "extra": {}}
        assert protocol.parse_mint(json_response(body)) == MintedToken("clt.x", 7200)

    @pytest.mark.parametrize(
        "data",
        [
            None,
            7,
            {},
            {"access_token": "clt.x"},
            {"expires_in": 7200},
            {"access_token": "", "expires_in": 7200},
            {"access_token": "clt.x", "expires_in": 0},
            {"access_token": "clt.x", "expires_in": "soon"},
        ],
    )
    def test_a_response_without_a_token_is_malformed(self, data: Any) -> None:
        error = raised_by(protocol.parse_mint, json_response({"data": data, "extra": {}}))
        assert isinstance(error, UpstreamMalformedError)
        assert error.retryable

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("!~", True),
            ("a" * 2048, True),
            ("", False),
            ("a" * 2049, False),
            ("a\n", False),
            ("a\x7f", False),
            ("券", False),
        ],
    )
    def test_a_token_is_text_that_can_be_sent_in_a_header(self, text: str, expected: bool) -> None:
        assert protocol.is_access_token(text) is expected


class TestLogin:
    def test_the_open_id_is_returned(self) -> None:
        body = {"err_no": 0, "err_tips": "success", "data": {"openid": "user", "session_key": "x"}}
        assert protocol.parse_login(json_response(body)) == "user"

    @pytest.mark.parametrize("data", [None, {}, {"openid": ""}])
    def test_a_response_without_an_open_id_is_malformed(self, data: Any) -> None:
        error = raised_by(protocol.parse_login, json_response({"err_no": 0, "data": data}))
        assert isinstance(error, UpstreamMalformedError)


def body_with_code(place: str, code: Any) -> dict[str, Any]:
    """Return a body that is a success for every endpoint but for a code in one place."""
    body: dict[str, Any] = envelope()
    body["data"] |= {"access_token": "clt.x", "expires_in": 7200, "openid": "user"}
    part, _, name = place.rpartition(".")
    (body[part] if part else body)[name] = code
    return body


class TestCodes:
    @pytest.mark.parametrize("parse", PARSERS)
    def test_without_a_code_the_call_succeeded(self, parse: Callable[[Response], object]) -> None:
        assert parse(json_response(body_with_code("err_no", 0)))

    @pytest.mark.parametrize(
        ("parse", "code", "error_type"),
        [
            (protocol.parse_certificates, 10013, UpstreamUnavailableError),
            (protocol.parse_mint, 10013, AppMisconfiguredError),
            (protocol.parse_mint, 40018, UpstreamUnavailableError),
            (protocol.parse_login, 40018, LoginRefusedError),
        ],
    )
    def test_codes_are_those_of_the_endpoint(
        self, parse: Callable[[Response], object], code: int, error_type: type[UpstreamError]
    ) -> None:
        assert type(raised_by(parse, json_response(body_with_code("err_no", code)))) is error_type

    @pytest.mark.parametrize("parse", PARSERS)
    @pytest.mark.parametrize("place", ["data.error_code", "extra.error_code", "extra.sub_error_code", "err_no"])
    def test_a_code_is_an_error_in_every_place(self, parse: Callable[[Response], object], place: str) -> None:
        is_sub_code = place == "extra.sub_error_code"
        for code in (999, "999", -5):
            error = raised_by(parse, json_response(body_with_code(place, code)))
            assert (type(error), error.reason, error.retryable) == (UpstreamUnavailableError, "unknown_code", False)
            expected = Evidence(0, int(code), "1") if is_sub_code else Evidence(int(code), 0, "1")
            assert error.evidence == expected

    @pytest.mark.parametrize("orders", [[], [7]])
    def test_a_sub_code_decides_before_the_main_code(self, orders: list[Any]) -> None:
        body = envelope(orders, sub_error_code=11006)
        body["data"]["error_code"] = 2100004
        error = raised_by(protocol.parse_certificates, json_response(body))
        assert (type(error), error.reason) == (MerchantNotAuthorizedError, "11006")
        assert error.evidence == Evidence(2100004, 11006, "1")

    @pytest.mark.parametrize(
        "body",
        [
            {"data": "", "extra": {"error_code": 2119005}},
            {"data": {"error_code": 2119005}, "extra": 7},
            {"data": {"error_code": 2119005}},
            {"data": {"error_code": 2119005, "orders": [7]}, "extra": {}},
            {"data": {"error_code": "many"}, "extra": {"error_code": 2119005}},
            {"data": {"error_code": 2119005}, "extra": {"error_code": "many"}},
            {"err_no": 2119005, "err_msg": "x", "log_id": "2026"},
        ],
    )
    def test_a_code_counts_although_the_rest_is_malformed(self, body: Any) -> None:
        error = raised_by(protocol.parse_certificates, json_response(body))
        assert (type(error), error.reason) == (MerchantNotAuthorizedError, "2119005")

    @pytest.mark.parametrize(
        ("extra", "log_id", "logid"),
        [
            ({"logid": "20260101ABC"}, "2027", "20260101ABC"),
            ({}, "2027", "2027"),
            ({"logid": 7}, "2027", "2027"),
            ({"logid": "no log id"}, "2027", "2027"),
            ({"logid": "日志"}, None, ""),
            ({"logid": "a" * 64}, None, "a" * 64),
            ({"logid": "a" * 65}, None, ""),
        ],
    )
    def test_only_what_looks_like_a_log_id_is_kept(self, extra: Any, log_id: Any, logid: str) -> None:
        body = {"data": {"orders": []}, "extra": {"error_code": 2119005, **extra}, "log_id": log_id}
        error = raised_by(protocol.parse_certificates, json_response(body))
        assert error.evidence == Evidence(2119005, 0, logid)


@pytest.mark.parametrize("parse", PARSERS)
class TestStatus:
    @pytest.mark.parametrize(
        ("status", "error_type"),
        [(500, UpstreamUnavailableError), (599, UpstreamUnavailableError), (429, RateLimitedError)],
    )
    def test_an_overload_is_transient_whatever_the_body_is(
        self, parse: Callable[[Response], object], status: int, error_type: type[UpstreamError]
    ) -> None:
        for body in ({}, body_with_code("err_no", 0), body_with_code("err_no", 2119005)):
            error = raised_by(parse, json_response(body, status))
            assert (type(error), error.reason) == (error_type, f"http_{status}")
            assert (error.retryable, error.evidence, error.retry_after) == (True, None, None)

    @pytest.mark.parametrize("status", [201, 302, 403, 499])
    def test_any_other_status_is_unavailable_and_not_repeated(
        self, parse: Callable[[Response], object], status: int
    ) -> None:
        for response in (json_response(body_with_code("err_no", 0), status), Response(status, {}, b"<html>")):
            error = raised_by(parse, response)
            assert (type(error), error.reason) == (UpstreamUnavailableError, f"http_{status}")
            assert not error.retryable

    def test_a_code_is_more_specific_than_such_a_status(self, parse: Callable[[Response], object]) -> None:
        error = raised_by(parse, json_response(body_with_code("extra.sub_error_code", 11002), 403))
        assert (type(error), error.reason) == (TokenRefusedError, "11002")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [("30", 30.0), ("0", 0.0), ("9999", 9999.0), ("10000", None), ("", None), ("1.5", None), ("²", None)],
)
def test_retry_after_is_a_number_of_seconds(status: int, header: str, seconds: float | None) -> None:
    error = raised_by(protocol.parse_certificates, json_response({}, status, retry_after=header))
    assert error.retry_after == seconds


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "data": JSON_VALUES
        | st.fixed_dictionaries({}, optional={"orders": JSON_VALUES, "total": JSON_VALUES, "error_code": JSON_VALUES}),
        "extra": JSON_VALUES | st.fixed_dictionaries({}, optional={"error_code": JSON_VALUES, "logid": JSON_VALUES}),
        "err_no": JSON_VALUES,
        "log_id": JSON_VALUES,
    },
)


@settings(deadline=None)
@given(body=st.binary(max_size=200) | (ENVELOPES | JSON_VALUES).map(lambda value: json.dumps(value).encode()))
@example(body=b'{"data":{"orders":[{"order_id":"1","certificates":[7]}],"total":1' + b"0" * 5000 + b'},"extra":{}}')
def test_any_bytes_are_parsed_or_an_upstream_error(body: bytes) -> None:
    for status in (200, 400, 503):
        for parse in PARSERS:
            try:
                parse(Response(status, {}, body))
            except UpstreamError as error:
                assert error.reason  # noqa: PT017 - both outcomes are right
            else:
                assert status == 200
