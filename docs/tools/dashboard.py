"""Draw the CloudWatch dashboard of infra/template.yaml without CloudWatch: `python -m docs.tools.dashboard`.

An instance of the bundle runs under Lambda's runtime client with a mixed load and some faults; a second instance renews
tokens. The metrics that they write are drawn in the widgets of the deployed dashboard. Metrics of Lambda and of API
Gateway are measured here. One second of the run is drawn as one minute.
"""

from __future__ import annotations

import functools
import json
import re
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Callable, Iterable

PICTURE = ROOT / "docs" / "dashboard.png"
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
_STATISTICS: dict[str, Callable[[Any], Any]] = {
    "Sum": np.sum, "Minimum": np.min, "SampleCount": np.size,
    **{f"p{rank}": functools.partial(np.percentile, q=rank) for rank in (50, 95, 99)},
}  # fmt: skip

Metrics = dict[tuple[str, str, tuple[tuple[str, str], ...]], list[list[float]]]
"""The values of each metric (namespace, name, dimensions) in each bucket."""


def read_dashboard(stage: str, region: str) -> dict[str, Any]:
    """Return the dashboard body of the template with the stage and region filled in."""
    text = read_template()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    dashboard: dict[str, Any] = json.loads(text.replace("${Stage}", stage).replace("${AWS::Region}", region))
    return dashboard


