"""Lists the certificates that a customer can redeem in one store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from chalicelib.certificates.cursors import Cursor, decode_cursor, encode_cursor
from chalicelib.certificates.fetching import PageFetcher
from chalicelib.certificates.paging import list_pages
from chalicelib.certificates.ratelimit import RateLimitCache
from chalicelib.certificates.views import ListView, build_views
from chalicelib.douyin.protocol import CertificatesQuery
from chalicelib.errors import InvalidRequestError, UpstreamMalformedError, WrongAppError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from chalicelib.context import RequestContext
    from chalicelib.credentials import CredentialStore
    from chalicelib.douyin.client import DouyinClient
    from chalicelib.douyin.protocol import CertificateFilter, Page
    from chalicelib.merchants import Merchant, MerchantStore
    from chalicelib.sessions import Session
    from chalicelib.tokens.store import TokenStore

MAX_RESPONSE_BYTES = 1_900_000
"""Lambda's limit is 6 MB after the runtime has escaped the body, which makes it up to three times as long."""

LARGE_BYTES = 512 * 1024
"""Responses below this size are not measured. Four pages of 50 certificates with every field filled are smaller."""

MAX_REPORTED_FIELDS = 10


class ListRequest(msgspec.Struct, frozen=True):
    """A validated list request. The cursor is not verified yet: its signature depends on the user."""

    filter: CertificateFilter
    cursor: str | None = None


class CertificateLister:
    """Lists certificates. `executor` reads the pages after the first. `clock` is the wall clock (epoch seconds)."""

    def __init__(
        self,
        merchants: MerchantStore,
        tokens: TokenStore,
        credentials: CredentialStore,
        douyin: DouyinClient,
        executor: Executor,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._merchants = merchants
        self._tokens = tokens
        self._credentials = credentials
        self._douyin = douyin
        self._executor = executor
        self._clock = clock
        self.rate_limits = RateLimitCache()

    def prefetch(self, app_id: str, wanted: CertificateFilter, context: RequestContext) -> None:
        """Read into the caches what a list needs and does not depend on the user: the merchant and its access token.

        Raises what `list_certificates` would raise for the same merchant, store and app.
        """
        merchant = self._check_merchant(app_id, wanted, context)
        app_secret = self._credentials.get(context).apps.get(merchant.token_id)
        self._tokens.get_token(merchant.token_id, app_secret, context)

    def list_certificates(self, session: Session, request: ListRequest, context: RequestContext) -> ListView:
        """Return the usable certificates, starting at the request's cursor.

        Raises RedemptionError when the first page cannot be read, the merchant or store is unknown, or no token is
        available.
        """
        query = CertificatesQuery(request.filter, session.open_id)
        cursor = self._verify_cursor(request.cursor, query, context)
        merchant = self._check_merchant(session.app_id, request.filter, context)
        query = msgspec.structs.replace(query, life_account_id=merchant.life_account_id)
        credentials = self._credentials.get(context)
        page_context = context.with_timeout(context.deadline.remaining())
        fetcher = PageFetcher(
            query,
            merchant,
            credentials.apps.get(merchant.token_id),
            douyin=self._douyin,
            tokens=self._tokens,
            rate_limits=self.rate_limits,
            context=context,
            page_context=page_context,
        )
        result = list_pages(cursor.page, fetcher.fetch, self._executor, query.page_size, page_context.deadline)
        context.lost_page_error = result.lost_page_error
        pages, next_page = result.pages, result.next_page
        now = self._clock()
        while True:
            built = build_views(pages, cursor.shown, now)
            next_cursor = None
            if next_page is not None:
                next_cursor = encode_cursor(next_page, built.last_page_ids, query, credentials.session_keys)
            view = ListView(request.filter.account_id, request.filter.poi_id, built.views, built.unusable, next_cursor)
            if _fits(view, pages):
                break
            if len(pages) == 1:
                raise UpstreamMalformedError("too_large")
            # The next response starts with the page that is left out.
            pages, next_page = pages[:-1], cursor.page + len(pages) - 1
        context.pages = len(pages)
        context.certificates_malformed = built.malformed
        context.malformed_fields = built.malformed_fields[:MAX_REPORTED_FIELDS]
        context.certificates_returned = len(built.views)
        return view

    def _check_merchant(self, app_id: str, wanted: CertificateFilter, context: RequestContext) -> Merchant:
        """Return the merchant if a session of the app may list certificates of the store now."""
        merchant = self._merchants.get(wanted.account_id, context)
        if merchant.app_id != app_id:
            raise WrongAppError(f"merchant {merchant.account_id} belongs to another app")
        merchant.require_store(wanted.poi_id)
        self.rate_limits.check(merchant.app_id)
        return merchant

    def _verify_cursor(self, text: str | None, query: CertificatesQuery, context: RequestContext) -> Cursor:
        if text is None:
            return Cursor()
        return self._credentials.verify_with_keys(
            lambda keys: decode_cursor(text, query, keys), InvalidRequestError, context
        )


def _fits(view: ListView, pages: list[Page]) -> bool:
    """Return whether the response fits Lambda's limit. Only unusual pages are measured."""
    # Only order_id is repeated (for each certificate); all other text is at most as long as in the platform's response.
    id_length = max((len(view.order_id) for view in view.certificates), default=0)
    if sum(page.body_bytes for page in pages) + id_length * len(view.certificates) < LARGE_BYTES:
        return True
    return len(msgspec.json.encode(view)) <= MAX_RESPONSE_BYTES
