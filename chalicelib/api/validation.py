"""Checks everything that callers send, before any other service is called. Errors name the field, never its value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from chalicelib.certificates.cursors import MAX_CURSOR_LENGTH
from chalicelib.certificates.listing import ListRequest
from chalicelib.douyin.protocol import CertificateFilter
from chalicelib.errors import InvalidRequestError, UnauthenticatedError
from chalicelib.records import RedactedStruct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_BODY_BYTES = 8 * 1024
MAX_CODE_LENGTH = 1024

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)
_QUERY_PARAMETERS = ("cursor", "biz_type", "start_time", "end_time")


class LoginRequest(RedactedStruct, frozen=True):
    """The body of a login: the mini-program's app_id, and the code from its tt.login."""

    app_id: str
    code: str


def parse_login(body: bytes) -> LoginRequest:
    """Parse the body of POST /v1/sessions; raises InvalidRequestError."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequestError("body too long")
    try:
        login = msgspec.json.decode(body, type=LoginRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidRequestError('body is not {"app_id": string, "code": string}') from None
    if not _ID.fullmatch(login.app_id):
        raise InvalidRequestError("app_id")
    if not 1 <= len(login.code) <= MAX_CODE_LENGTH or not login.code.isprintable():
        raise InvalidRequestError("code")
    return login


def parse_list_request(account_id: str, poi_id: str, query: Mapping[str, Sequence[str]]) -> ListRequest:
    """Parse path and query of the certificates call; raises InvalidRequestError.

    API Gateway decodes query values but passes path parameters percent-encoded. Unknown query parameters are ignored;
    a known one that is given twice is an error.
    """
    parameters: dict[str, str] = {}
    for name in _QUERY_PARAMETERS:
        values = query.get(name, ())
        if len(values) > 1:
            raise InvalidRequestError(f"{name} given more than once")
        if values:
            parameters[name] = values[0]
    cursor = parameters.get("cursor")
    if cursor is not None and not (1 <= len(cursor) <= MAX_CURSOR_LENGTH and cursor.isascii()):
        raise InvalidRequestError("cursor")
    if parameters.get("biz_type", "1") not in ("1", "2"):
        raise InvalidRequestError("biz_type")
    start_time, end_time = _parse_seconds(parameters, "start_time"), _parse_seconds(parameters, "end_time")
    if start_time is not None and end_time is not None and start_time > end_time:
        raise InvalidRequestError("start_time is after end_time")
    wanted = CertificateFilter(
        account_id=_parse_id(account_id, "account_id"),
        poi_id=_parse_id(poi_id, "poi_id"),
        biz_type=int(parameters["biz_type"]) if "biz_type" in parameters else None,
        start_time=start_time,
        end_time=end_time,
    )
    return ListRequest(wanted, cursor)


def parse_bearer(authorization: str | None) -> str:
    """Return the token of an Authorization header; raises UnauthenticatedError when there is none."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or not token.isascii():
        raise UnauthenticatedError("no bearer token")
    return token.strip()


def _parse_id(text: str, name: str) -> str:
    decoded = unquote(text)
    if not _ID.fullmatch(decoded):
        raise InvalidRequestError(name)
    return decoded


def _parse_seconds(parameters: Mapping[str, str], name: str) -> int | None:
    if name not in parameters:
        return None
    if not _SECONDS.fullmatch(parameters[name]):
        raise InvalidRequestError(name)
    return int(parameters[name])
