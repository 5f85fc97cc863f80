"""Checks of what callers send: accepted values, and refusals that name the field and never its value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.api.validation import (
    MAX_BODY_BYTES,
    MAX_CODE_LENGTH,
    LoginRequest,
    parse_bearer,
    parse_list_request,
    parse_login,
)
from chalicelib.certificates.cursors import MAX_CURSOR_LENGTH
from chalicelib.certificates.listing import ListRequest
from chalicelib.douyin.protocol import CertificateFilter
from chalicelib.errors import InvalidRequestError, UnauthenticatedError


def body(**fields: Any) -> bytes:
    return json.dumps({"app_id": "tta", "code": "c", **fields}).encode()


class TestLogin:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b'{"app_id":"tta","code":"c"}', LoginRequest("tta", "c")),
            (b' {"code": "c", "app_id": "tta", "more": [1]} ', LoginRequest("tta", "c")),
            (body(app_id="t" * 64), LoginRequest("t" * 64, "c")),
            (body(app_id="A-z_09"), LoginRequest("A-z_09", "c")),
            (body(code="c" * MAX_CODE_LENGTH), LoginRequest("tta", "c" * MAX_CODE_LENGTH)),
            (body(code="a b+/=%券"), LoginRequest("tta", "a b+/=%券")),
            (body().ljust(MAX_BODY_BYTES), LoginRequest("tta", "c")),
        ],
    )
    def test_a_body_is_parsed(self, text: bytes, expected: LoginRequest) -> None:
        assert parse_login(text) == expected

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (body().ljust(MAX_BODY_BYTES + 1), "body too long"),
            (b"", "body is not"),
            (b"{", "body is not"),
            (b"[]", "body is not"),
            (b"null", "body is not"),
            (b'"planted"', "body is not"),
            (b"{}", "body is not"),
            (b'{"app_id":"planted"}', "body is not"),
            (b'{"code":"planted"}', "body is not"),
            (body(app_id=7), "body is not"),
            (body(app_id=None), "body is not"),
            (body(code=7), "body is not"),
            (body(code=None), "body is not"),
            (body(code=["planted"]), "body is not"),
            (b"[" * 5000, "body is not"),
            (b'{"app_id":"tta","code":"\xff"}', "body is not"),
            (b"app_id=planted&code=planted", "body is not"),
            (body(app_id=""), "^app_id$"),
            (body(app_id="tt a"), "^app_id$"),
            (body(app_id="planted!"), "^app_id$"),
            (body(app_id="planted\n"), "^app_id$"),
            (body(app_id="t" * 65), "^app_id$"),
            (body(app_id="应用"), "^app_id$"),
            (body(app_id="٣"), "^app_id$"),
            (body(code=""), "^code$"),
            (body(code="c" * (MAX_CODE_LENGTH + 1)), "^code$"),
            (body(code="planted\x00"), "^code$"),
            (body(code="planted\n"), "^code$"),
            (body(code="planted\u200b"), "^code$"),
        ],
    )
    def test_a_malformed_body_is_refused(self, text: bytes, message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message) as raised:
            parse_login(text)
        assert "planted" not in str(raised.value)
        assert raised.value.__suppress_context__ or raised.value.__context__ is None


class TestList:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, ListRequest(CertificateFilter("7", "6601"))),
            ({"cursor": ["a.b-_"]}, ListRequest(CertificateFilter("7", "6601"), "a.b-_")),
            ({"cursor": ["x" * MAX_CURSOR_LENGTH]}, ListRequest(CertificateFilter("7", "6601"), "x" * 1024)),
            ({"biz_type": ["1"]}, ListRequest(CertificateFilter("7", "6601", 1))),
            ({"biz_type": ["2"]}, ListRequest(CertificateFilter("7", "6601", 2))),
            ({"start_time": ["0"]}, ListRequest(CertificateFilter("7", "6601", None, 0))),
            ({"end_time": ["9999999999"]}, ListRequest(CertificateFilter("7", "6601", None, None, 9999999999))),
            (
                {"start_time": ["5"], "end_time": ["5"]},
                ListRequest(CertificateFilter("7", "6601", None, 5, 5)),
            ),
            (
                {"start_time": ["0005"], "end_time": ["10"], "biz_type": ["1"], "cursor": ["c"]},
                ListRequest(CertificateFilter("7", "6601", 1, 5, 10), "c"),
            ),
            ({"_": ["1", "2"], "page": ["x"]}, ListRequest(CertificateFilter("7", "6601"))),
            ({"cursor": []}, ListRequest(CertificateFilter("7", "6601"))),
        ],
    )
    def test_a_query_is_parsed(self, query: dict[str, list[str]], expected: ListRequest) -> None:
        assert parse_list_request("7", "6601", query) == expected

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ({"cursor": [""]}, "^cursor$"),
            ({"cursor": ["x" * (MAX_CURSOR_LENGTH + 1)]}, "^cursor$"),
            ({"cursor": ["店"]}, "^cursor$"),
            ({"cursor": ["a", "b"]}, "^cursor given more than once$"),
            ({"biz_type": ["0"]}, "^biz_type$"),
            ({"biz_type": ["3"]}, "^biz_type$"),
            ({"biz_type": [""]}, "^biz_type$"),
            ({"biz_type": ["01"]}, "^biz_type$"),
            ({"biz_type": ["planted"]}, "^biz_type$"),
            ({"biz_type": ["1", "1"]}, "^biz_type given more than once$"),
            ({"start_time": [""]}, "^start_time$"),
            ({"start_time": ["-1"]}, "^start_time$"),
            ({"start_time": ["1.5"]}, "^start_time$"),
            ({"start_time": ["planted"]}, "^start_time$"),
            ({"start_time": ["٣"]}, "^start_time$"),
            ({"start_time": ["5\n"]}, "^start_time$"),
            ({"start_time": [" 5"]}, "^start_time$"),
            ({"start_time": ["1", "2"]}, "^start_time given more than once$"),
            ({"end_time": [""]}, "^end_time$"),
            ({"end_time": ["99999999999"]}, "^end_time$"),
            ({"end_time": ["1", "2"]}, "^end_time given more than once$"),
            ({"start_time": ["2"], "end_time": ["1"]}, "^start_time is after end_time$"),
        ],
    )
    def test_a_malformed_query_is_refused(self, query: dict[str, list[str]], message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message) as raised:
            parse_list_request("7", "6601", query)
        assert "planted" not in str(raised.value)

    @pytest.mark.parametrize(
        ("text", "decoded"),
        [
            ("6601", "6601"),
            ("66%30%31", "6601"),
            ("%61", "a"),
            ("a" * 64, "a" * 64),
            ("A-z_09", "A-z_09"),
            ("%2D%5F", "-_"),
        ],
    )
    def test_an_id_in_the_path_is_decoded_once(self, text: str, decoded: str) -> None:
        assert parse_list_request(text, "1", {}).filter.account_id == decoded
        assert parse_list_request("1", text, {}).filter.poi_id == decoded

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a" * 65,
            "a.b",
            "%2e",
            "%2541",
            "%E5%BA%97",
            "店",
            "%00",
            "66 01",
            "66+01",
            "6601%0a",
            "6601\n",
            "%",
            "%2",
            "%FF",
            "a%2Fb",
            "a/b",
            "٣",
        ],
    )
    def test_a_malformed_id_in_the_path_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidRequestError, match=r"^account_id$"):
            parse_list_request(text, "6601", {})
        with pytest.raises(InvalidRequestError, match=r"^poi_id$"):
            parse_list_request("7", text, {})


class TestBearer:
    @pytest.mark.parametrize(
        ("header", "token"),
        [
            ("Bearer a.b", "a.b"),
            ("bearer a.b", "a.b"),
            ("BEARER a.b", "a.b"),
            (" Bearer   a.b ", "a.b"),
            ("Bearer a b", "a b"),
        ],
    )
    def test_the_token_is_returned(self, header: str, token: str) -> None:
        assert parse_bearer(header) == token

    @pytest.mark.parametrize(
        "header", [None, "", " ", "Bearer", "Bearer ", "Bearer   ", "Basic abc", "a.b", "Bearera b"]
    )
    def test_without_a_token_nobody_is_authenticated(self, header: str | None) -> None:
        with pytest.raises(UnauthenticatedError, match="no bearer token"):
            parse_bearer(header)
