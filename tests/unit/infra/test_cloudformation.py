"""What is sent to CloudFormation, and which errors of it are reported."""

import operator
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from infra.account import AwsAccount
from infra.cloudformation import TEMPLATE, check_updatable
from infra.stage_settings import StageError
from tests.template import read_alarms

NOT_FOUND = ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Describe")
ROLES = ["douyin-redemption-dev-api_handler", "douyin-redemption-dev-refresh_tokens"]
NO_STACK = ClientError({"Error": {"Code": "ValidationError", "Message": "the stack does not exist"}}, "DescribeStacks")


def fake_aws(status: str | None = "UPDATE_COMPLETE") -> Mock:
    """Return a client of all services, with a stack in this status, or none; table, secret and roles exist."""
    stack: Any = {"StackName": "douyin-redemption-dev", "StackStatus": status, "Parameters": []}
    aws = Mock()
    aws.describe_stacks.side_effect = NO_STACK if status is None else None
    aws.describe_stacks.return_value = {"Stacks": [stack]}
    aws.describe_secret.return_value = {"ARN": "secret-arn"}
    return aws


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name douyin-redemption-dev"),
        ("REVIEW_IN_PROGRESS", "aws cloudformation delete-stack --stack-name douyin-redemption-dev"),
        ("DELETE_FAILED", "remove the cause, then make destroy STAGE=dev"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name douyin-redemption-dev"),
        ("UPDATE_IN_PROGRESS", "another deployment is running"),
    ],
)
def test_a_stack_that_cannot_be_changed_is_refused_with_the_command_that_repairs_it(status: str, advice: str) -> None:
    aws = fake_aws(status)
    with pytest.raises(StageError, match=advice):
        check_updatable(AwsAccount(lambda _: aws, {}, "us-east-1"), "dev")


@pytest.mark.parametrize(
    ("operation", "lost"),
    [
        ("describe_secret", "secret douyin-redemption/dev does not exist"),
        ("describe_table", "table douyin-redemption-dev does not exist"),
        ("get_role", f"role {ROLES[0]} does not exist and role {ROLES[1]} does not exist"),
    ],
)
def test_what_nothing_works_without_is_named_with_the_page_that_helps(operation: str, lost: str) -> None:
    aws = fake_aws()
    check_updatable(AwsAccount(lambda _: aws, {}, "us-east-1"), "dev")
    assert [call.kwargs["RoleName"] for call in aws.get_role.call_args_list] == ROLES
    getattr(aws, operation).side_effect = NOT_FOUND
    with pytest.raises(StageError, match=f"^{lost}, but stack .*docs/run.md"):
        check_updatable(AwsAccount(lambda _: aws, {}, "us-east-1"), "dev")


def test_before_the_first_deployment_nothing_can_be_lost() -> None:
    aws = fake_aws(None)
    aws.describe_table.side_effect = aws.describe_secret.side_effect = NOT_FOUND
    check_updatable(AwsAccount(lambda _: aws, {}, "us-east-1"), "dev")


def test_the_template_is_well_below_cloudformations_limit_of_51200_bytes() -> None:
    assert len(TEMPLATE.read_bytes()) <= 47_000


FILLED = [alarm for alarm in read_alarms().values() if "FILL(" in str(alarm)]


def period(alarm: dict[str, Any]) -> int:
    periods: list[int] = [part["MetricStat"]["Period"] for part in alarm["Metrics"] if "MetricStat" in part]
    return min(periods)


def test_only_alarms_with_periods_longer_than_the_delay_of_metrics_take_late_data_for_zero() -> None:
    assert [alarm["AlarmName"] for alarm in FILLED if period(alarm) < 900] == []


def test_no_alarm_on_one_long_period_keeps_its_state_because_older_data_are_looked_at() -> None:
    """With FILL there are no missing data. Of what remains of a certificate, 0 would be an alarm."""
    single = {name for name, alarm in read_alarms().items() if alarm["EvaluationPeriods"] == 1 and alarm not in FILLED}
    assert single == {"TlsCertificateAlarm"}


def fires(name: str, **values: float | None) -> bool:
    """Evaluate an alarm's expression for one period, as CloudWatch does; None is a metric without data."""
    [alarm] = [alarm for alarm in FILLED if alarm["AlarmName"].endswith(f"-dev-{name}")]
    functions = {"FILL": lambda value, default: default if value is None else value,
                 "IF": lambda condition, value, other: value if condition else other}  # fmt: skip
    result = eval(alarm["Metrics"][0]["Expression"], {**functions, **values})  # noqa: S307 - the template's text
    compare = {
        "GreaterThanThreshold": operator.gt,
        "GreaterThanOrEqualToThreshold": operator.ge,
        "LessThanThreshold": operator.lt,
    }[alarm["ComparisonOperator"]]
    return bool(compare(result, alarm["Threshold"]))


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("empty-lists", {"lists": 20, "certificates": 0}, True),
        ("empty-lists", {"lists": 19, "certificates": 0}, False),
        ("empty-lists", {"lists": 500, "certificates": 1}, False),
        ("empty-lists", {"lists": None, "certificates": None}, False),
        # One refused merchant of twenty.
        ("refused", {"refused": 1}, True),
        ("refused", {"refused": None}, False),
        ("tokens", {"left": 1199}, True),
        ("tokens", {"left": 1200}, False),
        # No run has succeeded.
        ("tokens", {"left": None}, True),
    ],
)
def test_an_alarm_fires_at_its_limit_and_clears_when_a_metric_has_no_data(
    name: str, values: dict[str, float | None], expected: bool
) -> None:
    assert fires(name, **values) == expected
