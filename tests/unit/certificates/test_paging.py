"""Pagination: which pages are read, in which order, and where the next response starts."""

from __future__ import annotations

import functools
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.certificates.paging import MAX_PAGE, PAGES_PER_RESPONSE, PagedResult, _plan, list_pages
from chalicelib.context import Deadline
from chalicelib.errors import RedemptionError, TokenUnavailableError, UpstreamRejectedError, UpstreamUnavailableError
from tests.unit.fakes import PAGE_SIZE, Clock, InlineExecutor, make_page, number_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chalicelib.douyin.protocol import Page

LOST = UpstreamRejectedError("2119001")


class Pages:
    """The pages of a list as (certificates, total), by number; further pages are empty. Records what was fetched."""

    def __init__(self, pages: Mapping[int, tuple[int, int | None] | Page | Exception]) -> None:
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


def make_deadline() -> Deadline:
    return Deadline(9.0, Clock())


def read(pages: Callable[[int], Page], first: int = 1) -> PagedResult:
    return list_pages(first, pages, InlineExecutor(), PAGE_SIZE, make_deadline())


FULL = PAGE_SIZE
ALL = range(1, MAX_PAGE + 9)


def alike(numbers: range, count: int, total: int | None) -> dict[int, tuple[int, int | None] | Page | Exception]:
    """Return pages that hold the same number of certificates and report the same total."""
    return dict.fromkeys(numbers, (count, total))


@pytest.mark.parametrize(
    ("first", "pages", "fetched", "next_page"),
    [
        # The total says how many pages there are.
        (1, {1: (0, 0)}, [1], None),
        (1, {1: (7, 7)}, [1], None),
        (1, {1: (FULL, 51), 2: (1, 51)}, [1, 2], None),
        (1, {1: (FULL, 100), 2: (FULL, 100)}, [1, 2], None),
        (1, alike(range(1, 5), FULL, 200), [1, 2, 3, 4], None),
        (1, alike(range(1, 6), FULL, 201), [1, 2, 3, 4], 5),
        (1, alike(range(1, 11), FULL, 500), [1, 2, 3, 4], 5),
        (5, alike(range(5, 7), FULL, 340) | {7: (40, 340)}, [5, 6, 7], None),
        (5, alike(range(1, 11), FULL, 500), [5, 6, 7, 8], 9),
        (9, alike(range(1, 11), FULL, 500), [9, 10], None),
        (3, {3: (FULL, 150)}, [3], None),
        # A full first page whose total is its own size: the total may be that of the page. The next response finds out.
        (1, {1: (FULL, 50)}, [1], 2),
        (2, {2: (FULL, 100)}, [2], None),
        (1, {1: (FULL + 1, 51)}, [1], 2),
        (1, {1: (FULL - 1, 49)}, [1], None),
        # Without a total, a full page may be followed by others.
        (1, {1: (0, None)}, [1], None),
        (1, {1: (FULL - 1, None)}, [1], None),
        (1, {1: (FULL, None)}, [1, 2, 3, 4], None),
        (1, {1: (FULL, None), 2: (20, None)}, [1, 2, 3, 4], None),
        (1, alike(range(1, 9), FULL, None), [1, 2, 3, 4], 5),
        (1, alike(range(1, 4), FULL, None) | {4: (49, None)}, [1, 2, 3, 4], None),
        # A total that is smaller than what was already read is not believed.
        (1, alike(range(1, 9), FULL, 0), [1, 2, 3, 4], 5),
        (1, alike(range(1, 9), FULL, 10), [1, 2, 3, 4], 5),
        (1, {1: (20, 10)}, [1], None),
        (5, alike(range(5, 9), FULL, 100), [5, 6, 7, 8], 9),
        (5, {5: (20, 100)}, [5], None),
        # A total that changes between pages: the largest counts.
        (1, {1: (FULL, 120), 2: (FULL, 60), 3: (20, 60)}, [1, 2, 3], None),
        (1, alike(range(2, 9), FULL, 60) | {1: (FULL, 500)}, [1, 2, 3, 4], 5),
        (1, alike(range(1, 9), FULL, 200) | {4: (FULL, 300)}, [1, 2, 3, 4], 5),
        # A total that grows: the other pages belong to this response as well.
        (1, {1: (FULL, 60), 2: (FULL, 170), 3: (FULL, 170), 4: (20, 170)}, [1, 2, 3, 4], None),
        (1, {1: (FULL, 60), 2: (FULL, 120), 3: (FULL, 160), 4: (10, 160)}, [1, 2, 3, 4], None),
        (1, alike(range(2, 9), FULL, 500) | {1: (FULL, 60)}, [1, 2, 3, 4], 5),
        (1, {1: (FULL, 60), 2: (FULL, 60)}, [1, 2, 3, 4], None),
        # A total that is too large ends with a first page that is empty.
        (1, {1: (2, 10**9)}, [1, 2, 3, 4], 5),
        (5, {5: (0, 10**9)}, [5], None),
        # A page of which everything was removed is not empty.
        (1, {n: make_page([], 10**9, removed=1) for n in range(1, 5)}, [1, 2, 3, 4], 5),
        (1, {n: make_page([], 10**9, size=1) for n in range(1, 5)}, [1, 2, 3, 4], 5),
        # Pagination ends, whatever the total is.
        (MAX_PAGE - 4, alike(ALL, FULL, 10**9), list(range(MAX_PAGE - 4, MAX_PAGE)), MAX_PAGE),
        (MAX_PAGE - 3, alike(ALL, FULL, 10**9), list(range(MAX_PAGE - 3, MAX_PAGE + 1)), None),
        (MAX_PAGE - 1, alike(ALL, FULL, 10**9), [MAX_PAGE - 1, MAX_PAGE], None),
        (MAX_PAGE, alike(ALL, FULL, 10**9), [MAX_PAGE], None),
        (MAX_PAGE, alike(ALL, FULL, None), [MAX_PAGE], None),
    ],
)
def test_pages_of_one_response(
    first: int,
    pages: dict[int, tuple[int, int | None] | Page | Exception],
    fetched: list[int],
    next_page: int | None,
) -> None:
    fetch = Pages(pages)
    result = read(fetch, first)
    assert fetch.fetched == fetched
    assert (len(result.pages), result.next_page, result.lost_page_error) == (len(fetched), next_page, None)


