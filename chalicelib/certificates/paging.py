"""Pagination: reads up to four of the platform's pages for one response, and decides where the list ends.

The first page is read alone because it reports the total; the others are read in parallel.

The platform may cut its pages before it filters them by store. Then a short or empty page is not the end of the list.
The total decides. If it cannot be right, the size of the newest page decides.
"""

from concurrent.futures import Executor, wait

import msgspec

from chalicelib.authorized_client import AuthorizedCalls
from chalicelib.certificates.cursors import Cursor
from chalicelib.douyin.endpoints import PAGE_SIZE, QUERY_USER_CERTIFICATES, Selection, page_body
from chalicelib.douyin.pages import Page
from chalicelib.errors import RedemptionError, UpstreamMalformedError

PAGES_PER_RESPONSE = 4

MAX_PAGES = 40
"""2,000 certificates of one user at one merchant: a larger total is wrong, and pagination must end."""


class PagedResult(msgspec.Struct, frozen=True):
    """Consecutive pages, and the position after them."""

    pages: list[Page]
    position: Cursor
    #: Whether the list goes on at this position; False at its end.
    continues: bool
    #: The error of the page at this position, if it could not be read: reading on begins with it.
    lost_page_error: RedemptionError | None = None


def list_pages(
    start: Cursor, selection: Selection, open_id: str, calls: AuthorizedCalls, executor: Executor
) -> PagedResult:
    """Read the page of `start`, then the pages after it in parallel, at most PAGES_PER_RESPONSE in all.

    Raises what `AuthorizedCalls.send` raises for the first page. If page 3 cannot be read, the result has pages 1 and
    2, and `position` is at page 3: the next response reads pages 3 and 4.
    """
    pages = [_read_page(selection, open_id, start.next_page, start, calls)]
    error: RedemptionError | None = None
    while True:
        position = advance(start, pages)
        pages_left, continues = count_pages_left(position, pages[-1].size)
        count = min(pages_left, PAGES_PER_RESPONSE - len(pages))
        if count <= 0 or error is not None:
            # The list may have ended before a lost page: some pages are read only to find the end.
            return PagedResult(pages, position, continues, error if continues else None)
        numbers = range(position.next_page, position.next_page + count)
        futures = [executor.submit(_read_page, selection, open_id, n, position, calls) for n in numbers]
        # Lambda freezes the instance after the response: no call may be left running.
        wait(futures)
        try:
            for future in futures:
                pages.append(future.result())  # noqa: PERF401 - the pages before a lost one are kept
        except RedemptionError as lost:
            error = lost


def _read_page(selection: Selection, open_id: str, number: int, before: Cursor, calls: AuthorizedCalls) -> Page:
    """Return page `number`. `before`: what the pages before it held.

    An empty page with a total of 0 contradicts certificates that were received: it is read again, and lost if it stays
    so. If the platform reported a total of 0 beside them, too, the page is the end of the list then.
    """
    body = page_body(selection, open_id, number)
    page = calls.send(QUERY_USER_CERTIFICATES, body)
    if before.received and page.claims_no_certificates:
        page = calls.send(QUERY_USER_CERTIFICATES, body)
        if page.claims_no_certificates and before.total != 0:
            raise UpstreamMalformedError("empty")
    return page


def count_pages_left(position: Cursor, newest_size: int) -> tuple[int, bool]:
    """Return how many pages to read now, at most, and whether the list continues at `position`.

    `newest_size` is the size of the page before `position`.
    """
    read = position.next_page - 1
    allowed = MAX_PAGES - read
    if allowed <= 0:
        return 0, False
    is_full, total = newest_size >= PAGE_SIZE, position.total
    if total is None or total < position.received:
        # The total cannot be right: a full page is followed by another.
        return (allowed, True) if is_full else (0, False)
    if read == 1 and is_full and total == newest_size:
        # The total may count the page or the list. The next response finds out.
        return 0, True
    pages_left = min(-(-total // PAGE_SIZE) - read, allowed)
    return max(pages_left, 0), pages_left > 0


def advance(start: Cursor, pages: list[Page]) -> Cursor:
    """Return the position after `pages`, which begin at `start`."""
    received = start.received + sum(page.size for page in pages)
    # The total may differ between pages: the largest counts.
    totals = [total for total in (start.total, *(page.total for page in pages)) if total is not None]
    total = max(totals, default=None)
    return Cursor(start.next_page + len(pages), received, total=total)
