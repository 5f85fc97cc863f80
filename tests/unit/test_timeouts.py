"""A blocking call with a time limit: its outcome in time, or a timeout and an abandoned thread."""

import threading
import time
from collections.abc import Iterator

import pytest

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
        call_with_timeout(fail, 5.0)
    assert raised.value is error


def test_the_call_runs_in_a_daemon_thread_so_that_it_cannot_delay_the_end_of_the_process() -> None:
    """An end in time is not cleaned up."""
    late = threading.Event()
    thread = call_with_timeout(threading.current_thread, 5.0, on_late=late.set)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert not late.wait(0.02)


@pytest.mark.parametrize("seconds", [0.02, 0.0, -1.0])
def test_a_call_that_does_not_end_in_time_is_a_timeout(opened: threading.Event, seconds: float) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        call_with_timeout(opened.wait, seconds)
    assert seconds <= time.monotonic() - begun < 5


@pytest.mark.parametrize("error", [None, ZeroDivisionError("x")])
def test_a_late_end_is_cleaned_up(opened: threading.Event, error: Exception | None) -> None:
    def call() -> None:
        opened.wait(10)
        if error is not None:
            raise error

    ended = threading.Event()
    with pytest.raises(TimeoutError):
        call_with_timeout(call, 0.02, on_late=ended.set)
    assert not ended.is_set()
    opened.set()
    assert ended.wait(5)
