"""`python -m benchmarks`: measure, print the table, and write it to docs/engineer.md."""

import operator
import os
import platform
import statistics
import sys
from pathlib import Path

from benchmarks import measure
from benchmarks.bench import NAMES, run_bench
from benchmarks.measure import Samples
from infra.bundle import ROOT

PAGE = ROOT / "docs" / "engineer.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

LIMITS = {
    "cold start": {"naive": 0.35, "floor": 1.15},
    "warm list, 2 coupons": {"naive": 0.30, "floor": 1.5},
    "warm list, 50 coupons": {"naive": 0.30, "floor": 1.5},
    "first visit, cold": {"naive": 0.5, "floor": 1.15},
    "first visit, warm": {"naive": 0.7, "floor": 0.8},
}
"""Goals: the upper limits of the ratio between our samples and those of a peer (the median)."""


def main() -> None:
    """Measure and write the report."""
    with run_bench() as bench:
        _progress("cold starts")
        samples = {"cold start": measure.measure_cold_starts(bench)}
        _progress("warm lists")
        for count in (2, 50):
            samples[f"warm list, {count} coupons"] = measure.measure_warm_requests(bench, count)
        _progress("first visits")
        for state, visits in measure.measure_first_visits(bench).items():
            samples[f"first visit, {state}"] = visits
        report = format_report(samples, measure.measure_archives(), measure.count_aws_calls(bench))
    print(report)
    write_section(PAGE, report)


def format_report(samples: dict[str, Samples], archives: dict[str, float], aws_calls: int) -> str:
    """Format the table as Markdown."""
    lines = [
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}.",
        "Minimum–median–maximum; in parentheses the goal.",
        "",
        "| | ours | naive | floor | ours / naive | ours / floor |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for label, times in samples.items():
        ratios = [_format_ratio(times["ours"], times[peer], limit) for peer, limit in LIMITS[label].items()]
        lines.append(f"| {' | '.join([f'{label}, ms', *(_format_samples(times[name]) for name in NAMES), *ratios])} |")
    lines.append(f"| archive, MB | {archives['ours']:.1f} | {archives['naive']:.1f} | | | |")
    lines.append(f"| AWS calls in {measure.AWS_REQUESTS} warm lists | {_mark(str(aws_calls), aws_calls, 0)} | | | | |")
    return "\n".join(lines)


def write_section(page: Path, text: str) -> None:
    """Replace the section of the page between the comments BEGIN and END; raises ValueError if one is missing."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _format_ratio(ours: list[float], peer: list[float], limit: float) -> str:
    ratio = statistics.median(map(operator.truediv, ours, peer))
    return _mark(f"{ratio:.2f}", ratio, limit)


def _mark(text: str, value: float, limit: float) -> str:
    return f"{text} (≤ {limit:g})" if value <= limit else f"**{text} (> {limit:g})**"


def _format_samples(samples: list[float]) -> str:
    digits = 0 if statistics.median(samples) >= 20 else 1
    return "–".join(f"{value:.{digits}f}" for value in (min(samples), statistics.median(samples), max(samples)))


def _progress(step: str) -> None:
    print(f"{step} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
