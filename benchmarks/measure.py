"""The measuring itself: each figure is taken from all contestants in turn, so that a slow moment is everybody's."""

from __future__ import annotations

import gzip
import json
import re
import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestants import NAMES, Ring
from sandbox.runtime import INTERPRETER

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.runtime import Instance

Samples = dict[str, list[float]]

_TRACE = "Root=1-{:x}-0123456789abcdef01234567;Parent=53995c3f42cd8ad8;Sampled={}"
SAMPLED_EVERY = 20
"""X-Ray's own rule: one request a second, and five in a hundred of the others."""

COLD_ROUNDS, TRACED_ROUNDS = 15, 7
WARM_BLOCKS, WARM_BLOCK = 20, 25
SETTLE = 40
DELAY = 0.05
CURVE = (2, 25, 50, 100, 150, 200)
GROWTH = (50, 100, 200, 500)
LONG_RUN = 5000


def measure(ring: Ring, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, as plain data: samples in milliseconds, sizes in bytes, memory in KiB."""
    steps: dict[str, Callable[[Ring], Any]] = {
        "bundles": bundle_sizes,
        "cold": cold_starts,
        "cold_traced": lambda ring: cold_starts(ring, TRACED_ROUNDS, sampled=1, names=("ours", "naive")),
        "warm_2": lambda ring: warm(ring, 2),
        "warm_50": lambda ring: warm(ring, 50),
        "curve_0": lambda ring: curve(ring, 0.0),
        "curve_50": lambda ring: curve(ring, DELAY),
        "counts": counts,
        "memory": memory,
        "growth": growth,
        "imports": imports,
    }
    figures: dict[str, Any] = {}
    for name, step in steps.items():
        say(name)
        figures[name] = step(ring)
    return figures


def ask(ring: Ring, instance: Instance, name: str, *, query: str = "", sampled: int = 0) -> Any:
    """One request for the list; raises RuntimeError unless it is answered with 200."""
    answer = instance.invoke(ring.event(name, query), _TRACE.format(int(time.time()), sampled))
    if answer["statusCode"] != 200:
        raise RuntimeError(f"{name}: {answer}")
    return json.loads(answer["body"])


def bundle_sizes(ring: Ring) -> dict[str, int]:
    """Bytes, unpacked."""
    return {
        name: sum(path.stat().st_size for path in ring.contestants[name].bundle.rglob("*") if path.is_file())
        for name in NAMES
    }


def cold_starts(
    ring: Ring, rounds: int = COLD_ROUNDS, *, sampled: int = 0, names: tuple[str, ...] = NAMES
) -> dict[str, Samples]:
    """From exec to the first answer, and of that to the end of the start, each from a bundle freshly laid out."""
    ring.arrange(2)
    found: dict[str, Samples] = {name: {"answer": [], "ready": []} for name in names}
    for number in range(1 + rounds):
        for name in names:
            with ring.fresh(name) as bundle, ring.instance(name, bundle) as instance:
                ask(ring, instance, name, sampled=sampled)
                answered = time.perf_counter()
                if list(bundle.rglob("*.pyc.*")):
                    raise RuntimeError("something has written into the bundle")
            if number and instance.ready is not None:
                found[name]["answer"].append((answered - instance.started) * 1000)
                found[name]["ready"].append((instance.ready - instance.started) * 1000)
    return found


def warm(ring: Ring, certificates: int) -> dict[str, Samples]:
    """Wall and CPU milliseconds a request, each sample the mean of a block."""
    ring.arrange(certificates)
    found: dict[str, Samples] = {name: {"wall": [], "cpu": []} for name in NAMES}
    with ExitStack() as resources:
        instances = {name: resources.enter_context(ring.instance(name)) for name in NAMES}
        for name, instance in instances.items():
            for _ in range(SETTLE):
                ask(ring, instance, name)
            ask(ring, instance, name, sampled=1)
        for _ in range(WARM_BLOCKS):
            for name, instance in instances.items():
                cpu, begun = cpu_ms(instance), time.perf_counter()
                for number in range(WARM_BLOCK):
                    ask(ring, instance, name, sampled=int(number % SAMPLED_EVERY == 0))
                found[name]["wall"].append((time.perf_counter() - begun) * 1000 / WARM_BLOCK)
                found[name]["cpu"].append((cpu_ms(instance) - cpu) / WARM_BLOCK)
    return found


def curve(ring: Ring, delay: float, repeat: int = 15) -> dict[str, dict[str, list[float]]]:
    """Wall milliseconds by number of certificates, upstream answering after `delay` seconds."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in NAMES}
    with ExitStack() as resources:
        instances = {name: resources.enter_context(ring.instance(name)) for name in NAMES}
        for certificates in CURVE:
            ring.arrange(certificates, delay)
            for number in range(2 + repeat):
                for name, instance in instances.items():
                    begun = time.perf_counter()
                    view = ask(ring, instance, name)
                    elapsed = (time.perf_counter() - begun) * 1000
                    if len(view["certificates"]) != certificates:
                        raise RuntimeError(f"{name}: {len(view['certificates'])} of {certificates}")
                    if number > 1:
                        found[name].setdefault(str(certificates), []).append(elapsed)
    return found


def counts(ring: Ring) -> dict[str, Any]:
    """What a hundred warm requests cost others: connections opened upstream, pages asked, calls of AWS."""
    found = {}
    for name in NAMES:
        ring.arrange(2)
        with ring.instance(name, AWS_ENDPOINT_URL=ring.counted_aws_url) as instance:
            ask(ring, instance, name)
            started = ring.arrange()
            for _ in range(100):
                ask(ring, instance, name)
            found[name] = {**ring.arrange(), "first": started}
    return found


def memory(ring: Ring) -> dict[str, Any]:
    """The most that was ever resident, and what is, after so many warm requests of 50 certificates (KiB)."""
    ring.arrange(50)
    found: dict[str, Any] = {}
    for name in ("ours", "floor"):
        with ring.instance(name) as instance:
            resident = {}
            for number in range(1, LONG_RUN + 1):
                ask(ring, instance, name, sampled=int(number % SAMPLED_EVERY == 0))
                if number in (500, LONG_RUN):
                    resident[str(number)] = instance.kib("VmRSS")
            found[name] = {"resident": resident, "peak": instance.kib("VmHWM")}
    return found


def growth(ring: Ring, repeat: int = 40) -> dict[str, Any]:
    """Own CPU milliseconds of a whole list, walked by its cursors, and bytes in and out."""
    found: dict[str, Any] = {}
    with ring.instance("ours") as instance:
        for certificates in GROWTH:
            ring.arrange(certificates)
            samples = []
            for number in range(2 + repeat):
                ring.arrange()
                cpu, sent, packed, seen, cursor = cpu_ms(instance), 0, 0, 0, ""
                while True:
                    view = ask(ring, instance, "ours", query=cursor)
                    body = json.dumps(view, ensure_ascii=False, separators=(",", ":")).encode()
                    sent += len(body)
                    packed += len(gzip.compress(body))
                    seen += len(view["certificates"])
                    if "next_cursor" not in view:
                        break
                    cursor = f"?cursor={view['next_cursor']}"
                if seen != certificates:
                    raise RuntimeError(f"{seen} of {certificates}")
                if number > 1:
                    samples.append(cpu_ms(instance) - cpu)
            found[str(certificates)] = {
                "cpu": samples,
                "sent": sent,
                "packed": packed,
                "received": ring.arrange()["bytes"],
            }
    return found


def imports(ring: Ring, repeat: int = 7) -> list[dict[str, Any]]:
    """What is imported, in order: module, depth; start, length and own part in milliseconds (medians)."""
    runs: list[dict[str, tuple[int, float, float, float]]] = []
    bundle = ring.contestants["ours"].bundle
    # As in Lambda the runtime client is there first; without the Runtime API's address the app only loads.
    command = [str(INTERPRETER), "-X", "importtime", "-c", "import awslambdaric.bootstrap; import app"]
    for _ in range(repeat):
        run = subprocess.run(
            command,
            cwd=bundle,
            env={**ring.environment, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        clock = 0.0
        modules: dict[str, tuple[int, float, float, float]] = {}
        for line in run.stderr.splitlines():
            if match := re.match(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)", line):
                clock += int(match[1]) / 1000
                length = int(match[2]) / 1000
                modules[match[4]] = ((len(match[3]) - 1) // 2, clock - length, length, int(match[1]) / 1000)
        runs.append(modules)
    everywhere = [name for name in runs[0] if all(name in run for run in runs)]
    return [
        {
            "module": name,
            "depth": runs[0][name][0],
            "start": statistics.median(run[name][1] for run in runs),
            "ms": statistics.median(run[name][2] for run in runs),
            "own": statistics.median(run[name][3] for run in runs),
        }
        for name in everywhere
    ]


def cpu_ms(instance: Instance) -> float:
    """CPU milliseconds that the process has used, all threads together."""
    tasks = Path(f"/proc/{instance.popen.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6
