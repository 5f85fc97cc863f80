"""Fetches pages for one request, with the merchant's token."""

from dataclasses import dataclass

from chalicelib.context import RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery
from chalicelib.tokens.provider import RequestToken


@dataclass(eq=False, repr=False)
class PageFetcher:
    """Fetches the pages of one query. Thread-safe: all threads share one token."""

    query: CertificatesQuery
    token: RequestToken
    douyin: DouyinClient
    #: The context of the pages: it can be cancelled without ending a renewal of the token.
    context: RequestContext

    def fetch_page(self, number: int) -> Page:
        """Return page `number` (from 1); raises UpstreamError, TokenUnavailableError, StorageUnavailableError."""
        return self.token.use(
            lambda token: self.douyin.query_user_certificates(self.query, number, token, self.context)
        )

    def abort(self) -> None:
        """Abort the calls of all pages. A renewal of the token is waited for."""
        self.context.deadline.cancel()
        self.token.close()
