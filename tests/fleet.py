"""Fleets of Lambda instances for tests: each instance is a process of Lambda's own runtime client over the bundle."""

import concurrent.futures
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from sandbox import gateway
from sandbox.runtime import Instance
from tests.harness import LIST_URL

T = TypeVar("T")

START_SECONDS = 300.0
"""Limit for the start of all instances of a fleet."""


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

    def list_certificates(self, headers: dict[str, str], url: str = LIST_URL) -> list[gateway.Response]:
        """Send one request to every instance at the same moment."""
        return self.each(lambda instance: request(instance, headers, url))

    def begin_request(self, instance: Instance, headers: dict[str, str]) -> concurrent.futures.Future[gateway.Response]:
        """Send a request to one instance and do not wait for the response."""
        return self._executor.submit(request, instance, headers)


@contextmanager
def run_fleet(environment: dict[str, str], *bundles: Path) -> Iterator[Fleet]:
    """Start one instance for each entry of `bundles` and wait until all are ready."""
    with ExitStack() as resources:
        executor = resources.enter_context(concurrent.futures.ThreadPoolExecutor(len(bundles)))
        instances = [
            resources.enter_context(Instance(bundle, "app.app", environment, output=subprocess.DEVNULL))
            for bundle in bundles
        ]
        fleet = Fleet(instances, executor)
        # Fifty processes that start at once need their time on two cores.
        wait_until(lambda: all(instance.is_ready for instance in instances), START_SECONDS)
        yield fleet


def request(instance: Instance, headers: dict[str, str], url: str = LIST_URL) -> gateway.Response:
    """Send a GET request to an instance."""
    return gateway.parse_response(instance.invoke(gateway.build_event("GET", url, headers)))


def code_of(response: gateway.Response) -> str:
    """Return `ok`, or the problem's code."""
    return "ok" if response.status == 200 else str(response.json["code"])


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until the condition is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not true within {seconds:g} s"
        time.sleep(0.01)
