"""Mock platform (模拟抖音平台) without HTTP: tokens, logins, the certificates of a user at a merchant, and one order.

Follows the platform's document. sandbox/README.md lists what the document does not specify.
"""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from sandbox.sample_data import App, Purchase, SampleData, SampleMerchant

TOKEN_SECONDS = 7200
PREVIOUS_TOKEN_SECONDS = 300
"""Remaining validity of the previous token after a new one was minted."""
LOGIN_CODE_SECONDS = 300
MAX_PAGE_SIZE = 50
MAX_ORDER_ID_BYTES = 64
CERTIFICATE_SCOPE = "industry_open.trade.certificate_query"

CALL_PATHS = {
    "client_token": "/oauth/client_token/",
    "jscode2session": "/api/apps/v2/jscode2session",
    "code2session": "/api/apps/v1/microapp/code2session/",
    "query_user_certificates": "/api/trade/v2/fulfillment/query_user_certificates/",
    "order_can_use": "/api/trade/v2/fulfillment/order_can_use/",
}
"""The calls that are served, with their paths. Fault rules know these names.

For another call of the trade API, add a row here, and a method with its name to MockPlatform.
"""


class PlatformError(Exception):
    """The platform returns an error code, and possibly a sub code, instead of data."""

    def __init__(self, code: int, description: str, sub_code: int = 0) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.sub_code = sub_code


@dataclass
class Token:
    """An access token; `expires_at` is in epoch seconds."""

    value: str = field(repr=False)
    app_id: str = ""
    expires_at: float = 0.0


