"""Estimates from the measured figures: time and price by memory size, cost of a million requests, capacity.

Nothing is measured here. The constants below are assumptions: change them, then run
`python -m benchmarks --report-only`.
"""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

MEMORY_SIZES_MB = (128, 256, 512, 768, 1024, 1536, 1769)
FULL_CPU_MB = 1769
"""A function with this size has one full CPU. Smaller sizes have a proportional share."""

MEMORY_MB = 1024
"""The size of the deployed function."""

PLATFORM_MS = 100.0
"""Response time of the platform. Not measured from Lambda yet."""
PAGES_PER_REQUEST = 1.1
LOG_BYTES_PER_REQUEST = 900.0
ACCESS_LOG_BYTES_PER_REQUEST = 500.0
RESPONSE_BYTES = 3100.0
"""A compressed list of 50 certificates, with headers."""
INIT_SECONDS = 0.2
"""Initialization of a new instance. AWS bills it since August 2025."""
MERCHANTS = 500

COLD_START_RATE = 0.002
"""Share of requests that start a new instance, with steady traffic: an instance is used for hours."""
READS_PER_COLD_START = 3
"""Table reads before the first response: a token (at start and for the request) and a merchant."""
MERCHANT_CACHE_SECONDS = 300
TRACE_RATE = 0.05

# US dollars, us-east-1, x86, list prices of 2026 without free tier.
USD_GB_SECOND = 0.0000166667
USD_LAMBDA_REQUEST = 0.20e-6
USD_API_GATEWAY_REQUEST = 3.50e-6
USD_DYNAMODB_READ = 0.125e-6
USD_LOG_GB = 0.50
USD_TRACE = 5.00e-6
USD_TRANSFER_GB = 0.09
ARM64_DISCOUNT = 0.2
"""arm64 costs this share less per GB-second."""

REQUEST_RATES = (100, 1000, 10_000)


class MemorySize(NamedTuple):
    """A memory size: milliseconds of a warm and of a first request, US dollars for a million warm requests."""

    mb: int
    warm_ms: float
    first_ms: float
    usd: float


class Cost(NamedTuple):
    """A cost of a million requests: service, quantity, US dollars."""

    service: str
    quantity: str
    usd: float


class Capacity(NamedTuple):
    """What a request rate needs: busy instances, and reads, platform queries and cold starts per second."""

    rate: int
    instances: float
    reads: float
    pages: float
    cold_starts: float


def estimate_memory_sizes(warm_cpu_ms: float, first_cpu_ms: float, wait_ms: float) -> list[MemorySize]:
    """Estimate all memory sizes: CPU time grows with a smaller share of the CPU, waiting time does not."""
    sizes = []
    for mb in MEMORY_SIZES_MB:
        cpu_share = min(1.0, mb / FULL_CPU_MB)
        warm_ms = wait_ms + warm_cpu_ms / cpu_share
        usd = 1e6 * (USD_LAMBDA_REQUEST + warm_ms / 1000 * mb / 1024 * USD_GB_SECOND)
        sizes.append(MemorySize(mb, warm_ms, wait_ms + first_cpu_ms / cpu_share, usd))
    return sizes


def estimate_costs(warm_cpu_ms: float) -> list[Cost]:
    """Estimate the cost of a million requests."""
    duration_ms = _estimate_duration_ms(warm_cpu_ms)
    gb_seconds = 1e6 * duration_ms / 1000 * MEMORY_MB / 1024
    reads = 1e6 * COLD_START_RATE * READS_PER_COLD_START
    init_gb_seconds = 1e6 * COLD_START_RATE * INIT_SECONDS * MEMORY_MB / 1024
    log_gb = (LOG_BYTES_PER_REQUEST + ACCESS_LOG_BYTES_PER_REQUEST) * 1e6 / 1e9
    transfer_gb = RESPONSE_BYTES * 1e6 / 1e9
    traces = 1e6 * TRACE_RATE
    return [
        Cost("Lambda requests", "1,000,000", 1e6 * USD_LAMBDA_REQUEST),
        Cost("Lambda duration", f"{duration_ms:.0f} ms at {MEMORY_MB} MB", gb_seconds * USD_GB_SECOND),
        Cost("Lambda initialization", f"{1e6 * COLD_START_RATE:,.0f} cold starts", init_gb_seconds * USD_GB_SECOND),
        Cost("API Gateway REST requests", "1,000,000", 1e6 * USD_API_GATEWAY_REQUEST),
        Cost("DynamoDB consistent reads", f"{reads:,.0f}", reads * USD_DYNAMODB_READ),
        Cost("CloudWatch Logs", f"{log_gb:.1f} GB", log_gb * USD_LOG_GB),
        Cost("data transfer out", f"{transfer_gb:.1f} GB", transfer_gb * USD_TRANSFER_GB),
        Cost("X-Ray traces", f"{traces:,.0f}", traces * USD_TRACE),
    ]


