"""The platform's rules without HTTP: tokens, logins, and the certificates of a user at a merchant.

Written from the platform's document. Where that is silent, the choice made here says so.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.world import App, Purchase, World

TOKEN_SECONDS = 7200
GRACE_SECONDS = 300
CODE_SECONDS = 300
MINT_LIMIT = 500
MINT_WINDOW_SECONDS = 300
LONGEST_PAGE = 50
CERTIFICATE_SCOPE = "industry_open.trade.certificate_query"


class RefusalError(Exception):
    """A call that the platform says no to, by error code; its `extra` may carry a sub code."""

    def __init__(self, code: int, description: str, sub_code: int = 0) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.sub_code = sub_code


@dataclass
class Token:
    """An access token and the moment it ends."""

    value: str = field(repr=False)
    app_id: str = ""
    ends_at: float = 0.0


class Platform:
    """State and rules; `clock` is epoch seconds and can be moved for tests by `advance`."""

    def __init__(self, world: World, qps: float | None = None, clock: Callable[[], float] = time.time) -> None:
        self.world = world
        self.qps = qps
        self._clock = clock
        self._ahead = 0.0
        self._tokens: dict[str, list[Token]] = {}
        self._codes: dict[str, tuple[str, str, float]] = {}
        self._mints: dict[str, deque[float]] = {}
        self._queries: dict[str, deque[float]] = {}

    def now(self) -> float:
        """The platform's time, epoch seconds."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead += seconds

    def mint(self, body: Any) -> dict[str, Any]:
        """`client_token`: a new token; the one before it lives five minutes more, those before that die."""
        if not isinstance(body, dict) or body.get("grant_type") != "client_credential":
            raise RefusalError(10002, "参数错误")
        app = self.world.apps.get(str(body.get("client_key") or ""))
        if app is None:
            raise RefusalError(10003, "client_key不存在")
        if body.get("client_secret") != app.app_secret:
            raise RefusalError(10013, "client_key或者client_secret报错")
        if not _within(self._mints.setdefault(app.app_id, deque()), self.now(), MINT_WINDOW_SECONDS, MINT_LIMIT):
            raise RefusalError(10020, "5分钟内获取次数超过限制")
        token = Token(f"clt.{secrets.token_hex(16)}", app.app_id, self.now() + TOKEN_SECONDS)
        before = self._tokens.get(app.app_id, [])[-1:]
        for previous in before:
            previous.ends_at = min(previous.ends_at, self.now() + GRACE_SECONDS)
        self._tokens[app.app_id] = [*before, token]
        return {"access_token": token.value, "expires_in": TOKEN_SECONDS}

    def revoke(self, app_id: str) -> None:
        """Let every token of an app be invalid from now on."""
        self._tokens.pop(app_id, None)

    def issue_code(self, app_id: str, customer: str) -> str:
        """What tt.login would give this customer in this app."""
        if app_id not in self.world.apps or customer not in self.world.customers:
            raise KeyError("unknown app_id or customer")
        code = secrets.token_urlsafe(24)
        self._codes[code] = (app_id, customer, self.now() + CODE_SECONDS)
        return code

    def login(self, body: Any) -> dict[str, Any]:
        """`jscode2session`: a code is good once and for five minutes."""
        if not isinstance(body, dict):
            raise RefusalError(40014, "参数为空")
        app = self.world.apps.get(str(body.get("appid") or ""))
        if app is None:
            raise RefusalError(40015, "appid错误")
        if body.get("secret") != app.app_secret:
            raise RefusalError(40017, "secret错误")
        if not body.get("code"):
            raise RefusalError(40014, "参数为空")
        app_id, customer, ends_at = self._codes.pop(str(body["code"]), ("", "", 0.0))
        if app_id != app.app_id or ends_at <= self.now():
            raise RefusalError(40018, "code错误")
        return {
            "session_key": secrets.token_urlsafe(18),
            "openid": self.world.customers[customer].open_ids[app_id],
            "anonymous_openid": "",
            "unionid": f"sandbox-union-{customer}",
            "dopenid": "",
        }

    def query(self, headers: dict[str, str], body: Any) -> dict[str, Any]:
        """`query_user_certificates`: headers by lower-case name; returns `orders` and `total`."""
        app = self._app_of(headers.get("access-token", ""))
        if headers.get("content-type", "").split(";")[0].strip() != "application/json":
            raise RefusalError(10000, "参数错误: content-type")
        if self.qps is not None and not _within(
            self._queries.setdefault(app.app_id, deque()), self.now(), 1.0, self.qps
        ):
            raise RefusalError(2119003, "请求太过频繁,请稍后再试")
        asked = _checked(body)
        merchant = self.world.merchants.get(asked["account_id"])
        if merchant is None or app.app_id not in merchant.authorized:
            raise RefusalError(2119005, "应用未获商家授权")
        life_account = headers.get("rpc-transit-life-account")
        if life_account is not None and life_account != merchant.life_account_id:
            raise RefusalError(2119001, "参数不合法: Rpc-Transit-Life-Account")
        customer = self.world.customer_of(app.app_id, asked["open_id"])
        bought = [] if customer is None else self.world.purchases[customer.key]
        orders = [
            _judged(purchase, asked.get("poi_id"))
            for purchase in bought
            if purchase.account_id == merchant.account_id
            and (purchase.biz_types is None or asked.get("biz_type", 1) in purchase.biz_types)
        ]
        return _page(orders, asked)

    def app_id_of(self, access_token: str) -> str | None:
        """Whose token this is, ended or not; None for nobody's."""
        token = self._find(access_token)
        return None if token is None else token.app_id

    def _find(self, access_token: str) -> Token | None:
        return next((t for tokens in self._tokens.values() for t in tokens if t.value == access_token), None)

    def _app_of(self, access_token: str) -> App:
        token = self._find(access_token)
        if token is None:
            raise RefusalError(2190002, "access_token无效")
        if token.ends_at <= self.now():
            raise RefusalError(2190008, "access_token过期,请刷新或重新授权")
        app = self.world.apps[token.app_id]
        if app.banned:
            raise RefusalError(28001016, "当前应用已被封禁或下线")
        if CERTIFICATE_SCOPE not in app.scopes:
            raise RefusalError(2190004, "应用未获得该能力")
        return app