def collect_metrics(datapoints: Iterable[Datapoint], start: float) -> Metrics:
    """Put the values into buckets; each second since `start` counts as one minute."""
    metrics: Metrics = defaultdict(lambda: [[] for _ in range(int(SECONDS) // BUCKET_MINUTES)])
    for point in datapoints:
        buckets = metrics[point.namespace, point.name, point.dimensions]
        buckets[min(int(point.time - start) // BUCKET_MINUTES, len(buckets) - 1)] += point.values
    return metrics


def build_lines(properties: dict[str, Any], metrics: Metrics) -> dict[str, Any]:
    """Return the lines of a metric widget by label, with a value for each bucket: NaN where there is none."""
    lines: dict[str, Any] = {}
    values: dict[str, Any] = {}
    # Expressions use the other metrics.
    for metric in sorted(properties["metrics"], key=lambda metric: isinstance(metric[0], dict)):
        *parts, options = metric if isinstance(metric[-1], dict) else [*metric, {}]
        if not parts:
            lines |= _evaluate(options, values, metrics)
            continue
        key = parts[0], parts[1], tuple(sorted(zip(parts[2::2], parts[3::2], strict=True)))
        values[options.get("id", "")] = line = _aggregate(metrics[key], options.get("stat", properties["stat"]))
        if options.get("visible", True):
            lines[options.get("label", parts[1])] = line
    return {label: line for label, line in lines.items() if not np.isnan(line).all()}


def _evaluate(options: dict[str, Any], values: dict[str, Any], metrics: Metrics) -> dict[str, Any]:
    """Evaluate metric math; a SEARCH gives one line for each value of its last dimension."""
    text = options["expression"]
    found = {options.get("label", ""): None}
    if search := _SEARCH.match(text):
        namespace, *names = search[1].split(",")
        found = {
            dict(dimensions)[names[-1]]: _aggregate(buckets, "Sum")
            for (*metric, dimensions), buckets in sorted(metrics.items())
            if metric == [namespace, search[2]] and sorted(dict(dimensions)) == sorted(names)
        }
        text = f"found{text[search.end() :]}"
    # Metric math has Python's syntax; the text is of our own template.
    functions = {"RUNNING_SUM": np.nancumsum}
    return {label: eval(text, functions, {**values, "found": line}) for label, line in found.items()}  # noqa: S307


def _aggregate(buckets: list[list[float]], statistic: str) -> Any:
    return np.array([_STATISTICS[statistic](values) if values else np.nan for values in buckets], float)


def draw(widgets: list[dict[str, Any]], metrics: Metrics, log: list[dict[str, Any]], path: Path) -> None:
    """Draw every widget at its position in the dashboard, and write the picture."""
    rows = max(widget["y"] + widget["height"] for widget in widgets) // 6
    with plt.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = plt.figure(figsize=(16, 2.5 * rows), layout="constrained")
        grid = figure.add_gridspec(rows, 3)
        for widget in widgets:
            column, properties = widget["x"] // 8, widget["properties"]
            axes = figure.add_subplot(grid[widget["y"] // 6, column : column + widget["width"] // 8])
            axes.set_title(properties["title"], loc="left", fontweight="bold", pad=20)
            if widget["type"] == "log":
                _draw_log(axes, log)
            else:
                _draw_lines(axes, properties, build_lines(properties, metrics))
        # Labels in the first widget are enough.
        for label, (begin, _, _) in FAULTS.items():
            axes = figure.axes[0]
            place: Any = {"rotation": 90, "va": "top", "ha": "right", "fontsize": 6, "color": "#9c4221"}
            axes.text(begin - 1, 0.97, label, transform=axes.get_xaxis_transform(), **place)
        figure.savefig(path, dpi=80)
    plt.close(figure)


def _draw_lines(axes: Any, properties: dict[str, Any], lines: dict[str, Any]) -> None:
    bottom: Any = 0
    for label, line in lines.items():
        minutes = np.arange(len(line)) * BUCKET_MINUTES
        if properties.get("stacked"):
            heights = np.nan_to_num(line)
            axes.bar(minutes, heights, BUCKET_MINUTES * 0.9, bottom=bottom, label=label)
            bottom += heights
        else:
            axes.plot(minutes, line, label=label, linewidth=1.4, marker=".", markersize=3)
    for threshold in properties.get("annotations", {}).get("horizontal", []):
        axes.axhline(threshold["value"], label=threshold["label"], color="#c53030", linewidth=1, linestyle="--")
    for begin, end, _ in FAULTS.values():
        axes.axvspan(begin, end, color="#f6ad55", alpha=0.25, linewidth=0)
    lowest = min((np.nanmin(line) for line in lines.values()), default=0.0)
    axes.set(xlim=(-3, SECONDS), ylim=(min(0.0, lowest), None))
    axes.grid(alpha=0.25)
    # Above the axes, so that it hides no data.
    options = {"loc": "lower left", "bbox_to_anchor": (-0.01, 0.98), "frameon": False, "fontsize": 6}
    axes.legend(ncols=5, columnspacing=0.8, handlelength=0.8, **options).set_in_layout(False)


def _draw_log(axes: Any, log: list[dict[str, Any]]) -> None:
    axes.axis("off")
    problems = [entry for entry in log if entry.get("outcome", "ok") != "ok"][-9:][::-1]
    for row, entry in enumerate(problems):
        calls = entry.get("failed_calls", "").split("; ")[-1]
        text = f"{entry['timestamp'][11:19]}  {entry['outcome']:<25}{calls}"
        axes.text(0, 0.98 - row * 0.11, text[:150], fontsize=7, family="monospace", va="top", transform=axes.transAxes)


class _MeasuredInstance(Instance):
    """An instance whose `datapoints` are the metrics that Lambda and API Gateway have of each invocation."""

    def __init__(self, name: str, *arguments: Any, **options: Any) -> None:
        self.datapoints: list[Datapoint] = []
        self._name = name
        super().__init__(*arguments, **options)

    def __enter__(self) -> _MeasuredInstance:
        return self

    def invoke(self, event: Any, trace_header: str = "") -> Any:
        start, status, errors = time.time(), 502, 1
        try:
            result = super().invoke(event, trace_header)
            # The schedule's function returns nothing.
            status, errors = (result or {}).get("statusCode", 200), 0
        finally:
            duration = (time.time() - start) * 1000
            function = {"Invocations": 1, "Errors": errors, "Throttles": 0, "Duration": duration}
            api = {"Count": 1, "4XXError": 400 <= status < 500, "5XXError": status >= 500, "Latency": duration}
            for namespace, dimensions, values in (
                ("AWS/Lambda", (("FunctionName", self._name),), function),
                ("AWS/ApiGateway", (("ApiName", self._name), ("Stage", "api")), api),
            ):
                self.datapoints += [Datapoint(start, namespace, name, dimensions, [values[name]]) for name in values]
        return result


def main() -> None:
    """Run the load and draw the dashboard."""
    with stack.run_dependencies() as dependencies, tempfile.NamedTemporaryFile() as output:
        bundle, environment = dependencies.bundle, {**dependencies.environment, "STAGE": stack.STAGE}
        start = time.time()
        with (
            _MeasuredInstance(stack.API_FUNCTION, bundle, "app.app", environment, output=output.file) as api,
            _MeasuredInstance(
                stack.RENEWAL_FUNCTION, bundle, "app.refresh_tokens", environment, output=output.file
            ) as renewal,
        ):
            soak = Soak(api, dependencies.platform.url, seed=1)
            load = threading.Thread(target=soak.run_scenario, args=(SECONDS, list(FAULTS.values())))
            load.start()
            while load.is_alive():
                load.join(RENEWAL_SECONDS)
                renewal.invoke(gateway.build_schedule_event())
        lines = [line for line in Path(output.name).read_text("utf-8").splitlines() if line.startswith("{")]
    metrics = collect_metrics([*api.datapoints, *renewal.datapoints, *parse_metrics(lines)], start)
    draw(read_dashboard(stack.STAGE, REGION)["widgets"], metrics, [json.loads(line) for line in lines], PICTURE)
    print(f"{len(lines):,} log lines, written: {PICTURE}")


if __name__ == "__main__":
    main()
