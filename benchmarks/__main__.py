"""Measure the service against `naive`, a straightforward implementation of the same: `make bench`.

Both have the same platform, table, secret and events. The measurements alternate between them, so that noise affects
both equally. The table is printed, and written to docs/engineer.md. Times are in milliseconds.
"""

import contextlib
import json
import operator
import os
import platform
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from chalicelib.tokens.rows import token_pk
from infra import cloudformation
from infra.bundle import ROOT, current_archive
from sandbox import gateway, stack
from sandbox.runtime import Instance
from sandbox.sample_data import ACCOUNT_ID, APP_ID, POI_ID

NAMES = ("ours", "naive")
Samples = dict[str, list[float]]
"""Milliseconds, by implementation."""

MAX_RATIOS = {"cold start": 0.35, "warm list, 2 coupons": 0.3, "warm list, 50 coupons": 0.3,
              "first visit, cold": 0.5, "first visit, warm": 0.7}  # fmt: skip
"""Goals: upper limits of the median ratio between our samples and those of naive."""

REPORT_FILE = ROOT / "docs" / "engineer.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
NAIVE = Path(__file__).with_name("naive")
NAIVE_ARCHIVE = ROOT / "build" / "bench" / "naive" / "deployment.zip"

COLD_ROUNDS, VISIT_ROUNDS = 15, 30
WARM_BLOCKS, WARMUP_REQUESTS = 20, 40
WARM_BLOCK_SIZES = {"ours": 100, "naive": 5}
REQUESTS_PER_TRACE = 20
"""One request in 20 is traced. X-Ray's default rule traces one request per second, and 5% of the others."""

ROUND_TRIP_SECONDS = 0.06
"""The round-trip time of each network: from the phone to the service (4G), and from the service to the platform."""


