"""What is sent to CloudFormation, and which errors of it are reported."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.cloudformation import check_vital, create_change_set, template_body
from infra.stage_settings import StageError
from tests.template import read_alarms

VALIDATION = {
    "LogicalResourceId": "Domain",
    "ResourceType": "AWS::ApiGateway::DomainName",
    "ValidationStatusReason": "the name is taken",
    "ValidationPath": "/Properties/DomainName",
}


def not_found(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ResourceNotFoundException"}}, operation)


class FakeAws:
    """A stack in this status, or none; table and secret by whether they exist. `sent` has the change set's request."""

    def __init__(self, status: str | None = "UPDATE_COMPLETE", failure: str = "") -> None:
        self.status = status
        self.failure = failure
        self.has_table = self.has_secret = True
        self.roles = {"douyin-redemption-dev-api_handler", "douyin-redemption-dev-refresh_tokens"}
        self.events: Any = [VALIDATION, {"EventType": "STACK_EVENT"}]
        self.sent: dict[str, Any] = {}

    def client(self, _service: str) -> Any:
        return self

    def describe_stacks(self, StackName: str) -> Any:  # noqa: N803 - AWS's name
        if self.status is None:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": f"{StackName} does not exist"}}, "x")
        return {"Stacks": [{"StackName": StackName, "StackStatus": self.status, "Parameters": []}]}

    def create_change_set(self, **arguments: Any) -> Any:
        self.sent = arguments
        return {"Id": "change-set-arn", "StackId": "stack-arn"}

    def get_waiter(self, _name: str) -> Any:
        return SimpleNamespace(wait=lambda **_: None)

    def describe_change_set(self, **_: Any) -> Any:
        if self.failure:
            return {"Status": "FAILED", "StatusReason": self.failure}
        return {"Status": "CREATE_COMPLETE", "Changes": []}

    def describe_events(self, StackName: str, ChangeSetName: str) -> Any:  # noqa: N803 - AWS's names
        assert (StackName, ChangeSetName) == ("stack-arn", self.sent["ChangeSetName"])
        if isinstance(self.events, ClientError):
            raise self.events
        return {"OperationEvents": self.events}

    def delete_change_set(self, **_: Any) -> None:
        pass

    def describe_table(self, **_: Any) -> Any:
        if not self.has_table:
            raise not_found("DescribeTable")
        return {"Table": {}}

    def get_role(self, RoleName: str) -> Any:  # noqa: N803 - AWS's name
        if RoleName not in self.roles:
            raise not_found("GetRole")
        return {"Role": {}}

    def describe_secret(self, **_: Any) -> Any:
        if not self.has_secret:
            raise not_found("DescribeSecret")
        return {"ARN": "secret-arn"}


def test_only_a_repair_reverts_what_was_changed_by_hand() -> None:
    """To compare each resource, CloudFormation reads it with rights that a deployer does not have."""
    aws = FakeAws()
    create_change_set(aws.client, "dev", {})
    assert aws.sent["ChangeSetType"] == "UPDATE"
    assert not {"DeploymentMode", "OnStackFailure"} & aws.sent.keys()
    create_change_set(aws.client, "dev", {}, repair=True)
    assert (aws.sent["ChangeSetType"], aws.sent["DeploymentMode"]) == ("UPDATE", "REVERT_DRIFT")
    assert "OnStackFailure" not in aws.sent


def test_a_stack_whose_creation_fails_is_deleted_and_retained_data_is_used() -> None:
    aws = FakeAws(None)
    aws.has_secret = False
    create_change_set(aws.client, "dev", {})
    assert (aws.sent["ChangeSetType"], aws.sent["OnStackFailure"]) == ("CREATE", "DELETE")
    assert "DeploymentMode" not in aws.sent
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in aws.sent["Parameters"]}
    assert (parameters["TableIs"], parameters["SecretIs"]) == ("kept", "made")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name douyin-redemption-dev"),
        ("DELETE_FAILED", "aws cloudformation delete-stack"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name douyin-redemption-dev"),
        ("UPDATE_IN_PROGRESS", "another deployment is running"),
    ],
)
def test_a_stack_that_cannot_be_changed_is_refused_with_the_command_that_repairs_it(status: str, advice: str) -> None:
    aws = FakeAws(status)
    with pytest.raises(StageError, match=advice):
        create_change_set(aws.client, "dev", {})
    assert aws.sent == {}


def test_the_findings_of_early_validation_are_reported() -> None:
    aws = FakeAws(failure="Early validation failed. To see why, use DescribeEvents")
    with pytest.raises(StageError) as raised:
        create_change_set(aws.client, "dev", {})
    assert str(raised.value).splitlines() == [
        "Early validation failed. To see why, use DescribeEvents",
        "  Domain (AWS::ApiGateway::DomainName): the name is taken /Properties/DomainName",
    ]


