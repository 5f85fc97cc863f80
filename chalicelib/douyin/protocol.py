"""The platform's protocol without I/O: what a reply means. A reply is a response of the platform.

A call succeeded when the HTTP status is 200, the body is a JSON envelope, and its error codes are zero or missing. Text
fields are not evaluated. `open_envelope` decides whether a reply is a success or an error. `pages` reads a page.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from chalicelib.douyin import codes
from chalicelib.douyin.codes import ErrorTable
from chalicelib.errors import RateLimitedError, UpstreamCodes, UpstreamMalformedError, UpstreamUnavailableError
from chalicelib.lenient import decode_json, parse_int
from chalicelib.redaction import RedactedStruct

S = TypeVar("S", bound=msgspec.Struct)

MAX_RETRY_AFTER_SECONDS = 60.0
"""The longest Retry-After that is accepted from the platform, because the customer has to wait as long."""

_VISIBLE_ASCII = r"^[!-~]{1,2048}\Z"
"""The form of an access token. Any other text could not be sent in a header."""

OpenId = Annotated[str, msgspec.Meta(pattern=r"^[!->@-~]{1,1024}\Z")]
"""Visible ASCII without the question mark. `lenient` replaces unreadable characters by question marks. Then two users
could have one open_id. The length is limited, because the session token contains the open_id, and is sent in a header.
"""


class HttpReply(RedactedStruct, frozen=True):
    """The platform's HTTP response with its complete body. Header names may be looked up in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class LoginData(RedactedStruct, frozen=True):
    """`data` of jscode2session. Only the openid is read, never the session_key."""

    openid: OpenId


class ProviderLoginData(RedactedStruct, frozen=True):
    """`data` of code2session. Only the open_id is read, because an anonymous_open_id names a phone, not a user."""

    open_id: OpenId


class MintedToken(RedactedStruct, frozen=True):
    """`data` of client_token: a new access token and its lifetime in seconds."""

    access_token: Annotated[str, msgspec.Meta(pattern=_VISIBLE_ASCII)]
    expires_in: Annotated[int, msgspec.Meta(gt=0)]


def parse_data(envelope: dict[str, Any], model: type[S]) -> S:
    """Return the `data` of a short reply.

    Raises UpstreamMalformedError if a required field is missing or unreadable.
    """
    try:
        return msgspec.convert(envelope.get("data"), model, strict=False)
    except msgspec.ValidationError:
        raise UpstreamMalformedError("malformed") from None


def is_access_token(text: str) -> bool:
    """Return whether a text can be an access token."""
    return re.match(_VISIBLE_ASCII, text) is not None


def open_envelope(reply: HttpReply, table: ErrorTable) -> tuple[dict[str, Any], UpstreamCodes]:
    """Return the envelope of a successful reply, and its codes with the logid; raises UpstreamError for any other.

    A known error code decides, whatever the HTTP status is. Without one, a status other than 200 decides. With status
    200, an unknown error code is an error, too.
    """
    try:
        body = decode_json(reply.body)
    except ValueError:
        body = None
    envelope: dict[str, Any] = body if isinstance(body, dict) else {}
    # None: a code was sent and cannot be read.
    read_codes = [0 if code is None else parse_int(code) for code in find_codes(envelope)]
    *reported, sub_code = [code or 0 for code in read_codes]
    extra = envelope.get("extra") or {}
    logid = parse_logid(extra.get("logid") if isinstance(extra, dict) else None, envelope.get("log_id"))
    upstream = UpstreamCodes(next(filter(None, reported), 0), sub_code, logid)
    retry_after = _retry_after(reply)
    if decision := codes.decide_error(table, reported, sub_code):
        code, error_type = decision
        raise error_type(str(code), upstream, retry_after=retry_after)
    if reply.status != 200:
        error_type = RateLimitedError if reply.status == 429 else UpstreamUnavailableError
        is_transient = reply.status == 429 or reply.status >= 500
        raise error_type(f"http_{reply.status}", upstream, is_transient=is_transient, retry_after=retry_after)
    if upstream.has_code:
        unknown_code = upstream.error_code or upstream.sub_error_code
        raise UpstreamUnavailableError(f"unknown_code_{unknown_code}", upstream, is_transient=False)
    # A code that cannot be read may hide a failure.
    if not isinstance(body, dict) or not isinstance(extra, dict) or None in read_codes:
        raise UpstreamMalformedError("malformed", upstream)
    return envelope, upstream


def find_codes(envelope: dict[str, Any]) -> list[Any]:
    """Return the error codes of an envelope as they were sent: three main codes, and the sub code. None: missing."""
    data, extra = (part if isinstance(part, dict) else {} for part in (envelope.get("data"), envelope.get("extra")))
    return [data.get("error_code"), extra.get("error_code"), envelope.get("err_no"), extra.get("sub_error_code")]


def parse_logid(*candidates: Any) -> str:
    """Return the first candidate with the form of a log id, or "". Logs and problems must not contain other text."""
    return next((c for c in candidates if isinstance(c, str) and c.isascii() and c.isalnum() and len(c) <= 64), "")


def _retry_after(reply: HttpReply) -> float:
    """Return the seconds of Retry-After, or 0. The other form of this header, an HTTP date, is ignored."""
    value = reply.headers.get("retry-after", "")
    return min(float(value), MAX_RETRY_AFTER_SECONDS) if value.isascii() and value.isdigit() else 0.0
