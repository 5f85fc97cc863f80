"""Pagination: reads up to four upstream pages for one response, and decides where the next response starts.

The first page is read alone because it reports the total; the others are read in parallel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chalicelib.errors import RedemptionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from chalicelib.douyin.protocol import Page

PAGES_PER_RESPONSE = 4

MAX_PAGE = 1000
"""50,000 certificates of one user at one merchant: a larger total is wrong, and pagination must end."""


class PagedResult(msgspec.Struct, frozen=True):
    """Consecutive pages; the page where the next response starts, or None at the end of the list.

    `lost_page_error` is why that page could not be read now, or None.
    """

    pages: list[Page]
    next_page: int | None
    lost_page_error: RedemptionError | None = None


def list_pages(first: int, fetch: Callable[[int], Page], executor: Executor, page_size: int) -> PagedResult:
    """Read page `first`, then the pages after it in parallel, at most PAGES_PER_RESPONSE in all.

    Raises what `fetch` raises for the first page. A later page that is lost ends the result before it; the next
    response starts with it.
    """
    pages = [fetch(first)]
    end = min(first + PAGES_PER_RESPONSE, _last_page(pages, first, page_size) + 1)
    futures: list[Future[Page]] = [executor.submit(fetch, number) for number in range(first + 1, end)]
    for future in futures:
        try:
            pages.append(future.result())
        except RedemptionError as error:
            return PagedResult(pages, first + len(pages), error)
    current = first + len(pages) - 1
    # Empty pages end the list whatever the total is: a wrong total must not cause endless pagination.
    is_end = current >= MAX_PAGE or not any(page.size or page.malformed for page in pages)
    has_more = _last_page(pages, current, page_size) > current and not is_end
    return PagedResult(pages, current + 1 if has_more else None)


def _last_page(pages: list[Page], current: int, page_size: int) -> int:
    """Return the number of the last page, as far as the pages up to `current` tell.

    The total may change between pages: the largest counts.
    """
    total = max((page.total or 0 for page in pages), default=0)
    newest = pages[-1]
    if total >= (current - 1) * page_size + newest.size:
        return max(current, -(-total // page_size))
    # The total is missing, or smaller than what was already shown: a full page may be followed by others.
    return current + (PAGES_PER_RESPONSE if newest.size >= page_size else 0)
