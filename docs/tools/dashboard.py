"""Draw the CloudWatch dashboard of infra/template.yaml without CloudWatch: `python -m docs.tools.dashboard`.

An instance of the bundle runs under Lambda's runtime client with a mixed load and faults (see `benchmarks.soak`); a
second instance renews tokens. The log lines and metrics that they write are drawn in the widgets of the deployed
dashboard. Lambda's own metrics (invocations, duration, errors) are measured here. One second of the run is drawn as one
minute.
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

from benchmarks.soak import Soak
from infra.bundle import ROOT
from infra.cloudformation import read_template
from sandbox import gateway, stack
from sandbox.aws import REGION
from sandbox.emf import Datapoint, parse_metrics
from sandbox.runtime import Instance

if TYPE_CHECKING:
    from collections.abc import Callable

RENEWAL_SECONDS = 10.0
COLUMNS = 24
LOG_ROWS = 9
_STATISTICS: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Minimum": min, "SampleCount": len}
_SEARCH = re.compile(r"SEARCH\('\{([^}]*)\} MetricName=\"(\w+)\"")


class Series(NamedTuple):
    """A line of a widget: its label, times in minutes since the start, and values."""

    label: str
    minutes: list[int]
    values: list[float]


def read_dashboard(stage: str, region: str) -> dict[str, Any]:
    """Return the dashboard body of the template with the stage and region filled in."""
    text = read_template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Sub"]
    dashboard: dict[str, Any] = json.loads(text.replace("${Stage}", stage).replace("${AWS::Region}", region))
    return dashboard


def build_series(widget: dict[str, Any], datapoints: list[Datapoint], start: float) -> list[Series]:
    """Return the lines of a metric widget; each second since `start` counts as one minute."""
    properties = widget["properties"]
    series = []
    for metric in properties["metrics"]:
        if isinstance(metric[0], dict):
            series += _search(metric[0]["expression"], datapoints, start)
            continue
        *parts, options = metric if isinstance(metric[-1], dict) else [*metric, {}]
        namespace, name, *pairs = parts
        dimensions = tuple(sorted(zip(pairs[::2], pairs[1::2], strict=True)))
        stat = options.get("stat", properties["stat"])
        matching = [p for p in datapoints if (p.namespace, p.name, p.dimensions) == (namespace, name, dimensions)]
        label = options.get("label", name if stat in ("Sum", properties["stat"]) else f"{name} {stat}")
        series.append(_aggregate(label, matching, stat, start))
    return series


def _search(expression: str, datapoints: list[Datapoint], start: float) -> list[Series]:
    """Evaluate a SEARCH expression: one line per value of the last dimension; raises ValueError for other syntax."""
    match = _SEARCH.match(expression)
    if match is None:
        raise ValueError(expression)
    namespace, *names = match[1].split(",")
    by_label: dict[str, list[Datapoint]] = defaultdict(list)
    for point in datapoints:
        dimensions = dict(point.dimensions)
        if (point.namespace, point.name) == (namespace, match[2]) and sorted(dimensions) == sorted(names):
            by_label[dimensions[names[-1]]].append(point)
    return [_aggregate(label, matching, "Sum", start) for label, matching in sorted(by_label.items())]


def _aggregate(label: str, datapoints: list[Datapoint], stat: str, start: float) -> Series:
    by_minute: dict[int, list[float]] = defaultdict(list)
    for point in datapoints:
        by_minute[int(point.time - start)] += point.values
    minutes = sorted(by_minute)
    return Series(label, minutes, [_statistic(by_minute[minute], stat) for minute in minutes])


def _statistic(values: list[float], stat: str) -> float:
    if stat.startswith("p"):
        if len(values) == 1:
            return values[0]
        return statistics.quantiles(values, n=100, method="inclusive")[int(stat[1:]) - 1]
    return float(_STATISTICS[stat](values))


def draw(dashboard: dict[str, Any], datapoints: list[Datapoint], lines: list[str], start: float, path: Path) -> None:
    """Draw every widget at its position in the dashboard, and write the picture."""
    if any("Noto Sans CJK" in font.name for font in font_manager.fontManager.ttflist):
        mpl.rcParams["font.family"] = "Noto Sans CJK SC"
    widgets = dashboard["widgets"]
    duration = max((point.time for point in datapoints), default=start + 1) - start
    height = max(widget["y"] + widget["height"] for widget in widgets)
    figure = plt.figure(figsize=(15, height * 0.55))
    grid = figure.add_gridspec(height, COLUMNS, wspace=4.5, hspace=5.0, left=0.04, right=0.98, top=0.97, bottom=0.04)
    for widget in widgets:
        x, y = widget["x"], widget["y"]
        axes = figure.add_subplot(grid[y : y + widget["height"], x : x + widget["width"]])
        axes.set_title(widget["properties"]["title"], fontsize=10, loc="left")
        if widget["type"] == "log":
            _draw_log(axes, lines)
        else:
            _draw_metrics(axes, widget, build_series(widget, datapoints, start), duration)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _draw_metrics(axes: Any, widget: dict[str, Any], series: list[Series], duration: float) -> None:
    properties = widget["properties"]
    if properties.get("stacked"):
        minutes = sorted({minute for line in series for minute in line.minutes})
        heights = [[dict(zip(s.minutes, s.values, strict=True)).get(m, 0.0) for m in minutes] for s in series]
        if minutes:
            axes.stackplot(minutes, heights, labels=[line.label for line in series])
    else:
        for line in series:
            axes.plot(line.minutes, line.values, label=line.label, linewidth=1.2, marker=".", markersize=3)
    for threshold in properties.get("annotations", {}).get("horizontal", []):
        axes.axhline(threshold["value"], color="#c53030", linewidth=0.8, linestyle="--", label=threshold["label"])
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, duration)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    axes.set_xlabel("minutes", fontsize=7)
    if series:
        axes.legend(fontsize=6, loc="upper left", ncols=2)


def _draw_log(axes: Any, lines: list[str]) -> None:
    axes.axis("off")
    entries = [json.loads(line) for line in lines if line.startswith("{") and '"outcome"' in line]
    problems = [entry for entry in entries if entry["outcome"] != "ok"][-LOG_ROWS:][::-1]
    for row, entry in enumerate(problems):
        text = f"{entry['timestamp'][11:19]}  {entry['outcome']}  {entry.get('error', '')}"
        axes.text(0, 0.95 - row * 0.11, text[:78], fontsize=6.5, family="monospace", transform=axes.transAxes)


class _MeasuredInstance(Instance):
    """An instance that records Lambda's own metrics for each invocation."""

    def __init__(self, name: str, datapoints: list[Datapoint], *arguments: Any, **options: Any) -> None:
        self._name = name
        self._datapoints = datapoints
        super().__init__(*arguments, **options)

    def invoke(self, event: Any, trace_header: str = "") -> Any:
        start = time.time()
        errors = 1.0
        try:
            result = super().invoke(event, trace_header)
            errors = 0.0
        finally:
            metrics = {"Invocations": 1.0, "Errors": errors, "Throttles": 0.0, "Duration": (time.time() - start) * 1000}
            dimensions = (("FunctionName", self._name),)
            self._datapoints += [
                Datapoint(start, "AWS/Lambda", metric, dimensions, [value]) for metric, value in metrics.items()
            ]
        return result


