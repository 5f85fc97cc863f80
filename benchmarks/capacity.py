"""The arithmetic of Lambda's memory sizes: what a request takes and costs at each, from its measured CPU time."""

from __future__ import annotations

from typing import NamedTuple

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
