"""`python -m benchmarks`: measure, print the results, and write tables and a plot to docs/."""

import argparse
import json
import time

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.bench import BUILD, run_bench
from benchmarks.measure import measure

FIGURES = BUILD / "figures.json"


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
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps(figures), encoding="utf-8")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    table = Table("measurement", "ours", "peer", "value", "goal", "result")
    for goal in report.evaluate_goals(figures):
        result = "met" if goal.is_met else "[red]missed[/red]"
        table.add_row(goal.measurement, goal.ours, goal.peer, f"{goal.value:.2f}", f"≤ {goal.limit:g}", result)
    console.print(table)
    report.draw_latency(figures, report.PAGE.with_name("performance-curves.png"))
    report.write_section(report.PAGE, "bench", report.format_report(figures))
    console.print("written: docs/performance.md and its plot")


if __name__ == "__main__":
    main()
