"""Load test of the whole sandbox: `python -m benchmarks.load` deploys it as `make serve` does and runs locust.

Each simulated customer sends requests without a pause, so the number of customers is the concurrency. Prints a table
and writes it to docs/performance.md.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.report import PAGE, write_section
from infra.api_gateway import set_throttling
from infra.chalice_state import read_rest_api_id
from infra.stage_settings import Limit, Limits
from sandbox import stack
from sandbox.gateway import certificates_url
from sandbox.sample_data import APP_ID, CUSTOMER

CUSTOMERS = (1, 2, 4, 8, 16, 32, 64)
SECONDS = 15
LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def run_locust(sandbox: stack.Stack, customers: int) -> dict[str, str]:
    """Run locust for SECONDS; returns its statistics of the requests for the list."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "run"
        environment = {
            **os.environ,
            "API_URL": sandbox.api_url,
            "PLATFORM_URL": sandbox.platform.url,
            "APP_ID": APP_ID,
            "CUSTOMER": CUSTOMER,
            "LIST_PATH": certificates_url(),
        }
        options = ["--headless", "--only-summary", "-u", str(customers), "-r", str(customers), "-t", f"{SECONDS}s"]
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *options, "--csv", str(prefix)]
        # No check: the exit status is 1 if requests have failed, and the table shows the number of these.
        subprocess.run(command, env=environment, check=False, capture_output=True)
        with Path(f"{prefix}_stats.csv").open(encoding="utf-8") as table:
            return next(row for row in csv.DictReader(table) if row["Name"] == "list")


def remove_rate_limit(sandbox: stack.Stack) -> None:
    """Raise the stage's rate limit; otherwise API Gateway would reject part of the load."""
    limits = Limits(*[Limit(100_000, 100_000)] * len(Limits.__struct_fields__))
    api_id = read_rest_api_id(sandbox.folder, stack.STAGE)
    set_throttling(sandbox.account.client("apigateway"), api_id, limits)


def main() -> None:
    """Run the load test and write the table."""
    console = Console()
    lines = [
        "| customers | responses per second | p50 ms | p95 ms | p99 ms | failed |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    with stack.run_stack(console.print) as sandbox:
        remove_rate_limit(sandbox)
        for customers in CUSTOMERS:
            row = run_locust(sandbox, customers)
            figures = [f"{float(row['Requests/s']):.0f}", row["50%"], row["95%"], row["99%"], row["Failure Count"]]
            lines.append(f"| {customers} | {' | '.join(figures)} |")
            console.print(lines[-1])
    write_section(PAGE, "load", "\n".join(lines))
    console.print("written: docs/performance.md")


if __name__ == "__main__":
    main()
