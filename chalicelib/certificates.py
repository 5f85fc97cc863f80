"""The reason this service exists: walk the platform's pages, keep what can be used, shape the answer.

Pages are cut before anything is filtered, so one answer looks through up to four of them: the first alone, since it
tells how many there are, the others at the same time.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec

from chalicelib.cursors import Cursor, fingerprint, read_cursor, write_cursor
from chalicelib.douyin import CertificatesQuery
from chalicelib.errors import (
    InvalidRequestError,
    RateLimitedError,
    RedemptionError,
    TokenRefusedError,
    TokenUnavailableError,
    WrongAppError,
)
from chalicelib.memory import Memory
from chalicelib.views import CertificateView, ListView, soonest_first, view_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from chalicelib.credentials import CredentialStore
    from chalicelib.douyin import Page
    from chalicelib.errors import Evidence
    from chalicelib.merchants import Merchant, MerchantStore
    from chalicelib.scope import Scope
    from chalicelib.sessions import Session
    from chalicelib.tokens import TokenStore
    from chalicelib.upstream import Douyin

PAGES_AN_ANSWER = 4

LAST_PAGE = 1000
"""50,000 certificates of one user at one merchant: a total that says more is false, and its walk must end."""

KEPT_LIMITS = 100
LIMITED_SECONDS = 1.0
"""How long an instance remembers "too often", said after all retries, unless the platform says how long."""

LONGEST_LIMIT_SECONDS = 60.0


class Question(msgspec.Struct, frozen=True):
    """What a customer asks: checked, but for the cursor, whose signature names the rest.

    `start_time` and `end_time` are epoch seconds.
    """

    account_id: str
    poi_id: str
    biz_type: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    cursor: str | None = None


class Walk(msgspec.Struct, frozen=True):
    """The pages read without a gap; the page to go on with, None at the end; why a page was lost, if one was."""

    pages: list[Page]
    next_page: int | None
    lost: RedemptionError | None = None


class Limit(msgspec.Struct, frozen=True):
    """That the platform said "too often" of an app: until when it is left alone, and what it said."""

    until: float
    evidence: Evidence | None


class CertificateLists:
    """Answers what a customer can redeem in a store."""

    def __init__(
        self,
        merchants: MerchantStore,
        tokens: TokenStore,
        credentials: CredentialStore,
        douyin: Douyin,
        executor: Executor,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._merchants = merchants
        self._tokens = tokens
        self._credentials = credentials
        self._douyin = douyin
        self._executor = executor
        self._limited: Memory[Limit] = Memory(KEPT_LIMITS, wall)
        self._wall = wall

    def answer(self, session: Session, question: Question, scope: Scope) -> ListView:
        """The usable certificates from the question's cursor on; raises RedemptionError when the first page is lost."""
        query = CertificatesQuery(
            account_id=question.account_id,
            open_id=session.open_id,
            poi_id=question.poi_id,
            biz_type=question.biz_type,
            start_time=question.start_time,
            end_time=question.end_time,
        )
        cursor = Cursor()
        if question.cursor is not None:
            text = question.cursor
            cursor = self._credentials.with_keys(
                lambda keys: read_cursor(text, query, keys), InvalidRequestError, scope
            )
        merchant = self._merchants.find(question.account_id, scope)
        if merchant.app_id != session.app_id:
            raise WrongAppError(f"merchant {merchant.account_id} belongs to another app")
        merchant.require_store(question.poi_id)
        limit = self._limited.get(merchant.app_id)
        if limit is not None:
            # The platform has just said "too often": to go on asking would only prolong it.
            raise RateLimitedError("remembered", evidence=limit.evidence, retry_after=limit.until - self._wall())
        query = msgspec.structs.replace(query, life_account_id=merchant.life_account_id)
        access = _Access(self._tokens, merchant, self._credentials.current(scope).apps.get(merchant.token_id), scope)

        def fetch(page: int) -> Page:
            try:
                return access.use(lambda token: self._douyin.certificates(query, page, token, scope))
            except RateLimitedError as error:
                until = self._wall() + min(error.retry_after or LIMITED_SECONDS, LONGEST_LIMIT_SECONDS)
                self._limited.keep(merchant.app_id, Limit(until, error.evidence), until)
                raise

        walked = walk(cursor.page, fetch, self._executor, query.page_size)
        views, last_page = usable(walked.pages, cursor.shown)
        scope.pages = len(walked.pages)
        scope.malformed = sum(page.malformed for page in walked.pages)
        scope.returned = len(views)
        scope.lost_page = walked.lost
        next_cursor = None
        if walked.next_page is not None:
            keys = self._credentials.current(scope).session_keys
            next_cursor = write_cursor(walked.next_page, last_page, query, keys)
        return ListView(question.account_id, question.poi_id, views, next_cursor)


