"""Checks the form of everything that callers send, before any other service is called.

Errors name the field, never its value. `sessions` and `paging` verify the signatures of session tokens and cursors.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import unquote

import msgspec

from chalicelib.certificates.paging import MAX_CURSOR_LENGTH
from chalicelib.douyin.calls import ListQuery
from chalicelib.errors import InvalidRequestError, UnauthenticatedError
from chalicelib.redaction import RedactedStruct

MAX_BODY_BYTES = 8 * 1024
MAX_CODE_LENGTH = 1024

BODY_SIZE_RULE = f"must be at most {MAX_BODY_BYTES} bytes"

ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""An id in a path or in the body of a login."""

ID_RULE = "must be 1 to 64 characters out of 0-9, A-Z, a-z, _ and -"
_EPOCH_SECONDS_RULE = "must be epoch seconds, an integer from 0 to 9999999999"
_EPOCH_SECONDS = range(10**10)
_FILTERS = {
    "biz_type": (range(1, 3), "must be 1 or 2"),
    "start_time": (_EPOCH_SECONDS, _EPOCH_SECONDS_RULE),
    "end_time": (_EPOCH_SECONDS, _EPOCH_SECONDS_RULE),
}
"""The allowed values and the error text of each filter. All filters are numbers."""

_QUERY_PARAMETERS = ("cursor", *_FILTERS)
_DIGITS = re.compile(r"[0-9]{1,10}")


class LoginBody(RedactedStruct, frozen=True):
    """The body of a login."""

    app_id: str
    #: The login code, from the mini-program's tt.login.
    code: str
    #: The list that is requested in the same response (`list` of the body), or None.
    list_query: ListQuery | None = None


def read_body(request: Any) -> bytes:
    """Return the body of Chalice's request; raises InvalidRequestError."""
    try:
        return cast("bytes", request.raw_body)
    # The event says that the body is base64, but it is not. Or the body has an unpaired surrogate.
    except ValueError:
        raise InvalidRequestError("body", "must be valid UTF-8") from None


def read_query_parameters(request: Any) -> dict[str, list[str]]:
    """Return the query parameters of Chalice's request: each name with all its values."""
    parameters = request.query_params
    return {name: parameters.getlist(name) for name in parameters} if parameters else {}


def parse_login_body(body: bytes) -> LoginBody:
    """Parse the body of POST /v1/sessions; raises InvalidRequestError. Unknown fields are ignored."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequestError("body", BODY_SIZE_RULE)
    try:
        members = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise InvalidRequestError("body", "must be a JSON object")
    app_id = _require_id(members.get("app_id"), "app_id")
    code = members.get("code")
    if not isinstance(code, str) or not 1 <= len(code) <= MAX_CODE_LENGTH or not code.isprintable():
        raise InvalidRequestError("code", f"must be 1 to {MAX_CODE_LENGTH} printable characters")
    if "list" not in members:
        return LoginBody(app_id, code)
    requested = members["list"]
    if not isinstance(requested, dict):
        raise InvalidRequestError("list", "must be an object")
    list_query = _parse_list_query(requested.get("account_id"), requested.get("poi_id"), requested, prefix="list.")
    return LoginBody(app_id, code, list_query)


def parse_list_request(account_id: str, poi_id: str, parameters: Mapping[str, Sequence[str]]) -> tuple[ListQuery, str]:
    """Return the list query and the cursor ("" for none) of the certificates call; raises InvalidRequestError.

    The cursor is not verified yet: its signature depends on the user. Unknown query parameters are ignored; a known one
    that is given twice is an error.
    """
    for name in _QUERY_PARAMETERS:
        if len(parameters.get(name, ())) > 1:
            raise InvalidRequestError(name, "must be given once")
    given = {name: parameters[name][0] for name in _QUERY_PARAMETERS if parameters.get(name)}
    cursor = given.pop("cursor", None)
    if cursor is not None and not (1 <= len(cursor) <= MAX_CURSOR_LENGTH and cursor.isascii()):
        raise InvalidRequestError("cursor", f"must be 1 to {MAX_CURSOR_LENGTH} ASCII characters")
    # The filters are numbers. Any other text is refused below.
    filters = {name: int(text) if _DIGITS.fullmatch(text) else text for name, text in given.items()}
    return _parse_list_query(account_id, poi_id, filters), cursor or ""


def parse_path_ids(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the path parameters, all of which are ids; raises InvalidRequestError.

    API Gateway decodes query values but passes path parameters percent-encoded.
    """
    return {name: _require_id(unquote(text), name) for name, text in parameters.items()}


def parse_bearer(authorization: str | None) -> str:
    """Return the token of an Authorization header; raises UnauthenticatedError when there is none."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or not token.isascii():
        raise UnauthenticatedError("no bearer token")
    return token.strip()


def _parse_list_query(account_id: Any, poi_id: Any, filters: Mapping[str, Any], prefix: str = "") -> ListQuery:
    """Return a list query; raises InvalidRequestError.

    Other fields of `filters` are ignored. `prefix` comes before the field's name in an error.
    """
    checked: dict[str, int] = {}
    for name, (allowed, rule) in _FILTERS.items():
        if name in filters:
            value = filters[name]
            # isinstance would accept true and false as integers.
            if type(value) is not int or value not in allowed:
                raise InvalidRequestError(prefix + name, rule)
            checked[name] = value
    query = ListQuery(_require_id(account_id, f"{prefix}account_id"), _require_id(poi_id, f"{prefix}poi_id"), **checked)
    if checked.get("start_time", 0) > checked.get("end_time", _EPOCH_SECONDS.stop):
        raise InvalidRequestError(f"{prefix}end_time", "must not be before start_time")
    return query


def _require_id(value: Any, field: str) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise InvalidRequestError(field, ID_RULE)
    return value
