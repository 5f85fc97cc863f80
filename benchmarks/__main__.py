"""`python -m benchmarks`: measure, print the results, and write tables and plots to docs/."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyperf
from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.bench import BUILD, run_bench
from benchmarks.capacity import format_capacity
from benchmarks.measure import measure

FIGURES = BUILD / "figures.json"


def run_microbenchmarks() -> dict[str, tuple[float, float]]:
    """Run `benchmarks.micro`; returns mean and standard deviation in microseconds by name."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "micro.json"
        command = [sys.executable, "-m", "benchmarks.micro", "--fast", "--quiet", "-o", str(output)]
        subprocess.run(command, check=True, capture_output=True)
        suite = pyperf.BenchmarkSuite.load(str(output))
        return {bench.get_name(): (bench.mean() * 1e6, bench.stdev() * 1e6) for bench in suite.get_benchmarks()}


def main() -> None:
    """Measure, unless --report-only is set, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report-only", action="store_true", help="write the report from the figures of the last run")
    console = Console()
    if not parser.parse_args().report_only:
        start = time.monotonic()

        def progress(step: str) -> None:
            console.print(f"[dim]{time.monotonic() - start:5.0f} s[/dim]  {step} …")

        with run_bench() as bench:
            figures = measure(bench, progress)
        progress("micro")
        figures["micro"] = run_microbenchmarks()
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps(figures), encoding="utf-8")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    table = Table("measurement", "ours", "peer", "value", "goal", "result")
    for goal in report.evaluate_goals(figures):
        result = "met" if goal.is_met else "[red]missed[/red]"
        table.add_row(goal.measurement, goal.ours, goal.peer, f"{goal.value:.2f}", f"≤ {goal.limit:g}", result)
    console.print(table)
    report.draw_latency(figures, report.PAGE.with_name("performance-curves.png"))
    report.draw_imports(figures["imports"], report.PAGE.with_name("performance-imports.png"))
    report.write_section(report.PAGE, "bench", report.format_report(figures))
    report.write_section(report.PAGE, "capacity", format_capacity(figures))
    console.print("written: docs/performance.md and its plots")


if __name__ == "__main__":
    main()
