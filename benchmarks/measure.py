"""The measurements. Each one alternates between the implementations, so that noise affects all of them equally."""

from __future__ import annotations

import functools
import gzip
import json
import re
import secrets
import statistics
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bench import NAMES, Bench, build_login_event
from benchmarks.static_platform import ROUND_TRIP_SECONDS
from sandbox.runtime import INTERPRETER

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.runtime import Instance

Samples = dict[str, list[float]]

_TRACE_HEADER = "Root=1-{:x}-{};Parent=53995c3f42cd8ad8;Sampled={}"
"""As Lambda sends it: a new trace id for each request."""
SAMPLE_INTERVAL = 20
"""One request in 20 is traced. X-Ray's default rule: one request per second, and 5% of the others."""

COLD_ROUNDS, TRACED_COLD_ROUNDS = 15, 7
WARM_BLOCKS, WARM_BLOCK_SIZE = 20, 25
WARMUP_REQUESTS = 40
DELAY_SECONDS = 0.05
VISIT_ROUNDS, COLD_VISIT_ROUNDS, IDLE_VISITS, VISIT_CERTIFICATES = 30, 15, 8, 2
IDLE_SECONDS = 60.0
LATENCY_SIZES = (2, 25, 50, 100, 150, 200)
LIST_SIZES = (50, 100, 200, 500)
MEMORY_REQUESTS = 5000


