"""Checks of what callers send: accepted values, and refusals that name the field and never its value."""

import json
from typing import Any

import pytest

from chalicelib.api.validation import (
    MAX_BODY_BYTES,
    MAX_CODE_LENGTH,
    LoginBody,
    parse_bearer,
    parse_list_request,
    parse_login_body,
    parse_path_ids,
)
from chalicelib.certificates.paging import MAX_CURSOR_LENGTH
from chalicelib.douyin.calls import ListQuery
from chalicelib.errors import InvalidRequestError, UnauthenticatedError

MAX = 9999999999


def body(**fields: Any) -> bytes:
    return json.dumps({"app_id": "tta", "code": "c", **fields}).encode()


def list_body(**filters: Any) -> bytes:
    """Return the body of a login with a list."""
    return body(list={"account_id": "7", "poi_id": "6601", **filters})


WRONG: dict[str, list[Any]] = {
    "account_id": [7, None, "planted!"],
    "poi_id": [6601, "", []],
    "biz_type": [0, 3, "1", None, True, 1.5],
    "start_time": [-1, 10**10, "5", False],
    "end_time": [-1, "planted", {}],
}


class TestLogin:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b' {"code": "c", "app_id": "tta", "more": [1]} ', LoginBody("tta", "c")),
            (body(app_id="t" * 64), LoginBody("t" * 64, "c")),
            (body(code="c" * MAX_CODE_LENGTH), LoginBody("tta", "c" * MAX_CODE_LENGTH)),
            (body(code="a b+/=%券"), LoginBody("tta", "a b+/=%券")),
            (body().ljust(MAX_BODY_BYTES), LoginBody("tta", "c")),
            (list_body(cursor=7, more=None), LoginBody("tta", "c", ListQuery("7", "6601"))),
            (
                list_body(biz_type=1, start_time=0, end_time=MAX),
                LoginBody("tta", "c", ListQuery("7", "6601", 1, 0, MAX)),
            ),
            (list_body(biz_type=2, start_time=5, end_time=5), LoginBody("tta", "c", ListQuery("7", "6601", 2, 5, 5))),
        ],
    )
    def test_a_body_is_parsed(self, text: bytes, expected: LoginBody) -> None:
        assert parse_login_body(text) == expected

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (body().ljust(MAX_BODY_BYTES + 1), "body must be at most 8192 bytes"),
            (b"[]", "^body must be a JSON object$"),
            (b"[" * 5000, "^body must be a JSON object$"),
            (b'{"app_id":"tta","code":"\xff"}', "^body must be a JSON object$"),
            (b'{"code":"planted"}', "^app_id must be"),
            (body(app_id=7), "^app_id must be 1 to 64 characters"),
            (body(app_id="planted!"), "^app_id must be"),
            (b'{"app_id":"planted"}', "^code must be"),
            (body(code=["planted"]), "^code must be"),
            (body(code=""), "^code must be 1 to 1024 printable"),
            (body(code="c" * (MAX_CODE_LENGTH + 1)), "^code must be"),
            (body(code="planted\u200b"), "^code must be"),
            (body(list=None), "^list must be an object$"),
            (body(list={"account_id": "7"}), r"^list\.poi_id must be"),
            *(
                (list_body(**{name: bad}), rf"^list\.{name} must be")
                for name, values in WRONG.items()
                for bad in values
            ),
            (list_body(start_time=2, end_time=1), r"^list\.end_time must not be before start_time$"),
        ],
    )
    def test_a_malformed_body_is_refused(self, text: bytes, message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message) as raised:
            parse_login_body(text)
        assert "planted" not in str(raised.value)
        assert raised.value.rule.isascii()
        assert raised.value.__suppress_context__ or raised.value.__context__ is None


class TestList:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"cursor": [], "_": ["1", "2"], "page": ["x"]}, (ListQuery("7", "6601"), "")),
            ({"cursor": ["x" * MAX_CURSOR_LENGTH]}, (ListQuery("7", "6601"), "x" * 1024)),
            ({"start_time": ["0"]}, (ListQuery("7", "6601", None, 0), "")),
            (
                {"start_time": ["0005"], "end_time": ["10"], "biz_type": ["1"], "cursor": ["c"]},
                (ListQuery("7", "6601", 1, 5, 10), "c"),
            ),
        ],
    )
    def test_a_query_is_parsed(self, query: dict[str, list[str]], expected: tuple[ListQuery, str]) -> None:
        assert parse_list_request("7", "6601", query) == expected

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ({"cursor": [""]}, "^cursor must be"),
            ({"cursor": ["x" * (MAX_CURSOR_LENGTH + 1)]}, "^cursor must be"),
            ({"cursor": ["店"]}, "^cursor must be"),
            ({"cursor": ["a", "b"]}, "^cursor must be given once$"),
            ({"biz_type": ["planted"]}, "^biz_type must be"),
            ({"start_time": ["1.5"]}, "^start_time must be"),
            ({"start_time": ["٣"]}, "^start_time must be"),
            ({"start_time": ["5\n"]}, "^start_time must be"),
            ({"end_time": ["99999999999"]}, "^end_time must be"),
            ({"end_time": ["1", "2"]}, "^end_time must be given once$"),
            ({"start_time": ["2"], "end_time": ["1"]}, "^end_time must not be before start_time$"),
        ],
    )
    def test_a_malformed_query_is_refused(self, query: dict[str, list[str]], message: str) -> None:
        with pytest.raises(InvalidRequestError, match=message) as raised:
            parse_list_request("7", "6601", query)
        assert "planted" not in str(raised.value)

    @pytest.mark.parametrize(("text", "decoded"), [("66%30%31", "6601"), ("A-z_09", "A-z_09"), ("%2D%5F", "-_")])
    def test_an_id_in_the_path_is_decoded_once(self, text: str, decoded: str) -> None:
        assert parse_path_ids({"account_id": text, "poi_id": "1"}) == {"account_id": decoded, "poi_id": "1"}

    @pytest.mark.parametrize(
        "text", ["", "a.b", "%2541", "%E5%BA%97", "店", "66+01", "6601%0a", "%", "%FF", "a%2Fb", "t" * 65, "٣"]
    )
    def test_a_malformed_id_in_the_path_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidRequestError, match=r"^poi_id must be"):
            parse_path_ids({"account_id": "7", "poi_id": text})


class TestBearer:
    @pytest.mark.parametrize(
        ("header", "token"),
        [
            ("bearer a.b", "a.b"),
            (" Bearer   a.b ", "a.b"),
            ("Bearer a b", "a b"),
        ],
    )
    def test_the_token_is_returned(self, header: str, token: str) -> None:
        assert parse_bearer(header) == token

    @pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer   ", "Basic abc", "a.b", "Bearer 券"])
    def test_without_a_token_nobody_is_authenticated(self, header: str | None) -> None:
        with pytest.raises(UnauthenticatedError, match="no bearer token"):
            parse_bearer(header)
