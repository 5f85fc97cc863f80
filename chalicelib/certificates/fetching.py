"""Fetches pages for one request: with the merchant's token, and one token renewal at most."""

import threading
from dataclasses import dataclass

from chalicelib.context import RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery
from chalicelib.errors import RedemptionError, TokenRefusedError, TokenUnavailableError
from chalicelib.tokens.provider import TokenProvider


@dataclass(eq=False, repr=False)
class PageFetcher:
    """Fetches the pages of one query. Thread-safe: all threads share one token, renewed at most once."""

    query: CertificatesQuery
    #: The id of the merchant's TOKEN# row.
    token_id: str
    #: The present access token.
    token: str
    douyin: DouyinClient
    tokens: TokenProvider
    #: The token is renewed with it, because what was minted must be stored.
    context: RequestContext

    def __post_init__(self) -> None:
        # The deadline of the pages is that of the request, but it can be cancelled without ending the renewal.
        self._page_context = self.context.cancellable()
        #: The deadline of the pages.
        self.deadline = self._page_context.deadline
        self._lock = threading.Lock()
        self._first_token = self.token
        self._renewal_error: RedemptionError | None = None

    def fetch_page(self, number: int, known_total: int | None) -> Page:
        """Return page `number` (from 1); raises UpstreamError, TokenUnavailableError, StorageUnavailableError.

        `known_total`: see `parse_certificates`.
        """
        while True:
            token = self.token
            try:
                return self.douyin.query_user_certificates(self.query, number, token, self._page_context, known_total)
            except TokenRefusedError as refusal:
                self._replace(token, refusal)

    def abort(self) -> None:
        """Abort the calls of all pages.

        A renewal of the token is waited for: Lambda freezes the instance as soon as the response is sent.
        """
        self.deadline.cancel()
        with self._lock:
            pass

    def _replace(self, refused: str, refusal: TokenRefusedError) -> None:
        """Replace a refused token, unless another page has. It is tried once for all pages of a request.

        Raises TokenUnavailableError at a second refusal, and for every page what has stopped the renewal.
        """
        with self._lock:
            if self.token != refused:
                return
            if self._renewal_error is not None:
                raise self._renewal_error
            if refused != self._first_token:
                raise TokenUnavailableError("refused again, and a request renews only once", refusal.evidence)
            # The page is no longer needed. A renewal that begins now could go on after the response.
            if self.deadline.is_cancelled:
                raise refusal
            try:
                self.token = self.tokens.replace(self.token_id, refused, refusal, self.context)
            except RedemptionError as error:
                self._renewal_error = error
                raise