def measure(bench: Bench, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run all measurements; returns plain data: times in milliseconds, sizes in bytes, memory in KiB."""
    steps: dict[str, Callable[[Bench], Any]] = {
        "bundles": measure_bundles,
        "cold": measure_cold_starts,
        "cold_traced": lambda bench: measure_cold_starts(bench, TRACED_COLD_ROUNDS, sampled=1, names=("ours", "naive")),
        "warm_2": lambda bench: measure_warm_requests(bench, 2),
        "warm_50": lambda bench: measure_warm_requests(bench, 50),
        "latency_0": lambda bench: measure_latency(bench, 0.0),
        "latency_50": lambda bench: measure_latency(bench, DELAY_SECONDS),
        "visit": measure_first_visits,
        "counts": count_calls,
        "memory": measure_memory,
        "lists": measure_whole_lists,
        "imports": measure_imports,
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


def request_list(bench: Bench, instance: Instance, name: str, *, query: str = "", sampled: int = 0) -> Any:
    """Send a request for the list and return the response's body; raises RuntimeError if the status is not 200."""
    return send(instance, name, bench.build_event(name, query), sampled)


def measure_bundles(bench: Bench) -> dict[str, int]:
    """Return the size of each unpacked bundle in bytes."""
    return {
        name: sum(path.stat().st_size for path in bench.implementations[name].bundle.rglob("*") if path.is_file())
        for name in NAMES
    }


def measure_cold_starts(
    bench: Bench, rounds: int = COLD_ROUNDS, *, sampled: int = 0, names: tuple[str, ...] = NAMES
) -> dict[str, Samples]:
    """Measure the time from process start to the first response, and to the end of the init phase."""
    bench.configure_platform(2)
    samples: dict[str, Samples] = {name: {"response": [], "ready": []} for name in names}
    for number in range(1 + rounds):
        for name in names:
            with bench.copy_bundle(name) as bundle, bench.start_instance(name, bundle=bundle) as instance:
                request_list(bench, instance, name, sampled=sampled)
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


def visit_in_one_request(phone: Phone) -> None:
    """Log in and list in one request."""
    phone.check_list(phone.send(build_login_event(with_list=True))["list"])


def visit_in_two_requests(phone: Phone) -> None:
    """Log in, then list with the session."""
    session = phone.send(build_login_event())["token"]
    phone.check_list(phone.send(phone.bench.build_event(phone.name, session=session)))


def log_in_only(phone: Phone) -> None:
    """Log in without a list."""
    phone.send(build_login_event())


def list_only(phone: Phone) -> None:
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


def count_calls(bench: Bench) -> dict[str, Any]:
    """Count new connections to the platform, its pages, and AWS calls during 100 warm requests."""
    counters = {}
    for name in NAMES:
        bench.configure_platform(2)
        with bench.start_instance(name, {"AWS_ENDPOINT_URL": bench.counting_aws_url}) as instance:
            request_list(bench, instance, name)
            bench.read_counters()
            for _ in range(100):
                request_list(bench, instance, name)
            counters[name] = bench.read_counters()
    return counters


def measure_memory(bench: Bench) -> dict[str, Any]:
    """Measure resident memory and its peak during many warm requests of 50 certificates (KiB)."""
    bench.configure_platform(50)
    samples: dict[str, Any] = {}
    for name in ("ours", "floor"):
        with bench.start_instance(name) as instance:
            resident = {}
            for number in range(1, MEMORY_REQUESTS + 1):
                request_list(bench, instance, name, sampled=int(number % SAMPLE_INTERVAL == 0))
                if number in (500, MEMORY_REQUESTS):
                    resident[str(number)] = instance.memory_kib("VmRSS")
            samples[name] = {"resident": resident, "peak": instance.memory_kib("VmHWM")}
    return samples


def measure_whole_lists(bench: Bench, repeat: int = 40) -> dict[str, Any]:
    """Measure the service's CPU time for a whole list (all pages), and the bytes received and sent."""
    samples: dict[str, Any] = {}
    with bench.start_instance("ours") as instance:
        for certificates in LIST_SIZES:
            bench.configure_platform(certificates)
            cpu = []
            for number in range(2 + repeat):
                bench.read_counters()
                start_cpu, sent, compressed, count, query = cpu_ms(instance), 0, 0, 0, ""
                while True:
                    view = request_list(bench, instance, "ours", query=query)
                    body = json.dumps(view, ensure_ascii=False, separators=(",", ":")).encode()
                    sent += len(body)
                    compressed += len(gzip.compress(body))
                    count += len(view["certificates"])
                    if "next_cursor" not in view:
                        break
                    query = f"?cursor={view['next_cursor']}"
                if count != certificates:
                    raise RuntimeError(f"{count} of {certificates} certificates")
                if number > 1:
                    cpu.append(cpu_ms(instance) - start_cpu)
            received = bench.read_counters()["bytes"]
            samples[str(certificates)] = {"cpu": cpu, "sent": sent, "compressed": compressed, "received": received}
    return samples


def measure_imports(bench: Bench, repeat: int = 7) -> list[dict[str, Any]]:
    """Measure the imports of the service, in order: module, depth, start, total and own time in ms (medians)."""
    runs: list[dict[str, tuple[int, float, float, float]]] = []
    bundle = bench.implementations["ours"].bundle
    # As in Lambda, the runtime client is imported first. Without the Runtime API's address the app is only imported.
    command = [str(INTERPRETER), "-X", "importtime", "-c", "import awslambdaric.bootstrap; import app"]
    for _ in range(repeat):
        run = subprocess.run(
            command,
            cwd=bundle,
            env={**bench.environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        end = 0.0
        modules: dict[str, tuple[int, float, float, float]] = {}
        for line in run.stderr.splitlines():
            if match := re.match(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)", line):
                own, total = int(match[1]) / 1000, int(match[2]) / 1000
                end += own
                modules[match[4]] = ((len(match[3]) - 1) // 2, end - total, total, own)
        runs.append(modules)
    in_all_runs = [name for name in runs[0] if all(name in run for run in runs)]
    return [
        {
            "module": name,
            "depth": runs[0][name][0],
            "start": statistics.median(run[name][1] for run in runs),
            "ms": statistics.median(run[name][2] for run in runs),
            "own": statistics.median(run[name][3] for run in runs),
        }
        for name in in_all_runs
    ]


def cpu_ms(instance: Instance) -> float:
    """Return the CPU time that all threads of the process have used, in milliseconds."""
    tasks = Path(f"/proc/{instance.popen.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6
