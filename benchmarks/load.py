"""A load on the whole sandbox: `python -m benchmarks.load` deploys it as `make serve` does and lets locust ask.

Every customer asks without a pause, so the number of customers is the concurrency. Prints a table and writes it to
docs/performance.md.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.contestants import APP, LIST
from benchmarks.pages import write_part
from infra.bundle import ROOT
from infra.stage import limit_calls, rest_api_id
from sandbox import stack

USERS = (1, 2, 4, 8, 16, 32, 64)
SECONDS = 15
LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def load(running: stack.Stack, users: int) -> dict[str, str]:
    """Let so many customers ask for a while; returns locust's row of the list."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "run"
        environment = {
            **os.environ,
            "API_URL": running.api_url,
            "PLATFORM_URL": running.platform.url,
            "APP_ID": APP,
            "LIST_PATH": LIST,
        }
        options = ["--headless", "--only-summary", "-u", str(users), "-r", str(users), "-t", f"{SECONDS}s"]
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *options, "--csv", str(prefix)]
        # Its exit code tells of failed requests, which the table tells as well.
        subprocess.run(command, env=environment, check=False, capture_output=True)
        with Path(f"{prefix}_stats.csv").open(encoding="utf-8") as table:
            return next(row for row in csv.DictReader(table) if row["Name"] == "list")


def unlimit(running: stack.Stack) -> None:
    """Take the stage's limit on calls away: it would answer whatever is above it by itself, and quickly."""
    api_id = rest_api_id(running.folder, stack.STAGE)
    limit_calls(running.account.client("apigateway"), api_id, "api", 100_000, 100_000)


def main() -> None:
    """Run the steps."""
    console = Console()
    lines = ["| customers | answers a second | p50 ms | p95 ms | p99 ms | failed |", "|---:|---:|---:|---:|---:|---:|"]
    with stack.running(console.print) as running:
        unlimit(running)
        for users in USERS:
            row = load(running, users)
            figures = [f"{float(row['Requests/s']):.0f}", row["50%"], row["95%"], row["99%"], row["Failure Count"]]
            lines.append(f"| {users} | {' | '.join(figures)} |")
            console.print(lines[-1])
    write_part(ROOT / "docs" / "performance.md", "load", "\n".join(lines))
    console.print("written: docs/performance.md")


if __name__ == "__main__":
    main()
