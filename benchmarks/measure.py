"""The measurements. Each one alternates between the implementations, so that noise affects all of them equally.

Times are in milliseconds.
"""

import contextlib
import secrets
import statistics
import time

from benchmarks.bench import NAIVE_ARCHIVE, NAMES, Bench, build_login_event, send
from infra.bundle import current_archive
from sandbox.runtime import Instance
from tests.aws_proxy import run_aws_proxy

Samples = dict[str, list[float]]
"""By implementation."""

COLD_ROUNDS = 15
WARM_BLOCKS, WARMUP_REQUESTS = 20, 40
WARM_BLOCK_SIZES = {("ours", "floor"): 100, ("naive",): 5}
"""Number of requests in a block. `naive` has its own blocks: it evicts the data of the others from the CPU's caches."""

VISIT_ROUNDS = 30
AWS_REQUESTS = 100
SAMPLE_INTERVAL = 20
"""One request in 20 is traced. X-Ray's default rule: one request per second, and 5% of the others."""

ROUND_TRIP_SECONDS = 0.06
"""Of a network: between the phone and the service (4G), and between the service and the platform."""


def measure_archives() -> dict[str, float]:
    """Return the size of each archive in MB. The floor has no packages."""
    return {"ours": current_archive().stat().st_size / 1e6, "naive": NAIVE_ARCHIVE.stat().st_size / 1e6}


def measure_cold_starts(bench: Bench) -> Samples:
    """Measure the time from process start to the first list."""
    samples: Samples = {name: [] for name in NAMES}
    with bench.run_platform(certificates=2) as environment:
        for number in range(1 + COLD_ROUNDS):
            for name in NAMES:
                start = time.perf_counter()
                with bench.start_instance(name, environment) as instance:
                    send(instance, bench.build_list_event(name))
                    # The first round fills the disk cache.
                    if number:
                        samples[name].append(_milliseconds_since(start))
    return samples


def measure_warm_requests(bench: Bench, certificates: int) -> Samples:
    """Measure the time of a list; each sample is the median of one block, in which requests alternate."""
    samples: Samples = {name: [] for name in NAMES}
    with bench.run_platform(certificates) as environment, contextlib.ExitStack() as resources:
        instances = {name: resources.enter_context(bench.start_instance(name, environment)) for name in NAMES}
        for name, instance in instances.items():
            _send_lists(bench, name, instance, WARMUP_REQUESTS)
        for names, size in [*WARM_BLOCK_SIZES.items()] * WARM_BLOCKS:
            times: Samples = {name: [] for name in names}
            for name in names * size:
                start = time.perf_counter()
                _send_lists(bench, name, instances[name], 1)
                times[name].append(_milliseconds_since(start))
            for name, block in times.items():
                samples[name].append(statistics.median(block))
    return samples


def measure_first_visits(bench: Bench) -> dict[str, Samples]:
    """Measure the time from the phone's tap to the list.

    `cold`: the instance starts with the request. `warm`: after other visits.
    """
    cold: Samples = {name: [] for name in NAMES}
    warm: Samples = {name: [] for name in NAMES}
    with bench.run_platform(certificates=2, delay=ROUND_TRIP_SECONDS) as environment:
        for _ in range(COLD_ROUNDS):
            for name in NAMES:
                start = time.perf_counter()
                with bench.start_instance(name, environment) as instance:
                    cold[name].append(_visit(bench, name, instance, start))
        with contextlib.ExitStack() as resources:
            instances = {name: resources.enter_context(bench.start_instance(name, environment)) for name in NAMES}
            for number in range(2 + VISIT_ROUNDS):
                for name, instance in instances.items():
                    milliseconds = _visit(bench, name, instance, time.perf_counter())
                    if number > 1:
                        warm[name].append(milliseconds)
    return {"cold": cold, "warm": warm}


def count_aws_calls(bench: Bench) -> int:
    """Count the AWS calls of our service during AWS_REQUESTS warm requests."""
    with (
        bench.run_platform(certificates=2) as environment,
        run_aws_proxy(environment["AWS_ENDPOINT_URL"]) as aws,
        bench.start_instance("ours", environment | {"AWS_ENDPOINT_URL": aws.url}) as instance,
    ):
        _send_lists(bench, "ours", instance, 1)
        before = len(aws.calls)
        _send_lists(bench, "ours", instance, AWS_REQUESTS)
        return len(aws.calls) - before


def _send_lists(bench: Bench, name: str, instance: Instance, count: int) -> None:
    event = bench.build_list_event(name)
    for _ in range(count):
        # As Lambda sends it: a new trace id for each request.
        root = f"1-{int(time.time()):x}-{secrets.token_hex(12)}"
        sampled = int(secrets.randbelow(SAMPLE_INTERVAL) == 0)
        send(instance, event, f"Root={root};Parent=53995c3f42cd8ad8;Sampled={sampled}")


def _visit(bench: Bench, name: str, instance: Instance, start: float) -> float:
    """Log in and list: ours in one request, the others in two. Return the time, with the phone's round trips."""
    if name == "ours":
        requests = 1
        send(instance, build_login_event(with_list=True))["list"]
    else:
        requests = 2
        bench.sessions[name] = send(instance, build_login_event())["token"]
        send(instance, bench.build_list_event(name))
    return _milliseconds_since(start) + requests * ROUND_TRIP_SECONDS * 1000


def _milliseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
