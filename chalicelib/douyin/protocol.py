"""The platform's protocol without I/O: build a request, parse a response.

A call succeeded when the HTTP status is 200, the body is a JSON envelope, and all error codes in it are zero. Text
fields are not evaluated. Endpoints: `query_user_certificates`, `client_token` (mint), `jscode2session` (login).

Three functions read a body. `_open_envelope` decides, for every endpoint, whether a response is a success or an error.
A page is first read by `_parse_documented`, in one pass of a typed decoder: it returns the page, or None when anything
is not as documented. Then `_parse_leniently` reads it field by field; it accepts other forms that mean the same, and
it alone decides what is malformed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from chalicelib.douyin import codes, lenient, models
from chalicelib.errors import Evidence, RateLimitedError, UpstreamMalformedError, UpstreamUnavailableError
from chalicelib.redaction import RedactedStruct

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE_SIZE = 50
"""Certificates per page; the platform's maximum."""

MAX_PAGE_CERTIFICATES = 300
"""The platform sends PAGE_SIZE at most. A page with more than this is malformed: the response might not fit."""

MAX_RETRY_AFTER_SECONDS = 60.0
"""A customer is not asked to wait for longer, whatever the platform's Retry-After says."""

BY_CERTIFICATE = 1
"""The `page_dimension` in which `total` and the page size count certificates; 2 counts orders."""

CERTIFICATES_PATH = "/api/trade/v2/fulfillment/query_user_certificates/"
MINT_PATH = "/oauth/client_token/"
LOGIN_PATH = "/api/apps/v2/jscode2session"

_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


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


class Selection(msgspec.Struct, frozen=True):
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

    selection: Selection
    open_id: str
    life_account_id: str | None = None
    page_size: int = PAGE_SIZE


class Page(RedactedStruct, frozen=True):
    """One page.

    `orders`: its readable orders. `size`: the number of certificates in it, readable or not.
    `total`: the number of certificates on all pages as the platform reports it, or None when it is unusable.
    `hidden`: the number of certificates that cannot be shown, because an id or their order's `can_use` is unreadable.
    `malformed`: the paths of malformed fields, for each certificate_id that has any ("" for hidden certificates).
    """

    orders: list[models.Order]
    size: int
    total: int | None
    hidden: int = 0
    malformed: dict[str, list[str]] = msgspec.field(default_factory=dict)


class MintedToken(RedactedStruct, frozen=True):
    """A new access token and its lifetime in seconds."""

    access_token: str
    expires_in: int


CONNECT_REQUEST = Request("/", method="HEAD")
"""Requests nothing: it only opens a connection that the next request reuses."""


def certificates_request(query: CertificatesQuery, page: int, access_token: str) -> Request:
    """Build the request of page `page` (from 1)."""
    selection = query.selection
    time_range = {"start_time": selection.start_time, "end_time": selection.end_time}
    body = {
        "account_id": selection.account_id,
        "open_id": query.open_id,
        "poi_id": selection.poi_id or None,
        "biz_type": selection.biz_type,
        "page": page,
        "page_size": query.page_size,
        "page_dimension": BY_CERTIFICATE,
        "time_range": _without_none(time_range) or None,
    }
    headers = {"content-type": "application/json", "access-token": access_token}
    if query.life_account_id is not None:
        headers["Rpc-Transit-Life-Account"] = query.life_account_id
    return Request(CERTIFICATES_PATH, msgspec.json.encode(_without_none(body)), headers)


def mint_request(app_id: str, app_secret: str) -> Request:
    """Build the request of a new access token. The app's previous token stays valid for five minutes."""
    body = {"client_key": app_id, "client_secret": app_secret, "grant_type": "client_credential"}
    return Request(MINT_PATH, msgspec.json.encode(body), {"content-type": "application/json"})


def login_request(app_id: str, app_secret: str, code: str) -> Request:
    """Build the request that exchanges a code of tt.login (valid once, for five minutes) for the user's openid."""
    body = {"appid": app_id, "secret": app_secret, "code": code}
    return Request(LOGIN_PATH, msgspec.json.encode(body), {"content-type": "application/json"})


