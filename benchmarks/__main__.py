"""`python -m benchmarks`: measure, print the results, and write tables and a plot to docs/."""

import time

from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.bench import run_bench
from benchmarks.measure import measure


def main() -> None:
    """Measure, and write the report."""
    console = Console()
    start = time.monotonic()

    def progress(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - start:5.0f} s[/dim]  {step} …")

    with run_bench() as bench:
        figures = measure(bench, progress)
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
