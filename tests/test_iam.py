"""What the functions may do is what they do: the policies against every call that the app made in the test run."""

from __future__ import annotations

import fnmatch
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

import app as application
from infra.bundle import ROOT
from sandbox import gateway
from tests.conftest import APP, Api, Aws, Context, Platform, awscalls
from tests.test_contract import restart

if TYPE_CHECKING:
    from tests.conftest import AwsCall

STAGES = ("dev", "prod", "cn")
FUNCTIONS = {"api_handler": "", "refresh_tokens": "-refresh"}
# What Lambda itself does under the function's role: it writes the logs, and its daemon sends the traces.
LAMBDAS_OWN = {
    "logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords",
}  # fmt: skip


def statements(stage: str, function: str) -> list[dict[str, Any]]:
    policy = json.loads((ROOT / ".chalice" / f"policy-{stage}{FUNCTIONS[function]}.json").read_text())
    return list(policy["Statement"])


def actions(stage: str, function: str) -> set[str]:
    return {action for statement in statements(stage, function) for action in statement["Action"]}


def allows(statement: dict[str, Any], call: AwsCall) -> bool:
    keys = statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", ["*"])
    return call.action in statement["Action"] and any(fnmatch.fnmatchcase(call.key, key) for key in keys)


@pytest.fixture
def exercised(api: Api, aws: Aws, platform: Platform) -> list[AwsCall]:
    """The calls of the run so far, and at the least these: a login, a list, a mint, a renewal."""
    api.login()
    assert api.list().status == 200
    aws.put(f"TOKEN#{APP}", access_token=platform.mint(), expires_at=int(time.time()) + 60)
    restart()
    application.refresh_tokens(gateway.scheduled(), Context(60_000))
    return awscalls


@pytest.mark.last
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_missing_and_nothing_idle(exercised: list[AwsCall], stage: str, function: str) -> None:
    calls = {call for call in exercised if call.function == function}
    refused = [c for c in calls if not any(allows(s, c) for s in statements(stage, function))]
    assert not refused
    assert actions(stage, function) - LAMBDAS_OWN == {call.action for call in calls}
    idle = [
        (statement["Sid"], key)
        for statement in statements(stage, function)
        for key in statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", [])
        if not any(fnmatch.fnmatchcase(call.key, key) for call in calls if call.action in statement["Action"])
    ]
    assert not idle


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_policies_name_their_actions_and_resources(stage: str, function: str) -> None:
    """No wildcard action; only X-Ray, whose actions know no resources, is allowed on all of them."""
    name = f"douyin-redemption-{stage}" + ("" if function == "api_handler" else f"-{function}")
    for statement in statements(stage, function):
        assert not [action for action in statement["Action"] if "*" in action]
        for resource in statement["Resource"]:
            if statement["Sid"] == "Traces":
                assert resource == "*"
                continue
            assert resource.startswith("arn:*:"), "valid in aws and in aws-cn"
            assert f"douyin-redemption-{stage}" in resource or f"douyin-redemption/{stage}-" in resource
            if statement["Sid"] == "Logs":
                assert resource.endswith(f":/aws/lambda/{name}:*")
    assert ("xray:PutTraceSegments" in actions(stage, function)) == (stage != "cn"), "no X-Ray on Lambda in aws-cn"
