"""The IAM policies allow what the functions do, and nothing else."""

from __future__ import annotations

import fnmatch
import re

import pytest

from tests import policies
from tests.harness import TOKEN_ROW, Api, Aws, Platform, in_seconds, restart, run_refresh_tokens

# Lambda itself uses these with the function's role: it writes the logs, and its daemon sends the traces.
LAMBDA_ACTIONS = {
    "logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords",
}  # fmt: skip


@pytest.fixture
def calls(api: Api, aws: Aws, platform: Platform) -> set[policies.AwsCall]:
    """The AWS calls of a login, a list with a mint, and a scheduled renewal.

    That the policies allow every AWS call of every test is checked by the fixture `observed_clients`.
    """
    policies.aws_calls.clear()
    api.login()
    assert api.list().status == 200
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(60))
    restart()
    run_refresh_tokens()
    return set(policies.aws_calls)


@pytest.mark.parametrize("stage", policies.STAGES)
@pytest.mark.parametrize("function", policies.FUNCTIONS)
def test_each_allowed_action_and_key_is_used(calls: set[policies.AwsCall], stage: str, function: str) -> None:
    statements = policies.read_statements(stage, function)
    made = {call for call in calls if call.function == function}
    assert all(any(policies.is_allowed(statement, call) for statement in statements) for call in made)
    allowed = {action for statement in statements for action in statement["Action"]}
    assert allowed - LAMBDA_ACTIONS == {call.action for call in made}
    unused = [
        (statement["Sid"], key)
        for statement in statements
        for key in policies.leading_keys(statement)
        if not any(fnmatch.fnmatchcase(call.key, key) for call in made if call.action in statement["Action"])
    ]
    assert not unused


@pytest.mark.parametrize("stage", policies.STAGES)
@pytest.mark.parametrize("function", policies.FUNCTIONS)
def test_the_policies_have_no_wildcard_action_and_only_the_stages_resources(stage: str, function: str) -> None:
    """Except for X-Ray, whose actions do not support resources."""
    name = f"douyin-redemption-{stage}" + ("" if function == "api_handler" else f"-{function}")
    for statement in policies.read_statements(stage, function):
        assert not [action for action in statement["Action"] if "*" in action]
        for resource in statement["Resource"]:
            if statement["Sid"] == "Traces":
                assert resource == "*"
                continue
            assert resource.startswith("arn:*:"), "valid in aws and in aws-cn"
            assert f"douyin-redemption-{stage}" in resource or f"douyin-redemption/{stage}-" in resource
            if statement["Sid"] == "Logs":
                assert resource.endswith(f":/aws/lambda/{name}:*")


@pytest.mark.parametrize("function", policies.FUNCTIONS)
def test_the_policies_of_all_stages_differ_only_in_names_and_traces(function: str) -> None:
    """X-Ray on Lambda does not exist in AWS China."""
    texts = {}
    for stage in policies.STAGES:
        statements = policies.read_statements(stage, function)
        has_traces = any(statement["Sid"] == "Traces" for statement in statements)
        assert has_traces == (stage != "cn")
        texts[stage] = re.sub(rf"\b{stage}\b", "STAGE", repr([s for s in statements if s["Sid"] != "Traces"]))
    assert len(set(texts.values())) == 1
