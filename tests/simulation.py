"""Processes in simulated time, and the orders in which they can run. Each example is reproducible."""

import os
import threading
from collections.abc import Callable, Iterator

IS_NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
"""Whether this is the long run of `make nightly`."""


class Died(BaseException):
    """Ends the thread of an instance that was killed. Not an Exception: the code under test must not catch it."""


class Simulation:
    """Simulated time in seconds. Of several threads that could run, `choose` picks one by its number."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self.now = 0.0
        self._choose = choose
        self._is_over = False
        self._error: BaseException | None = None
        self._idle = threading.Semaphore(0)
        self._sleeping: list[tuple[float, threading.Semaphore]] = []

    def start(self, body: Callable[[], object]) -> None:
        """Add a process that begins now."""

        def run() -> None:
            try:
                self.sleep(0.0)
                body()
            except Died:
                pass
            except BaseException as error:
                self._error = error
            self._idle.release()

        threading.Thread(target=run, daemon=True).start()
        self._idle.acquire()

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass in a process; raises Died at the end of the simulation."""
        turn = threading.Semaphore(0)
        self._sleeping.append((self.now + seconds, turn))
        self._idle.release()
        turn.acquire()
        if self._is_over:
            raise Died

    def run(self, until: float) -> None:
        """Run the processes up to this time, then end them; raises what one of them raised."""
        while self._sleeping:
            self.now = max(self.now, min(at for at, _ in self._sleeping))
            self._is_over = self._is_over or self.now > until
            ready = [entry for entry in self._sleeping if entry[0] <= self.now]
            chosen = ready[self._choose(len(ready)) if len(ready) > 1 and not self._is_over else 0]
            self._sleeping.remove(chosen)
            chosen[1].release()
            self._idle.acquire()
            if self._error is not None:
                raise self._error


def all_orders(depth: int) -> Iterator[Callable[[int], int]]:
    """Return a `choose` for each order of the first `depth` choices, one after the other; of more in a nightly run."""
    depth += 3 if IS_NIGHTLY else 0
    taken: list[tuple[int, int]] = []
    prefix: list[int] = []

    def choose(count: int) -> int:
        if len(taken) >= depth:
            return 0
        taken.append((prefix[len(taken)] if len(taken) < len(prefix) else 0, count))
        return taken[-1][0]

    while True:
        taken.clear()
        yield choose
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return
        prefix = [choice for choice, _ in taken]
        prefix[-1] += 1