class MockPlatform:
    """State and rules of the platform.

    By default, orders that cannot be used in the store are listed with `can_use` false. With `hides_unusable`, a filter
    removes them. By default, the list is cut into pages and the total is counted before this filter.
    """

    def __init__(self, data: SampleData) -> None:
        self.data = data
        self.hides_unusable = False
        self.cuts_before_filter = True
        self.counts_before_filter = True
        self._tokens: dict[str, list[Token]] = {}
        self._provider_tokens: dict[str, list[Token]] = {}
        self._codes: dict[str, tuple[str, str, float]] = {}

    def mint_token(self, body: Any) -> dict[str, Any]:
        """Respond to `client_token` with a new token.

        The previous token stays valid for five minutes; all older tokens become invalid.
        """
        app = self._app_of_secret(body)
        token = self._new_token(app)
        previous = self._tokens.get(app.app_id, [])[-1:]
        for old in previous:
            old.expires_at = min(old.expires_at, time.time() + PREVIOUS_TOKEN_SECONDS)
        self._tokens[app.app_id] = [*previous, token]
        return {"access_token": token.value, "expires_in": TOKEN_SECONDS}

    def issue_provider_token(self, app_id: str) -> Token:
        """Return a new `authorizer_access_token` of an app, as a service provider's system obtains it.

        The document does not say whether a new token affects the older ones. Here it does not.
        """
        token = Token(f"isvact.{secrets.token_hex(16)}", self.data.apps[app_id].app_id, time.time() + TOKEN_SECONDS)
        self._provider_tokens.setdefault(app_id, []).append(token)
        return token

    def revoke_tokens(self, app_id: str) -> None:
        """Invalidate all tokens of an app."""
        self._tokens.pop(app_id, None)
        self._provider_tokens.pop(app_id, None)

    def issue_login_code(self, app_id: str, customer_key: str) -> str:
        """Return a login code, as tt.login does for this customer in this app; raises ValueError if one is unknown."""
        if app_id not in self.data.apps or customer_key not in self.data.customers:
            raise ValueError("unknown app_id or customer")
        code = secrets.token_urlsafe(24)
        self._codes[code] = (app_id, customer_key, time.time() + LOGIN_CODE_SECONDS)
        return code

    def login(self, body: Any) -> dict[str, Any]:
        """Respond to `jscode2session`; a code is valid once and for five minutes."""
        if not isinstance(body, dict):
            raise PlatformError(40014, "参数为空")
        app = self.data.apps.get(str(body.get("appid") or ""))
        if app is None:
            raise PlatformError(40015, "appid错误")
        if body.get("secret") != app.app_secret:
            raise PlatformError(40017, "secret错误")
        if not body.get("code"):
            raise PlatformError(40014, "参数为空")
        customer_key = self._use_login_code(app, str(body["code"]))
        return {
            "session_key": secrets.token_urlsafe(18),
            "openid": self.data.customers[customer_key].open_ids[app.app_id],
            "anonymous_openid": "",
            "unionid": f"sandbox-union-{customer_key}",
            "dopenid": "",
        }

    def login_with_token(self, headers: dict[str, str], body: Any) -> dict[str, Any]:
        """Respond to `code2session` of a service provider. A refused token does not use the code up."""
        app = self._app_of_token(headers.get("access-token", ""))
        if not isinstance(body, dict) or body.get("app_id") != app.app_id or not body.get("code"):
            raise PlatformError(28001007, "参数不合法")
        # The document does not say which error code means a wrong login code.
        customer_key = self._use_login_code(app, str(body["code"]))
        return {
            "session_key": secrets.token_urlsafe(18),
            "open_id": self.data.customers[customer_key].open_ids[app.app_id],
            "anonymous_open_id": "",
            "union_id": f"sandbox-union-{customer_key}",
        }

    def _use_login_code(self, app: App, code: str) -> str:
        """Use a login code up; return the key of its customer."""
        app_id, customer_key, expires_at = self._codes.pop(code, ("", "", 0.0))
        if app_id != app.app_id or expires_at <= time.time():
            raise PlatformError(40018, "code错误")
        return customer_key

    def query_user_certificates(self, headers: dict[str, str], body: Any) -> dict[str, Any]:
        """Respond to `query_user_certificates` with `orders` and `total`; header names are in lower case."""
        app = self._app_of_query(headers)
        query = _validate_query(body)
        merchant = self._check_merchant(app, query["account_id"], headers)
        customer = self.data.find_customer(app.app_id, query["open_id"])
        purchases = [] if customer is None else self.data.purchases[customer.key]
        orders = [
            _build_order(purchase, query.get("poi_id"))
            for purchase in purchases
            if purchase.account_id == merchant.account_id
            and (purchase.biz_types is None or query.get("biz_type", 1) in purchase.biz_types)
        ]
        page = _build_page(orders, query)
        if self.hides_unusable and query.get("poi_id") is not None:
            filtered_page = _build_page(_remove_unusable(orders), query)
            page["orders"] = _remove_unusable(page["orders"]) if self.cuts_before_filter else filtered_page["orders"]
            page["total"] = page["total"] if self.counts_before_filter else filtered_page["total"]
        return page

    def order_can_use(self, headers: dict[str, str], body: Any) -> dict[str, Any]:
        """Respond to `order_can_use` with `order_id`, `can_use`, and the `certificates` of an order that is usable."""
        app = self._app_of_query(headers)
        if not isinstance(body, dict):
            raise PlatformError(10000, "参数错误: body")
        order_id, poi_id = body.get("order_id"), body.get("poi_id")
        if not isinstance(order_id, str) or not 0 < len(order_id.encode()) < MAX_ORDER_ID_BYTES:
            raise PlatformError(2119001, "参数不合法: order_id")
        if poi_id is not None and not isinstance(poi_id, str):
            raise PlatformError(2119001, "参数不合法: poi_id")
        _, purchase = self.data.find_purchase(order_id)
        if purchase is None:
            # The document of this call has no error table. In the trade system's table, 20000 means "no such order".
            raise PlatformError(2191004, "订单不存在", 20000)
        self._check_merchant(app, purchase.account_id, headers)
        order = _build_order(purchase, poi_id or None)
        names = ("order_id", "can_use", "certificates") if order["can_use"] is True else ("order_id", "can_use")
        return {name: order[name] for name in names if name in order}

    def find_login_customer(self, code: str) -> str | None:
        """Return the key of the customer to whom a login code was issued; None if the code is unknown or used."""
        return self._codes.get(code, ("", None, 0.0))[1]

    def find_app_id(self, access_token: str) -> str | None:
        """Return the app that owns the token, even if it has expired; None if the token is unknown."""
        token = self._find_token(access_token)
        return None if token is None else token.app_id

    def _new_token(self, app: App) -> Token:
        return Token(f"clt.{secrets.token_hex(16)}", app.app_id, time.time() + TOKEN_SECONDS)

    def _find_token(self, access_token: str) -> Token | None:
        groups = (*self._tokens.values(), *self._provider_tokens.values())
        return next((t for tokens in groups for t in tokens if t.value == access_token), None)

    def _app_of_secret(self, body: Any) -> App:
        """Return the app that requests a token; raises PlatformError if its id or secret is wrong."""
        if not isinstance(body, dict) or body.get("grant_type") != "client_credential":
            raise PlatformError(10002, "参数错误")
        app = self.data.apps.get(str(body.get("client_key") or ""))
        if app is None:
            raise PlatformError(10003, "client_key不存在")
        if body.get("client_secret") != app.app_secret:
            raise PlatformError(10013, "client_key或者client_secret报错")
        return app

    def _app_of_query(self, headers: dict[str, str]) -> App:
        """Return the app that sends a query; raises PlatformError if token or content type is wrong."""
        app = self._app_of_token(headers.get("access-token", ""))
        if headers.get("content-type", "").split(";")[0].strip() != "application/json":
            raise PlatformError(10000, "参数错误: content-type")
        return app

    def _check_merchant(self, app: App, account_id: str, headers: dict[str, str]) -> SampleMerchant:
        """Return the merchant if it has authorized the app."""
        merchant = self.data.merchants.get(account_id)
        if merchant is None or app.app_id not in merchant.authorized:
            raise PlatformError(2119005, "应用未获商家授权")
        life_account = headers.get("rpc-transit-life-account")
        if life_account is not None and life_account != merchant.life_account_id:
            raise PlatformError(2119001, "参数不合法: Rpc-Transit-Life-Account")
        return merchant

    def _app_of_token(self, access_token: str) -> App:
        token = self._find_token(access_token)
        if token is None:
            raise PlatformError(2190002, "access_token无效")
        if token.expires_at <= time.time():
            raise PlatformError(2190008, "access_token过期,请刷新或重新授权")
        app = self.data.apps[token.app_id]
        if CERTIFICATE_SCOPE not in app.scopes:
            raise PlatformError(2190004, "应用未获得该能力")
        return app


