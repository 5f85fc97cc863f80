"""Limits the time of a blocking call that has no reliable timeout of its own.

Name resolution has no timeout at all, a connection attempt tries several addresses one after the other, and botocore's
read timeout limits each read, not their sum. The call runs in a thread of its own. When the time is over, the caller
goes on and the thread is abandoned: it holds no lock, and its result is discarded.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.context import Deadline

T = TypeVar("T")

_POLL_SECONDS = 0.05
"""Interval in seconds at which a waiting caller checks whether its deadline was cancelled."""


class _Outcome(Generic[T]):
    """The result or error of a thread. `lock` makes the thread either finish in time or be abandoned, never both."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.lock = threading.Lock()
        self.is_abandoned = False
        self.result: T | None = None
        self.error: BaseException | None = None


def call_with_timeout(
    call: Callable[[], T], seconds: float, deadline: Deadline, on_late: Callable[[], object] | None = None
) -> T:
    """Return `call()`, or raise what it raises; raises TimeoutError after `seconds` or at the deadline.

    `on_late` runs in the abandoned thread when the call ends after all, for example to close what it has opened.
    """
    outcome: _Outcome[T] = _Outcome()

    def run() -> None:
        try:
            outcome.result = call()
        except BaseException as error:
            outcome.error = error
        with outcome.lock:
            is_late = outcome.is_abandoned
            outcome.done.set()
        if is_late and on_late is not None:
            on_late()

    thread = threading.Thread(target=run, name="bounded-call", daemon=True)
    thread.start()
    end = time.monotonic() + seconds
    while not outcome.done.wait(max(0.0, min(_POLL_SECONDS, end - time.monotonic(), deadline.remaining()))):
        if time.monotonic() >= end or deadline.remaining() <= 0:
            with outcome.lock:
                outcome.is_abandoned = not outcome.done.is_set()
            if outcome.is_abandoned:
                raise TimeoutError
    if outcome.error is not None:
        raise outcome.error
    return outcome.result  # type: ignore[return-value]  # set when there is no error
