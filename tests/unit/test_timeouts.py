"""A blocking call with a time limit: its outcome in time, or a timeout and an abandoned thread."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from chalicelib.context import Deadline
from chalicelib.timeouts import call_with_timeout


@pytest.fixture
def opened() -> Iterator[threading.Event]:
    """An event that the call of a test waits for. It is set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("error_type", [KeyboardInterrupt, TimeoutError])
def test_the_error_of_the_call_is_raised(error_type: type[BaseException]) -> None:
    error = error_type("x")

    def fail() -> None:
        raise error

    with pytest.raises(error_type) as raised:
        call_with_timeout(fail, 5.0, Deadline(5.0))
    assert raised.value is error


def test_the_call_runs_in_a_daemon_thread_so_that_it_cannot_delay_the_end_of_the_process() -> None:
    """An end in time is not cleaned up."""
    late = threading.Event()
    thread = call_with_timeout(threading.current_thread, 5.0, Deadline(5.0), on_late=late.set)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert not late.wait(0.02)


@pytest.mark.parametrize(
    ("seconds", "deadline", "clock", "least"),
    [
        (0.02, 60.0, time.monotonic, 0.02),
        (60.0, 0.02, time.monotonic, 0.02),
        # Exactly at the deadline.
        (60.0, 0.0, lambda: 0.0, 0.0),
    ],
    ids=["limit", "deadline", "at the deadline"],
)
def test_a_call_that_does_not_end_in_time_is_a_timeout(
    opened: threading.Event, seconds: float, deadline: float, clock: Callable[[], float], least: float
) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        call_with_timeout(opened.wait, seconds, Deadline(deadline, clock))
    assert least <= time.monotonic() - begun < 5


def test_a_cancelled_deadline_ends_the_wait(opened: threading.Event) -> None:
    deadline = Deadline(60.0)
    canceller = threading.Timer(0.02, deadline.cancel)
    canceller.start()
    with pytest.raises(TimeoutError):
        call_with_timeout(opened.wait, 60.0, deadline)
    canceller.join(5)


@pytest.mark.parametrize("error", [None, ZeroDivisionError("x")])
def test_a_late_end_is_cleaned_up(opened: threading.Event, error: Exception | None) -> None:
    def call() -> None:
        opened.wait(10)
        if error is not None:
            raise error

    ended = threading.Event()
    with pytest.raises(TimeoutError):
        call_with_timeout(call, 0.02, Deadline(5.0), on_late=ended.set)
    assert not ended.is_set()
    opened.set()
    assert ended.wait(5)
