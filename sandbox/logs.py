"""Show the functions' log and metrics in the emulated AWS: `python -m sandbox.logs AWS_URL [--follow]`.

Reads CloudWatch Logs. Log lines are printed unchanged; metrics (EMF) are summarized in a table.
"""

import argparse
import contextlib
import time
from collections import defaultdict
from typing import Any

from rich.console import Console
from rich.table import Table

from sandbox import stack
from sandbox.emf import is_log_line, parse_metrics

MAX_LINES = 40
"""Number of existing log lines that are printed."""


def read_lines(client: Any, since_ms: int = 0) -> list[tuple[int, str]]:
    """Return the lines of both functions since a time, oldest first, each with its time in ms."""
    lines: list[tuple[int, str]] = []
    for function in (stack.API_FUNCTION, stack.RENEWAL_FUNCTION):
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            pages = client.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/{function}", startTime=since_ms
            )
            lines += [
                (event["timestamp"], line)
                for page in pages
                for event in page["events"]
                for line in event["message"].splitlines()
            ]
    return sorted(lines, key=lambda entry: entry[0])


def build_metrics_table(lines: list[str]) -> Table:
    """Build a table with the number, sum and maximum of each metric's samples."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for point in parse_metrics(lines):
        dimensions = ", ".join(
            f"{name}={value}" for name, value in point.dimensions if name not in ("service", "stage")
        )
        values[point.name, dimensions].extend(point.values)
    table = Table("metric", "dimensions", "samples", "sum", "max")
    for (name, dimensions), samples in sorted(values.items()):
        table.add_row(name, dimensions, str(len(samples)), f"{sum(samples):g}", f"{max(samples):g}")
    return table


def main() -> None:
    """Print the log and the metrics; with --follow, continue with new log lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("aws", help="base URL of the emulated AWS, as `make serve` prints it")
    parser.add_argument("--follow", action="store_true", help="print new log lines until Ctrl-C")
    arguments = parser.parse_args()
    client = stack.emulated_account(arguments.aws).client("logs")
    lines = read_lines(client)
    for line in [line for _, line in lines if is_log_line(line)][-MAX_LINES:]:
        print(line)
    Console().print(build_metrics_table([line for _, line in lines]))
    last_ms = lines[-1][0] if lines else 0
    with contextlib.suppress(KeyboardInterrupt):
        while arguments.follow:
            time.sleep(1)
            for time_ms, line in read_lines(client, last_ms + 1):
                last_ms = time_ms
                if is_log_line(line):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
