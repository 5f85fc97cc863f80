"""`python -m benchmarks`: measure, print the table, write it and the plots to docs/performance.md."""

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
from benchmarks.contestants import BUILD, ring
from benchmarks.measure import measure
from benchmarks.pages import write_part
from infra.bundle import ROOT

FIGURES = BUILD / "figures.json"


def pure_parts() -> dict[str, tuple[float, float]]:
    """What pyperf says of `benchmarks.micro`: mean and standard deviation in microseconds, by name."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "micro.json"
        command = [sys.executable, "-m", "benchmarks.micro", "--fast", "--quiet", "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True)
        suite = pyperf.BenchmarkSuite.load(str(made))
        return {bench.get_name(): (bench.mean() * 1e6, bench.stdev() * 1e6) for bench in suite.get_benchmarks()}


def main() -> None:
    """Measure, or with --again only draw and write what was measured last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="write the page anew from the figures of the last run")
    console = Console()
    if not parser.parse_args().again:
        begun = time.monotonic()
        with ring() as everything:
            figures = measure(
                everything, lambda step: console.print(f"[dim]{time.monotonic() - begun:5.0f} s[/dim]  {step} …")
            )
        console.print(f"[dim]{time.monotonic() - begun:5.0f} s[/dim]  the pure parts …")
        figures["pure"] = pure_parts()
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps(figures), encoding="utf-8")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    table = Table("", "ours", "yardstick", "ratio", "goal", "")
    for row in report.rows(figures):
        verdict = "met" if row.met else "[red]missed[/red]"
        table.add_row(row.what, row.ours, row.peer, f"{row.ratio:.2f}", f"≤ {row.goal:g}", verdict)
    console.print(table)
    docs = ROOT / "docs"
    report.draw_curves(figures, docs / "performance-curves.png")
    report.draw_waterfall(figures["imports"], docs / "performance-imports.png")
    write_part(docs / "performance.md", "figures", report.page(figures))
    console.print("written: docs/performance.md and its pictures")


if __name__ == "__main__":
    main()