def _validate_query(body: Any) -> dict[str, Any]:
    """Check the types and ranges of the documented fields; unknown fields are ignored."""
    if not isinstance(body, dict):
        raise PlatformError(10000, "参数错误: body")
    strings = {"account_id": True, "open_id": True, "poi_id": False}
    for name, required in strings.items():
        if (required or name in body) and not (isinstance(body.get(name), str) and body[name]):
            raise PlatformError(2119001, f"参数不合法: {name}")
    ranges = {"page": (1, 2**63 - 1), "page_size": (1, MAX_PAGE_SIZE), "page_dimension": (1, 1), "biz_type": (1, 2)}
    for name, (minimum, maximum) in ranges.items():
        if name in body and not (type(body[name]) is int and minimum <= body[name] <= maximum):
            raise PlatformError(2100005, f"参数不合法: {name}")
    time_range = body.get("time_range", {})
    if not isinstance(time_range, dict) or any(type(value) is not int for value in time_range.values()):
        raise PlatformError(2100005, "参数不合法: time_range")
    return body


def _build_order(purchase: Purchase, poi_id: str | None) -> dict[str, Any]:
    """Return the order with `can_use`: whether it can be used in the store (if `poi_id` is None: in any store)."""
    can_use = purchase.stores is None or (bool(purchase.stores) if poi_id is None else poi_id in purchase.stores)
    return {"can_use": can_use, **purchase.order}


def _remove_unusable(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [order for order in orders if order["can_use"] is not False]


def _build_page(orders: list[dict[str, Any]], query: dict[str, Any]) -> dict[str, Any]:
    """Select one page; in the certificate dimension (`page_dimension` 1) an order can be split across two pages."""
    start, end = (query.get("time_range", {}).get(name) for name in ("start_time", "end_time"))
    # The document does not specify which time is compared. The mock platform compares the certificate's validity.
    orders = [
        {**order, "certificates": matching}
        for order in orders
        if (matching := [c for c in order.get("certificates") or [] if _is_valid_between(c, start, end)])
        or not order.get("certificates")
    ]
    size = query.get("page_size", MAX_PAGE_SIZE)
    first = (query.get("page", 1) - 1) * size
    total = sum(len(order["certificates"]) for order in orders)
    page: list[dict[str, Any]] = []
    position = 0
    for order in orders:
        certificates = order["certificates"]
        selected = certificates[max(0, first - position) : max(0, first + size - position)]
        position += len(certificates)
        if selected:
            page.append({**order, "certificates": selected})
    return {"orders": page, "total": total}


def _is_valid_between(certificate: Any, start: int | None, end: int | None) -> bool:
    """Return whether the certificate is valid at some time between `start` and `end`; malformed ones are included."""
    if not isinstance(certificate, dict):
        return True
    valid_from, expires = certificate.get("start_time"), certificate.get("expire_time")
    return not (
        (end is not None and isinstance(valid_from, int) and valid_from > end)
        or (start is not None and isinstance(expires, int) and expires < start)
    )
