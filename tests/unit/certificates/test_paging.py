"""Pagination: which pages are read, in which order, and where the next response starts.

`tests/unit/douyin/test_fuzz.py` follows the cursors through whole lists.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext

import msgspec
import pytest

from chalicelib.authorized_calls import AuthorizedCalls
from chalicelib.certificates.paging import (
    MAX_PAGES,
    MAX_PAGES_PER_RESPONSE,
    FetchedPages,
    ListPosition,
    NextPages,
    fetch_pages,
    plan_next_pages,
)
from chalicelib.douyin.calls import PAGE_SIZE, ListQuery
from chalicelib.douyin.pages import Page
from chalicelib.errors import UpstreamMalformedError, UpstreamRejectedError, UpstreamUnavailableError
from tests.unit.fakes import OPEN_ID, FakeDouyin, FixedTokenSource, make_context, make_page

PageMap = dict[int, tuple[int, int | None] | Page | Exception]

LOST = UpstreamRejectedError("2119001")


class Pages:
    """The pages of a list as (certificates, total), by number; further pages are empty. Records what was fetched."""

    def __init__(self, pages: PageMap) -> None:
        self.pages = pages
        self.fetched: list[int] = []

    def __call__(self, number: int) -> Page:
        self.fetched.append(number)
        page = self.pages.get(number, (0, None))
        if isinstance(page, Exception):
            raise page
        if isinstance(page, tuple):
            count, total = page
            return make_page([f"{number}-{place}" for place in range(count)], total)
        return page


def read(
    fetch: Callable[[int], Page], start: ListPosition | None = None, executor: Executor | None = None
) -> FetchedPages:
    douyin = FakeDouyin()
    douyin.fetch = lambda number, _token: fetch(number)
    calls = AuthorizedCalls(douyin, FixedTokenSource(), "tta", make_context())
    return fetch_pages(start or ListPosition(), ListQuery("7"), OPEN_ID, calls, executor or ThreadPoolExecutor(1))


def place(result: FetchedPages) -> ListPosition | None:
    """Return where the list continues, without the total that goes with it, or None at its end."""
    return msgspec.structs.replace(result.position, total=None) if result.continues else None


FULL = PAGE_SIZE


def alike(numbers: range, count: int, total: int | None) -> PageMap:
    """Return pages that hold the same number of certificates and report the same total."""
    return dict.fromkeys(numbers, (count, total))


@pytest.mark.parametrize(
    ("position", "size", "plan"),
    [
        # The total says how many pages follow, whatever the size of the newest page is.
        (ListPosition(2, 0, 0), 0, (0, False)),
        (ListPosition(2, FULL, 51), FULL, (1, True)),
        (ListPosition(6, 250, 250), FULL, (0, False)),
        (ListPosition(8, 340, 340), 40, (0, False)),
        # The platform cuts pages before it filters them by store: short and empty pages in the middle.
        (ListPosition(2, 0, 60), 0, (1, True)),
        (ListPosition(5, 3, 260), 0, (2, True)),
        # The total is that after the filter: it cannot be told from one that is right.
        (ListPosition(2, 0, 5), 0, (0, False)),
        # A full first page whose total is its own size: it may be that of the page. The next response finds out.
        (ListPosition(2, FULL, 50), FULL, (0, True)),
        (ListPosition(2, 49, 49), 49, (0, False)),
        (ListPosition(3, 100, 50), FULL, (MAX_PAGES - 2, True)),
        # A total that is missing, or less than what was received, is not believed: a full page is followed by another.
        (ListPosition(2, 49, None), 49, (0, False)),
        (ListPosition(2, FULL, None), FULL, (MAX_PAGES - 1, True)),
        (ListPosition(2, FULL, 0), FULL, (MAX_PAGES - 1, True)),
        (ListPosition(6, 250, 249), FULL, (MAX_PAGES - 5, True)),
        (ListPosition(6, 220, 100), 20, (0, False)),
        # Limits, for a total that is too large.
        (ListPosition(6, 2, 10**9), 0, (MAX_PAGES - 5, True)),
        (ListPosition(MAX_PAGES, 1950, 10**9), FULL, (1, True)),
        (ListPosition(MAX_PAGES + 1, 2000, 10**9), FULL, (0, False)),
    ],
)
def test_what_follows_the_last_page(position: ListPosition, size: int, plan: tuple[int, bool]) -> None:
    """The last page, before `position`, has `size` certificates."""
    assert plan_next_pages(position, size) == NextPages(*plan)


@pytest.mark.parametrize(
    ("start", "pages", "fetched", "after"),
    [
        (ListPosition(), {1: (0, 5)}, [1], None),
        (ListPosition(), {1: (FULL, 51), 2: (1, 51)}, [1, 2], None),
        (ListPosition(), alike(range(1, 5), FULL, 200), [1, 2, 3, 4], None),
        (ListPosition(), alike(range(1, 6), FULL, 201), [1, 2, 3, 4], ListPosition(5, 200)),
        # Without a total, a full page may be followed by others.
        (ListPosition(), {1: (FULL, None)}, [1, 2, 3, 4], None),
        # A total that changes between pages: the largest counts.
        (ListPosition(), {1: (FULL, 120), 2: (FULL, 60), 3: (20, 60)}, [1, 2, 3], None),
        # A total that grows: the other pages belong to this response as well.
        (ListPosition(), {1: (FULL, 60), 2: (FULL, 120), 3: (FULL, 160), 4: (10, 160)}, [1, 2, 3, 4], None),
        # The next response knows what was received.
        (ListPosition(), {1: (2, 10**9)}, [1, 2, 3, 4], ListPosition(5, 2)),
        (ListPosition(5, 2), {7: (1, 10**9), 5: (0, 10**9)}, [5, 6, 7, 8], ListPosition(9, 3)),
        (ListPosition(37, 1800), alike(range(37, 50), FULL, 10**9), [37, 38, 39, 40], None),
        # What was removed from a page was received.
        (ListPosition(), {n: make_page([], 10**9, size=1) for n in range(1, 5)}, [1, 2, 3, 4], ListPosition(5, 4)),
    ],
)
def test_what_a_list_reads(start: ListPosition, pages: PageMap, fetched: list[int], after: ListPosition | None) -> None:
    fetch = Pages(pages)
    result = read(fetch, start)
    assert fetch.fetched == fetched
    assert (len(result.pages), place(result), result.lost_page_error) == (len(fetched), after, None)


@pytest.mark.parametrize(
    ("pages", "read_pages", "after"),
    [
        (alike(range(1, 5), FULL, 200) | {2: LOST}, 1, ListPosition(2, 50)),
        (alike(range(1, 5), FULL, 200) | {4: LOST}, 3, ListPosition(4, 150)),
        (alike(range(1, 5), FULL, 500) | {2: LOST}, 1, ListPosition(2, 50)),
        # The first of two lost pages counts.
        (alike(range(1, 5), FULL, 500) | {3: LOST, 4: UpstreamUnavailableError("http_503")}, 2, ListPosition(3, 100)),
        # Without a total, pages after a full one are read in case that the list goes on: it ended before the lost one.
        ({1: (FULL, None), 2: (20, None), 3: LOST}, 2, None),
    ],
)
def test_a_lost_page_ends_the_response_before_it(pages: PageMap, read_pages: int, after: ListPosition | None) -> None:
    result = read(Pages(pages))
    assert (len(result.pages), place(result)) == (read_pages, after)
    assert result.lost_page_error is (None if after is None else LOST)


@pytest.mark.parametrize(
    ("start", "pages", "total"),
    [
        (None, {1: (FULL, None), 2: (1, None)}, None),
        (None, {1: (0, 450), 2: (0, 460), 3: (0, None)}, 460),
        (500, {5: (0, 1)}, 500),
        (500, {5: (FULL, 480), 6: (0, 510), 7: (1, 490)}, 510),
    ],
)
def test_the_largest_total_counts(start: int | None, pages: PageMap, total: int | None) -> None:
    assert read(Pages(pages), ListPosition(1 if start is None else 5, 0, start)).position.total == total


class TestVoidPage:
    """A page that says that the user has no certificate, after certificates were received."""

    @pytest.mark.parametrize(("start", "page"), [(None, 2), (None, 3), (ListPosition(3, 100, 120), 3)])
    def test_it_is_read_again(self, start: ListPosition | None, page: int) -> None:
        pages = Pages(alike(range(1, 3), FULL, 120) | {3: (20, 120)})
        voids = [(0, 0)]

        def fetch(number: int) -> Page:
            found = pages(number)
            return make_page([], 0) if number == page and voids and voids.pop() else found

        result = read(fetch, start)
        assert (result.position.received, result.continues, result.lost_page_error) == (120, False, None)
        assert pages.fetched.count(page) == 2

    @pytest.mark.parametrize("total", [None, 0, 50, 100])
    def test_after_full_pages_it_is_the_end_of_the_list_unless_a_total_promised_more(self, total: int | None) -> None:
        pages = Pages(alike(range(1, 3), FULL, total) | alike(range(3, 5), 0, 0))
        result = read(pages, ListPosition(2, 50, total))
        assert (result.position.received, result.continues, result.lost_page_error) == (100, False, None)
        result = read(pages, ListPosition(3, 100, total))
        assert (result.position.received, result.continues, result.lost_page_error) == (100, False, None)

    @pytest.mark.parametrize("start", [ListPosition(3, 100, 101), ListPosition(3, 99, None), ListPosition(3, 51, 51)])
    def test_otherwise_it_is_lost(self, start: ListPosition) -> None:
        with pytest.raises(UpstreamMalformedError, match="empty"):
            read(Pages({3: (0, 0)}), start)

    def test_if_it_stays_so_it_is_lost(self) -> None:
        pages = Pages(alike(range(1, 4), FULL, 120) | {2: (0, 0)})
        result = read(pages)
        assert (len(result.pages), place(result)) == (1, ListPosition(2, 50))
        assert isinstance(result.lost_page_error, UpstreamMalformedError)
        with pytest.raises(UpstreamMalformedError, match="empty"):
            read(pages, ListPosition(2, 50, 120))

    @pytest.mark.parametrize(("total", "size"), [(None, 0), (120, 0), (0, 1)])
    def test_an_empty_page_with_another_total_or_one_with_certificates_is_a_page(
        self, total: int | None, size: int
    ) -> None:
        pages = Pages(alike(range(1, 4), FULL, 120) | {2: (size, total)})
        assert len(read(pages).pages) == 3
        assert sorted(pages.fetched) == [1, 2, 3]


def test_the_first_page_is_read_alone_and_the_others_in_parallel() -> None:
    started: list[int] = []
    together = threading.Barrier(MAX_PAGES_PER_RESPONSE - 1)

    def fetch(number: int) -> Page:
        started.append(number)
        if number == 1:
            assert started == [1]
        else:
            together.wait(5)
        return make_page([str(number)] * PAGE_SIZE, 500)

    with ThreadPoolExecutor(MAX_PAGES_PER_RESPONSE - 1) as executor:
        result = read(fetch, executor=executor)
    assert [page.certificates[0].order_id for page in result.pages] == ["order-1", "order-2", "order-3", "order-4"]


@pytest.mark.parametrize("error", [LOST, ZeroDivisionError("x")])
def test_the_response_waits_for_the_pages_after_a_lost_one(error: Exception) -> None:
    """Lambda freezes the instance after the response: a call or a mint in progress would never end."""
    is_lost = threading.Event()
    ended: list[int] = []

    def fetch(number: int) -> Page:
        if number == 2:
            is_lost.set()
            raise error
        if number > 2:
            assert is_lost.wait(60)
            time.sleep(0.1)
        ended.append(number)
        return make_page([str(number)] * PAGE_SIZE, 500)

    with (
        ThreadPoolExecutor(MAX_PAGES_PER_RESPONSE) as executor,
        nullcontext() if error is LOST else pytest.raises(ZeroDivisionError),
    ):
        try:
            result = read(fetch, executor=executor)
        finally:
            assert sorted(ended) == [1, 3, 4]
        assert (place(result), result.lost_page_error) == (ListPosition(2, 50), LOST)