def walk(first: int, fetch: Callable[[int], Page], executor: Executor, page_size: int) -> Walk:
    """Read page `first`, then at the same time those after it that there are, at most PAGES_AN_ANSWER in all.

    Raises what `fetch` raises for the first page. A later page that is lost ends the walk before it: it is where the
    next one starts, and what came after it is asked again then.
    """
    pages = [fetch(first)]
    beyond = first + PAGES_AN_ANSWER
    waiting: list[Future[Page]] = [
        executor.submit(fetch, number) for number in range(first + 1, min(beyond, _last(pages, first, page_size) + 1))
    ]
    for future in waiting:
        try:
            pages.append(future.result())
        except RedemptionError as error:
            return Walk(pages, first + len(pages), error)
    reached = first + len(pages) - 1
    # Pages that hold nothing end the list whatever the totals say, or a false total would be walked for ever.
    ended = reached >= LAST_PAGE or not any(page.size or page.malformed for page in pages)
    return Walk(pages, reached + 1 if _last(pages, reached, page_size) > reached and not ended else None)


def _last(pages: list[Page], reached: int, page_size: int) -> int:
    """The number of the last page there is, as far as the pages up to `reached` tell.

    Totals may change during a walk, so the largest counts.
    """
    told = max((page.total or 0 for page in pages), default=0)
    newest = pages[-1]
    if told >= (reached - 1) * page_size + newest.size:
        return max(reached, -(-told // page_size))
    # The total is missing, or less than what was shown: a full page may have others behind it.
    return reached + (PAGES_AN_ANSWER if newest.size >= page_size else 0)


def usable(pages: list[Page], shown: frozenset[bytes]) -> tuple[list[CertificateView], list[str]]:
    """The certificates of usable orders in the order a customer wants them, each once, without those `shown` before.

    Also returns the certificate_ids that the last page held, for the cursor.
    """
    views: dict[str, CertificateView] = {}
    of_page: list[str] = []
    for page in pages:
        of_page = []
        for order in page.orders:
            # `is True`: a missing, null or odd value means that nobody said it can be used.
            if order.can_use is not True:
                continue
            for certificate in order.certificates or ():
                certificate_id = str(certificate.certificate_id)
                of_page.append(certificate_id)
                if certificate_id not in views and fingerprint(certificate_id) not in shown:
                    views[certificate_id] = view_of(certificate, str(order.order_id))
    return sorted(views.values(), key=soonest_first), of_page


class _Access:
    """A merchant's access token for the pages of one request, replaced at most once among all of them."""

    def __init__(self, tokens: TokenStore, merchant: Merchant, app_secret: str | None, scope: Scope) -> None:
        self._tokens = tokens
        self._token_id = merchant.token_id
        self._app_secret = app_secret
        self._scope = scope
        self._lock = threading.Lock()
        self._token = tokens.current(self._token_id, app_secret, scope)
        self._replaced = False

    def use(self, call: Callable[[str], Page]) -> Page:
        """`call` with the token, and once more with another if it was refused."""
        token = self._token
        try:
            return call(token)
        except TokenRefusedError as refusal:
            token = self._replace(token, refusal)
        try:
            return call(token)
        except TokenRefusedError as refusal:
            raise TokenUnavailableError("a renewed token was refused as well", refusal.evidence) from None

    def _replace(self, refused: str, refusal: TokenRefusedError) -> str:
        with self._lock:
            if self._token == refused:
                if self._replaced:
                    raise TokenUnavailableError("a renewed token was refused as well", refusal.evidence)
                self._replaced = True
                try:
                    self._token = self._tokens.replace(self._token_id, self._app_secret, refused, self._scope)
                except TokenUnavailableError as error:
                    raise TokenUnavailableError(str(error), error.evidence or refusal.evidence) from None
            return self._token
