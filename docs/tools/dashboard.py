"""Draw the CloudWatch dashboard of infra/template.yaml without CloudWatch: `python -m docs.tools.dashboard`.

An instance of the bundle runs under Lambda's runtime client with a mixed load and some faults; a second instance renews
tokens. The metrics that they write are drawn in the widgets of the deployed dashboard. Metrics of Lambda and of API
Gateway are measured here. One second of the run is drawn as one minute.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import operator
import re
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
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

SECONDS = 300.0
RENEWAL_SECONDS = 10.0
BUCKET_MINUTES = 5
"""CloudWatch's default period of a widget."""

_CERTIFICATES = "query_user_certificates"
FAULTS: dict[str, tuple[float, float, dict[str, Any]]] = {
    "busy": (60, 85, {"kind": "code", "call": _CERTIFICATES, "code": 2100004, "times": None}),
    "rate limited": (150, 165, {"kind": "code", "call": _CERTIFICATES, "code": 2119003, "times": None}),
    "slow": (225, 245, {"kind": "delay", "call": _CERTIFICATES, "seconds": 0.2, "times": None}),
    "no authorization": (290, 300, {"kind": "code", "call": _CERTIFICATES, "code": 2119005, "times": None}),
}
"""Faults of the platform, by their labels in the picture: first and last second, and the rule."""

_SEARCH = re.compile(r"SEARCH\('\{([^}]*)\} MetricName=\"(\w+)\".*?', 'Sum', 300\)")
_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_MAX_LABEL = 25


class Series(NamedTuple):
    """A line of a widget: its label, and a value for each bucket; NaN where there is none."""

    label: str
    values: Any


def read_dashboard(stage: str, region: str) -> dict[str, Any]:
    """Return the dashboard body of the template with the stage and region filled in."""
    text = read_template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    dashboard: dict[str, Any] = json.loads(text.replace("${Stage}", stage).replace("${AWS::Region}", region))
    return dashboard


def build_series(widget: dict[str, Any], datapoints: list[Datapoint], start: float) -> list[Series]:
    """Return the lines of a metric widget that have data; each second since `start` counts as one minute."""
    properties = widget["properties"]
    size = int(max((p.time for p in datapoints), default=start) - start) // BUCKET_MINUTES + 1
    values: dict[str, Any] = {}
    shown: list[Series] = []
    expressions: list[dict[str, Any]] = []
    for metric in properties["metrics"]:
        if isinstance(metric[0], dict):
            expressions.append(metric[0])
            continue
        *parts, options = metric if isinstance(metric[-1], dict) else [*metric, {}]
        namespace, name, *pairs = parts
        dimensions = tuple(sorted(zip(pairs[::2], pairs[1::2], strict=True)))
        matching = [p for p in datapoints if (p.namespace, p.name, p.dimensions) == (namespace, name, dimensions)]
        line = _aggregate(matching, options.get("stat", properties["stat"]), start, size)
        values[options.get("id", "")] = line
        if options.get("visible", True):
            shown.append(Series(options.get("label", name), line))
    for expression in expressions:
        shown += _evaluate_expression(expression, values, datapoints, start, size)
    return [line for line in shown if not np.isnan(line.values).all()]


def _evaluate_expression(
    expression: dict[str, Any], values: dict[str, Any], datapoints: list[Datapoint], start: float, size: int
) -> list[Series]:
    """Evaluate metric math; a SEARCH gives one line for each value of its last dimension."""
    text = expression["expression"]
    match = _SEARCH.match(text)
    if match is None:
        return [Series(expression["label"], _evaluate(ast.parse(text, mode="eval").body, values))]
    namespace, *names = match[1].split(",")
    by_label: dict[str, list[Datapoint]] = defaultdict(list)
    for point in datapoints:
        dimensions = dict(point.dimensions)
        if (point.namespace, point.name) == (namespace, match[2]) and sorted(dimensions) == sorted(names):
            by_label[dimensions[names[-1]]].append(point)
    tree = ast.parse(f"found{text[match.end() :]}", mode="eval").body
    return [
        Series(label, _evaluate(tree, {**values, "found": _aggregate(matching, "Sum", start, size)}))
        for label, matching in sorted(by_label.items())
    ]