def estimate_capacity(warm_cpu_ms: float) -> list[Capacity]:
    """Estimate by Little's law: busy instances = request rate x duration of a request."""
    duration_seconds = _estimate_duration_ms(warm_cpu_ms) / 1000
    rows = []
    for rate in REQUEST_RATES:
        instances = rate * duration_seconds
        # An instance reads each merchant that it serves again when the cached row expires.
        merchants = min(MERCHANTS, rate / max(instances, 1) * MERCHANT_CACHE_SECONDS)
        reads = instances * merchants / MERCHANT_CACHE_SECONDS
        rows.append(Capacity(rate, instances, reads, rate * PAGES_PER_REQUEST, rate * COLD_START_RATE))
    return rows


def _estimate_duration_ms(warm_cpu_ms: float) -> float:
    # The second and later pages are requested in parallel: at most two round trips.
    return PLATFORM_MS * min(PAGES_PER_REQUEST, 2) + warm_cpu_ms * FULL_CPU_MB / MEMORY_MB


def format_capacity(figures: dict[str, Any]) -> str:
    """Format all estimates as Markdown, from the figures of `benchmarks.measure`."""
    warm_cpu_ms = statistics.median(figures["warm_50"]["ours"]["cpu"])
    cold = figures["cold"]["ours"]
    first_ms = statistics.median(
        response - ready for response, ready in zip(cold["response"], cold["ready"], strict=True)
    )
    lines = [
        f"Measured: {warm_cpu_ms:.1f} ms of CPU for a warm request with 50 certificates, {first_ms:.0f} ms for the",
        f"first request of an instance. Assumed: the platform responds in {PLATFORM_MS:.0f} ms,",
        f"{PAGES_PER_REQUEST:g} pages and {LOG_BYTES_PER_REQUEST:.0f} bytes of log per request, {MERCHANTS} merchants.",
        "",
        "| memory MB | warm request ms | first request ms | Lambda USD per million warm requests |",
        "|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {size.mb} | {size.warm_ms:.0f} | {size.first_ms:.0f} | {size.usd:.2f} |"
        for size in estimate_memory_sizes(warm_cpu_ms, first_ms, PLATFORM_MS)
    ]
    costs = estimate_costs(warm_cpu_ms)
    lines += ["", "| cost of a million requests | quantity | USD |", "|---|---|---:|"]
    lines += [f"| {cost.service} | {cost.quantity} | {cost.usd:.2f} |" for cost in costs]
    lines += [f"| total | | {sum(cost.usd for cost in costs):.2f} |"]
    saved = ARM64_DISCOUNT * sum(
        cost.usd for cost in costs if cost.service in ("Lambda duration", "Lambda initialization")
    )
    lines += [f"| with arm64 | {ARM64_DISCOUNT:.0%} less for duration and initialization | -{saved:.2f} |", ""]
    lines += ["| requests/s | busy instances | DynamoDB reads/s | platform queries/s | cold starts/s |"]
    lines += ["|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {row.rate:,} | {row.instances:,.0f} | {row.reads:,.0f} | {row.pages:,.0f} | {row.cold_starts:,.1f} |"
        for row in estimate_capacity(warm_cpu_ms)
    ]
    return "\n".join(lines)