def parse_certificates(response: Response, number: int = 1, page_size: int = PAGE_SIZE) -> Page:
    """Parse page `number` (from 1) of a list with `page_size` certificates per page; raises UpstreamError.

    A malformed field counts as missing; see `Page` for what is reported.
    """
    page = _parse_documented(response) or _parse_leniently(response, number, page_size)
    if page.size > MAX_PAGE_CERTIFICATES:
        raise UpstreamMalformedError("too_large")
    return page


def parse_mint(response: Response) -> MintedToken:
    """Parse a new token; raises UpstreamError."""
    data = lenient.read(_open_envelope(response, codes.MINT).get("data"), models.MintData, "data", [])
    if data is None or not is_access_token(data.access_token) or data.expires_in <= 0:
        raise UpstreamMalformedError("malformed", retryable=True)
    return MintedToken(data.access_token, data.expires_in)


def parse_login(response: Response) -> str:
    """Parse the user's open_id; raises UpstreamError."""
    data = lenient.read(_open_envelope(response, codes.LOGIN).get("data"), models.LoginData, "data", [])
    if data is None or not data.openid:
        raise UpstreamMalformedError("malformed", retryable=True)
    return data.openid


def is_access_token(text: str) -> bool:
    """Return whether a text can be an access token: anything else could not be sent in a header."""
    return _ACCESS_TOKEN.fullmatch(text) is not None


_ACCESS_TOKEN = re.compile(r"[!-~]{1,2048}", re.ASCII)
_CERTIFICATES = msgspec.json.Decoder(models.CertificatesReply, strict=False)


def _open_envelope(response: Response, known: dict[int, codes.ErrorMapping]) -> dict[str, Any]:
    """Return the envelope of a response that reports no error; raises UpstreamError."""
    if response.status == 429 or response.status >= 500:
        error = RateLimitedError if response.status == 429 else UpstreamUnavailableError
        raise error(f"http_{response.status}", retryable=True, retry_after=_retry_after(response))
    try:
        envelope = lenient.decode_json(response.body)
    except ValueError:
        envelope = None
    malformed: list[str] = []
    if isinstance(envelope, dict):
        data, extra = (
            lenient.read(envelope.get(name) or {}, models.Codes, name, malformed) or models.Codes()
            for name in ("data", "extra")
        )
        gateway = lenient.read(envelope, models.GatewayStatus, "", malformed) or models.GatewayStatus()
        _raise_for_codes(known, data, extra, gateway.err_no, gateway.log_id)
    if response.status != 200:
        raise UpstreamUnavailableError(f"http_{response.status}")
    # A malformed error code may hide a failure.
    if not isinstance(envelope, dict) or malformed:
        raise UpstreamMalformedError("malformed", retryable=True)
    return envelope


def _raise_for_codes(
    known: dict[int, codes.ErrorMapping], data: models.Codes, extra: models.Codes, err_no: int | None, log_id: Any
) -> None:
    """Raise the error of a response that has a code other than 0 in any of the places where the platform puts one."""
    found = (data.error_code or 0, extra.error_code or 0, err_no or 0)
    sub_code = extra.sub_error_code or 0
    if not any(found) and not sub_code:
        return
    mapping, code = codes.map_error(known, found, sub_code)
    evidence = Evidence(next(filter(None, found), 0), sub_code, read_logid(extra.logid, log_id))
    reason = str(code) if mapping is not codes.UNKNOWN else "unknown_code"
    raise mapping.error(reason, retryable=mapping.retryable, evidence=evidence)


