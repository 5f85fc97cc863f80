"""Arithmetic from measured figures: Lambda's memory sizes, a bill, what a rate of requests takes.

`python -m benchmarks.capacity` makes the tables of docs/capacity.md from the figures of the last `make bench`.
"""

from __future__ import annotations

import json
import statistics
from typing import NamedTuple

from benchmarks.pages import write_part
from infra.bundle import ROOT

SIZES = (128, 256, 512, 768, 1024, 1536, 1769)
FULL_MB = 1769
"""At this size a function has one whole processor; below, its share is in proportion."""

USD_GB_SECOND = 0.0000166667
USD_REQUEST = 0.0000002
"""x86, us-east-1, list prices of 2026 before any free tier."""


class MemoryRow(NamedTuple):
    """One size: milliseconds of a warm and of a first request, US dollars for a million warm ones."""

    mb: int
    warm_ms: float
    first_ms: float
    usd: float


def memory_rows(warm_cpu_ms: float, first_cpu_ms: float, waiting_ms: float) -> list[MemoryRow]:
    """Every size; CPU time stretches with the share, waiting does not."""
    rows = []
    for size in SIZES:
        share = min(1.0, size / FULL_MB)
        warm = waiting_ms + warm_cpu_ms / share
        usd = 1e6 * (USD_REQUEST + warm / 1000 * size / 1024 * USD_GB_SECOND)
        rows.append(MemoryRow(size, warm, waiting_ms + first_cpu_ms / share, usd))
    return rows


PRICES = {
    "API Gateway, REST requests": 3.50e-6,
    "DynamoDB, on-demand read unit": 0.125e-6,
    "CloudWatch Logs, GB ingested": 0.50,
    "X-Ray, trace recorded": 5.00e-6,
}
"""US dollars, us-east-1, list prices of 2026 before any free tier; check them before you rely on them."""

MEMORY_MB = 1024
COLD_SHARE = 0.002
"""Requests that meet a start, with steady traffic; each holds an instance for hours."""

COLD_READS = 3
"""What an instance reads before its first answer: a token (twice: for the app, for the request), a merchant."""

SECONDS_A_MERCHANT = 300
SAMPLED = 0.05


class Cost(NamedTuple):
    """A line of the bill: what, how much of it for a million requests, US dollars."""

    what: str
    amount: str
    usd: float


def bill(warm_cpu_ms: float, upstream_ms: float, pages: float, log_bytes: float) -> list[Cost]:
    """The bill of a million requests; `pages` are those of an average answer, `log_bytes` its log and metric lines."""
    share = MEMORY_MB / FULL_MB
    billed_ms = upstream_ms * min(pages, 2) + warm_cpu_ms / share
    gb_seconds = 1e6 * billed_ms / 1000 * MEMORY_MB / 1024
    reads = 1e6 * COLD_SHARE * COLD_READS
    gigabytes = log_bytes * 1e6 / 1e9
    return [
        Cost("Lambda, requests", "1,000,000", 1e6 * USD_REQUEST),
        Cost("Lambda, time", f"{billed_ms:.0f} ms at {MEMORY_MB} MB", gb_seconds * USD_GB_SECOND),
        Cost("API Gateway, REST", "1,000,000", 1e6 * PRICES["API Gateway, REST requests"]),
        Cost("DynamoDB, consistent reads", f"{reads:,.0f}", reads * PRICES["DynamoDB, on-demand read unit"]),
        Cost("CloudWatch Logs", f"{gigabytes:.1f} GB", gigabytes * PRICES["CloudWatch Logs, GB ingested"]),
        Cost("X-Ray", f"{1e6 * SAMPLED:,.0f} traces", 1e6 * SAMPLED * PRICES["X-Ray, trace recorded"]),
    ]


class Load(NamedTuple):
    """What a rate of requests takes: instances busy at once, DynamoDB reads, pages asked of the platform, a second."""

    rate: int
    instances: float
    reads: float
    pages: float
    starts: float


def loads(
    warm_cpu_ms: float, upstream_ms: float, pages: float, merchants: int, rates: tuple[int, ...] = (100, 1000, 10_000)
) -> list[Load]:
    """By Little's law: busy instances are rate times the time that a request holds one."""
    held = (upstream_ms * min(pages, 2) + warm_cpu_ms * FULL_MB / MEMORY_MB) / 1000
    found = []
    for rate in rates:
        instances = rate * held
        # An instance reads again each merchant that it sees, every five minutes; it cannot see more than it serves.
        seen = min(merchants, rate / max(instances, 1) * SECONDS_A_MERCHANT)
        reads = instances * seen / SECONDS_A_MERCHANT
        found.append(Load(rate, instances, reads, rate * pages, rate * COLD_SHARE))
    return found


def main() -> None:
    """Print the tables from the figures of the last `make bench`."""
    figures = json.loads((ROOT / "build" / "bench" / "figures.json").read_text(encoding="utf-8"))
    warm = statistics.median(figures["warm_50"]["ours"]["cpu"])
    lines = [
        f"A warm request of 50 certificates: {warm:.1f} ms of CPU. Assumed: the platform answers in 100 ms, 1.1 pages",
        "an answer, 900 bytes of log and metric lines, 500 merchants.",
        "",
        "| a million requests | | USD |",
        "|---|---|---:|",
    ]
    costs = bill(warm, 100.0, 1.1, 900.0)
    lines += [f"| {cost.what} | {cost.amount} | {cost.usd:.2f} |" for cost in costs]
    lines += [f"| in all | | {sum(cost.usd for cost in costs):.2f} |", ""]
    lines += ["| requests a second | instances busy | DynamoDB reads a second | pages a second | starts a second |"]
    lines += ["|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {load.rate:,} | {load.instances:,.0f} | {load.reads:,.0f} | {load.pages:,.0f} | {load.starts:,.1f} |"
        for load in loads(warm, 100.0, 1.1, 500)
    ]
    made = "\n".join(lines)
    print(made)
    write_part(ROOT / "docs" / "capacity.md", "capacity", made)


if __name__ == "__main__":
    main()
