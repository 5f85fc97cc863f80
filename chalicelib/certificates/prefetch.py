"""Prefetch for a login with a list: while the code is exchanged, fetch what the list needs for any user.

That is the merchant, its access token, and a connection to the open API. The list finds them in the caches and in the
connection pool.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from chalicelib.errors import UpstreamError, UpstreamTimeoutError

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from chalicelib.certificates.listing import CertificateLister
    from chalicelib.context import Deadline, RequestContext
    from chalicelib.douyin.client import DouyinClient
    from chalicelib.douyin.protocol import CertificateFilter

PREFETCH_SECONDS = 4.0
"""Limit for the merchant and its token, a mint included."""

CONNECT_SECONDS = 1.0
"""Limit for the connection. The list waits for it, because a second connection would not be open sooner."""


class Prefetch:
    """A prefetch that was started."""

    def __init__(self, merchant: Future[None], connection: Future[None]) -> None:
        self._merchant = merchant
        self._connection = connection

    def wait(self, deadline: Deadline) -> None:
        """Wait until the list can start. What has not begun is left to the list.

        Raises the error of the merchant or its token, which would be the list's, and UpstreamTimeoutError at the
        deadline.
        """
        self.abandon()
        if not self._merchant.cancelled():
            try:
                self._merchant.result(max(0.0, deadline.remaining()))
            except TimeoutError:
                raise UpstreamTimeoutError("budget") from None
        if not self._connection.cancelled():
            # Without this connection the list opens one of its own, with retries.
            with suppress(UpstreamError, TimeoutError):
                self._connection.result(max(0.0, deadline.remaining()))

    def abandon(self) -> None:
        """Cancel what has not begun. The rest ends by its own limits, so that a new token is still stored."""
        self._merchant.cancel()
        self._connection.cancel()


class Prefetcher:
    """Starts prefetches in the threads of `executor`. Nothing else should run there: abandoned ones may fill it."""

    def __init__(self, lister: CertificateLister, douyin: DouyinClient, executor: Executor) -> None:
        self._lister = lister
        self._douyin = douyin
        self._executor = executor

    def start(self, app_id: str, wanted: CertificateFilter, context: RequestContext) -> Prefetch:
        """Start to fetch for a user of this app, within a limit of its own."""
        context = context.with_timeout(PREFETCH_SECONDS)
        return Prefetch(
            self._executor.submit(self._lister.prefetch, app_id, wanted, context),
            self._executor.submit(self._douyin.ensure_connection, CONNECT_SECONDS),
        )
