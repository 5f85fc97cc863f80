"""The platform's protocol without I/O: what a response means.

A call succeeded when the HTTP status is 200, the body is a JSON envelope, and all error codes in it are zero. Text
fields are not evaluated. `open_envelope` decides whether a response is a success or an error. `pages` reads a page.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from chalicelib.douyin import codes, lenient, models
from chalicelib.douyin.codes import ErrorTable
from chalicelib.errors import RateLimitedError, UpstreamCodes, UpstreamMalformedError, UpstreamUnavailableError
from chalicelib.redaction import RedactedStruct

S = TypeVar("S", bound=msgspec.Struct)

MAX_RETRY_AFTER_SECONDS = 60.0
"""The longest wait that a customer is asked for, whatever the platform's Retry-After says."""

MAX_TOKEN_SECONDS = 86_400
"""The longest lifetime of a token that is believed. The platform documents two hours."""


class Request(RedactedStruct, frozen=True):
    """An HTTP request: path below the API's base URL, JSON body, headers, method."""

    path: str
    body: bytes = b""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    method: str = "POST"


class Response(RedactedStruct, frozen=True):
    """An HTTP response with its complete body. Header names may be looked up in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class MintedToken(RedactedStruct, frozen=True):
    """`data` of client_token: a new access token and its lifetime in seconds."""

    access_token: str
    expires_in: int


CONNECTION_TEST = Request("/", method="HEAD")
"""A request for nothing: it opens a connection that the next request reuses."""


def parse_mint(response: Response, table: ErrorTable) -> MintedToken:
    """Return the new token; raises UpstreamError."""
    minted = read_data(response, table, MintedToken)
    if not is_access_token(minted.access_token) or minted.expires_in <= 0:
        raise UpstreamMalformedError("malformed")
    return MintedToken(minted.access_token, min(minted.expires_in, MAX_TOKEN_SECONDS))


def read_data(response: Response, table: ErrorTable, model: type[S]) -> S:
    """Return the `data` of a short reply; raises UpstreamError, also when a required field is missing or malformed."""
    data = lenient.read(open_envelope(response, table).get("data"), model, "data", [])
    if data is None:
        raise UpstreamMalformedError("malformed")
    return data


def is_access_token(text: str) -> bool:
    """Return whether a text can be an access token: anything else could not be sent in a header."""
    return _ACCESS_TOKEN.fullmatch(text) is not None


_ACCESS_TOKEN = re.compile(r"[!-~]{1,2048}")


def open_envelope(response: Response, table: ErrorTable) -> dict[str, Any]:
    """Return the envelope of a response that reports no error; raises UpstreamError.

    A known error code decides, whatever the HTTP status is, otherwise the status, otherwise an unknown code.
    """
    try:
        body = lenient.decode_json(response.body)
    except ValueError:
        body = None
    envelope: dict[str, Any] = body if isinstance(body, dict) else {}
    malformed: list[str] = []
    data = lenient.read(envelope.get("data") or {}, models.Codes, "data", malformed) or models.Codes()
    extra = lenient.read(envelope.get("extra") or {}, models.Extra, "extra", malformed) or models.Extra()
    gateway = lenient.read(envelope, models.GatewayStatus, "", malformed) or models.GatewayStatus()
    reported = [code for code in (data.error_code, extra.error_code, gateway.err_no) if code]
    sub_code = extra.sub_error_code or 0
    upstream = UpstreamCodes(next(iter(reported), 0), sub_code, read_logid(extra.logid, gateway.log_id))
    retry_after = _retry_after(response)
    if decision := codes.decide_error(table, reported, sub_code):
        code, error_type = decision
        raise error_type(str(code), upstream, retry_after=retry_after)
    if response.status != 200:
        error_type = RateLimitedError if response.status == 429 else UpstreamUnavailableError
        is_transient = response.status == 429 or response.status >= 500
        raise error_type(f"http_{response.status}", upstream, is_transient=is_transient, retry_after=retry_after)
    if upstream.has_code:
        raise UpstreamUnavailableError("unknown_code", upstream, is_transient=False)
    # A malformed error code may hide a failure.
    if not isinstance(body, dict) or malformed:
        raise UpstreamMalformedError("malformed")
    return envelope


def read_logid(*candidates: Any) -> str:
    """Return the first candidate that can be a log id, or "". It is logged and shown to operators."""
    return next((c for c in candidates if isinstance(c, str) and c.isascii() and c.isalnum() and len(c) <= 64), "")


def _retry_after(response: Response) -> float:
    """Return the seconds of Retry-After, or 0. The other form of this header, an HTTP date, is ignored."""
    value = response.headers.get("retry-after", "")
    return min(float(value), MAX_RETRY_AFTER_SECONDS) if value.isascii() and value.isdigit() else 0.0