@dataclass
class Bench:
    """The unpacked implementations and the servers that they use. `sessions` are session tokens, by implementation."""

    folder: Path
    environment: dict[str, str]
    sessions: dict[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def run_platform(self, count: int = 2, delay: float = 0.0) -> Iterator[dict[str, str]]:
        """Run a platform whose list has this many certificates; yields the environment of instances that use it."""
        options = {"tls-certificate": self.folder / "server.pem", "count": count, "delay": delay}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        with stack.run_server("benchmarks.static_platform", *arguments) as server:
            # The real platform has two hosts, so login and list use different connections.
            yield self.environment | {
                "DOUYIN_OPEN_API": f"https://localhost:{server.port}",
                "DOUYIN_LOGIN_API": f"https://127.0.0.1:{server.port}",
            }

    @contextlib.contextmanager
    def start(self, name: str, environment: dict[str, str]) -> Iterator[Instance]:
        """Start an instance on the first CPU; all other processes use the other CPUs, if there are any."""
        with Instance(self.folder / name, environment, output=subprocess.DEVNULL) as instance:
            if (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(instance.popen.pid, {0})
            yield instance


def log_in(instance: Instance, wanted: Any = None) -> Any:
    """Log in; return the response, which has a session token. With `wanted`, it also has this list; naive's has not."""
    body = {"app_id": APP_ID, "code": "any"} | ({"list": wanted} if wanted else {})
    event = gateway.build_event("POST", "/v1/sessions", {"Content-Type": "application/json"}, json.dumps(body))
    return send(instance, event)


def list_certificates(instance: Instance, session_token: str) -> None:
    """Request the list of the sample store. Lambda sends a new trace id with each request."""
    root, sampled = f"1-{int(time.time()):x}-{secrets.token_hex(12)}", secrets.randbelow(REQUESTS_PER_TRACE) == 0
    event = gateway.build_event("GET", gateway.certificates_path(), {"Authorization": f"Bearer {session_token}"})
    send(instance, event, f"Root={root};Parent=53995c3f42cd8ad8;Sampled={int(sampled)}")


def main() -> None:
    """Measure, print the table, and write it to the page."""
    with run_bench() as bench:
        samples = {"cold start": measure_cold_starts(bench)}
        for count in (2, 50):
            samples[f"warm list, {count} coupons"] = measure_warm_lists(bench, count)
        samples |= measure_first_visits(bench)
    report = format_report(samples)
    print(report)
    before, rest = REPORT_FILE.read_text(encoding="utf-8").split(BEGIN)
    REPORT_FILE.write_text(f"{before}{BEGIN}\n\n{report}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def measure_cold_starts(bench: Bench) -> Samples:
    """Measure the time from process start to the first list."""
    samples: Samples = {name: [] for name in NAMES}
    with bench.run_platform() as environment:
        for number in range(1 + COLD_ROUNDS):
            for name in NAMES:
                start = time.perf_counter()
                with bench.start(name, environment) as instance:
                    list_certificates(instance, bench.sessions[name])
                    # The first round fills the disk cache.
                    samples[name] += [_milliseconds_since(start)] if number else []
    return samples


def measure_warm_lists(bench: Bench, count: int) -> Samples:
    """Measure the time of a list; each sample is the median of one block of requests."""
    samples: Samples = {name: [] for name in NAMES}
    with bench.run_platform(count) as environment, contextlib.ExitStack() as resources:
        instances = {name: resources.enter_context(bench.start(name, environment)) for name in NAMES}
        for name, instance in instances.items():
            for _ in range(WARMUP_REQUESTS):
                list_certificates(instance, bench.sessions[name])
        for name, size in [*WARM_BLOCK_SIZES.items()] * WARM_BLOCKS:
            block = []
            for _ in range(size):
                start = time.perf_counter()
                list_certificates(instances[name], bench.sessions[name])
                block.append(_milliseconds_since(start))
            samples[name].append(statistics.median(block))
    return samples


def measure_first_visits(bench: Bench) -> dict[str, Samples]:
    """Measure the time from the tap on the phone to the list: on an instance that the tap starts, and on a warm one."""
    cold: Samples = {name: [] for name in NAMES}
    warm: Samples = {name: [] for name in NAMES}
    with bench.run_platform(delay=ROUND_TRIP_SECONDS) as environment:
        for _ in range(COLD_ROUNDS):
            for name in NAMES:
                start = time.perf_counter()
                with bench.start(name, environment) as instance:
                    cold[name].append(_visit(name, instance, start))
        with contextlib.ExitStack() as resources:
            instances = {name: resources.enter_context(bench.start(name, environment)) for name in NAMES}
            for number in range(2 + VISIT_ROUNDS):
                for name, instance in instances.items():
                    milliseconds = _visit(name, instance, time.perf_counter())
                    warm[name] += [milliseconds] if number > 1 else []
    return {"first visit, cold": cold, "first visit, warm": warm}


def _visit(name: str, instance: Instance, start: float) -> float:
    """Log in and list: ours in one request, naive in two. Return the time, with the phone's round trips."""
    if name == "ours":
        requests = 1
        log_in(instance, {"account_id": ACCOUNT_ID, "poi_id": POI_ID})["list"]
    else:
        requests = 2
        list_certificates(instance, log_in(instance)["token"])
    return _milliseconds_since(start) + requests * ROUND_TRIP_SECONDS * 1000


def send(instance: Instance, event: dict[str, Any], trace_header: str = "") -> Any:
    """Send a request and return the response's body; raises RuntimeError if the status is not 200."""
    response = gateway.parse_response(instance.invoke(event, trace_header))
    if response.status != 200:
        raise RuntimeError(response.text)
    return response.json


def format_report(samples: dict[str, Samples]) -> str:
    """Format the table as Markdown."""
    lines = [
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}.",
        "Minimum–median–maximum; in parentheses the goal.",
        "",
        "| | ours | naive | ours / naive |",
        "|---|---:|---:|---:|",
    ]
    for label, times in samples.items():
        ratio = statistics.median(map(operator.truediv, times["ours"], times["naive"]))
        is_met = ratio <= MAX_RATIOS[label]
        marked = f"{ratio:.2f} (≤ {MAX_RATIOS[label]:g})" if is_met else f"**{ratio:.2f} (> {MAX_RATIOS[label]:g})**"
        lines.append(f"| {label}, ms | {' | '.join([*(_format_samples(times[name]) for name in NAMES), marked])} |")
    sizes = (f"{path.stat().st_size / 1e6:.1f}" for path in (current_archive(), NAIVE_ARCHIVE))
    lines.append(f"| archive, MB | {' | '.join(sizes)} | |")
    return "\n".join(lines)


def _format_samples(samples: list[float]) -> str:
    digits = 0 if statistics.median(samples) >= 20 else 1
    return "–".join(f"{value:.{digits}f}" for value in (min(samples), statistics.median(samples), max(samples)))


def _milliseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000


@contextlib.contextmanager
def run_bench() -> Iterator[Bench]:
    """Start the emulated AWS, unpack the implementations, and log in at each of them."""
    if (os.cpu_count() or 1) > 1:
        # The first CPU is reserved for the instance that is measured.
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)))
    with contextlib.ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="douyin-redemption-bench-")))
        aws = resources.enter_context(stack.run_server("sandbox.aws"))
        xray_daemon = resources.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        xray_daemon.bind(("127.0.0.1", 0))
        stack.create_stack_with_sample_data(aws.url, stack.STAGE)
        secret_name, table_name = cloudformation.secret_name(stack.STAGE), cloudformation.shared_name(stack.STAGE)
        token: Any = {"pk": {"S": token_pk(APP_ID)}, "access_token": {"S": "clt.benchmark"}}
        token["expires_at"] = {"N": str(int(time.time()) + 86400)}
        stack.emulated_account(aws.url).client("dynamodb").put_item(TableName=table_name, Item=token)
        environment = {
            **stack.function_environment(aws.url, "https://localhost", secret_name, table_name),
            "STAGE": "bench",
            "POWERTOOLS_SERVICE_NAME": "bench",
            "POWERTOOLS_METRICS_NAMESPACE": "Bench",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{xray_daemon.getsockname()[1]}",
        }
        _package_naive(environment)
        # The only change of the bundles: they trust the static platform's certificate.
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        for name, path in (("ours", current_archive()), ("naive", NAIVE_ARCHIVE)):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder / name)
            authority.cert_pem.write_to_path(folder / name / "certifi" / "cacert.pem", append=True)
        bench = Bench(folder, environment)
        with bench.run_platform() as variables:
            for name in NAMES:
                with bench.start(name, variables) as instance:
                    bench.sessions[name] = log_in(instance)["token"]
        yield bench


def _package_naive(environment: dict[str, str]) -> None:
    """Run `chalice package` for naive. The archive is kept, because the command downloads packages.

    To build it again: `rm -r build`.
    """
    if NAIVE_ARCHIVE.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        project = shutil.copytree(NAIVE, Path(folder) / "naive")
        # Chalice imports the app. The import reads the secret.
        env = {**os.environ, **environment}
        command = [str(Path(sys.executable).with_name("chalice")), "package", str(NAIVE_ARCHIVE.parent)]
        subprocess.run(command, cwd=project, env=env, check=True, capture_output=True)


if __name__ == "__main__":
    main()
