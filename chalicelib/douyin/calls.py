"""The calls of the platform that this service makes: one `PlatformCall` for each.

A `PlatformCall` has the properties of one call. `client` does what every call needs: time limits, call log, retries.
`authorized_calls` does what a call with an app's token needs in addition: it adds the token, and replaces it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from chalicelib.douyin import codes
from chalicelib.douyin.codes import ErrorTable
from chalicelib.douyin.pages import Page, parse_page
from chalicelib.douyin.protocol import LoginData, MintedToken, ProviderLoginData, parse_data

T = TypeVar("T")

PAGE_SIZE = 50
"""Certificates per page; the platform's maximum."""

BY_CERTIFICATE = 1
"""The `page_dimension` in which `total` and the page size count certificates; 2 counts orders."""


class PlatformCall(msgspec.Struct, Generic[T], frozen=True):
    """A call of the platform: a POST request with a JSON body."""

    #: The name in logs and traces. The mock platform has the same names.
    name: str
    path: str
    #: The error of each code that the platform documents for this call.
    error_table: ErrorTable
    #: Returns the result of a reply without errors, or raises UpstreamMalformedError.
    parse: Callable[[dict[str, Any]], T]
    #: Whether the call carries an app's access token: then `authorized_calls` sends it.
    needs_token: bool
    #: Whether the call may be sent again after a transient error. Otherwise it is sent once.
    is_repeatable: bool
    #: Whether the call goes to the login API, which has a host of its own. All others go to the open API.
    uses_login_api: bool = False
    #: The largest accepted reply, in bytes. Replies other than pages are below 2 KiB.
    max_bytes: int = 64 * 1024


# A page of 50 certificates with every field is below 100 KiB: up to 2 KiB for each. Four pages of `max_bytes` fit into
# one response of Lambda, even if its runtime client writes all characters but printable ASCII as escapes.
QUERY_USER_CERTIFICATES: PlatformCall[Page] = PlatformCall(
    "query_user_certificates",
    "/api/trade/v2/fulfillment/query_user_certificates/",
    codes.QUERY_ERRORS,
    parse_page,
    needs_token=True,
    is_repeatable=True,
    max_bytes=320 * 1024,
)
# If only the reply to a mint is lost, the app has a new token. A second mint could invalidate the token in use.
CLIENT_TOKEN: PlatformCall[MintedToken] = PlatformCall(
    "client_token", "/oauth/client_token/", codes.MINT_ERRORS, partial(parse_data, model=MintedToken),
    needs_token=False, is_repeatable=False,
)  # fmt: skip
# Not repeatable, because a login code is valid once.
JSCODE2SESSION: PlatformCall[LoginData] = PlatformCall(
    "jscode2session", "/api/apps/v2/jscode2session", codes.LOGIN_ERRORS, partial(parse_data, model=LoginData),
    needs_token=False, is_repeatable=False, uses_login_api=True,
)  # fmt: skip
# docs/platform.md names its document, code2session-v2.
CODE2SESSION: PlatformCall[ProviderLoginData] = PlatformCall(
    "code2session", "/api/apps/v1/microapp/code2session/", codes.PROVIDER_LOGIN_ERRORS,
    partial(parse_data, model=ProviderLoginData), needs_token=True, is_repeatable=False,
)  # fmt: skip


class ListQuery(msgspec.Struct, frozen=True):
    """Which certificates to list: merchant, store and filters. Fields that are empty or None are not sent."""

    account_id: str
    #: The store, or "" for any.
    poi_id: str = ""
    #: The business type: 1 redemption tool (the platform's default), 2 mixed.
    biz_type: int | None = None
    #: The start of the platform's `time_range`, in epoch seconds.
    start_time: int | None = None
    #: The end of the platform's `time_range`, in epoch seconds.
    end_time: int | None = None


def page_body(list_query: ListQuery, open_id: str, number: int, size: int = PAGE_SIZE) -> dict[str, Any]:
    """Return the body that requests page `number` (from 1) of a user's certificates."""
    time_range = {"start_time": list_query.start_time, "end_time": list_query.end_time}
    body = {
        "account_id": list_query.account_id,
        "open_id": open_id,
        "poi_id": list_query.poi_id or None,
        "biz_type": list_query.biz_type,
        "page": number,
        "page_size": size,
        "page_dimension": BY_CERTIFICATE,
        "time_range": _without_none(time_range) or None,
    }
    return _without_none(body)


def client_token_body(app_id: str, app_secret: str) -> dict[str, Any]:
    """Return the body that requests a new access token. The app's previous token stays valid for five minutes."""
    return {"client_key": app_id, "client_secret": app_secret, "grant_type": "client_credential"}


def jscode2session_body(app_id: str, app_secret: str, code: str) -> dict[str, Any]:
    """Return the body that exchanges a code of tt.login (valid once, for five minutes) for the user's openid."""
    return {"appid": app_id, "secret": app_secret, "code": code}


def code2session_body(app_id: str, code: str) -> dict[str, Any]:
    """Return the body that exchanges a code in an app of a service provider. The app's token is in a header."""
    return {"app_id": app_id, "code": code}


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
