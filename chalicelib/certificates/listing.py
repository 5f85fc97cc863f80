"""Lists the certificates that a user can redeem in one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chalicelib.certificates.cursors import Cursor, decode_cursor, encode_cursor
from chalicelib.certificates.fetching import PageFetcher
from chalicelib.certificates.paging import list_pages
from chalicelib.certificates.ratelimit import RateLimitCache
from chalicelib.certificates.views import ListView, build_views
from chalicelib.douyin.protocol import CertificatesQuery
from chalicelib.errors import InvalidRequestError, WrongAppError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from chalicelib.context import RequestContext
    from chalicelib.credentials import CredentialStore
    from chalicelib.douyin.client import DouyinClient
    from chalicelib.douyin.protocol import CertificateFilter
    from chalicelib.merchants import MerchantStore
    from chalicelib.sessions import Session
    from chalicelib.tokens.store import TokenStore


class ListRequest(msgspec.Struct, frozen=True):
    """A checked request for a list. The cursor is not verified yet: its signature depends on the user."""

    filter: CertificateFilter
    cursor: str | None = None


class CertificateLister:
    """Lists certificates. `executor` reads the pages after the first."""

    def __init__(
        self,
        merchants: MerchantStore,
        tokens: TokenStore,
        credentials: CredentialStore,
        douyin: DouyinClient,
        executor: Executor,
    ) -> None:
        self._merchants = merchants
        self._tokens = tokens
        self._credentials = credentials
        self._douyin = douyin
        self._executor = executor
        self.rate_limits = RateLimitCache()

    def list_certificates(self, session: Session, request: ListRequest, context: RequestContext) -> ListView:
        """Return the usable certificates from the request's cursor on.

        Raises RedemptionError when the first page is lost, the merchant or store is unknown, or no token is available.
        """
        query = CertificatesQuery(request.filter, session.open_id)
        cursor = self._verify_cursor(request.cursor, query, context)
        merchant = self._merchants.get(request.filter.account_id, context)
        if merchant.app_id != session.app_id:
            raise WrongAppError(f"merchant {merchant.account_id} belongs to another app")
        merchant.require_store(request.filter.poi_id)
        self.rate_limits.check(merchant.app_id)
        query = msgspec.structs.replace(query, life_account_id=merchant.life_account_id)
        credentials = self._credentials.get(context)
        app_secret = credentials.apps.get(merchant.token_id)
        fetcher = PageFetcher(
            query,
            merchant,
            app_secret,
            douyin=self._douyin,
            tokens=self._tokens,
            rate_limits=self.rate_limits,
            context=context,
        )
        result = list_pages(cursor.page, fetcher.fetch, self._executor, query.page_size)
        views, last_page_ids = build_views(result.pages, cursor.shown)
        context.pages = len(result.pages)
        context.certificates_malformed = sum(page.malformed for page in result.pages)
        context.certificates_returned = len(views)
        context.lost_page_error = result.lost_page_error
        next_cursor = None
        if result.next_page is not None:
            next_cursor = encode_cursor(result.next_page, last_page_ids, query, credentials.session_keys)
        return ListView(request.filter.account_id, request.filter.poi_id, views, next_cursor)

    def _verify_cursor(self, text: str | None, query: CertificatesQuery, context: RequestContext) -> Cursor:
        if text is None:
            return Cursor()
        return self._credentials.verify_with_keys(
            lambda keys: decode_cursor(text, query, keys), InvalidRequestError, context
        )