def _parse_documented(response: Response) -> Page | None:
    """Parse a page that reports no error and in which everything is as documented; otherwise return None."""
    if response.status != 200:
        return None
    try:
        reply = _CERTIFICATES.decode(response.body)
    except _DECODE_ERRORS:
        return None
    data, extra = reply.data, reply.extra or models.Codes()
    if extra.error_code or extra.sub_error_code or reply.err_no:
        return None
    if data is None or data.error_code or data.orders is None:
        return None
    certificates = [certificate for order in data.orders for certificate in order.certificates or ()]
    ids = [*(order.order_id for order in data.orders), *(c.certificate_id for c in certificates)]
    ids += [c.sku_info.sku_id for c in certificates if c.sku_info is not None and c.sku_info.sku_id is not None]
    is_documented = all(isinstance(order.can_use, bool | None) for order in data.orders) and not any(
        isinstance(found, int) and len(str(found)) > models.MAX_ID_LENGTH for found in ids
    )
    return Page(data.orders, len(certificates), _count(data.total)) if is_documented else None


def _parse_leniently(response: Response, number: int, page_size: int) -> Page:
    """Parse a page in which something is not as documented."""
    envelope = _open_envelope(response, codes.CERTIFICATES)
    orders: list[models.Order] = []
    malformed: dict[str, list[str]] = {}
    size = hidden = 0
    for value in _read_orders(envelope, number, page_size):
        certificates: Any = []
        if isinstance(value, dict):
            certificates = value.pop("certificates", None) or []
        paths: list[str] = []
        order = lenient.read(value, models.Order, "orders", paths)
        if not isinstance(certificates, list):
            certificates = []
            paths.append("orders.certificates")
        size += len(certificates)
        if paths or order is None:
            hidden += max(1, len(certificates))
            malformed.setdefault("", []).extend(paths)
            continue
        can_use = _read_can_use(order.can_use)
        if can_use is None:
            hidden += len(certificates)
            malformed.setdefault("", []).append("orders.can_use")
        order.can_use = can_use or False
        order.certificates = []
        for raw in certificates:
            paths = []
            certificate = lenient.read(raw, models.Certificate, "orders.certificates", paths)
            if certificate is None:
                hidden += can_use is not None
                malformed.setdefault("", []).extend(paths)
                continue
            order.certificates.append(certificate)
            if paths:
                malformed[str(certificate.certificate_id)] = paths
        orders.append(order)
    return Page(orders, size, _count(envelope["data"].get("total")), hidden, malformed)


def _read_orders(envelope: dict[str, Any], number: int, page_size: int) -> list[Any]:
    """Return the orders of an envelope without errors; raises UpstreamMalformedError when there is no list.

    The platform's services may write an empty list as null, or leave it out. A reply without `orders` is an empty page
    only if it reports success or a total of 0, and if no certificate can be expected on this page.
    """
    data, extra = envelope.get("data"), envelope.get("extra") or {}
    if isinstance(data, dict):
        orders = data.get("orders", ...)
        if orders is None or isinstance(orders, list):
            return orders or []
        total = _count(data.get("total"))
        reported = (
            data.get("error_code"),
            extra.get("error_code"),
            extra.get("sub_error_code"),
            envelope.get("err_no"),
        )
        is_success = total == 0 or any(code is not None for code in reported)
        is_behind = data.get("total") is None or (total is not None and total <= (number - 1) * page_size)
        if orders is ... and is_success and is_behind:
            return []
    raise UpstreamMalformedError("malformed", retryable=True)


def _read_can_use(value: Any) -> bool | None:
    """Return whether an order is usable, or None when the value means neither."""
    # 1 and 0 are equal to True and False.
    if value in (True, "true", "1"):
        return True
    return False if value in (False, "false", "0", None) else None


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _count(value: Any) -> int | None:
    """Return a count of 0 or more that may arrive as a string or a float, or None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def read_logid(*candidates: Any) -> str:
    """Return the first candidate that can be a log id, or "". It is logged and shown to operators."""
    return next((c for c in candidates if isinstance(c, str) and c.isascii() and c.isalnum() and len(c) <= 64), "")


def _retry_after(response: Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return min(float(value), MAX_RETRY_AFTER_SECONDS) if value.isascii() and value.isdigit() else None
