"""The measurements. Each one alternates between the implementations, so that noise affects all of them equally."""

import functools
import json
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import NAMES, Bench, build_login_event
from benchmarks.static_platform import ROUND_TRIP_SECONDS
from sandbox.runtime import Instance
from tests.aws_proxy import run_aws_proxy

Samples = dict[str, list[float]]

_TRACE_HEADER = "Root=1-{:x}-{};Parent=53995c3f42cd8ad8;Sampled={}"
"""As Lambda sends it: a new trace id for each request."""
SAMPLE_INTERVAL = 20
"""One request in 20 is traced. X-Ray's default rule: one request per second, and 5% of the others."""

COLD_ROUNDS = 15
WARM_BLOCKS, WARM_BLOCK_SIZE = 20, 25
WARMUP_REQUESTS = 40
DELAY_SECONDS = 0.05
VISIT_ROUNDS, COLD_VISIT_ROUNDS, IDLE_VISITS, VISIT_CERTIFICATES = 30, 15, 8, 2
IDLE_SECONDS = 60.0
LATENCY_SIZES = (2, 25, 50, 100, 150, 200)


def measure(bench: Bench, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run all measurements; returns plain data: times in milliseconds, sizes in bytes."""
    steps: dict[str, Callable[[Bench], Any]] = {
        "bundles": measure_bundles,
        "cold": measure_cold_starts,
        "warm_2": lambda bench: measure_warm_requests(bench, 2),
        "warm_50": lambda bench: measure_warm_requests(bench, 50),
        "latency_0": lambda bench: measure_latency(bench, 0.0),
        "latency_50": lambda bench: measure_latency(bench, DELAY_SECONDS),
        "visit": measure_first_visits,
        "counts": count_calls,
    }
    figures: dict[str, Any] = {}
    for name, step in steps.items():
        progress(name)
        figures[name] = step(bench)
    return figures


def send(instance: Instance, name: str, event: dict[str, Any], sampled: int = 0) -> Any:
    """Send a request and return the response's body; raises RuntimeError if the status is not 200."""
    result = instance.invoke(event, _TRACE_HEADER.format(int(time.time()), secrets.token_hex(12), sampled))
    if result["statusCode"] != 200:
        raise RuntimeError(f"{name}: {result}")
    return json.loads(result["body"])


def request_list(bench: Bench, instance: Instance, name: str, sampled: int = 0) -> Any:
    """Send a request for the list and return the response's body; raises RuntimeError if the status is not 200."""
    return send(instance, name, bench.build_event(name), sampled)


def measure_bundles(bench: Bench) -> dict[str, int]:
    """Return the size of each unpacked bundle in bytes."""
    return {
        name: sum(path.stat().st_size for path in bench.implementations[name].bundle.rglob("*") if path.is_file())
        for name in NAMES
    }


def measure_cold_starts(bench: Bench) -> dict[str, Samples]:
    """Measure the time from process start to the first response, and to the end of the init phase."""
    bench.configure_platform(2)
    samples: dict[str, Samples] = {name: {"response": [], "ready": []} for name in NAMES}
    for number in range(1 + COLD_ROUNDS):
        for name in NAMES:
            with bench.copy_bundle(name) as bundle, bench.start_instance(name, bundle=bundle) as instance:
                request_list(bench, instance, name)
                end = time.perf_counter()
                if list(bundle.rglob("*.pyc.*")):
                    raise RuntimeError("the instance has written to its bundle")
            # The first round fills the disk cache.
            if number and instance.ready_at is not None:
                samples[name]["response"].append((end - instance.started_at) * 1000)
                samples[name]["ready"].append((instance.ready_at - instance.started_at) * 1000)
    return samples


def measure_warm_requests(bench: Bench, certificates: int) -> dict[str, Samples]:
    """Measure wall and CPU time of a request; each sample is the mean of one block of requests."""
    bench.configure_platform(certificates)
    samples: dict[str, Samples] = {name: {"wall": [], "cpu": []} for name in NAMES}
    with ExitStack() as resources:
        instances = {name: resources.enter_context(bench.start_instance(name)) for name in NAMES}
        for name, instance in instances.items():
            for _ in range(WARMUP_REQUESTS):
                request_list(bench, instance, name)
            request_list(bench, instance, name, sampled=1)
        for _ in range(WARM_BLOCKS):
            for name, instance in instances.items():
                start_cpu, start = cpu_ms(instance), time.perf_counter()
                for number in range(WARM_BLOCK_SIZE):
                    request_list(bench, instance, name, sampled=int(number % SAMPLE_INTERVAL == 0))
                samples[name]["wall"].append((time.perf_counter() - start) * 1000 / WARM_BLOCK_SIZE)
                samples[name]["cpu"].append((cpu_ms(instance) - start_cpu) / WARM_BLOCK_SIZE)
    return samples


def measure_latency(bench: Bench, delay: float, repeat: int = 15) -> dict[str, dict[str, list[float]]]:
    """Measure wall time by number of certificates, with a platform that responds after `delay` seconds."""
    samples: dict[str, dict[str, list[float]]] = {name: {} for name in NAMES}
    with ExitStack() as resources:
        instances = {name: resources.enter_context(bench.start_instance(name)) for name in NAMES}
        for certificates in LATENCY_SIZES:
            bench.configure_platform(certificates, delay)
            for number in range(2 + repeat):
                for name, instance in instances.items():
                    start = time.perf_counter()
                    view = request_list(bench, instance, name)
                    milliseconds = (time.perf_counter() - start) * 1000
                    if len(view["certificates"]) != certificates:
                        raise RuntimeError(f"{name}: {len(view['certificates'])} of {certificates} certificates")
                    if number > 1:
                        samples[name].setdefault(str(certificates), []).append(milliseconds)
    return samples


def visit_in_one_request(phone: "Phone") -> None:
    """Log in and list in one request."""
    phone.check_list(phone.send(build_login_event(with_list=True))["list"])


def visit_in_two_requests(phone: "Phone") -> None:
    """Log in, then list with the session."""
    session = phone.send(build_login_event())["token"]
    phone.check_list(phone.send(phone.bench.build_event(phone.name, session=session)))


def log_in_only(phone: "Phone") -> None:
    """Log in without a list."""
    phone.send(build_login_event())


def list_only(phone: "Phone") -> None:
    """List with a session."""
    phone.check_list(phone.send(phone.bench.build_event(phone.name)))


@dataclass(frozen=True)
class Phone:
    """A phone with a 4G network. `get_instance` starts an instance when the first request arrives, or returns one."""

    bench: Bench
    name: str
    get_instance: Callable[[], Instance]

    def send(self, event: dict[str, Any]) -> Any:
        """Send a request and return the response's body."""
        time.sleep(ROUND_TRIP_SECONDS / 2)
        body = send(self.get_instance(), self.name, event)
        time.sleep(ROUND_TRIP_SECONDS / 2)
        return body

    def check_list(self, body: dict[str, Any]) -> None:
        """Raise RuntimeError if the list is not complete."""
        if len(body["certificates"]) != VISIT_CERTIFICATES:
            raise RuntimeError(f"{self.name}: {body}")


_VISITS: dict[str, tuple[str, Callable[[Phone], None]]] = {
    "ours": ("ours", visit_in_one_request),
    "ours, login only": ("ours", log_in_only),
    "ours, list only": ("ours", list_only),
    "ours, two requests": ("ours", visit_in_two_requests),
    "naive": ("naive", visit_in_two_requests),
    "floor": ("floor", visit_in_two_requests),
}


def measure_first_visits(bench: Bench) -> dict[str, Samples]:
    """Measure the time from the phone's tap to the list, and of a login or a list alone.

    `cold`: the instance starts with the request. `warm`: other visits shortly before. `idle`: no request for
    IDLE_SECONDS. ROUND_TRIP_SECONDS is the network's between phone and service, and between service and platform.
    """
    bench.configure_platform(VISIT_CERTIFICATES)
    figures: dict[str, Samples] = {state: {label: [] for label in _VISITS} for state in ("cold", "warm", "idle")}
    for number in range(1 + COLD_VISIT_ROUNDS):
        for label in _VISITS:
            milliseconds = _visit_cold(bench, label)
            # The first round fills the disk cache.
            if number:
                figures["cold"][label].append(milliseconds)
    with ExitStack() as resources:
        instances = {
            name: resources.enter_context(bench.start_instance(name, bench.distant_platform)) for name in NAMES
        }
        for number in range(2 + VISIT_ROUNDS):
            for label, (name, _) in _VISITS.items():
                milliseconds = _visit(bench, label, instances[name])
                if number > 1:
                    figures["warm"][label].append(milliseconds)
    with ExitStack() as resources:
        idle = [
            (label, resources.enter_context(bench.start_instance(name, bench.distant_platform)))
            for label, (name, _) in _VISITS.items()
            for _ in range(IDLE_VISITS)
        ]
        for label, instance in idle:
            _visit(bench, label, instance)
        time.sleep(IDLE_SECONDS)
        for label, instance in idle:
            figures["idle"][label].append(_visit(bench, label, instance))
    return figures


def _visit(bench: Bench, label: str, instance: Instance) -> float:
    """Return the milliseconds of a visit to a running instance."""
    name, visit = _VISITS[label]
    start = time.perf_counter()
    visit(Phone(bench, name, lambda: instance))
    return (time.perf_counter() - start) * 1000


def _visit_cold(bench: Bench, label: str) -> float:
    """Return the milliseconds of a visit that starts an instance."""
    name, visit = _VISITS[label]
    with bench.copy_bundle(name) as bundle, ExitStack() as resources:
        start_instance = functools.partial(bench.start_instance, name, bench.distant_platform, bundle)
        get_instance = functools.cache(lambda: resources.enter_context(start_instance()))
        start = time.perf_counter()
        visit(Phone(bench, name, get_instance))
        return (time.perf_counter() - start) * 1000


def count_calls(bench: Bench) -> dict[str, int]:
    """Count new connections to the platform and AWS calls during 100 warm requests."""
    bench.configure_platform(2)
    with (
        run_aws_proxy(bench.environment["AWS_ENDPOINT_URL"]) as aws,
        bench.start_instance("ours", {"AWS_ENDPOINT_URL": aws.url}) as instance,
    ):
        request_list(bench, instance, "ours")
        before = len(aws.calls)
        bench.count_new_connections()
        for _ in range(100):
            request_list(bench, instance, "ours")
        return {"connections": bench.count_new_connections(), "aws": len(aws.calls) - before}


def cpu_ms(instance: Instance) -> float:
    """Return the CPU time that all threads of the process have used, in milliseconds."""
    tasks = Path(f"/proc/{instance.popen.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6