@pytest.mark.parametrize(
    ("current", "pages", "plan"),
    [
        # Pages as (size, total). The total says how many pages follow.
        (1, [(FULL, 51)], (1, True)),
        (1, [(FULL, 500)], (9, True)),
        (1, [(7, 7)], (0, False)),
        (2, [(FULL, 100), (FULL, 100)], (0, False)),
        (7, [(40, 340)], (0, False)),
        (6, [(FULL, 340)], (1, True)),
        # A page that is not full, although the total says that others follow.
        (1, [(20, 500)], (9, True)),
        (1, [(0, 500), (1, 500)], (9, True)),
        # A full first page whose total is its own size.
        (1, [(FULL, 50)], (0, True)),
        (1, [(FULL - 1, 49)], (0, False)),
        (2, [(FULL, 50), (FULL, 100)], (0, False)),
        # Without a total that can be trusted, a full page may be followed by others.
        (1, [(FULL, None)], (PAGES_PER_RESPONSE, True)),
        (1, [(FULL, 0)], (PAGES_PER_RESPONSE, True)),
        (5, [(FULL, 249)], (PAGES_PER_RESPONSE, True)),
        (5, [(FULL, 250)], (0, False)),
        (1, [(FULL - 1, None)], (0, False)),
        (5, [(20, 100)], (0, False)),
        # The largest total counts.
        (2, [(FULL, 500), (FULL, 60)], (8, True)),
        (2, [(FULL, 60), (FULL, 500)], (8, True)),
        (2, [(FULL, 120), (FULL, None)], (1, True)),
        # Empty pages and the last page that is allowed end the list.
        (1, [(0, 500)], (0, False)),
        (2, [(0, 500), (0, 500)], (0, False)),
        (MAX_PAGE - 1, [(FULL, 10**9)], (1, True)),
        (MAX_PAGE, [(FULL, 10**9)], (0, False)),
        (MAX_PAGE, [(FULL, None)], (0, False)),
    ],
)
def test_the_number_of_pages_to_read_next(
    current: int, pages: list[tuple[int, int | None]], plan: tuple[int, bool]
) -> None:
    assert _plan([make_page([], total, size=size) for size, total in pages], current, PAGE_SIZE) == plan


def test_a_page_of_which_everything_was_removed_is_not_empty() -> None:
    assert _plan([make_page([], 500, removed=1)], 1, PAGE_SIZE) == (9, True)


