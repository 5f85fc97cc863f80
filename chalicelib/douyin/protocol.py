"""The platform's protocol without I/O: build a request, parse a response.

A call succeeded when the HTTP status is 200, the body is a JSON envelope, and all error codes in it are zero. Text
fields are not evaluated. Endpoints: `query_user_certificates`, `client_token` (mint), `jscode2session` (login), and
`code2session` (login in an app of a service provider).
`open_envelope` decides whether a response is a success or an error. `pages` reads a page.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from chalicelib.douyin import codes, lenient, models
from chalicelib.errors import Evidence, RateLimitedError, UpstreamMalformedError, UpstreamUnavailableError
from chalicelib.redaction import RedactedStruct

S = TypeVar("S", bound=msgspec.Struct)

PAGE_SIZE = 50
"""Certificates per page; the platform's maximum."""

MAX_RETRY_AFTER_SECONDS = 60.0
"""The longest wait that a customer is asked for, whatever the platform's Retry-After says."""

BY_CERTIFICATE = 1
"""The `page_dimension` in which `total` and the page size count certificates; 2 counts orders."""

CERTIFICATES_PATH = "/api/trade/v2/fulfillment/query_user_certificates/"
MINT_PATH = "/oauth/client_token/"
LOGIN_PATH = "/api/apps/v2/jscode2session"
PROVIDER_LOGIN_PATH = "/api/apps/v1/microapp/code2session/"


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


class Selection(msgspec.Struct, frozen=True):
    """Which certificates a caller requests. Fields that are empty or None are not sent."""

    account_id: str
    #: The store, or "" for any.
    poi_id: str = ""
    #: The business type: 1 redemption tool (the platform's default), 2 mixed.
    biz_type: int | None = None
    #: The start of the platform's `time_range`, in epoch seconds.
    start_time: int | None = None
    #: The end of the platform's `time_range`, in epoch seconds.
    end_time: int | None = None


class CertificatesQuery(RedactedStruct, frozen=True):
    """What the platform is asked: the caller's selection, the user, and the merchant's root account."""

    selection: Selection
    open_id: str
    #: The value of the header `Rpc-Transit-Life-Account`.
    life_account_id: str | None = None
    page_size: int = PAGE_SIZE


class MintedToken(RedactedStruct, frozen=True):
    """`data` of client_token: a new access token and its lifetime in seconds."""

    access_token: str
    expires_in: models.Int


CONNECTION_TEST = Request("/", method="HEAD")
"""A request for nothing: it opens a connection that the next request reuses."""


def certificates_request(query: CertificatesQuery, number: int, access_token: str) -> Request:
    """Build the request of page `number` (from 1)."""
    selection = query.selection
    time_range = {"start_time": selection.start_time, "end_time": selection.end_time}
    body = {
        "account_id": selection.account_id,
        "open_id": query.open_id,
        "poi_id": selection.poi_id or None,
        "biz_type": selection.biz_type,
        "page": number,
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


def provider_login_request(app_id: str, access_token: str, code: str) -> Request:
    """Build the request that exchanges a code in an app of a service provider: with the app's token, not its secret.

    DD/thirdparty/API/smallprogram/auth-app-manage/login/code2session-v2 describes it.
    """
    headers = {"content-type": "application/json", "access-token": access_token}
    return Request(PROVIDER_LOGIN_PATH, msgspec.json.encode({"app_id": app_id, "code": code}), headers)


def parse_mint(response: Response) -> MintedToken:
    """Parse a new token; raises UpstreamError."""
    minted = _read_data(response, codes.MINT_ERRORS, MintedToken)
    if not is_access_token(minted.access_token) or minted.expires_in <= 0:
        raise UpstreamMalformedError("malformed")
    return minted


def parse_login(response: Response) -> str:
    """Parse the user's open_id; raises UpstreamError."""
    return _read_data(response, codes.LOGIN_ERRORS, models.LoginData).openid


def parse_provider_login(response: Response) -> str:
    """Parse the user's open_id in an app of a service provider; raises UpstreamError."""
    return _read_data(response, codes.PROVIDER_LOGIN_ERRORS, models.ProviderLoginData).open_id


def _read_data(response: Response, known: dict[int, codes.ErrorType], model: type[S]) -> S:
    """Return the `data` of a short reply; raises UpstreamError, also when a required field is missing or malformed."""
    data = lenient.read(open_envelope(response, known).get("data"), model, "data", [])
    if data is None:
        raise UpstreamMalformedError("malformed")
    return data


def is_access_token(text: str) -> bool:
    """Return whether a text can be an access token: anything else could not be sent in a header."""
    return _ACCESS_TOKEN.fullmatch(text) is not None


_ACCESS_TOKEN = re.compile(r"[!-~]{1,2048}")


def open_envelope(response: Response, known: dict[int, codes.ErrorType]) -> dict[str, Any]:
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
    evidence = Evidence(next(iter(reported), 0), sub_code, read_logid(extra.logid, gateway.log_id))
    retry_after = _retry_after(response)
    if decision := codes.decide_error(known, reported, sub_code):
        code, error_type = decision
        raise error_type(str(code), evidence, retry_after=retry_after)
    if response.status != 200:
        error_type = RateLimitedError if response.status == 429 else UpstreamUnavailableError
        is_transient = response.status == 429 or response.status >= 500
        raise error_type(f"http_{response.status}", evidence, is_transient=is_transient, retry_after=retry_after)
    if evidence.has_code:
        raise UpstreamUnavailableError("unknown_code", evidence, is_transient=False)
    # A malformed error code may hide a failure.
    if not isinstance(body, dict) or malformed:
        raise UpstreamMalformedError("malformed")
    return envelope


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def read_logid(*candidates: Any) -> str:
    """Return the first candidate that can be a log id, or "". It is logged and shown to operators."""
    return next((c for c in candidates if isinstance(c, str) and c.isascii() and c.isalnum() and len(c) <= 64), "")


def _retry_after(response: Response) -> float:
    value = response.headers.get("retry-after", "")
    return min(float(value), MAX_RETRY_AFTER_SECONDS) if value.isascii() and value.isdigit() else 0.0
