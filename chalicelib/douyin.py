"""The platform's dialect without the network: build a request, read a reply.

Success means HTTP 200, a JSON envelope, and none of its error codes other than zero; text fields decide nothing.
Endpoints: `query_user_certificates` (certificates), `client_token` (mint), `jscode2session` (login).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from chalicelib import codes, wire
from chalicelib.errors import (
    Evidence,
    RateLimitedError,
    UpstreamError,
    UpstreamMalformedError,
    UpstreamUnavailableError,
)
from chalicelib.guarded import Guarded

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE_SIZE = 50
"""Certificates a page, the most the platform gives."""

BY_CERTIFICATE = 1
BY_ORDER = 2

CERTIFICATES_PATH = "/api/trade/v2/fulfillment/query_user_certificates/"
MINT_PATH = "/oauth/client_token/"
LOGIN_PATH = "/api/apps/v2/jscode2session"

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_T = TypeVar("_T")


class Request(Guarded, frozen=True):
    """Path below the API's base URL, JSON body, headers."""

    path: str
    body: bytes = b""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    method: str = "POST"


class Reply(Guarded, frozen=True):
    """What came back, header names in lower case; `body` is complete."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CertificatesQuery(Guarded, frozen=True):
    """What is asked about: whose certificates, at which merchant, usable in which store.

    `biz_type`: 1 redemption tool (the platform's default), 2 mixed. `start_time` and `end_time`: epoch seconds, sent
    as `time_range`. `life_account_id`: the merchant's root account, sent as `Rpc-Transit-Life-Account`.
    None is left out of the request.
    """

    account_id: str
    open_id: str
    poi_id: str | None = None
    biz_type: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    life_account_id: str | None = None
    page_size: int = PAGE_SIZE
    page_dimension: int = BY_CERTIFICATE


class Page(msgspec.Struct, frozen=True):
    """One page: its readable orders, how many certificates it held, how many parts of it were malformed.

    `total` is what the platform says all pages hold together, None when it says nothing usable.
    """

    orders: list[wire.Order]
    size: int
    total: int | None
    malformed: int = 0


class Minted(Guarded, frozen=True):
    """A fresh access token and its life in seconds."""

    access_token: str
    expires_in: int


GREETING = Request("/", method="HEAD")
"""Asks for nothing: what counts is the connection that it leaves behind."""


def certificates_request(query: CertificatesQuery, page: int, access_token: str) -> Request:
    """Ask for page `page` (from 1) of the certificates that `query` is about."""
    time_range = {"start_time": query.start_time, "end_time": query.end_time}
    body = {
        "account_id": query.account_id,
        "open_id": query.open_id,
        "poi_id": query.poi_id,
        "biz_type": query.biz_type,
        "page": page,
        "page_size": query.page_size,
        "page_dimension": query.page_dimension,
        "time_range": _present(time_range) or None,
    }
    headers = {"content-type": "application/json", "access-token": access_token}
    if query.life_account_id is not None:
        headers["Rpc-Transit-Life-Account"] = query.life_account_id
    return Request(CERTIFICATES_PATH, msgspec.json.encode(_present(body)), headers)


def mint_request(app_id: str, app_secret: str) -> Request:
    """Ask for a new access token of an app; the app's token before last dies of it."""
    body = {"client_key": app_id, "client_secret": app_secret, "grant_type": "client_credential"}
    return Request(MINT_PATH, msgspec.json.encode(body), {"content-type": "application/json"})


def login_request(app_id: str, app_secret: str, code: str) -> Request:
    """Exchange a code of tt.login, good once and for five minutes, for the user's openid."""
    body = {"appid": app_id, "secret": app_secret, "code": code}
    return Request(LOGIN_PATH, msgspec.json.encode(body), {"content-type": "application/json"})


def read_certificates(reply: Reply) -> Page:
    """Read a page; raises UpstreamError. A part that is malformed is left out and counted, the others stay."""
    if reply.status == 200:
        try:
            full = _FULL.decode(reply.body)
        except msgspec.ValidationError:
            return _read_loosely(reply)
        except _UNREADABLE:
            return _read_loosely(msgspec.structs.replace(reply, body=_mended(reply.body)))
        if full.data is not None and full.extra is not None and full.data.orders is not None:
            _raise_for_codes(codes.CERTIFICATES, full.data, full.extra, full.err_no, full.log_id)
            orders = full.data.orders
            return Page(orders, sum(len(order.certificates or ()) for order in orders), _count(full.data.total))
    _open_envelope(reply, codes.CERTIFICATES)
    raise UpstreamMalformedError("malformed", passing=True)


def read_mint(reply: Reply) -> Minted:
    """Read a fresh token; raises UpstreamError."""
    data = _decode(_MINTED, _open_envelope(reply, codes.MINT))
    if data is None or not data.access_token or data.expires_in <= 0:
        raise UpstreamMalformedError("malformed", passing=True)
    return Minted(data.access_token, data.expires_in)


def read_login(reply: Reply) -> str:
    """Read the user's open_id; raises UpstreamError."""
    data = _decode(_LOGGED_IN, _open_envelope(reply, codes.LOGIN))
    if data is None or not data.openid:
        raise UpstreamMalformedError("malformed", passing=True)
    return data.openid


def _decoder(model: type[_T]) -> msgspec.json.Decoder[_T]:
    return msgspec.json.Decoder(model, strict=False)


_FULL = _decoder(wire.CertificatesReply)
_LOOSE = _decoder(wire.LooseReply)
_LOOSE_DATA = _decoder(wire.LooseData)
_LOOSE_ORDER = _decoder(wire.LooseOrder)
_CERTIFICATE = _decoder(wire.Certificate)
_CODES = _decoder(wire.Codes)
_MINTED = _decoder(wire.MintData)
_LOGGED_IN = _decoder(wire.LoginData)


def _decode(decoder: msgspec.json.Decoder[_T], raw: bytes | msgspec.Raw) -> _T | None:
    try:
        return decoder.decode(raw)
    except _UNREADABLE:
        return None


def _open_envelope(reply: Reply, known: dict[int, codes.Treatment]) -> msgspec.Raw:
    """Return the `data` of a reply that reports no failure, whatever it is; raises UpstreamError."""
    if reply.status == 429 or reply.status >= 500:
        error = RateLimitedError if reply.status == 429 else UpstreamUnavailableError
        raise error(f"http_{reply.status}", passing=True, retry_after=_retry_after(reply))
    envelope = _decode(_LOOSE, reply.body)
    if envelope is not None:
        halves = [_decode(_CODES, half) or wire.Codes() for half in (envelope.data, envelope.extra)]
        _raise_for_codes(known, halves[0], halves[1], envelope.err_no, envelope.log_id)
    if reply.status != 200:
        raise UpstreamUnavailableError(f"http_{reply.status}")
    if envelope is None:
        raise UpstreamMalformedError("malformed", passing=True)
    return envelope.data


def _raise_for_codes(
    known: dict[int, codes.Treatment],
    data: wire.CertificatesData | wire.Codes,
    extra: wire.Extra | wire.Codes,
    err_no: int | None,
    log_id: Any,
) -> None:
    found = (data.error_code or 0, extra.error_code or 0, err_no or 0)
    sub_code = extra.sub_error_code or 0
    if not any(found) and not sub_code:
        return
    treatment, deciding = codes.treatment_of(known, found, sub_code)
    evidence = Evidence(next(filter(None, found), 0), sub_code, _logid(extra.logid, log_id))
    reason = str(deciding) if treatment is not codes.UNKNOWN else "unknown_code"
    raise treatment.error(reason, passing=treatment.retried, evidence=evidence)


def _read_loosely(reply: Reply) -> Page:
    """Read a page in which something is not as documented: each order and each certificate by itself."""
    envelope = _decode(_LOOSE, reply.body)
    data = _decode(_LOOSE_DATA, _open_envelope(reply, codes.CERTIFICATES))
    if envelope is None or _decode(_CODES, envelope.extra) is None or data is None or data.orders is None:
        raise UpstreamMalformedError("malformed", passing=True)
    orders: list[wire.Order] = []
    size = malformed = 0
    for raw_order in data.orders:
        loose = _decode(_LOOSE_ORDER, raw_order)
        if loose is None:
            malformed += 1
            continue
        raw_certificates = loose.certificates or []
        read = [_decode(_CERTIFICATE, raw) for raw in raw_certificates]
        good = [certificate for certificate in read if certificate is not None]
        size += len(raw_certificates)
        malformed += len(raw_certificates) - len(good)
        orders.append(wire.Order(loose.order_id, loose.can_use, good))
    return Page(orders, size, _count(data.total), malformed)


def _mended(body: bytes) -> bytes:
    """The same JSON without what has no place in UTF-8; empty when it is none.

    Half a surrogate pair, or a byte that is no text, in one title must not cost the whole page.
    """
    try:
        value = json.loads(body.decode("utf-8", "replace"), parse_constant=_no_json)
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return b""


def _no_json(name: str) -> None:
    raise ValueError(name)


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _logid(*candidates: Any) -> str:
    # It is shown to operators and logged: only what looks like one is taken over.
    return next((c for c in candidates if isinstance(c, str) and c.isascii() and c.isalnum() and len(c) <= 64), "")


def _retry_after(reply: Reply) -> float | None:
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) <= 4 else None


def is_passing(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later."""
    return isinstance(error, UpstreamError) and error.passing