def _renew_periodically(instance: Instance, stop: threading.Event) -> None:
    while not stop.wait(RENEWAL_SECONDS):
        instance.invoke(gateway.build_schedule_event())


def main() -> None:
    """Run the load and draw the dashboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "dashboard.png")
    arguments = parser.parse_args()
    measured: list[Datapoint] = []
    with (
        stack.run_dependencies() as dependencies,
        tempfile.TemporaryFile() as api_output,
        tempfile.TemporaryFile() as renewal_output,
    ):
        bundle, environment = dependencies.bundle, {**dependencies.environment, "STAGE": stack.STAGE}
        with (
            _MeasuredInstance(
                stack.API_FUNCTION, measured, bundle, "app.app", environment, output=api_output
            ) as api_instance,
            _MeasuredInstance(
                stack.RENEWAL_FUNCTION, measured, bundle, "app.refresh_tokens", environment, output=renewal_output
            ) as renewal_instance,
        ):
            stop = threading.Event()
            schedule = threading.Thread(target=_renew_periodically, args=(renewal_instance, stop))
            schedule.start()
            start = time.time()
            Soak(api_instance, dependencies.platform.url, seed=1).run(arguments.seconds / 60)
            stop.set()
            schedule.join()
        lines: list[str] = []
        for output in (api_output, renewal_output):
            output.seek(0)
            lines += output.read().decode().splitlines()
    dashboard = read_dashboard(stack.STAGE, REGION)
    draw(dashboard, measured + parse_metrics(lines), lines, start, arguments.to)
    print(f"{len(lines):,} log lines, written: {arguments.to}")


if __name__ == "__main__":
    main()
