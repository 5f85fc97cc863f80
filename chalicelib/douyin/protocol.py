"""The platform's protocol without I/O: build a request, parse a response.

A call succeeded when the HTTP status is 200, the body is a JSON envelope, and all error codes in it are zero. Text
fields are not evaluated. Endpoints: `query_user_certificates`, `client_token` (mint), `jscode2session` (login).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from chalicelib.douyin import codes, models
from chalicelib.errors import Evidence, RateLimitedError, UpstreamMalformedError, UpstreamUnavailableError
from chalicelib.records import RedactedStruct

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE_SIZE = 50
"""Certificates per page; the platform's maximum."""

BY_CERTIFICATE = 1
BY_ORDER = 2

CERTIFICATES_PATH = "/api/trade/v2/fulfillment/query_user_certificates/"
MINT_PATH = "/oauth/client_token/"
LOGIN_PATH = "/api/apps/v2/jscode2session"

_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_T = TypeVar("_T")


class Request(RedactedStruct, frozen=True):
    """An HTTP request: path below the API's base URL, JSON body, headers, method."""

    path: str
    body: bytes = b""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    method: str = "POST"


class Response(RedactedStruct, frozen=True):
    """An HTTP response with its complete body. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CertificateFilter(msgspec.Struct, frozen=True):
    """Which certificates of a user are requested: the merchant, the store, and optional filters.

    `biz_type`: 1 redemption tool (the platform's default), 2 mixed. `start_time` and `end_time`: epoch seconds, sent
    as `time_range`. An empty `poi_id` means any store. Fields that are empty or None are not sent.
    """

    account_id: str
    poi_id: str = ""
    biz_type: int | None = None
    start_time: int | None = None
    end_time: int | None = None


class CertificatesQuery(RedactedStruct, frozen=True):
    """A query of one user's certificates.

    `life_account_id`: the merchant's root account, sent as header `Rpc-Transit-Life-Account`.
    """

    filter: CertificateFilter
    open_id: str
    life_account_id: str | None = None
    page_size: int = PAGE_SIZE
    page_dimension: int = BY_CERTIFICATE


class Page(msgspec.Struct, frozen=True):
    """One page: its readable orders, the number of certificates in it, and the number of malformed parts.

    `total` is the number of certificates on all pages as the platform reports it, or None when it is unusable.
    """

    orders: list[models.Order]
    size: int
    total: int | None
    malformed: int = 0


class MintedToken(RedactedStruct, frozen=True):
    """A new access token and its lifetime in seconds."""

    access_token: str
    expires_in: int


CONNECT_REQUEST = Request("/", method="HEAD")
"""Requests nothing: it only opens a connection that the next request reuses."""


def certificates_request(query: CertificatesQuery, page: int, access_token: str) -> Request:
    """Build the request of page `page` (from 1)."""
    wanted = query.filter
    time_range = {"start_time": wanted.start_time, "end_time": wanted.end_time}
    body = {
        "account_id": wanted.account_id,
        "open_id": query.open_id,
        "poi_id": wanted.poi_id or None,
        "biz_type": wanted.biz_type,
        "page": page,
        "page_size": query.page_size,
        "page_dimension": query.page_dimension,
        "time_range": _without_none(time_range) or None,
    }
    headers = {"content-type": "application/json", "access-token": access_token}
    if query.life_account_id is not None:
        headers["Rpc-Transit-Life-Account"] = query.life_account_id
    return Request(CERTIFICATES_PATH, msgspec.json.encode(_without_none(body)), headers)


def mint_request(app_id: str, app_secret: str) -> Request:
    """Build the request of a new access token. Minting invalidates the app's token before the previous one."""
    body = {"client_key": app_id, "client_secret": app_secret, "grant_type": "client_credential"}
    return Request(MINT_PATH, msgspec.json.encode(body), {"content-type": "application/json"})


def login_request(app_id: str, app_secret: str, code: str) -> Request:
    """Build the request that exchanges a code of tt.login (valid once, for five minutes) for the user's openid."""
    body = {"appid": app_id, "secret": app_secret, "code": code}
    return Request(LOGIN_PATH, msgspec.json.encode(body), {"content-type": "application/json"})


def parse_certificates(response: Response) -> Page:
    """Parse a page; raises UpstreamError. A malformed order or certificate is omitted and counted."""
    if response.status == 200:
        try:
            reply = _CERTIFICATES.decode(response.body)
        except msgspec.ValidationError:
            return _parse_leniently(response)
        except _DECODE_ERRORS:
            return _parse_leniently(msgspec.structs.replace(response, body=_repair_utf8(response.body)))
        if reply.data is not None and reply.extra is not None and reply.data.orders is not None:
            _raise_for_codes(codes.CERTIFICATES, reply.data, reply.extra, reply.err_no, reply.log_id)
            orders = reply.data.orders
            return Page(orders, sum(len(order.certificates or ()) for order in orders), _count(reply.data.total))
    _open_envelope(response, codes.CERTIFICATES)
    raise UpstreamMalformedError("malformed", retryable=True)


def parse_mint(response: Response) -> MintedToken:
    """Parse a new token; raises UpstreamError."""
    data = _decode(_MINT_DATA, _open_envelope(response, codes.MINT))
    if data is None or not data.access_token or data.expires_in <= 0:
        raise UpstreamMalformedError("malformed", retryable=True)
    return MintedToken(data.access_token, data.expires_in)


def parse_login(response: Response) -> str:
    """Parse the user's open_id; raises UpstreamError."""
    data = _decode(_LOGIN_DATA, _open_envelope(response, codes.LOGIN))
    if data is None or not data.openid:
        raise UpstreamMalformedError("malformed", retryable=True)
    return data.openid


def _decoder(model: type[_T]) -> msgspec.json.Decoder[_T]:
    return msgspec.json.Decoder(model, strict=False)


_CERTIFICATES = _decoder(models.CertificatesReply)
_ENVELOPE = _decoder(models.Envelope)
_LENIENT_DATA = _decoder(models.LenientData)
_LENIENT_ORDER = _decoder(models.LenientOrder)
_CERTIFICATE = _decoder(models.Certificate)
_CODES = _decoder(models.Codes)
_MINT_DATA = _decoder(models.MintData)
_LOGIN_DATA = _decoder(models.LoginData)


def _decode(decoder: msgspec.json.Decoder[_T], raw: bytes | msgspec.Raw) -> _T | None:
    try:
        return decoder.decode(raw)
    except _DECODE_ERRORS:
        return None


def _open_envelope(response: Response, known: dict[int, codes.ErrorMapping]) -> msgspec.Raw:
    """Return the raw `data` of a response that reports no error; raises UpstreamError."""
    if response.status == 429 or response.status >= 500:
        error = RateLimitedError if response.status == 429 else UpstreamUnavailableError
        raise error(f"http_{response.status}", retryable=True, retry_after=_retry_after(response))
    envelope = _decode(_ENVELOPE, response.body)
    if envelope is not None:
        data, extra = (_decode(_CODES, raw) or models.Codes() for raw in (envelope.data, envelope.extra))
        _raise_for_codes(known, data, extra, envelope.err_no, envelope.log_id)
    if response.status != 200:
        raise UpstreamUnavailableError(f"http_{response.status}")
    if envelope is None:
        raise UpstreamMalformedError("malformed", retryable=True)
    return envelope.data


def _raise_for_codes(
    known: dict[int, codes.ErrorMapping],
    data: models.CertificatesData | models.Codes,
    extra: models.Extra | models.Codes,
    err_no: int | None,
    log_id: Any,
) -> None:
    """Raise the error of a response that has a code other than 0 in any of the places where the platform puts one."""
    found = (data.error_code or 0, extra.error_code or 0, err_no or 0)
    sub_code = extra.sub_error_code or 0
    if not any(found) and not sub_code:
        return
    mapping, code = codes.map_error(known, found, sub_code)
    evidence = Evidence(next(filter(None, found), 0), sub_code, _logid(extra.logid, log_id))
    reason = str(code) if mapping is not codes.UNKNOWN else "unknown_code"
    raise mapping.error(reason, retryable=mapping.retryable, evidence=evidence)


def _parse_leniently(response: Response) -> Page:
    """Parse a page in which something is not as documented: decode each order and each certificate separately."""
    envelope = _decode(_ENVELOPE, response.body)
    data = _decode(_LENIENT_DATA, _open_envelope(response, codes.CERTIFICATES))
    if envelope is None or _decode(_CODES, envelope.extra) is None or data is None or data.orders is None:
        raise UpstreamMalformedError("malformed", retryable=True)
    orders: list[models.Order] = []
    size = malformed = 0
    for raw_order in data.orders:
        order = _decode(_LENIENT_ORDER, raw_order)
        if order is None:
            malformed += 1
            continue
        raw_certificates = order.certificates or []
        decoded = [_decode(_CERTIFICATE, raw) for raw in raw_certificates]
        readable = [certificate for certificate in decoded if certificate is not None]
        size += len(raw_certificates)
        malformed += len(raw_certificates) - len(readable)
        orders.append(models.Order(order.order_id, order.can_use, readable))
    return Page(orders, size, _count(data.total), malformed)


def _repair_utf8(body: bytes) -> bytes:
    """Return the same JSON with invalid UTF-8 replaced, or empty bytes when it is not JSON.

    One unpaired surrogate or stray byte in one title must not cost the whole page.
    """
    try:
        value = json.loads(body.decode("utf-8", "replace"), parse_constant=_reject_constant)
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return b""


def _reject_constant(name: str) -> None:
    # NaN and Infinity are not JSON, but Python's decoder accepts them.
    raise ValueError(name)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _count(value: Any) -> int | None:
    """Return a count of 0 or more that may arrive as a string or a float, or None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _logid(*candidates: Any) -> str:
    # Logged and shown to operators: accept only what looks like a log id.
    return next((c for c in candidates if isinstance(c, str) and c.isascii() and c.isalnum() and len(c) <= 64), "")


def _retry_after(response: Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) <= 4 else None
