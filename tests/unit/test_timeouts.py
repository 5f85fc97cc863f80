"""A blocking call with a time limit: its outcome in time, or a timeout and an abandoned thread."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from chalicelib.context import Deadline
from chalicelib.timeouts import call_with_timeout

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gate:
    """A call that blocks until it is opened. `ended` is set when everything about it is over."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.ended = threading.Event()
        self.error: Exception | None = None

    def __call__(self) -> str:
        assert self.opened.wait(10)
        if self.error is not None:
            raise self.error
        return "result"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.mark.parametrize("error_type", [KeyboardInterrupt, TimeoutError])
def test_the_error_of_the_call_is_raised(error_type: type[BaseException]) -> None:
    error = error_type("x")

    def fail() -> None:
        raise error

    with pytest.raises(error_type) as raised:
        call_with_timeout(fail, 5.0, Deadline(5.0))
    assert raised.value is error


def test_the_call_runs_in_a_daemon_thread_so_that_it_cannot_delay_the_end_of_the_process() -> None:
    thread = call_with_timeout(threading.current_thread, 5.0, Deadline(5.0))
    assert thread is not threading.current_thread()
    assert thread.daemon


@pytest.mark.parametrize(
    ("seconds", "deadline"),
    [(0.02, 60.0), (60.0, 0.02), (60.0, -1.0)],
    ids=["limit", "deadline", "deadline passed"],
)
def test_a_call_that_does_not_end_in_time_is_a_timeout(gate: Gate, seconds: float, deadline: float) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        call_with_timeout(gate, seconds, Deadline(deadline))
    assert max(0.0, min(seconds, deadline)) <= time.monotonic() - begun < 5
    assert not gate.opened.is_set()


def test_a_cancelled_deadline_ends_the_wait(gate: Gate) -> None:
    deadline = Deadline(60.0)
    canceller = threading.Thread(target=deadline.cancel)

    def cancel_and_block() -> str:
        canceller.start()
        return gate()

    with pytest.raises(TimeoutError):
        call_with_timeout(cancel_and_block, 60.0, deadline)
    canceller.join(5)


@pytest.mark.parametrize("error", [None, ZeroDivisionError("x")])
def test_a_late_end_is_cleaned_up(gate: Gate, error: Exception | None) -> None:
    gate.error = error
    with pytest.raises(TimeoutError):
        call_with_timeout(gate, 0.02, Deadline(5.0), on_late=gate.ended.set)
    assert not gate.ended.is_set()
    gate.opened.set()
    assert gate.ended.wait(5)


def test_an_end_in_time_is_not_cleaned_up(gate: Gate) -> None:
    gate.opened.set()
    assert call_with_timeout(gate, 5.0, Deadline(5.0), on_late=gate.ended.set) == "result"
    assert not gate.ended.wait(0.02)
