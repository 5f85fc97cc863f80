"""What callers send, checked before anything is asked of anybody; errors name the part, never its value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from chalicelib.certificates import Question
from chalicelib.cursors import LONGEST_CURSOR
from chalicelib.errors import InvalidRequestError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONGEST_BODY = 8 * 1024
LONGEST_CODE = 1024

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)
_QUERY = ("cursor", "biz_type", "start_time", "end_time")


class Login(msgspec.Struct):
    """The body of a login: which mini-program, and the code its tt.login gave."""

    app_id: str
    code: str


def read_login(body: bytes) -> Login:
    """Read the body of POST /v1/sessions; raises InvalidRequestError."""
    if len(body) > LONGEST_BODY:
        raise InvalidRequestError("body too long")
    try:
        login = msgspec.json.decode(body, type=Login)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidRequestError('body is not {"app_id": text, "code": text}') from None
    if not _ID.fullmatch(login.app_id):
        raise InvalidRequestError("app_id")
    if not 1 <= len(login.code) <= LONGEST_CODE or not login.code.isprintable():
        raise InvalidRequestError("code")
    return login


def read_question(account_id: str, poi_id: str, query: Mapping[str, Sequence[str]]) -> Question:
    """Read path and query of the certificate list; raises InvalidRequestError.

    The path's parts come as they stand in the URL, the query's values decoded: API Gateway does one and not the other.
    Parameters that are not ours are none of our business; one of ours that is given twice is an error.
    """
    given: dict[str, str] = {}
    for name in _QUERY:
        values = query.get(name, ())
        if len(values) > 1:
            raise InvalidRequestError(f"{name} given more than once")
        if values:
            given[name] = values[0]
    cursor = given.get("cursor")
    if cursor is not None and not (1 <= len(cursor) <= LONGEST_CURSOR and cursor.isascii()):
        raise InvalidRequestError("cursor")
    if given.get("biz_type", "1") not in ("1", "2"):
        raise InvalidRequestError("biz_type")
    start_time, end_time = _seconds(given, "start_time"), _seconds(given, "end_time")
    if start_time is not None and end_time is not None and start_time > end_time:
        raise InvalidRequestError("start_time is after end_time")
    return Question(
        account_id=_id(account_id, "account_id"),
        poi_id=_id(poi_id, "poi_id"),
        biz_type=int(given["biz_type"]) if "biz_type" in given else None,
        start_time=start_time,
        end_time=end_time,
        cursor=cursor,
    )


def read_bearer(authorization: str | None) -> str:
    """The token of an Authorization header; raises UnauthenticatedError when there is none."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("no bearer token")
    return token.strip()


def _id(text: str, name: str) -> str:
    decoded = unquote(text)
    if not _ID.fullmatch(decoded):
        raise InvalidRequestError(name)
    return decoded


def _seconds(given: Mapping[str, str], name: str) -> int | None:
    if name not in given:
        return None
    if not _SECONDS.fullmatch(given[name]):
        raise InvalidRequestError(name)
    return int(given[name])
