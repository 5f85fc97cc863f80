"""Fleets of Lambda instances for tests: each instance is a process of Lambda's own runtime client over the bundle."""

from __future__ import annotations

import concurrent.futures
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sandbox import gateway
from sandbox.runtime import Instance
from tests.harness import LIST_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")


class Fleet:
    """Running instances that can act at the same moment."""

    def __init__(self, instances: Sequence[Instance], executor: concurrent.futures.Executor) -> None:
        self.instances = list(instances)
        self._executor = executor

    def each(self, job: Callable[[Instance], T]) -> list[T]:
        """Start the job for all instances at the same moment; return the results in the instances' order."""
        barrier = threading.Barrier(len(self.instances))

        def run(instance: Instance) -> T:
            barrier.wait()
            return job(instance)

        return list(self._executor.map(run, self.instances))

    def list_certificates(self, headers: dict[str, str], url: str = LIST_URL) -> list[TimedResponse]:
        """Send one request to every instance at the same moment."""
        return self.each(lambda instance: request(instance, headers, url))


@dataclass
class TimedResponse:
    """A response and its duration in seconds."""

    response: gateway.Response
    seconds: float

    @property
    def code(self) -> str:
        """`ok`, or the problem's code."""
        return "ok" if self.response.status == 200 else str(self.response.json["code"])


@contextmanager
def run_fleet(environment: dict[str, str], *bundles: Path, clock_offsets: Sequence[float] = ()) -> Iterator[Fleet]:
    """Start one instance for each entry of `bundles` and wait until all are ready.

    `clock_offsets` are the differences of the instances' wall clocks in seconds (default: all in step).
    """
    offsets = clock_offsets or [0.0] * len(bundles)
    with ExitStack() as resources:
        executor = resources.enter_context(concurrent.futures.ThreadPoolExecutor(len(bundles)))
        instances = [
            resources.enter_context(
                Instance(bundle, "app.app", environment, output=subprocess.DEVNULL, clock_offset=offset)
            )
            for bundle, offset in zip(bundles, offsets, strict=True)
        ]
        fleet = Fleet(instances, executor)
        fleet.each(lambda instance: request(instance, {}, "/v1/health"))
        yield fleet


def request(instance: Instance, headers: dict[str, str], url: str = LIST_URL) -> TimedResponse:
    """Send a GET request to an instance."""
    started = time.monotonic()
    response = gateway.parse_response(instance.invoke(gateway.build_event("GET", url, headers)))
    return TimedResponse(response, time.monotonic() - started)


def request_in_thread(
    instance: Instance, headers: dict[str, str], url: str = LIST_URL
) -> concurrent.futures.Future[TimedResponse]:
    """Send a GET request and do not wait for the response."""
    future: concurrent.futures.Future[TimedResponse] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(request(instance, headers, url))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until the condition is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not true within {seconds:g} s"
        time.sleep(0.01)