def _within(moments: deque[float], now: float, window: float, limit: float) -> bool:
    """Whether one more call at `now` stays within `limit` calls in `window` seconds; a refused one does not count."""
    while moments and moments[0] <= now - window:
        moments.popleft()
    if len(moments) >= limit:
        return False
    moments.append(now)
    return True


def _checked(body: Any) -> dict[str, Any]:
    """The request's body by the document's types; an unknown field is ignored."""
    if not isinstance(body, dict):
        raise RefusalError(10000, "参数错误: body")
    texts = {"account_id": True, "open_id": True, "poi_id": False}
    for name, required in texts.items():
        if (required or name in body) and not (isinstance(body.get(name), str) and body[name]):
            raise RefusalError(2119001, f"参数不合法: {name}")
    ranges = {"page": (1, 2**63 - 1), "page_size": (1, LONGEST_PAGE), "page_dimension": (1, 2), "biz_type": (1, 2)}
    for name, (least, most) in ranges.items():
        if name in body and not (type(body[name]) is int and least <= body[name] <= most):
            raise RefusalError(2100005, f"参数不合法: {name}")
    time_range = body.get("time_range", {})
    if not isinstance(time_range, dict) or any(type(value) is not int for value in time_range.values()):
        raise RefusalError(2100005, "参数不合法: time_range")
    return body


def _judged(purchase: Purchase, poi_id: str | None) -> dict[str, Any]:
    """The order with `can_use`: usable where its stores say so; without a store asked for, usable somewhere."""
    can_use = purchase.stores is None or (bool(purchase.stores) if poi_id is None else poi_id in purchase.stores)
    return {"can_use": can_use, **purchase.order}


def _page(orders: list[dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
    """Cut a page out of the list; in the certificate dimension an order may be cut across two pages."""
    start, end = (asked.get("time_range", {}).get(name) for name in ("start_time", "end_time"))
    # Which time the platform compares is not documented; here it is the certificate's validity.
    orders = [
        {**order, "certificates": kept}
        for order in orders
        if (kept := [c for c in order.get("certificates") or [] if _overlaps(c, start, end)])
        or not order.get("certificates")
    ]
    size = asked.get("page_size", LONGEST_PAGE)
    first = (asked.get("page", 1) - 1) * size
    if asked.get("page_dimension", 1) == 2:
        return {"orders": orders[first : first + size], "total": len(orders)}
    total = sum(len(order["certificates"]) for order in orders)
    page: list[dict[str, Any]] = []
    at = 0
    for order in orders:
        held = order["certificates"]
        cut = held[max(0, first - at) : max(0, first + size - at)]
        at += len(held)
        if cut:
            page.append({**order, "certificates": cut})
    return {"orders": page, "total": total}


def _overlaps(certificate: Any, start: int | None, end: int | None) -> bool:
    if not isinstance(certificate, dict):
        return True
    begins, expires = certificate.get("start_time"), certificate.get("expire_time")
    return not (
        (end is not None and isinstance(begins, int) and begins > end)
        or (start is not None and isinstance(expires, int) and expires < start)
    )
