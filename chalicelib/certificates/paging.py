"""Pagination: reads up to four of the platform's pages for one response, and decides where the next response starts.

The first page is read alone because it reports the total; the others are read in parallel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chalicelib.errors import RedemptionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from chalicelib.context import Deadline
    from chalicelib.douyin.protocol import Page

PAGES_PER_RESPONSE = 4

MAX_PAGE = 1000
"""50,000 certificates of one user at one merchant: a larger total is wrong, and pagination must end."""


class PagedResult(msgspec.Struct, frozen=True):
    """Consecutive pages; the page where the next response starts, or None at the end of the list.

    `lost_page_error` is the error of a page that could not be read (then `next_page` is this page), or None.
    """

    pages: list[Page]
    next_page: int | None
    lost_page_error: RedemptionError | None = None


def list_pages(
    first: int, fetch: Callable[[int], Page], executor: Executor, page_size: int, deadline: Deadline
) -> PagedResult:
    """Read page `first`, then the pages after it in parallel, at most PAGES_PER_RESPONSE in all.

    `deadline` limits the calls of `fetch`. Raises what `fetch` raises for the first page. If a later page cannot be
    read, the result ends before this page, and the next response starts with it. The pages after it are not used: those
    that have not started are cancelled, those in progress are aborted by cancelling `deadline`.
    """
    pages = [fetch(first)]
    while True:
        current = first + len(pages) - 1
        count, has_more = _plan(pages, current, page_size)
        count = min(count, PAGES_PER_RESPONSE - len(pages))
        if count <= 0:
            return PagedResult(pages, current + 1 if has_more else None)
        futures = [executor.submit(fetch, current + number) for number in range(1, count + 1)]
        try:
            pages += [future.result() for future in futures]
        except RedemptionError as error:
            pages += _completed_before_failure(futures)
            return PagedResult(pages, first + len(pages), error)
        finally:
            _cancel(futures, deadline)


def _completed_before_failure(futures: list[Future[Page]]) -> list[Page]:
    """Return the pages before the first one that failed."""
    pages: list[Page] = []
    for future in futures:
        if future.exception() is not None:
            break
        pages.append(future.result())
    return pages


def _cancel(futures: list[Future[Page]], deadline: Deadline) -> None:
    """Cancel the futures that are not done."""
    if not all(future.done() for future in futures):
        for future in futures:
            future.cancel()
        deadline.cancel()


def _plan(pages: list[Page], current: int, page_size: int) -> tuple[int, bool]:
    """Return how many pages to read now, and whether the list continues after page `current`.

    The total may change between pages: the largest counts. It is not trusted when it is missing or less than what was
    already read; then a full page may be followed by others.
    """
    newest = pages[-1]
    # Empty pages end the list whatever the total is: a wrong total must not cause endless pagination.
    if current >= MAX_PAGE or not any(page.size or page.removed for page in pages):
        return 0, False
    total = max(page.total or 0 for page in pages)
    is_full = newest.size >= page_size
    if total < (current - 1) * page_size + newest.size:
        return (PAGES_PER_RESPONSE, True) if is_full else (0, False)
    if is_full and len(pages) == 1 and total == newest.size:
        # A first page that is full: the total may be that of the page or of the list. The next response finds out.
        return 0, True
    last = min(-(-total // page_size), MAX_PAGE)
    return last - current, last > current
