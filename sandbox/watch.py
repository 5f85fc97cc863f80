"""The functions' log and metrics in the emulator: `python -m sandbox.watch AWS_URL [--follow]`.

What they write goes to CloudWatch Logs there as it does on AWS; log lines are printed as they are, metric lines (EMF)
as a table of what CloudWatch would make of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from sandbox import stack
from sandbox.dashboard import FUNCTION, SCHEDULE, emitted

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

SHOWN = 40


def lines_of(client: CloudWatchLogsClient, since_ms: int = 0) -> list[tuple[int, str]]:
    """What both functions have written since, each line with its time (ms), oldest first."""
    found: list[tuple[int, str]] = []
    for function in (FUNCTION, SCHEDULE):
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            pages = client.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/{function}", startTime=since_ms
            )
            found += [
                (event["timestamp"], line)
                for page in pages
                for event in page["events"]
                for line in event["message"].splitlines()
            ]
    return sorted(found, key=lambda entry: entry[0])


def metrics(lines: list[str]) -> Table:
    """What CloudWatch would make of the metric lines."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for point in emitted(lines):
        own = ", ".join(f"{name}={value}" for name, value in point.dimensions if name not in ("service", "stage"))
        values[point.name, own].extend(point.values)
    table = Table("metric", "by", "samples", "sum", "max")
    for (name, own), found in sorted(values.items()):
        table.add_row(name, own, str(len(found)), f"{sum(found):g}", f"{max(found):g}")
    return table


def main() -> None:
    """Show what has been written, or go on showing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("aws", help="the emulator's URL, as make serve prints it")
    parser.add_argument("--follow", action="store_true", help="go on showing the log until Ctrl-C")
    arguments = parser.parse_args()
    client = stack.account_at(arguments.aws).client("logs")
    console = Console()
    written = lines_of(client)
    for _, line in [entry for entry in written if _is_log(entry[1])][-SHOWN:]:
        print(line)
    console.print(metrics([line for _, line in written]))
    last = written[-1][0] if written else 0
    with contextlib.suppress(KeyboardInterrupt):
        while arguments.follow:
            time.sleep(1)
            for at, line in lines_of(client, last + 1):
                last = at
                if _is_log(line):
                    print(line, flush=True)


def _is_log(line: str) -> bool:
    return line.startswith("{") and "_aws" not in json.loads(line)


if __name__ == "__main__":
    main()
