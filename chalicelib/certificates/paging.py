"""Pagination: reads up to four of the platform's pages for one response, and decides where the list ends.

The first page is read alone, because it reports the total. The others are read in parallel.

The platform may cut its pages before it filters them by store. Then a short or empty page is not the end of the list,
so the total decides. If the total is missing or less than what was received, the size of the last page decides.

A cursor is the position in a list as text. It is signed for one user, merchant, store and set of filters, so it
does not verify in another list.
"""

from concurrent.futures import Executor, wait

import msgspec

from chalicelib import signing
from chalicelib.authorized_calls import AuthorizedCalls
from chalicelib.douyin.calls import PAGE_SIZE, QUERY_USER_CERTIFICATES, ListQuery, page_body
from chalicelib.douyin.pages import Page
from chalicelib.errors import ServiceError, UpstreamMalformedError

MAX_PAGES_PER_RESPONSE = 4

MAX_PAGES = 40
"""The most pages of a list (2,000 certificates). A larger total is assumed to be wrong, so that pagination ends."""

MAX_CURSOR_LENGTH = 1024
"""The longest cursor, in characters."""


class ListPosition(msgspec.Struct, frozen=True):
    """A place in a list: its next page, the number of certificates before it, and the platform's total of the list."""

    next_page: int = 1
    #: The number of certificates on the pages before `next_page`.
    received: int = 0
    #: The largest total that the platform has reported, or None.
    total: int | None = None


class NextPages(msgspec.Struct, frozen=True):
    """How many pages follow."""

    #: How many pages this response may still read. `fetch_pages` also applies MAX_PAGES_PER_RESPONSE.
    readable_now: int
    #: Whether the list continues. If it does and `readable_now` is 0, the next response reads the next page.
    continues: bool


class FetchedPages(msgspec.Struct, frozen=True):
    """Consecutive pages, and the position after them."""

    pages: list[Page]
    position: ListPosition
    #: Whether the list continues at this position. False at its end.
    continues: bool
    #: The error of the page at this position, if it could not be read. The next response reads it again.
    lost_page_error: ServiceError | None = None


def fetch_pages(
    start: ListPosition, list_query: ListQuery, open_id: str, calls: AuthorizedCalls, executor: Executor
) -> FetchedPages:
    """Fetch the page of `start`, then the pages after it in parallel, at most MAX_PAGES_PER_RESPONSE in all.

    Raises what `AuthorizedCalls.send` raises for the first page, and UpstreamMalformedError if this page contradicts
    `start`. If page 3 of 4 cannot be read, the result has pages 1 and 2, even if page 4 was read. Its `position` is at
    page 3: the next response reads pages 3 and 4.
    """

    def fetch(number: int) -> Page:
        body = page_body(list_query, open_id, number)
        page = calls.send(QUERY_USER_CERTIFICATES, body)
        # A later page that reports no certificates at all may be a fault of the platform: request it once more.
        if number > 1 and page.reports_no_certificates:
            page = calls.send(QUERY_USER_CERTIFICATES, body)
        return page

    pages = [fetch(start.next_page)]
    if _is_past_end(pages[0], start):
        return FetchedPages(pages, start, continues=False)
    error: ServiceError | None = None
    while True:
        position = position_after(start, pages)
        following = plan_next_pages(position, pages[-1].size)
        count = min(following.readable_now, MAX_PAGES_PER_RESPONSE - len(pages))
        if count <= 0 or error is not None:
            # The pages before a lost page may show that the list ends there. Then the lost page does not matter.
            return FetchedPages(pages, position, following.continues, error if following.continues else None)
        numbers = range(position.next_page, position.next_page + count)
        futures = [executor.submit(fetch, number) for number in numbers]
        # Wait for all calls: Lambda freezes the instance after the response, and would interrupt a running call.
        wait(futures)
        try:
            for future in futures:
                page, before = future.result(), position_after(start, pages)
                if _is_past_end(page, before):
                    return FetchedPages(pages, before, continues=False)
                pages.append(page)
        except ServiceError as lost:
            error = lost


def _is_past_end(page: Page, before: ListPosition) -> bool:
    """Return whether a page shows that the list has ended before it. `before` is the position of the page.

    An empty page with a total of 0 contradicts the certificates that were received before. It shows the end of the list
    if all pages before were full, and no total has promised more. Otherwise, this raises UpstreamMalformedError.
    """
    if not before.received or not page.reports_no_certificates:
        return False
    if before.received < PAGE_SIZE * (before.next_page - 1) or (before.total or 0) > before.received:
        raise UpstreamMalformedError("empty")
    return True


def plan_next_pages(position: ListPosition, last_page_size: int) -> NextPages:
    """Return how many pages follow at `position`. `last_page_size`: the number of certificates on the page before."""
    pages_read = position.next_page - 1
    allowed = MAX_PAGES - pages_read
    if allowed <= 0:
        return NextPages(0, continues=False)
    is_last_page_full, total = last_page_size >= PAGE_SIZE, position.total
    if total is None or total < position.received:
        # The total is missing or wrong, so assume that another page follows a full page.
        return NextPages(allowed if is_last_page_full else 0, continues=is_last_page_full)
    if pages_read == 1 and is_last_page_full and total == last_page_size:
        # The total may count only this page, or the whole list, so the next response reads page 2.
        return NextPages(0, continues=True)
    pages_left = min(-(-total // PAGE_SIZE) - pages_read, allowed)
    return NextPages(max(pages_left, 0), continues=pages_left > 0)


def position_after(start: ListPosition, pages: list[Page]) -> ListPosition:
    """Return the position after `pages`, which begin at `start`."""
    received = start.received + sum(page.size for page in pages)
    # The total may differ between pages: the largest counts.
    totals = [total for total in (start.total, *(page.total for page in pages)) if total is not None]
    total = max(totals, default=None)
    return ListPosition(start.next_page + len(pages), received, total)


def encode_cursor(position: ListPosition, list_query: ListQuery, open_id: str, keys: list[str]) -> str:
    """Return the cursor with which this user's list continues at `position`."""
    # The third element is unused: release 0.14.0 reads and writes it. Remove it in the release after 0.15.0.
    content = [position.next_page, position.received, 0, position.total]
    return signing.sign(content, _purpose(list_query, open_id), keys)


def decode_cursor(cursor: str, list_query: ListQuery, open_id: str, keys: list[str]) -> ListPosition | None:
    """Return the position in a cursor, or None if none of the keys has signed it for this list.

    "" stands for the start of the list.
    """
    if not cursor:
        return ListPosition()
    content = signing.verify(cursor, _purpose(list_query, open_id), keys, tuple[int, int, int, int | None])
    return None if content is None else ListPosition(content[0], content[1], content[3])


def _purpose(list_query: ListQuery, open_id: str) -> bytes:
    # Keep this order: with another one, the cursors that clients hold would not verify.
    filters = list_query.poi_id, list_query.biz_type, list_query.start_time, list_query.end_time
    return b"douyin-redemption cursor " + msgspec.json.encode([list_query.account_id, open_id, *filters])
