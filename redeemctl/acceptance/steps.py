"""The steps of an acceptance run. Each calls the platform as the service does and keeps what it has seen."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from chalicelib.certificates.cursors import Cursor
from chalicelib.certificates.paging import plan_pages
from chalicelib.douyin.client import MAX_PAGE_BYTES, DouyinClient
from chalicelib.douyin.protocol import PAGE_SIZE, CertificatesQuery, Page, Request, Selection
from chalicelib.errors import MerchantNotAuthorizedError, RedemptionError, TokenRefusedError, UpstreamError
from chalicelib.merchants import parse_merchant
from redeemctl.acceptance.comparison import Comparison
from redeemctl.acceptance.fields import type_of
from redeemctl.acceptance.recording import ORDER_PATH, Exchange, RecordingTransport
from redeemctl.errors import CommandError, NotConfirmedError
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
    UNEXPECTED = "unexpected"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Options:
    """What is tested. `code` is a login code of tt.login."""

    app_id: str
    account_id: str
    poi_id: str
    unauthorized_account_id: str
    code: str = field(default="", repr=False)


@dataclass
class Step:
    """A step and its calls."""

    name: str
    title: str
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
            yield from ((number, order) for order in objects_in(reply["data"].get("orders")))

    def entries(self) -> list[Entry]:
        """Return all certificates."""
        return [
            Entry(str(raw.get("certificate_id")), str(order.get("order_id")), order.get("can_use"), page, raw)
            for page, order in self.orders()
            for raw in objects_in(order.get("certificates"))
        ]


class Run:
    """An acceptance run. `confirm` asks before a step that has an effect, and raises NotConfirmedError; `show` reports.

    `secrets` is what no report may contain.
    """

    def __init__(
        self, stage: Stage, options: Options, confirm: Callable[[str], object], show: Callable[[Step], None]
    ) -> None:
        self._stage = stage
        self.options = options
        self._confirm = confirm
        self._show = show
        self._transport = RecordingTransport(stage.http)
        self._douyin = DouyinClient(self._transport, stage.settings.open_api, stage.settings.login_api)
        self._token = ""
        self._open_id = ""
        self._life_account_id: str | None = None
        self.started = time.time()
        self.steps: dict[str, Step] = {}
        self.listings: dict[str, Listing] = {}
        self.comparison = Comparison()
        self.secrets: set[str] = {options.code}

    @property
    def exchanges(self) -> list[Exchange]:
        """All calls of the run."""
        return self._transport.exchanges

    def take_all(self) -> None:
        """Take all steps."""
        self._take("token", "access token under the service's lease", self._get_token)
        self._take("login", "login with a code from a phone", self._login)
        if not self._token:
            return
        store = self.options.poi_id
        self._take("list", "list without poi_id", self._list)
        self._take("list-store", "list with poi_id", partial(self._list, poi_id=store))
        size = self._small_page_size()
        self._take("paging", f"pages of {size} certificates", partial(self._list, page_size=size))
        # As many pages as without poi_id: certificates may be behind the page where the service would stop.
        pages = len(self.listings["paging"].pages)
        by_store = partial(self._list, poi_id=store, page_size=size, min_pages=pages)
        self._take("paging-store", f"pages of {size} certificates with poi_id", by_store)
        self._take("after-the-end", "a page after the last one", self._read_after_the_end)
        in_range = partial(self._list, start_time=0, end_time=int(time.time()) + FIFTY_YEARS)
        self._take("time-range", "list with a time_range of all times, in seconds", in_range)
        self._take("invalid-token", "an invalid access token is refused", self._use_invalid_token)
        self._take("unauthorized-merchant", "a merchant without authorization is refused", self._query_unauthorized)
        self._take("order", "order_can_use with poi_id", self._query_order)

    def _take(self, name: str, title: str, action: Callable[[Step], None]) -> None:
        """Take a step. A failed call of the platform ends the step, not the run."""
        step = self.steps[name] = Step(name, title)
        first = len(self.exchanges)
        try:
            action(step)
        except NotConfirmedError:
            step.detail = "not confirmed"
        except RedemptionError as error:
            step.outcome, step.detail = Outcome.UNEXPECTED, f"{type(error).__name__}: {error}"
        step.exchanges = self.exchanges[first:]
        for exchange in step.exchanges:
            if exchange.is_success:
                self.comparison.add(exchange.call, exchange.reply)
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
        tokens = self._stage.tokens_of(self._douyin)
        row = tokens.read_row(token_id, self._stage.new_context())
        self.secrets |= {secret or "", row.access_token or ""}
        is_valid = bool(row.access_token) and row.expires_at > time.time()
        if not is_valid:
            self._confirm("The table has no valid token. This step mints one; an older one ends after five minutes.")
        self._token = tokens.get_token(token_id, secret, self._stage.new_context())
        self.secrets.add(self._token)
        step.outcome, step.detail = Outcome.OK, "from the table" if is_valid else "minted and stored"

    def _login(self, step: Step) -> None:
        if not self.options.code:
            step.detail = "no --login: the lists are those of an unknown user"
            return
        self._confirm("The login uses up the code.")
        secret = get_app_secret(self._stage, self.options.app_id)
        self.secrets.add(secret)
        self._open_id = self._douyin.login(self.options.app_id, secret, self.options.code, self._stage.new_context())
        self.secrets.add(self._open_id)
        step.outcome, step.detail = Outcome.OK, "the platform returned an open_id"

    def _read_page(self, wanted: Selection, page: int, size: int = PAGE_SIZE, token: str = "") -> Page:
        # Another merchant's root account is not known.
        root = self._life_account_id if wanted.account_id == self.options.account_id else None
        query = CertificatesQuery(wanted, self._open_id or UNKNOWN_USER, root, size)
        return self._douyin.query_user_certificates(query, page, token or self._token, self._stage.new_context())

    def _list(
        self,
        step: Step,
        *,
        poi_id: str = "",
        page_size: int = PAGE_SIZE,
        start_time: int | None = None,
        end_time: int | None = None,
        min_pages: int = 1,
    ) -> None:
        """Read the pages until one is not full, and the service's rule for the end of a list is met.

        The rule trusts `total`, which is what is tested; full pages show what is behind a total that is too small.
        """
        wanted = Selection(self.options.account_id, poi_id, None, start_time, end_time)
        listing = self.listings[step.name] = Listing(page_size)
        while len(listing.pages) < MAX_PAGES and not listing.is_complete:
            page = self._read_page(wanted, len(listing.pages) + 1, page_size)
            listing.pages.append(page)
            listing.replies.append(self.exchanges[-1].reply)
            is_end = page.size < page_size and not listing.continues()
            listing.is_complete = is_end and len(listing.pages) >= min_pages
        size = sum(page.size for page in listing.pages)
        step.outcome = Outcome.OK
        step.detail = f"certificates {size}, pages {len(listing.pages)}, total {listing.pages[0].total}"

    def _small_page_size(self) -> int:
        count = len(self.listings["list"].entries())
        return min(PAGE_SIZE, max(2, -(-count // SMALL_PAGES)))

    def _read_after_the_end(self, step: Step) -> None:
        listing = self.listings["list"]
        if not listing.is_complete:
            step.detail = "the list was not read completely"
            return
        page = self._read_page(Selection(self.options.account_id), len(listing.pages) + 1)
        step.outcome = Outcome.UNEXPECTED if page.size else Outcome.OK
        step.detail = f"certificates {page.size}, total {page.total}"

    def _use_invalid_token(self, step: Step) -> None:
        wanted = Selection(self.options.account_id)
        self._expect(step, TokenRefusedError, lambda: self._read_page(wanted, 1, token=INVALID_TOKEN))

    def _query_unauthorized(self, step: Step) -> None:
        wanted = Selection(self.options.unauthorized_account_id)
        self._expect(step, MerchantNotAuthorizedError, lambda: self._read_page(wanted, 1))

    def _expect(self, step: Step, expected: type[UpstreamError], call: Callable[[], Page]) -> None:
        """Make a call that the platform must refuse with an error of this class."""
        try:
            call()
        except expected as error:
            step.outcome, step.detail = Outcome.OK, f"refused: {error}"
        else:
            step.outcome, step.detail = Outcome.UNEXPECTED, "the platform has accepted the call"

    def _query_order(self, step: Step) -> None:
        """Ask for the first usable order of the store's list. The service does not make this call."""
        listing = self.listings["list-store"]
        order_id = next((entry.order_id for entry in listing.entries() if entry.can_use is True), "")
        if not order_id:
            step.detail = "the list has no usable order"
            return
        headers = {"content-type": "application/json", "access-token": self._token}
        if self._life_account_id is not None:
            headers["Rpc-Transit-Life-Account"] = self._life_account_id
        body = msgspec.json.encode({"order_id": order_id, "poi_id": self.options.poi_id})
        deadline = self._stage.new_context().deadline
        open_api = self._stage.settings.open_api
        self._transport.send(open_api, Request(ORDER_PATH, body, headers), deadline, MAX_PAGE_BYTES)
        exchange = self.exchanges[-1]
        found = exchange.look_up("data.can_use")
        step.outcome = Outcome.OK if exchange.is_success and found is True else Outcome.UNEXPECTED
        shown = found if isinstance(found, bool) else type_of(found)
        codes = ", ".join(f"{place} {code}" for place, code in exchange.codes.items())
        step.detail = ", ".join(filter(None, [f"HTTP {exchange.status}", exchange.failure, codes, f"can_use {shown}"]))


def objects_in(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list, whatever the value is."""
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
