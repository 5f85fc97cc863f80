"""Runs the template's Logs Insights queries on log lines: the commands and functions that they use.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from __future__ import annotations

import ast
import operator
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Line = dict[str, Any]

_COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt,
}  # fmt: skip


def run_query(query: str, lines: list[Line]) -> list[Line]:
    """Return the result of a query; raises ValueError for syntax that no query of the template uses."""
    rows = lines
    fields: list[str] | None = None
    for command in (part.strip() for part in re.split(r"\n\| |^\| ", query.strip())):
        verb, _, rest = command.partition(" ")
        if verb == "fields":
            fields = rest.split(", ")
        elif verb == "filter":
            rows = [row for row in rows if evaluate(rest, row)]
        elif verb == "sort":
            name, direction = rest.split(" ")
            rows = sorted(rows, key=lambda row, n=name: row.get(n) or 0, reverse=direction == "desc")
        elif verb == "limit":
            rows = rows[: int(rest)]
        elif verb == "stats":
            rows = _aggregate(rest, rows)
        else:
            raise ValueError(f"unknown command {verb}")
    if fields is None:
        return rows
    return [{name: read_field(row, name) for name in fields} for row in rows]


def read_field(row: Line, path: str) -> Any:
    """Return a field; elements of lists and objects have dotted names."""
    value: Any = row
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def evaluate(condition: str, row: Line) -> bool:
    """Return whether a condition holds for a log line. A comparison with a missing field does not hold."""
    text = re.sub(r"(?<![!<>=])=(?!=)", "==", condition)
    # Names with dots become calls: field("calls.0.outcome").
    text = re.sub(
        r'\b(?!and\b|or\b|ispresent\b)([a-z_]\w*(?:\.\w+)*)\b(?=(?:[^"]*"[^"]*")*[^"]*$)', r'field("\1")', text
    )
    return bool(_evaluate(ast.parse(text, mode="eval").body, row))


def _evaluate(node: ast.AST, row: Line) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        argument = node.args[0]
        if node.func.id == "ispresent":
            return _evaluate(argument, row) is not None
        assert isinstance(argument, ast.Constant)
        return read_field(row, str(argument.value))
    if isinstance(node, ast.BoolOp):
        parts = [_evaluate(value, row) for value in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    assert isinstance(node, ast.Compare), ast.dump(node)
    left, right = _evaluate(node.left, row), _evaluate(node.comparators[0], row)
    return left is not None and right is not None and _COMPARISONS[type(node.ops[0])](left, right)


def _aggregate(text: str, rows: list[Line]) -> list[Line]:
    functions, _, names = text.partition(" by ")
    groups: dict[tuple[Any, ...], list[Line]] = defaultdict(list)
    for row in rows:
        groups[tuple(read_field(row, name) for name in names.split(", "))].append(row)
    result = []
    for key, members in groups.items():
        values = dict(zip(names.split(", "), key, strict=True))
        for function, argument, label in re.findall(r"(\w+)\(([^)]*)\) as (\w+)", functions):
            values[label] = _apply(function, argument, members)
        result.append(values)
    return result


def _apply(function: str, argument: str, members: list[Line]) -> float:
    if function == "count":
        return len(members)
    if function == "sum":
        return sum(evaluate(argument, member) for member in members)
    if function != "pct":
        raise ValueError(f"unknown function {function}")
    name, percentile = argument.split(", ")
    ordered = sorted(read_field(member, name) for member in members)
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * int(percentile) / 100))])
