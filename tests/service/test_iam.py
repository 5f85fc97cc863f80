"""The IAM policies of the functions allow what the functions do, and nothing else."""

import fnmatch

import pytest

from tests import policies
from tests.harness import TOKEN_ROW, Api, Aws, Platform, in_seconds, restart, run_refresh_tokens

# Lambda itself uses these with the function's role: it writes the logs, and its daemon sends the traces.
LAMBDA_ACTIONS = {
    "logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords",
}  # fmt: skip


@pytest.mark.parametrize("function", policies.FUNCTIONS)
def test_each_allowed_action_and_key_is_used(api: Api, aws: Aws, platform: Platform, function: str) -> None:
    """By a login, a list with a mint, and a scheduled renewal.

    That the policies allow every AWS call of every test is checked by the fixture `observed_clients`.
    """
    policies.aws_calls.clear()
    api.login()
    assert api.list().status == 200
    aws.put(TOKEN_ROW, access_token=platform.mint(), expires_at=in_seconds(60))
    restart()
    run_refresh_tokens()
    made = {call for call in policies.aws_calls if call.function == function}
    statements = policies.read_statements(function)
    allowed = {action for statement in statements for action in statement["Action"]}
    assert allowed - LAMBDA_ACTIONS == {call.action for call in made}
    for statement in statements:
        keys = {call.key for call in made if call.action in statement["Action"]}
        assert all(fnmatch.filter(keys, pattern) for pattern in policies.leading_keys(statement))


@pytest.mark.parametrize("function", policies.FUNCTIONS)
def test_the_policies_have_only_the_stages_resources_in_both_partitions(function: str) -> None:
    """Except for X-Ray, whose actions do not support resources."""
    suffix = "" if function == "api_handler" else f"-{function}"
    resources = {
        resource
        for statement in policies.read_statements(function)
        for resource in statement["Resource"]
        if statement["Sid"] != "Traces"
    }
    stage = policies.STAGE
    assert resources == {
        f"arn:*:dynamodb:*:*:table/douyin-redemption-{stage}",
        f"arn:*:secretsmanager:*:*:secret:douyin-redemption/{stage}",
        f"arn:*:secretsmanager:*:*:secret:douyin-redemption/{stage}-??????",
        f"arn:*:logs:*:*:log-group:/aws/lambda/douyin-redemption-{stage}{suffix}:*",
        # Chalice gives a further function the policy of the HTTP function.
        *([] if suffix else [f"arn:*:logs:*:*:log-group:/aws/lambda/douyin-redemption-{stage}-*:*"]),
    }