def _evaluate(node: ast.AST, values: dict[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "RUNNING_SUM":
        return np.nancumsum(_evaluate(node.args[0], values))
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_evaluate(node.left, values), _evaluate(node.right, values))
    raise ValueError(f"unknown metric math: {ast.dump(node)}")


def _aggregate(datapoints: list[Datapoint], statistic: str, start: float, size: int) -> Any:
    by_bucket: dict[int, list[float]] = defaultdict(list)
    for point in datapoints:
        by_bucket[int(point.time - start) // BUCKET_MINUTES] += point.values
    line = np.full(size, np.nan)
    for bucket, values in by_bucket.items():
        if statistic.startswith("p"):
            line[bucket] = np.percentile(values, float(statistic[1:]))
        else:
            line[bucket] = {"Sum": math.fsum, "Minimum": min, "SampleCount": len}[statistic](values)  # type: ignore[operator]
    return line


def draw(dashboard: dict[str, Any], datapoints: list[Datapoint], lines: list[str], start: float, path: Path) -> None:
    """Draw every widget at its position in the dashboard, and write the picture."""
    widgets = dashboard["widgets"]
    rows = max(widget["y"] + widget["height"] for widget in widgets) // 6
    with plt.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = plt.figure(figsize=(16, 2.5 * rows), layout="constrained")
        grid = figure.add_gridspec(rows, 3)
        for widget in widgets:
            column = widget["x"] // 8
            axes = figure.add_subplot(grid[widget["y"] // 6, column : column + widget["width"] // 8])
            if widget["type"] == "log":
                _draw_log(axes, widget, lines)
            else:
                _draw_metrics(axes, widget, build_series(widget, datapoints, start))
        figure.savefig(path, dpi=80)
    plt.close(figure)


def _draw_metrics(axes: Any, widget: dict[str, Any], series: list[Series]) -> None:
    properties = widget["properties"]
    handles: list[Any] = []
    minutes = np.arange(len(series[0].values) if series else 0) * BUCKET_MINUTES
    if properties.get("stacked"):
        bottom = np.zeros(len(minutes))
        for line in series:
            heights = np.nan_to_num(line.values)
            handles.append(axes.bar(minutes, heights, BUCKET_MINUTES * 0.9, bottom=bottom, label=line.label))
            bottom += heights
    else:
        for line in series:
            handles += axes.plot(minutes, line.values, label=line.label, linewidth=1.4, marker=".", markersize=3)
    for threshold in properties.get("annotations", {}).get("horizontal", []):
        style = {"color": "#c53030", "linewidth": 1, "linestyle": "--"}
        handles.append(axes.axhline(threshold["value"], label=threshold["label"], **style))
    for label, (begin, end, _) in FAULTS.items():
        axes.axvspan(begin, end, color="#f6ad55", alpha=0.25, linewidth=0)
        # Labels in the first widget are enough.
        if (widget["x"], widget["y"]) == (0, 0):
            place = {"rotation": 90, "va": "top", "ha": "right", "fontsize": 6, "color": "#9c4221"}
            axes.text(begin - 1, 0.97, label, transform=axes.get_xaxis_transform(), **place)
    lowest = min((float(np.nanmin(line.values)) for line in series), default=0.0)
    axes.set_ylim(bottom=min(0.0, lowest))
    axes.set_xlim(0, SECONDS)
    axes.grid(alpha=0.25)
    axes.set_title(properties["title"], loc="left", fontweight="bold", pad=20)
    # Above the axes, so that it hides no data.
    options = {"loc": "lower left", "bbox_to_anchor": (-0.01, 0.98), "frameon": False, "fontsize": 7}
    axes.legend(handles=handles, ncols=5, columnspacing=1, handlelength=1.2, **options).set_in_layout(False)


def _draw_log(axes: Any, widget: dict[str, Any], lines: list[str]) -> None:
    axes.axis("off")
    axes.set_title(widget["properties"]["title"], loc="left", fontweight="bold", pad=20)
    entries = [json.loads(line) for line in lines if line.startswith("{") and '"outcome"' in line]
    problems = [entry for entry in entries if entry["outcome"] != "ok"][-9:][::-1]
    for row, entry in enumerate(problems):
        calls = entry.get("failed_calls", "").split("; ")[-1]
        text = f"{entry['timestamp'][11:19]}  {entry['outcome']:<{_MAX_LABEL}}{calls}"
        axes.text(0, 0.98 - row * 0.11, text[:150], fontsize=7, family="monospace", va="top", transform=axes.transAxes)


class _MeasuredInstance(Instance):
    """An instance that records the metrics of Lambda, and of API Gateway, for each invocation."""

    def __init__(self, name: str, datapoints: list[Datapoint], *arguments: Any, **options: Any) -> None:
        self._name = name
        self._datapoints = datapoints
        super().__init__(*arguments, **options)

    def invoke(self, event: Any, trace_header: str = "") -> Any:
        start = time.time()
        result: Any = None
        try:
            result = super().invoke(event, trace_header)
        finally:
            milliseconds = (time.time() - start) * 1000
            errors = float(result is None and self._name == stack.API_FUNCTION)
            metrics = {"Invocations": 1.0, "Errors": errors, "Throttles": 0.0, "Duration": milliseconds}
            self._record(start, "AWS/Lambda", (("FunctionName", self._name),), metrics)
        if self._name == stack.API_FUNCTION:
            status = result["statusCode"]
            metrics = {"Count": 1.0, "4XXError": float(400 <= status < 500), "5XXError": float(status >= 500)}
            dimensions = (("ApiName", stack.API_FUNCTION), ("Stage", "api"))
            self._record(start, "AWS/ApiGateway", dimensions, {**metrics, "Latency": milliseconds})
        return result

    def _record(
        self, at: float, namespace: str, dimensions: tuple[tuple[str, str], ...], metrics: dict[str, float]
    ) -> None:
        self._datapoints += [Datapoint(at, namespace, name, dimensions, [value]) for name, value in metrics.items()]


def _renew_periodically(instance: Instance, stop: threading.Event) -> None:
    while not stop.wait(RENEWAL_SECONDS):
        instance.invoke(gateway.build_schedule_event())


def main() -> None:
    """Run the load and draw the dashboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "dashboard.png")
    arguments = parser.parse_args()
    measured: list[Datapoint] = []
    with (
        stack.run_dependencies() as dependencies,
        tempfile.TemporaryFile() as api_output,
        tempfile.TemporaryFile() as renewal_output,
    ):
        bundle, environment = dependencies.bundle, {**dependencies.environment, "STAGE": stack.STAGE}
        start = time.time()
        with (
            _MeasuredInstance(stack.API_FUNCTION, measured, bundle, "app.app", environment, output=api_output) as api,
            _MeasuredInstance(
                stack.RENEWAL_FUNCTION, measured, bundle, "app.refresh_tokens", environment, output=renewal_output
            ) as renewal,
        ):
            stop = threading.Event()
            schedule = threading.Thread(target=_renew_periodically, args=(renewal, stop))
            schedule.start()
            Soak(api, dependencies.platform.url, seed=1).run_scenario(SECONDS, list(FAULTS.values()))
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
