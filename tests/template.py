"""The CloudFormation template with its parameters filled in, as far as tests read it."""

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from infra.cloudformation import TEMPLATE

Metric = tuple[str, str, frozenset[str]]
"""Namespace, name and names of the dimensions."""


def read_template() -> dict[str, Any]:
    """Return the template as data. A short-form function becomes its long form, such as `{"Fn::Sub": …}`."""
    template: dict[str, Any] = _TemplateLoader(TEMPLATE.read_text(encoding="utf-8")).get_single_data()
    return template


class _TemplateLoader(yaml.CSafeLoader):
    """A YAML loader that accepts CloudFormation's short-form functions, such as `!Ref`."""


def _construct_short_form(loader: _TemplateLoader, name: str, node: Any) -> dict[str, Any]:
    long_name = name if name == "Ref" else f"Fn::{name}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {long_name: str(value).split(".", 1) if name == "GetAtt" else value}
    return {long_name: loader.construct_sequence(node, deep=True)}


_TemplateLoader.add_multi_constructor("!", _construct_short_form)


@functools.cache
def read_resources(stage: str = "dev", account_id: str = "000000000000", region: str = "us-east-1") -> dict[str, Any]:
    """Return the template's resources by logical id. References to other resources stay as they are."""
    text = json.dumps(read_template()["Resources"])
    values = {"Stage": stage, "AWS::Partition": "aws", "AWS::AccountId": account_id, "AWS::Region": region}
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value).replace(json.dumps({"Ref": name}), json.dumps(value))
    resources: dict[str, Any] = json.loads(re.sub(r'\{"Fn::Sub": ("(?:[^"\\]|\\.)*")\}', r"\1", text))
    return resources


def read_alarms() -> dict[str, dict[str, Any]]:
    """Return the properties of all alarms by logical id, composite and optional ones included."""
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in read_resources().items()
        if resource["Type"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    }


def read_alarm_metrics() -> Iterator[tuple[Metric, dict[str, str]]]:
    """Yield each metric of an alarm, and the values of its dimensions."""
    for alarm in read_alarms().values():
        parts = [part["MetricStat"]["Metric"] for part in alarm.get("Metrics", []) if "MetricStat" in part]
        for metric in parts or ([] if "AlarmRule" in alarm else [alarm]):
            values = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
            yield (metric["Namespace"], metric["MetricName"], frozenset(values)), values
