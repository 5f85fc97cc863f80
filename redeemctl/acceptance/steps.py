"""The steps of an acceptance run. Each calls the platform as the service does and keeps what it has seen."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from chalicelib.certificates.cursors import Cursor
from chalicelib.certificates.paging import plan_pages
from chalicelib.douyin.client import MAX_PAGE_BYTES, MAX_SHORT_REPLY_BYTES, DouyinClient
from chalicelib.douyin.protocol import (
    BY_CERTIFICATE,
    BY_ORDER,
    PAGE_SIZE,
    CertificatesQuery,
    Page,
    Request,
    Selection,
)
from chalicelib.errors import (
    MerchantNotAuthorizedError,
    RedemptionError,
    TokenRefusedError,
    UpstreamError,
)
from chalicelib.merchants import parse_merchant
from redeemctl.acceptance.recording import ORDER_PATH, STABLE_MINT_PATH, Exchange, RecordingTransport
from redeemctl.errors import CommandError
from redeemctl.secret import get_app_secret, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redeemctl.stage import Stage

UNKNOWN_USER = "redeemctl-acceptance"
"""An open_id that does not exist, for a run without a login."""

INVALID_TOKEN = "clt.redeemctl-acceptance"  # noqa: S105 - deliberately invalid
MAX_PAGES = 40
SMALL_PAGES = 6
"""About as many pages are read to see how the platform pages."""

FIFTY_YEARS = 50 * 365 * 24 * 3600


class Outcome(StrEnum):
    """How a step ended."""

    OK = "ok"
    REFUSED = "refused as expected"
    UNEXPECTED = "unexpected"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Options:
    """What is tested, and how far. `code` is a login code of tt.login."""

    app_id: str
    account_id: str
    poi_id: str
    unauthorized_account_id: str
    try_stable_token: bool = False
    code: str = field(default="", repr=False)


@dataclass
class Step:
    """A step and its calls. `effect` is what it changes on the platform, or empty."""

    name: str
    title: str
    effect: str = ""
    outcome: Outcome = Outcome.SKIPPED
    detail: str = ""
    exchanges: list[Exchange] = field(default_factory=list)


class Entry(msgspec.Struct, frozen=True):
    """A certificate in a list, with what its order says. `page` is the page where it was, from 1."""

    certificate_id: str
    order_id: str
    can_use: Any
    page: int
    raw: dict[str, Any]


@dataclass(repr=False)
class Listing:
    """The pages of one query, as the service reads them and as they were sent."""

    page_size: int
    pages: list[Page] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    is_complete: bool = False

    @property
    def total(self) -> Any:
        """The first page's `total`, as sent."""
        return self.replies[0]["data"].get("total") if self.replies else None

    def continues(self, count: int | None = None) -> bool:
        """Return whether the service would read on after the first `count` pages (default: all)."""
        pages = self.pages[:count]
        empty_pages = 0
        for page in pages:
            empty_pages = 0 if page.size or page.removed else empty_pages + 1
        total = max((page.total for page in pages if page.total is not None), default=None)
        position = Cursor(len(pages) + 1, sum(page.size for page in pages), empty_pages, total)
        return plan_pages(position, pages[-1].size, self.page_size)[1]

    def orders(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Return each order with the number of its page. An order that is cut is returned for each of its pages."""
        for number, reply in enumerate(self.replies, 1):
            orders = reply["data"].get("orders")
            yield from ((number, order) for order in _as_list(orders) if isinstance(order, dict))

    def entries(self) -> list[Entry]:
        """Return all certificates."""
        return [
            Entry(str(raw.get("certificate_id")), str(order.get("order_id")), order.get("can_use"), page, raw)
            for page, order in self.orders()
            for raw in _as_list(order.get("certificates"))
            if isinstance(raw, dict)
        ]


class Run:
    """An acceptance run. `ask` returns whether a step with an effect may be taken; `show` reports a finished step."""

    def __init__(
        self, stage: Stage, options: Options, ask: Callable[[str], bool], show: Callable[[Step], None]
    ) -> None:
        self._stage = stage
        self.options = options
        self._ask = ask
        self._show = show
        self.transport = RecordingTransport(stage.http)
        self._douyin = DouyinClient(self.transport, stage.settings.open_api, stage.settings.login_api)
        self._tokens = stage.tokens_of(self._douyin)
        self.started = time.time()
        self.steps: list[Step] = []
        self.listings: dict[str, Listing] = {}
        self.token = ""
        self.stable_tokens: list[str] = []
        self.open_id = ""
        self.secrets: set[str] = {options.code, INVALID_TOKEN}
        self._life_account_id: str | None = None

    @property
    def exchanges(self) -> list[Exchange]:
        """All calls of the run."""
        return [exchange for step in self.steps for exchange in step.exchanges]

    def step(self, name: str) -> Step | None:
        """Return a step that was reached, or None."""
        return next((step for step in self.steps if step.name == name), None)

    def take_all(self) -> None:
        """Take all steps."""
        self._take(Step("token", "access token under the service's lease"), self._get_token)
        self._take(Step("login", "login with a code from a phone"), self._login)
        if self.token:
            self._take_queries()
        if self.options.try_stable_token:
            effect = "asks for a stable token, which may invalidate the service's token"
            self._take(Step("stable-token", "stable token, twice, and a list with it", effect), self._try_stable_token)

    def _take_queries(self) -> None:
        store = self.options.poi_id
        self._take(Step("list", "list without poi_id"), lambda step: self._list(step, ""))
        self._take(Step("list-store", "list with poi_id"), lambda step: self._list(step, store))
        self._take(
            Step("list-by-order", "list in the order dimension"),
            lambda step: self._list(step, "", dimension=BY_ORDER),
        )
        size = self._small_page_size()
        self._take(Step("paging", f"pages of {size} certificates"), lambda step: self._list(step, "", page_size=size))
        # As many pages as without poi_id: certificates may be behind the page where the service would stop.
        self._take(
            Step("paging-store", f"pages of {size} certificates with poi_id"),
            lambda step: self._list(step, store, page_size=size, min_pages=len(self.listings["paging"].pages)),
        )
        self._take(
            Step("paging-by-order", f"pages of {size} orders"),
            lambda step: self._list(step, "", page_size=size, dimension=BY_ORDER),
        )
        self._take(Step("after-the-end", "a page after the last one"), self._read_after_the_end)
        now = int(time.time())
        ranges = {
            "time-range-all": (0, now + FIFTY_YEARS),
            "time-range-now": (now - 1, now),
            "time-range-future": (now + FIFTY_YEARS, now + FIFTY_YEARS + 1),
        }
        for name, (start, end) in ranges.items():
            title = f"time_range in seconds: {name.rpartition('-')[2]}"
            self._take(Step(name, title), functools.partial(self._list, poi_id="", start_time=start, end_time=end))
        self._take(Step("invalid-token", "an invalid access token"), self._use_invalid_token)
        self._take(Step("unauthorized-merchant", "a merchant without authorization"), self._query_unauthorized)
        self._take(Step("order", "order_can_use with poi_id"), lambda step: self._query_order(step, store))
        self._take(Step("order-any-store", "order_can_use without poi_id"), lambda step: self._query_order(step, ""))

    def _take(self, step: Step, action: Callable[[Step], None]) -> None:
        """Take a step. A failed call of the platform ends the step, not the run."""
        self.steps.append(step)
        first = len(self.transport.exchanges)
        try:
            if step.effect and not self._ask(f"{step.title}: {step.effect}."):
                step.detail = "not confirmed"
            else:
                action(step)
        except RedemptionError as error:
            step.outcome, step.detail = Outcome.UNEXPECTED, f"{type(error).__name__}: {error}"
        step.exchanges = self.transport.exchanges[first:]
        self._show(step)

    def _get_token(self, step: Step) -> None:
        token_id = self.options.app_id
        item = self._stage.merchants.get(self.options.account_id)
        if item is not None:
            merchant = parse_merchant(self.options.account_id, item)
            if merchant.app_id != self.options.app_id:
                raise CommandError(f"merchant {merchant.account_id} belongs to app {merchant.app_id}")
            token_id, self._life_account_id = merchant.token_id, merchant.life_account_id
        secret = read_secret(self._stage).apps.get(token_id)
        if secret:
            self.secrets.add(secret)
        row = self._tokens.read_row(token_id, self._stage.new_context())
        if row.access_token:
            self.secrets.add(row.access_token)
        is_valid = bool(row.access_token) and row.expires_at > time.time()
        step.effect = "" if is_valid else "mints a token; an older one ends after five minutes"
        if step.effect and not self._ask(f"The table has no valid token. This step {step.effect}."):
            step.detail = "not confirmed"
            return
        self.token = self._tokens.get_token(token_id, secret, self._stage.new_context())
        self.secrets.add(self.token)
        step.outcome, step.detail = Outcome.OK, "from the table" if is_valid else "minted and stored"

    def _login(self, step: Step) -> None:
        if not self.options.code:
            step.detail = "no --login: the lists are those of an unknown user"
            return
        step.effect = "uses up the code"
        if not self._ask("The login uses up the code."):
            step.detail = "not confirmed"
            return
        secret = get_app_secret(self._stage, self.options.app_id)
        self.secrets.add(secret)
        self.open_id = self._douyin.login(self.options.app_id, secret, self.options.code, self._stage.new_context())
        self.secrets.add(self.open_id)
        step.outcome, step.detail = Outcome.OK, "the platform returned an open_id"

    def _query(self, wanted: Selection, size: int = PAGE_SIZE, dimension: int = BY_CERTIFICATE) -> CertificatesQuery:
        return CertificatesQuery(wanted, self.open_id or UNKNOWN_USER, self._life_account_id, size, dimension)

    def _read_page(self, query: CertificatesQuery, page: int, token: str = "") -> Page:
        return self._douyin.query_user_certificates(query, page, token or self.token, self._stage.new_context())

    def _list(
        self,
        step: Step,
        poi_id: str,
        *,
        page_size: int = PAGE_SIZE,
        dimension: int = BY_CERTIFICATE,
        start_time: int | None = None,
        end_time: int | None = None,
        min_pages: int = 1,
    ) -> None:
        """Read the pages until one is not full, and the service's rule for the end of a list is met.

        The rule trusts `total`, which is what is tested; full pages show what is behind a total that is too small.
        """
        wanted = Selection(self.options.account_id, poi_id, None, start_time, end_time)
        query = self._query(wanted, page_size, dimension)
        listing = self.listings[step.name] = Listing(page_size)
        while len(listing.pages) < MAX_PAGES:
            page = self._read_page(query, len(listing.pages) + 1)
            listing.pages.append(page)
            listing.replies.append(self.transport.exchanges[-1].reply)
            elements = page.size if dimension == BY_CERTIFICATE else len(listing.replies[-1]["data"]["orders"])
            continues = dimension == BY_CERTIFICATE and listing.continues()
            if elements < page_size and not continues and len(listing.pages) >= min_pages:
                listing.is_complete = True
                break
        step.outcome = Outcome.OK
        size = sum(page.size for page in listing.pages)
        step.detail = f"certificates {size}, pages {len(listing.pages)}, total {listing.pages[0].total}"

    def _small_page_size(self) -> int:
        listing = self.listings.get("list")
        count = len(listing.entries()) if listing else 0
        return min(PAGE_SIZE, max(2, -(-count // SMALL_PAGES)))

    def _read_after_the_end(self, step: Step) -> None:
        listing = self.listings.get("list")
        if listing is None or not listing.is_complete:
            step.detail = "the list was not read completely"
            return
        page = self._read_page(self._query(Selection(self.options.account_id)), len(listing.pages) + 1)
        step.outcome, step.detail = Outcome.OK, f"certificates {page.size}, total {page.total}"
        self.listings[step.name] = Listing(PAGE_SIZE, [page], [self.transport.exchanges[-1].reply])

    def _use_invalid_token(self, step: Step) -> None:
        query = self._query(Selection(self.options.account_id))
        self._expect(step, TokenRefusedError, lambda: self._read_page(query, 1, INVALID_TOKEN))

    def _query_unauthorized(self, step: Step) -> None:
        query = self._query(Selection(self.options.unauthorized_account_id))
        query = msgspec.structs.replace(query, life_account_id=None)
        self._expect(step, MerchantNotAuthorizedError, lambda: self._read_page(query, 1))

    def _expect(self, step: Step, expected: type[UpstreamError], call: Callable[[], Page]) -> None:
        """Make a call that the platform must refuse with an error of this class."""
        try:
            call()
        except expected as error:
            step.outcome, step.detail = Outcome.REFUSED, str(error)
        else:
            step.outcome, step.detail = Outcome.UNEXPECTED, "the platform has accepted the call"

    def _query_order(self, step: Step, poi_id: str) -> None:
        """Ask for the first order of the list that contains it; the reply is compared with the list's `can_use`."""
        listing = self.listings.get("list-store" if poi_id else "list")
        order_id = next((entry.order_id for entry in listing.entries() if entry.can_use is True), "") if listing else ""
        if not order_id:
            step.detail = "the list has no usable order"
            return
        body = {"order_id": order_id} | ({"poi_id": poi_id} if poi_id else {})
        exchange = self._send(ORDER_PATH, body, {"access-token": self.token}, MAX_PAGE_BYTES)
        is_fine = exchange.is_success
        step.outcome = Outcome.OK if is_fine else Outcome.UNEXPECTED
        step.detail = f"can_use {data_of(exchange).get('can_use')}" if is_fine else _describe_failure(exchange)

    def _try_stable_token(self, step: Step) -> None:
        secret = get_app_secret(self._stage, self.options.app_id)
        self.secrets.add(secret)
        body = {"client_key": self.options.app_id, "client_secret": secret, "grant_type": "client_credential"}
        for _ in range(2):
            exchange = self._send(STABLE_MINT_PATH, body, {}, MAX_SHORT_REPLY_BYTES)
            token = data_of(exchange).get("access_token") if exchange.is_success else None
            if not isinstance(token, str) or not token:
                step.outcome, step.detail = Outcome.UNEXPECTED, _describe_failure(exchange)
                return
            self.secrets.add(token)
            self.stable_tokens.append(token)
        query = self._query(Selection(self.options.account_id))
        self._read_page(query, 1, self.stable_tokens[0])
        if self.token:
            self._read_page(query, 1)
        step.outcome, step.detail = Outcome.OK, "a list was accepted with the stable token and with the service's"

    def _send(self, path: str, body: dict[str, Any], headers: dict[str, str], max_bytes: int) -> Exchange:
        """Make a call that the service does not make, and return the exchange."""
        headers = {"content-type": "application/json", **headers}
        if self._life_account_id is not None and path == ORDER_PATH:
            headers["Rpc-Transit-Life-Account"] = self._life_account_id
        request = Request(path, msgspec.json.encode(body), headers)
        self.transport.send(self._stage.settings.open_api, request, self._stage.new_context().deadline, max_bytes)
        return self.transport.exchanges[-1]


def data_of(exchange: Exchange) -> dict[str, Any]:
    """Return `data` of a reply, or an empty object."""
    data = exchange.reply.get("data") if isinstance(exchange.reply, dict) else None
    return data if isinstance(data, dict) else {}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _describe_failure(exchange: Exchange) -> str:
    codes = ", ".join(f"{place} {code}" for place, code in exchange.codes.items())
    return f"HTTP {exchange.status}" + (f", {codes}" if codes else "") + ("" if exchange.is_json else ", not JSON")
