"""The steps of an acceptance run. Each calls the platform as the service does and keeps what it has seen."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import msgspec

from chalicelib import errors
from chalicelib.certificates.cursors import Cursor
from chalicelib.certificates.paging import MAX_PAGES, advance, plan_pages
from chalicelib.douyin.client import MAX_PAGE_BYTES, DouyinClient
from chalicelib.douyin.models import Certificate, Order
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import PAGE_SIZE, CertificatesQuery, Request, Selection, certificates_request
from chalicelib.merchants import parse_merchant
from redeemctl.acceptance.recording import RecordedCall, RecordingTransport
from redeemctl.acceptance.shapes import type_of
from redeemctl.errors import CommandError, NotConfirmedError
from redeemctl.secret import get_app_secret, read_secret_version
from redeemctl.stage import Stage

ORDER_PATH = "/api/trade/v2/fulfillment/order_can_use/"

UNKNOWN_USER = "redeemctl-acceptance"
"""An open_id that does not exist, for a run without a login."""

INVALID_TOKEN = "clt.redeemctl-acceptance"  # noqa: S105 - deliberately invalid
TOKEN_KINDS = ("clt.", "isvact.")
"""What tokens begin with: those of `client_token`, and those of service providers."""

SMALL_PAGES = 6
"""The step `paging` uses a page size that gives about this many pages."""

FIFTY_YEARS = 50 * 365 * 24 * 3600


class Verdict(NamedTuple):
    """Whether something holds; None if it was not observed. `seen` contains no value of a reply."""

    holds: bool | None
    seen: str = "not observed"


@dataclass
class Step:
    """A step and its calls."""

    name: str
    text: str
    verdict: Verdict
    calls: list[RecordedCall]


@dataclass(repr=False)
class Listing:
    """The pages of one query, as the service reads them."""

    page_size: int = PAGE_SIZE
    pages: list[Page] = field(default_factory=list)
    is_complete: bool = False

    @property
    def size(self) -> int:
        """The number of certificates, readable or not."""
        return sum(page.size for page in self.pages)

    def continues(self, count: int | None = None) -> bool:
        """Return whether the service would read on after the first `count` pages (default: all)."""
        pages = self.pages[:count]
        return plan_pages(advance(Cursor(), pages), pages[-1].size, self.page_size)[1]

    def orders(self) -> Iterator[tuple[int, Order]]:
        """Return each order with the number of its page. One that continues on the next page is returned for both."""
        for number, page in enumerate(self.pages, 1):
            yield from ((number, order) for order in page.orders)

    def certificates(self) -> list[Certificate]:
        """Return all readable certificates."""
        return [certificate for _, order in self.orders() for certificate in order.certificates or ()]


@dataclass(repr=False)
class Run:
    """An acceptance run. `code` is a login code of tt.login, or empty.

    `confirm` asks before a step that has an effect, and raises NotConfirmedError.
    """

    stage: Stage
    app_id: str
    code: str
    confirm: Callable[[str], object]
    account_id: str
    poi_id: str
    unauthorized_merchant: str

    def __post_init__(self) -> None:
        self._transport = RecordingTransport(self.stage.http)
        self._douyin = DouyinClient(self._transport, self.stage.settings.open_api, self.stage.settings.login_api)
        self._token = ""
        self._open_id = ""
        self._life_account_id: str | None = None
        self.started = time.time()
        self.steps: dict[str, Step] = {}
        self.listings: dict[str, Listing] = defaultdict(Listing)
        self._secrets = {self.code}

    def take_all(self) -> Iterator[Step]:
        """Take all steps; yield each after it was taken."""
        yield self._take("token", "access token under the service's lease", self._get_token)
        yield self._take("login", "login with a code from a phone", self._login)
        exchange = partial(self._exchange, UNKNOWN_USER)
        log_in_as_nobody = partial(self._expect_refusal, errors.LoginRefusedError, exchange)
        yield self._take("invalid-code", "an invalid login code is refused", log_in_as_nobody)
        if not self._token:
            return
        everything, store = Selection(self.account_id), Selection(self.account_id, self.poi_id)
        yield self._take_list("list", "list without poi_id", everything)
        yield self._take_list("list-store", "list with poi_id", store)
        size = min(PAGE_SIZE, max(2, math.ceil(self.listings["list"].size / SMALL_PAGES)))
        yield self._take_list("paging", f"pages of {size} certificates", everything, size)
        # As many pages as without poi_id: certificates may be behind the page where the service would stop.
        count = len(self.listings["paging"].pages)
        yield self._take_list("paging-store", f"pages of {size} certificates with poi_id", store, size, count)
        yield self._take("after-the-end", "a page after the last one", self._read_after_the_end)
        all_times = Selection(self.account_id, start_time=0, end_time=int(time.time()) + FIFTY_YEARS)
        yield self._take_list("time-range", "list with a time_range of all times, in seconds", all_times)
        query = partial(self._read_page, self._query(everything), 1, INVALID_TOKEN)
        use_invalid_token = partial(self._expect_refusal, errors.TokenRefusedError, query)
        yield self._take("invalid-token", "an invalid access token is refused", use_invalid_token)
        query = partial(self._read_page, self._query(Selection(self.unauthorized_merchant)), 1)
        query_foreign = partial(self._expect_refusal, errors.MerchantNotAuthorizedError, query)
        yield self._take("unauthorized-merchant", "a merchant without authorization is refused", query_foreign)
        yield self._take("order", "order_can_use with poi_id", self._query_order)

    def successful_replies(self, call: str) -> list[Any]:
        """Return the replies of a call that report no error."""
        return [sent.reply for sent in self._transport.recorded if sent.call == call and sent.is_success]

    def without_secrets(self, value: Any) -> Any:
        """Remove secrets from all texts, in case the platform has put one where none belongs."""
        if isinstance(value, dict):
            return {name: self.without_secrets(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self.without_secrets(part) for part in value]
        if isinstance(value, str):
            # A secret may contain another one.
            for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
                value = value.replace(secret, "…")
        return value

    def _take(self, name: str, text: str, action: Callable[[], Verdict]) -> Step:
        """Take a step. A failed call of the platform ends the step, not the run."""
        first = len(self._transport.recorded)
        try:
            verdict = action()
        except NotConfirmedError:
            verdict = Verdict(None, "not confirmed")
        except errors.RedemptionError as error:
            verdict = Verdict(False, f"{type(error).__name__}: {error}")
        verdict = Verdict(verdict.holds, self.without_secrets(verdict.seen))
        step = self.steps[name] = Step(name, text, verdict, self._transport.recorded[first:])
        return step

    def _take_list(
        self, name: str, text: str, wanted: Selection, page_size: int = PAGE_SIZE, min_pages: int = 1
    ) -> Step:
        listing = self.listings[name] = Listing(page_size)
        return self._take(name, text, lambda: self._list(listing, wanted, min_pages))

    def _get_token(self) -> Verdict:
        token_id = self.app_id
        item = self.stage.merchants.get(self.account_id)
        if item is not None:
            merchant = parse_merchant(self.account_id, item)
            if merchant.app_id != self.app_id:
                raise CommandError(f"merchant {merchant.account_id} belongs to app {merchant.app_id}")
            token_id, self._life_account_id = merchant.token_id, merchant.life_account_id
        secret = read_secret_version(self.stage).apps.get(token_id)
        tokens = self.stage.tokens_of(self._douyin)
        row = tokens.read_row(token_id, self.stage.new_context())
        self._secrets |= {secret or "", row.access_token or ""}
        is_valid = row.is_valid(time.time())
        if secret and not is_valid:
            self.confirm("The table has no valid token. This step mints one; an older one ends after five minutes.")
        self._token = tokens.get(token_id, self.stage.new_context())
        self._secrets.add(self._token)
        kind = next((kind for kind in TOKEN_KINDS if self._token.startswith(kind)), "another kind")
        return Verdict(True, f"{kind} {'from the table' if is_valid else 'minted and stored'}")

    def _login(self) -> Verdict:
        if not self.code:
            return Verdict(None, "no --login: the lists are those of an unknown user")
        self.confirm("The login uses up the code.")
        self._open_id = self._exchange(self.code)
        self._secrets.add(self._open_id)
        return Verdict(True, "the platform returned an open_id")

    def _exchange(self, code: str) -> str:
        secret, context = get_app_secret(self.stage, self.app_id), self.stage.new_context()
        self._secrets.add(secret)
        if secret:
            return self._douyin.login(self.app_id, secret, code, context)
        token = self.stage.tokens_of(self._douyin).get(self.app_id, context)
        self._secrets.add(token)
        return self._douyin.login_with_token(self.app_id, token, code, context)

    def _query(self, wanted: Selection, page_size: int = PAGE_SIZE) -> CertificatesQuery:
        # Another merchant's root account is not known.
        root = self._life_account_id if wanted.account_id == self.account_id else None
        return CertificatesQuery(wanted, self._open_id or UNKNOWN_USER, root, page_size)

    def _read_page(self, query: CertificatesQuery, page: int, token: str = "") -> Page:
        return self._douyin.query_user_certificates(query, page, token or self._token, self.stage.new_context())

    def _list(self, listing: Listing, wanted: Selection, min_pages: int) -> Verdict:
        """Read pages until one is not full and the service would stop.

        The service stops where `total` says. This is what is tested, so the step goes on while pages are full.
        """
        query = self._query(wanted, listing.page_size)
        pages = listing.pages
        while len(pages) < MAX_PAGES and not listing.is_complete:
            pages.append(self._read_page(query, len(pages) + 1))
            is_end = pages[-1].size < listing.page_size and not listing.continues()
            listing.is_complete = is_end and len(pages) >= min_pages
        unusable = [order for _, order in listing.orders() if not order.can_use]
        filled = sum(bool(order.certificates) for order in unusable)
        seen = f"certificates {listing.size}, pages {len(pages)}, total {pages[0].total}"
        return Verdict(True, f"{seen}; {len(unusable)} orders with can_use false, {filled} of them with certificates")

    def _read_after_the_end(self) -> Verdict:
        listing = self.listings["list"]
        if not listing.is_complete:
            return Verdict(None, "the list was not read completely")
        page = self._read_page(self._query(Selection(self.account_id)), len(listing.pages) + 1)
        return Verdict(not page.size, f"certificates {page.size}, total {page.total}")

    def _expect_refusal(self, expected: type[errors.UpstreamError], call: Callable[[], object]) -> Verdict:
        """Make a call that the platform must refuse with an error of this class."""
        try:
            call()
        except expected as error:
            return Verdict(True, f"refused: {error}")
        return Verdict(False, "the platform has accepted the call")

    def _query_order(self) -> Verdict:
        """Ask for the first usable order of the store's list. The service does not make this call."""
        orders = [order for _, order in self.listings["list-store"].orders() if order.can_use is True]
        order_id = next((str(order.order_id) for order in orders if order.certificates), "")
        if not order_id:
            return Verdict(None, "the list has no usable order")
        headers = certificates_request(self._query(Selection(self.account_id)), 1, self._token).headers
        body = msgspec.json.encode({"order_id": order_id, "poi_id": self.poi_id})
        request = Request(ORDER_PATH, body, headers)
        deadline = self.stage.new_context().deadline
        self._transport.send(self.stage.settings.open_api, request, deadline, MAX_PAGE_BYTES)
        recorded_call = self._transport.recorded[-1]
        found = recorded_call.look_up("data.can_use")
        shown = str(found).lower() if isinstance(found, bool) else type_of(found)
        seen = f"HTTP {recorded_call.status}, codes: {recorded_call.codes or 'none'}, can_use {shown}"
        return Verdict(recorded_call.is_success and found is True, seen)