def test_without_permission_for_the_events_the_reason_is_reported() -> None:
    aws = FakeAws(failure="Early validation failed")
    aws.events = ClientError({"Error": {"Code": "AccessDenied"}}, "DescribeEvents")
    with pytest.raises(StageError, match="Early validation failed\n  DescribeEvents: AccessDenied"):
        create_change_set(aws.client, "dev", {})


def test_a_change_set_without_changes_is_no_failure() -> None:
    aws = FakeAws(failure="The submitted information didn't contain changes.")
    assert create_change_set(aws.client, "dev", {}).changes == []


@pytest.mark.parametrize(
    ("table", "secret", "roles", "named"),
    [
        (True, False, 2, "secret douyin-redemption/dev does not exist,"),
        (False, False, 2, "table douyin-redemption-dev does not exist and secret douyin-redemption/dev does not exist"),
        (True, True, 1, "role douyin-redemption-dev-"),
        (True, True, 0, "api_handler does not exist and role douyin-redemption-dev-refresh_tokens does not exist,"),
    ],
)
def test_what_nothing_works_without_is_named_with_the_page_that_helps(
    table: bool, secret: bool, roles: int, named: str
) -> None:
    aws = FakeAws()
    assert check_vital(aws.client, "dev")
    aws.has_table, aws.has_secret, aws.roles = table, secret, set(sorted(aws.roles)[:roles])
    with pytest.raises(StageError) as raised:
        check_vital(aws.client, "dev")
    assert named in str(raised.value)
    assert "docs/operate.md" in str(raised.value)


def test_a_secret_that_is_scheduled_for_deletion_is_to_be_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeAws, "describe_secret", lambda *_, **__: {"DeletedDate": "2026-01-01"})
    with pytest.raises(StageError, match="aws secretsmanager restore-secret --secret-id douyin-redemption/dev"):
        check_vital(FakeAws().client, "dev")


@pytest.mark.parametrize("status", [None, "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"])
def test_before_the_first_deployment_nothing_can_be_lost(status: str | None) -> None:
    aws = FakeAws(status)
    aws.has_table = aws.has_secret = False
    assert not check_vital(aws.client, "dev")


def test_the_template_is_well_below_cloudformations_limit_of_51200_bytes() -> None:
    assert len(template_body().encode()) <= 43_000


FILLED = [alarm for alarm in read_alarms().values() if "FILL(" in str(alarm)]


def period(alarm: dict[str, Any]) -> int:
    periods: list[int] = [part["MetricStat"]["Period"] for part in alarm["Metrics"] if "MetricStat" in part]
    return min(periods)


def test_only_alarms_with_periods_longer_than_the_delay_of_metrics_take_late_data_for_zero() -> None:
    assert [alarm["AlarmName"] for alarm in FILLED if period(alarm) < 900] == []


def test_no_alarm_on_one_long_period_keeps_its_state_because_older_data_are_looked_at() -> None:
    """With FILL there are no missing data. A token's lifetime has no such default: 0 would be an alarm."""
    single = {name for name, alarm in read_alarms().items() if alarm["EvaluationPeriods"] == 1 and alarm not in FILLED}
    assert single == {"TokenExpiringAlarm"}


def fires(name: str, **values: float | None) -> bool:
    """Evaluate an alarm's expression for one period, as CloudWatch does; None is a metric without data."""
    [alarm] = [alarm for alarm in FILLED if alarm["AlarmName"].endswith(f"-dev-{name}")]
    functions = {"FILL": lambda value, default: default if value is None else value,
                 "IF": lambda condition, value, other: value if condition else other}  # fmt: skip
    result = eval(alarm["Metrics"][0]["Expression"], {**functions, **values})  # noqa: S307 - the template's text
    above = alarm["ComparisonOperator"] == "GreaterThanThreshold"
    return bool(result > alarm["Threshold"] if above else result < alarm["Threshold"])


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("empty-lists", {"lists": 20, "certificates": 0}, True),
        ("empty-lists", {"lists": 19, "certificates": 0}, False),
        ("empty-lists", {"lists": 500, "certificates": 1}, False),
        ("empty-lists", {"lists": None, "certificates": None}, False),
        ("schedule", {"runs": None, "failures": None}, True),
        ("schedule", {"runs": 3, "failures": 3}, True),
        ("schedule", {"runs": 3, "failures": 2}, False),
        ("refused", {"permission": None, "secret": 3}, True),
        ("refused", {"permission": 1, "secret": 1}, False),
        ("refused", {"permission": None, "secret": None}, False),
        ("errors", {"invocations": 0, "responses": 3}, True),
        ("errors", {"invocations": 2, "responses": None}, False),
        ("api-errors", {"responses": 3}, True),
        ("api-errors", {"responses": None}, False),
    ],
)
def test_an_alarm_fires_at_its_limit_and_clears_when_a_metric_has_no_data(
    name: str, values: dict[str, float | None], expected: bool
) -> None:
    assert fires(name, **values) == expected


def test_there_are_at_most_14_alarms() -> None:
    assert len(read_alarms()) <= 14
