"""CloudWatch's dashboard without CloudWatch: `python -m sandbox.dashboard` draws what the template's would show.

An instance of the bundle runs under Lambda's runtime client with a mixed load and faults (see `sandbox.soak`), the
renewal beside it. What is drawn are the metric and log lines that they really wrote, in the widgets of the very
dashboard body that is deployed; what Lambda itself would count (invocations, duration, errors) is counted here. Time is
lapsed: a second of the run is drawn as a minute.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import font_manager
from matplotlib import pyplot as plt

from infra.bundle import ROOT
from infra.cloudformation import read_template
from sandbox import gateway, stack
from sandbox.runtime import Instance
from sandbox.soak import Soak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FUNCTION = f"douyin-redemption-{stack.STAGE}"
SCHEDULE = f"{FUNCTION}-refresh_tokens"
RENEWAL_SECONDS = 10.0
COLUMNS = 24
_STATISTICS: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Minimum": min, "SampleCount": len}
_SEARCH = re.compile(r"SEARCH\('\{([^}]*)\} MetricName=\"(\w+)\"")


class Point(NamedTuple):
    """Values of one metric at one moment (epoch seconds); `dimensions` as sorted pairs."""

    at: float
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    values: list[float]


class Series(NamedTuple):
    """A line of a widget: moments in minutes since the start, and values."""

    label: str
    minutes: list[int]
    values: list[float]


def body(stage: str, region: str) -> dict[str, Any]:
    """The dashboard of the template, as CloudWatch gets it."""
    text = read_template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Sub"]
    dashboard: dict[str, Any] = json.loads(text.replace("${Stage}", stage).replace("${AWS::Region}", region))
    return dashboard


def emitted(lines: Iterable[str]) -> list[Point]:
    """The metrics in the lines that a function wrote (Embedded Metric Format)."""
    points = []
    for line in lines:
        entry = json.loads(line) if line.startswith("{") else {}
        for directive in entry.get("_aws", {}).get("CloudWatchMetrics", []):
            for names in directive["Dimensions"]:
                dimensions = tuple(sorted((name, entry[name]) for name in names))
                at = entry["_aws"]["Timestamp"] / 1000
                points += [
                    Point(at, directive["Namespace"], metric["Name"], dimensions, _list(entry[metric["Name"]]))
                    for metric in directive["Metrics"]
                ]
    return points


def series_of(widget: dict[str, Any], points: list[Point], begun: float) -> list[Series]:
    """What a metric widget draws of these points, each second since `begun` as a minute."""
    properties = widget["properties"]
    drawn = []
    for metric in properties["metrics"]:
        if isinstance(metric[0], dict):
            drawn += _searched(metric[0]["expression"], points, begun)
            continue
        *parts, options = metric if isinstance(metric[-1], dict) else [*metric, {}]
        namespace, name, *pairs = parts
        dimensions = tuple(sorted(zip(pairs[::2], pairs[1::2], strict=True)))
        stat = options.get("stat", properties["stat"])
        own = [p for p in points if (p.namespace, p.name, p.dimensions) == (namespace, name, dimensions)]
        label = options.get("label", name if stat in ("Sum", properties["stat"]) else f"{name} {stat}")
        drawn.append(_bucketed(label, own, stat, begun))
    return drawn


def _searched(expression: str, points: list[Point], begun: float) -> list[Series]:
    found = _SEARCH.match(expression)
    if found is None:
        raise ValueError(expression)
    namespace, *names = found[1].split(",")
    by_label: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        given = dict(point.dimensions)
        if (point.namespace, point.name) == (namespace, found[2]) and sorted(given) == sorted(names):
            by_label[given[names[-1]]].append(point)
    return [_bucketed(label, own, "Sum", begun) for label, own in sorted(by_label.items())]


def _bucketed(label: str, points: list[Point], stat: str, begun: float) -> Series:
    buckets: dict[int, list[float]] = defaultdict(list)
    for point in points:
        buckets[int(point.at - begun)] += point.values
    minutes = sorted(buckets)
    return Series(label, minutes, [_statistic(buckets[minute], stat) for minute in minutes])


def _statistic(values: list[float], stat: str) -> float:
    if stat.startswith("p"):
        if len(values) == 1:
            return values[0]
        return statistics.quantiles(values, n=100, method="inclusive")[int(stat[1:]) - 1]
    return float(_STATISTICS[stat](values))


def draw(dashboard: dict[str, Any], points: list[Point], lines: list[str], begun: float, path: Path) -> None:
    """Draw every widget where the dashboard has it."""
    if any("Noto Sans CJK" in font.name for font in font_manager.fontManager.ttflist):
        mpl.rcParams["font.family"] = "Noto Sans CJK SC"
    widgets = dashboard["widgets"]
    last = max((point.at for point in points), default=begun + 1) - begun
    height = max(widget["y"] + widget["height"] for widget in widgets)
    figure = plt.figure(figsize=(15, height * 0.55))
    grid = figure.add_gridspec(height, COLUMNS, wspace=4.5, hspace=5.0, left=0.04, right=0.98, top=0.97, bottom=0.04)
    for widget in widgets:
        x, y = widget["x"], widget["y"]
        axis = figure.add_subplot(grid[y : y + widget["height"], x : x + widget["width"]])
        axis.set_title(widget["properties"]["title"], fontsize=10, loc="left")
        if widget["type"] == "log":
            _draw_log(axis, lines)
        else:
            _draw_metrics(axis, widget, series_of(widget, points, begun), last)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _draw_metrics(axis: Any, widget: dict[str, Any], series: list[Series], last: float) -> None:
    properties = widget["properties"]
    if properties.get("stacked"):
        minutes = sorted({minute for line in series for minute in line.minutes})
        heights = [[dict(zip(s.minutes, s.values, strict=True)).get(m, 0.0) for m in minutes] for s in series]
        if minutes:
            axis.stackplot(minutes, heights, labels=[line.label for line in series])
    else:
        for line in series:
            axis.plot(line.minutes, line.values, label=line.label, linewidth=1.2, marker=".", markersize=3)
    for mark in properties.get("annotations", {}).get("horizontal", []):
        axis.axhline(mark["value"], color="#c53030", linewidth=0.8, linestyle="--", label=mark["label"])
    axis.set_ylim(bottom=0)
    axis.set_xlim(0, last)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.25)
    axis.set_xlabel("minutes", fontsize=7)
    if series:
        axis.legend(fontsize=6, loc="upper left", ncols=2)


def _draw_log(axis: Any, lines: list[str]) -> None:
    axis.axis("off")
    entries = [json.loads(line) for line in lines if line.startswith("{") and '"outcome"' in line]
    problems = [entry for entry in entries if entry["outcome"] != "ok"][-9:][::-1]
    for row, entry in enumerate(problems):
        told = f"{entry['timestamp'][11:19]}  {entry['outcome']}  {entry.get('error', '')}"
        axis.text(0, 0.95 - row * 0.11, told[:78], fontsize=6.5, family="monospace", transform=axis.transAxes)


class _Counted(Instance):
    """An instance whose invocations are counted as Lambda does."""

    def __init__(self, name: str, points: list[Point], *arguments: Any, **options: Any) -> None:
        self._name = name
        self._points = points
        super().__init__(*arguments, **options)

    def invoke(self, event: Any, trace: str = "") -> Any:
        begun = time.time()
        failed = 1.0
        try:
            answer = super().invoke(event, trace)
            failed = 0.0
        finally:
            counted = {"Invocations": 1.0, "Errors": failed, "Throttles": 0.0, "Duration": (time.time() - begun) * 1000}
            for metric, value in counted.items():
                self._points.append(Point(begun, "AWS/Lambda", metric, (("FunctionName", self._name),), [value]))
        return answer


def _renew(instance: Instance, done: threading.Event) -> None:
    while not done.wait(RENEWAL_SECONDS):
        instance.invoke(gateway.scheduled())


def main() -> None:
    """Run the load and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "dashboard.png")
    arguments = parser.parse_args()
    counted: list[Point] = []
    with stack.around_a_function() as parts, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as other:
        environment = {**parts.environment, "STAGE": stack.STAGE}
        with (
            _Counted(FUNCTION, counted, parts.bundle, "app.app", environment, output=output) as instance,
            _Counted(SCHEDULE, counted, parts.bundle, "app.refresh_tokens", environment, output=other) as renewal,
        ):
            done = threading.Event()
            schedule = threading.Thread(target=_renew, args=(renewal, done))
            schedule.start()
            begun = time.time()
            Soak(instance, parts.platform.url, seed=1).run(arguments.seconds / 60)
            done.set()
            schedule.join()
        lines = []
        for written in (output, other):
            written.seek(0)
            lines += written.read().decode().splitlines()
    draw(body(stack.STAGE, "us-east-1"), counted + emitted(lines), lines, begun, arguments.to)
    print(f"{len(lines):,} lines drawn to {arguments.to}")


def _list(value: Any) -> list[float]:
    return value if isinstance(value, list) else [value]


if __name__ == "__main__":
    main()
