"""Lists the certificates that a customer can redeem in one store."""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import msgspec

from chalicelib.authorized_calls import AuthorizedCalls, TokenSource
from chalicelib.certificates.paging import decode_cursor, encode_cursor, fetch_pages
from chalicelib.certificates.views import ListView, build_views
from chalicelib.context import Report, RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin.calls import ListQuery
from chalicelib.douyin.client import DouyinClient
from chalicelib.errors import InvalidRequestError, ServiceError
from chalicelib.merchants import MerchantRepository
from chalicelib.sessions import Session

MAX_REPORTED_FIELDS = 10
"""A log line names at most this many malformed fields."""


class ListReport(Report, frozen=True, omit_defaults=True):
    """The report of a list: what it has returned, and the faults of the platform's pages."""

    #: The numbers of pages that were read, and of certificates that are shown.
    pages: int
    certificates: int
    #: `malformed` and `malformed_fields` of BuiltViews.
    malformed: int = 0
    malformed_fields: list[str] = msgspec.field(default_factory=list)
    #: The error of the page that could not be read.
    lost_page: ServiceError | None = None
    #: The number of certificates received, and the platform's total: only if the list has ended below its total.
    received: int | None = None
    total: int | None = None

    def metrics(self) -> dict[str, tuple[str, float]]:
        """Return the number of certificates."""
        return {"CertificatesReturned": ("Count", self.certificates)}


@dataclass(eq=False, repr=False)
class CertificateLister:
    """Lists the certificates of users."""

    merchants: MerchantRepository
    credentials_cache: CredentialsCache
    douyin: DouyinClient
    tokens: TokenSource
    #: Reads the pages after the first.
    executor: Executor
    #: The wall clock, in epoch seconds.
    clock: Callable[[], float] = time.time

    def list_certificates(
        self, session: Session, list_query: ListQuery, context: RequestContext, cursor: str = ""
    ) -> ListView:
        """Return the usable certificates from `cursor`, or from the start of the list. The record gets the report.

        Raises ServiceError if the first page cannot be read, the merchant or store is unknown, the session belongs to
        another app, the cursor belongs to another list, or no token is available.
        """
        start, credentials = self.credentials_cache.find_or_reread(
            lambda credentials: decode_cursor(cursor, list_query, session.open_id, credentials.session_keys), context
        )
        if start is None:
            raise InvalidRequestError("cursor", "must be next_cursor of a response to the same request")
        merchant = self.merchants.get(list_query.account_id, context)
        merchant.check_app(session.app_id)
        merchant.check_store(list_query.poi_id)
        calls = AuthorizedCalls(self.douyin, self.tokens, merchant.app_id, context, merchant.life_account_id)
        fetched = fetch_pages(start, list_query, session.open_id, calls, self.executor)
        built = build_views(fetched.pages, self.clock())
        position = fetched.position
        new_cursor = None
        if fetched.continues:
            new_cursor = encode_cursor(position, list_query, session.open_id, credentials.session_keys)
        ended_early = not fetched.continues and position.total is not None and position.received < position.total
        context.record.report = ListReport(
            pages=len(fetched.pages),
            certificates=len(built.views),
            malformed=built.malformed,
            malformed_fields=built.malformed_fields[:MAX_REPORTED_FIELDS],
            lost_page=fetched.lost_page_error,
            received=position.received if ended_early else None,
            total=position.total if ended_early else None,
        )
        return ListView(
            list_query.account_id,
            list_query.poi_id,
            built.views,
            built.unusable,
            new_cursor,
            merchant.notice,
            merchant.redeeming,
        )
