"""Limits the time of a blocking call that has no reliable timeout of its own.

Connecting is one: name resolution has no timeout at all, and urllib3 counts its limit for each address of the host. The
call runs in a thread of its own. When the time is over, the caller goes on and the thread is abandoned: it holds no
lock, and its result is discarded.
"""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


def call_with_timeout(call: Callable[[], T], seconds: float, on_late: Callable[[], object] | None = None) -> T:
    """Return `call()`, or raise what it raises; raises TimeoutError after `seconds`.

    `on_late` runs in the abandoned thread when the call ends after all, for example to close what it has opened.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            finish = functools.partial(future.set_result, call())
        except BaseException as error:
            finish = functools.partial(future.set_exception, error)
        if future.set_running_or_notify_cancel():
            finish()
        elif on_late is not None:
            on_late()

    threading.Thread(target=run, name="bounded-call", daemon=True).start()
    wait([future], seconds)
    # The future is cancelled or completed, never both.
    if future.cancel():
        raise TimeoutError
    return future.result()