@pytest.mark.parametrize("is_total_known", [True, False])
def test_following_the_cursor_reads_every_page_once(is_total_known: bool) -> None:
    for count in range(0, 12 * PAGE_SIZE + 1, 10):
        pages = number_pages(count, count if is_total_known else None)
        fetched: list[int] = []

        def fetch(number: int, pages: Callable[[int], Page] = pages, fetched: list[int] = fetched) -> Page:
            fetched.append(number)
            return pages(number)

        found: list[str | int] = []
        next_page: int | None = 1
        while next_page is not None:
            result = read(fetch, next_page)
            found += [order.order_id for page in result.pages for order in page.orders]
            next_page = result.next_page
        assert found == [f"order-{number:06d}" for number in range(count)]
        assert fetched == sorted(set(fetched)), "in order, and none twice"
        if is_total_known and count != PAGE_SIZE:
            assert len(fetched) == max(1, -(-count // PAGE_SIZE))


@pytest.mark.parametrize("lost", [2, 3, 4])
@pytest.mark.parametrize("error", [LOST, UpstreamUnavailableError("http_503"), TokenUnavailableError("refused")])
def test_a_lost_page_ends_the_response_before_it(lost: int, error: RedemptionError) -> None:
    fetch = Pages(alike(range(1, 11), FULL, 500) | {lost: error})
    result = read(fetch)
    assert len(result.pages) == lost - 1
    assert (result.next_page, result.lost_page_error) == (lost, error)


def test_a_lost_page_is_where_the_next_response_starts_even_if_it_is_the_last() -> None:
    result = read(Pages({1: (FULL, 60), 2: LOST}))
    assert (len(result.pages), result.next_page) == (1, 2)


def test_the_first_of_two_lost_pages_counts() -> None:
    other = UpstreamUnavailableError("http_503")
    result = read(Pages({1: (FULL, 500), 2: (FULL, 500), 3: LOST, 4: other}))
    assert (result.next_page, result.lost_page_error) == (3, LOST)


def test_a_lost_first_page_is_an_error() -> None:
    fetch = Pages({5: LOST})
    with pytest.raises(UpstreamRejectedError):
        read(fetch, 5)
    assert fetch.fetched == [5]


def test_a_foreign_exception_of_a_later_page_is_not_a_lost_page() -> None:
    with pytest.raises(ZeroDivisionError):
        read(Pages({1: (FULL, 100), 2: ZeroDivisionError()}))


def test_the_page_size_of_the_query_counts() -> None:
    fetch = Pages(alike(range(1, 4), 10, 35) | {4: (5, 35)})
    result = list_pages(1, fetch, InlineExecutor(), 10, make_deadline())
    assert (fetch.fetched, result.next_page) == ([1, 2, 3, 4], None)


def test_the_first_page_is_read_alone_and_the_others_in_parallel() -> None:
    others = threading.Barrier(PAGES_PER_RESPONSE - 1)
    started: list[int] = []

    def fetch(number: int) -> Page:
        started.append(number)
        if number == 1:
            assert started == [1]
        else:
            others.wait(5)
        return make_page([str(number)] * PAGE_SIZE, 500)

    deadline = make_deadline()
    with ThreadPoolExecutor(PAGES_PER_RESPONSE - 1) as executor:
        result = list_pages(1, fetch, executor, PAGE_SIZE, deadline)
    assert started[0] == 1
    assert len(result.pages) == 4


def test_pages_keep_their_order_whichever_comes_first() -> None:
    arrived = {number: threading.Event() for number in range(2, 6)}
    arrived[5].set()
    finished: list[int] = []

    def fetch(number: int) -> Page:
        if number > 1:
            assert arrived[number + 1].wait(5)
            finished.append(number)
            arrived[number].set()
        return make_page([str(number)] * PAGE_SIZE, 500)

    deadline = make_deadline()
    with ThreadPoolExecutor(PAGES_PER_RESPONSE - 1) as executor:
        result = list_pages(1, fetch, executor, PAGE_SIZE, deadline)
    assert finished == [4, 3, 2]
    assert not deadline.is_cancelled
    assert [page.orders[0].order_id for page in result.pages] == ["order-1", "order-2", "order-3", "order-4"]


class Waiting(Executor):
    """Runs the first `count` tasks at once; the others wait until `run_all`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.tasks: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        task = functools.partial(fn, *args, **kwargs)
        self.tasks.append((future, task))
        if len(self.tasks) <= self.count:
            self.run(future, task)
        return future

    @staticmethod
    def run(future: Future[Any], task: Callable[[], Any]) -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(task())
            except Exception as error:
                future.set_exception(error)

    def run_all(self) -> None:
        for future, task in self.tasks:
            if not future.done() or future.cancelled():
                self.run(future, task)


@pytest.mark.parametrize("error", [LOST, ZeroDivisionError("x")])
def test_pages_after_a_failed_one_are_cancelled(error: Exception) -> None:
    executor, deadline = Waiting(1), make_deadline()
    fetch = Pages(alike(range(1, 11), FULL, 500) | {2: error})
    try:
        result = list_pages(1, fetch, executor, PAGE_SIZE, deadline)
    except ZeroDivisionError:
        assert error is not LOST
    else:
        assert (result.next_page, result.lost_page_error) == (2, LOST)
    assert deadline.is_cancelled
    assert [future.cancelled() for future, _ in executor.tasks] == [False, True, True]
    executor.run_all()
    assert fetch.fetched == [1, 2]


def test_pages_under_way_after_a_failed_one_are_aborted_and_not_waited_for() -> None:
    deadline = Deadline(60.0)
    started, aborted = threading.Barrier(3), threading.Event()

    def fetch(number: int) -> Page:
        if number == 1:
            return make_page([str(number)] * PAGE_SIZE, 500)
        if number == 2:
            started.wait(5)
            raise LOST
        with deadline.aborting(aborted.set):
            started.wait(5)
            assert aborted.wait(5)
        raise UpstreamUnavailableError("connection")

    with ThreadPoolExecutor(PAGES_PER_RESPONSE - 1) as executor:
        result = list_pages(1, fetch, executor, PAGE_SIZE, deadline)
    assert (result.next_page, result.lost_page_error) == (2, LOST)
    assert aborted.is_set()


def test_a_deadline_is_not_cancelled_when_every_page_has_ended() -> None:
    deadline = make_deadline()
    list_pages(1, Pages(alike(range(1, 11), FULL, 500) | {2: LOST}), InlineExecutor(), PAGE_SIZE, deadline)
    assert not deadline.is_cancelled
