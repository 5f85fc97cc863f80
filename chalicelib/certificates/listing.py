"""Lists the certificates that a customer can redeem in one store."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field

from chalicelib.certificates.cursors import Cursor, encode_cursor, verify_cursor
from chalicelib.certificates.paging import list_pages
from chalicelib.certificates.rate_limits import RateLimitCache
from chalicelib.certificates.views import ListView, build_views
from chalicelib.context import RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery, Selection
from chalicelib.errors import RateLimitedError
from chalicelib.merchants import MerchantRepository
from chalicelib.record import ListReport
from chalicelib.sessions import Session
from chalicelib.tokens.provider import TokenProvider

MAX_REPORTED_FIELDS = 10
"""A log line names at most this many malformed fields."""

MAX_PRELOADED_APPS = 3
"""How many apps' tokens are read during the warm-up. The others are read when a request needs them."""


@dataclass(eq=False, repr=False)
class CertificateLister:
    """Lists the certificates of users, and prefetches what a list needs."""

    merchants: MerchantRepository
    tokens: TokenProvider
    credentials_cache: CredentialsCache
    douyin: DouyinClient
    #: Runs prefetches, and reads the pages after the first.
    executor: Executor
    rate_limits: RateLimitCache = field(default_factory=RateLimitCache)
    #: The wall clock, in epoch seconds.
    clock: Callable[[], float] = time.time

    def preload_tokens(self, context: RequestContext) -> None:
        """Read the secret and the tokens, which opens the connections to AWS; raises RedemptionError.

        A connection to the platform's open API is opened meanwhile. If that fails, the first request that needs it
        opens its own. No token is minted: a request does that, with its own deadline.
        """
        connecting = self.executor.submit(self.douyin.ensure_connection)
        try:
            for app_id in list(self.credentials_cache.get(context).apps)[:MAX_PRELOADED_APPS]:
                self.tokens.preload(app_id, context)
        finally:
            wait([connecting])

    def start_prefetch(self, account_id: str, context: RequestContext) -> Future[None]:
        """Start to read what a list needs into the caches, and to open a connection to the platform.

        No token is minted, because the login may be refused. What fails here, the list does itself.
        """
        return self.executor.submit(self._prefetch, account_id, context)

    def list_certificates(
        self, session: Session, selection: Selection, context: RequestContext, cursor: str | None = None
    ) -> ListView:
        """Return the usable certificates, beginning at `cursor`. What is to be reported about them is in the record.

        Raises RedemptionError when the first page cannot be read, the merchant or store is unknown, or no token is
        available.
        """
        start = Cursor()
        if cursor is not None:
            start = verify_cursor(cursor, selection, session.open_id, self.credentials_cache, context)
        # They sign the next cursor. After the pages, no time might be left to read them.
        keys = self.credentials_cache.get(context).session_keys
        merchant = self.merchants.get(selection.account_id, context)
        merchant.check_app(session.app_id)
        merchant.check_store(selection.poi_id)
        self.rate_limits.check(merchant.app_id)
        # All pages share one token.
        token = self.tokens.get_renewable(merchant.token_id, context)
        query = CertificatesQuery(selection, session.open_id, merchant.life_account_id)

        def fetch_page(number: int) -> Page:
            try:
                return token.use(
                    lambda access_token: self.douyin.query_user_certificates(query, number, access_token, context)
                )
            except RateLimitedError as error:
                self.rate_limits.put(merchant.app_id, error)
                raise

        result = list_pages(start, fetch_page, query.page_size, self.executor)
        built = build_views(result.pages, self.clock())
        next_cursor = encode_cursor(result.position, selection, session.open_id, keys) if result.continues else None
        context.record.list_report = ListReport(
            pages=len(result.pages),
            certificates=len(built.views),
            malformed_count=built.malformed_count,
            malformed_fields=built.malformed_fields[:MAX_REPORTED_FIELDS],
            lost_page_error=result.lost_page_error,
        )
        return ListView(
            selection.account_id,
            selection.poi_id,
            built.views,
            built.unusable,
            next_cursor,
            merchant.notice,
            merchant.redeeming,
        )

    def _prefetch(self, account_id: str, context: RequestContext) -> None:
        self.tokens.preload(self.merchants.get(account_id, context).token_id, context)
        self.douyin.ensure_connection()
