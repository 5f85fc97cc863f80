"""Evaluates the template's alarms on synthetic metrics, as CloudWatch does.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import ast
import functools
import operator
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from infra.cloudformation import read_template

if TYPE_CHECKING:
    from collections.abc import Callable

STAGE = "dev"

MetricKey = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, name, and sorted dimensions."""

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
}
_OPERATORS: dict[type[ast.AST], Callable[[float, float], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Eq: operator.eq,
}  # fmt: skip


def resolve(value: Any, parameters: dict[str, str] | None = None) -> Any:
    """Return a template value with the stage and other parameters filled in."""
    values = {"Stage": STAGE, **(parameters or {})}
    if isinstance(value, list):
        return [resolve(item, parameters) for item in value]
    if isinstance(value, dict) and value.keys() == {"Ref"}:
        return values.get(value["Ref"], value["Ref"])
    if isinstance(value, dict) and value.keys() == {"Fn::Sub"}:
        return re.sub(r"\$\{([\w:]+)\}", lambda match: values.get(match[1], match[0]), value["Fn::Sub"])
    if isinstance(value, dict):
        return {key: resolve(item, parameters) for key, item in value.items()}
    return value


@functools.cache
def _read_resources() -> dict[str, Any]:
    resources: dict[str, Any] = read_template()["Resources"]
    return resources


def read_alarms(parameters: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the properties of all alarms, by their names without the stage's prefix.

    Alarms with a condition are included only if there are `parameters`.
    """
    alarms = {}
    for resource in _read_resources().values():
        if "Condition" in resource and not parameters:
            continue
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            properties = resolve(resource["Properties"], parameters)
            name = properties["AlarmName"].removeprefix(f"douyin-redemption-{STAGE}-")
            alarms[name] = properties
    return alarms


class Metrics:
    """Values of metrics by minute, of synthetic traffic."""

    def __init__(self) -> None:
        self._values: dict[MetricKey, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._sums: dict[MetricKey, dict[int, tuple[int, float]]] = defaultdict(dict)

    def add(self, minute: int, namespace: str, name: str, dimensions: dict[str, str], *values: float) -> None:
        """Add values of a metric at a minute."""
        key = (namespace, name, tuple(sorted(dimensions.items())))
        self._values[key][minute] += values
        self._sums[key][minute] = (len(self._values[key][minute]), sum(self._values[key][minute]))

    def read(self, key: MetricKey, end: int, minutes: int, statistic: str) -> float | None:
        """Return a statistic over the minutes before `end`, or None if there are no values."""
        sums = [self._sums[key].get(minute, (0, 0.0)) for minute in range(end - minutes, end)]
        count, total = sum(n for n, _ in sums), sum(value for _, value in sums)
        if not count:
            return None
        if statistic in ("Sum", "SampleCount", "Average"):
            return {"Sum": total, "SampleCount": float(count), "Average": total / count}[statistic]
        values = sorted(v for minute in range(end - minutes, end) for v in self._values[key].get(minute, ()))
        rank = 0 if statistic == "Minimum" else int(len(values) * int(statistic.removeprefix("p")) / 100)
        return values[min(rank, len(values) - 1)]


def is_in_alarm(name: str, alarms: dict[str, dict[str, Any]], metrics: Metrics, minute: int) -> bool:
    """Return whether an alarm is in the state ALARM at a minute (of a day that begins at minute 0 UTC)."""
    alarm = alarms[name]
    breaching = 0
    for index in range(alarm["EvaluationPeriods"]):
        value = _read_value(alarm, metrics, minute, index)
        if value is None:
            breaching += alarm["TreatMissingData"] == "breaching"
        else:
            breaching += _COMPARISONS[alarm["ComparisonOperator"]](value, alarm["Threshold"])
    return bool(breaching >= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))


def _read_value(alarm: dict[str, Any], metrics: Metrics, minute: int, index: int) -> float | None:
    """Return the alarm's value `index` periods ago."""
    if "Metrics" not in alarm:
        minutes = alarm["Period"] // 60
        return metrics.read(_key(alarm), minute - index * minutes, minutes, alarm["Statistic"])
    values: dict[str, float | None] = {}
    expression, end = "", minute
    for part in alarm["Metrics"]:
        if "Expression" in part:
            expression = part["Expression"]
            continue
        minutes = part["MetricStat"]["Period"] // 60
        end = minute - index * minutes
        values[part["Id"]] = metrics.read(_key(part["MetricStat"]["Metric"]), end, minutes, part["MetricStat"]["Stat"])
        hour = (end - minutes) // 60 % 24
    return evaluate(expression, values, hour)


def _key(metric: dict[str, Any]) -> MetricKey:
    dimensions = tuple(sorted((d["Name"], str(d["Value"])) for d in metric["Dimensions"]))
    return metric["Namespace"], metric["MetricName"], dimensions


def evaluate(expression: str, values: dict[str, float | None], hour: int) -> float | None:
    """Evaluate a metric math expression at one time. A missing value makes the result missing, except within FILL."""
    tree = ast.parse(expression.replace(" AND ", " and ").replace(" OR ", " or "), mode="eval")
    result = _evaluate(tree.body, values, hour)
    return None if result is None else float(result)


def _evaluate(node: ast.AST, values: dict[str, float | None], hour: int) -> Any:
    def inner(child: ast.AST) -> Any:
        return _evaluate(child, values, hour)

    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Call):
        return _call(node, inner, values, hour)
    if isinstance(node, ast.BoolOp):
        parts = [inner(value) for value in node.values]
        return None if None in parts else (all if isinstance(node.op, ast.And) else any)(parts)
    if isinstance(node, ast.BinOp):
        left, right, kind = inner(node.left), inner(node.right), type(node.op)
    else:
        assert isinstance(node, ast.Compare), ast.dump(node)
        left, right, kind = inner(node.left), inner(node.comparators[0]), type(node.ops[0])  # type: ignore[assignment]
    return None if left is None or right is None else _OPERATORS[kind](left, right)


def _call(node: ast.Call, inner: Callable[[ast.AST], Any], values: dict[str, float | None], hour: int) -> Any:
    assert isinstance(node.func, ast.Name)
    function, arguments = node.func.id, node.args
    if function == "HOUR":
        return hour
    if function == "SUM":
        # Of all metrics of the alarm; a missing one is ignored.
        assert ast.unparse(node) == "SUM(METRICS())"
        found = [value for value in values.values() if value is not None]
        return sum(found) if found else None
    first = inner(arguments[0])
    if function == "FILL":
        return inner(arguments[1]) if first is None else first
    assert function == "IF", f"unknown function {function}"
    return None if first is None else inner(arguments[1] if first else arguments[2])
