"""Parse CloudWatch's Embedded Metric Format (EMF): the metrics in a function's log lines."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple


class Datapoint(NamedTuple):
    """Values of one metric at one time (epoch seconds); `dimensions` are sorted pairs of name and value."""

    time: float
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    values: list[float]


def parse_metrics(lines: Iterable[str]) -> list[Datapoint]:
    """Return the metrics in the lines; other lines are ignored."""
    datapoints = []
    for line in lines:
        entry = json.loads(line) if line.startswith("{") else {}
        for directive in entry.get("_aws", {}).get("CloudWatchMetrics", []):
            for names in directive["Dimensions"]:
                dimensions = tuple(sorted((name, entry[name]) for name in names))
                time = entry["_aws"]["Timestamp"] / 1000
                datapoints += [
                    Datapoint(time, directive["Namespace"], metric["Name"], dimensions, _as_list(entry[metric["Name"]]))
                    for metric in directive["Metrics"]
                ]
    return datapoints


def is_log_line(line: str) -> bool:
    """Return whether the line is a JSON log entry, not a metric."""
    return line.startswith("{") and "_aws" not in json.loads(line)


def _as_list(value: Any) -> list[float]:
    return value if isinstance(value, list) else [value]
