"""Steps of a deployment that need no deployed stage."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from infra import bundle, deploy
from infra.stage_settings import StageError, StageSettings
from redeemctl.errors import CommandError
from redeemctl.stage import open_stage
from tests.unit.infra.fake_lambda import FakeLambda, build_archive

API, REFRESH = "douyin-redemption-dev", "douyin-redemption-dev-refresh_tokens"
TOPIC = "arn:aws:sns:us-east-1:123456789012:douyin-redemption-dev-alarms"
EMAIL = "oncall@example.com"


def concurrency_client(limit: int, unreserved: int, own: int | None) -> Any:
    limits = {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}
    function = {} if own is None else {"Concurrency": {"ReservedConcurrentExecutions": own}}
    return SimpleNamespace(
        get_account_settings=lambda: {"AccountLimit": limits},
        get_function=lambda FunctionName: function,  # noqa: ARG005, N803 - AWS's name
    )


@pytest.mark.parametrize(
    ("wanted", "limit", "unreserved", "own"),
    [(None, 10, 10, None), (900, 1000, 1000, None), (50, 1000, 150, None), (50, 1000, 100, 50)],
)
def test_a_reservation_that_the_account_can_give_is_accepted(
    wanted: int | None, limit: int, unreserved: int, own: int | None
) -> None:
    deploy.check_concurrency(concurrency_client(limit, unreserved, own), "dev", wanted)


@pytest.mark.parametrize(
    ("wanted", "limit", "unreserved", "available"), [(50, 10, 10, 0), (901, 1000, 1000, 900), (50, 1000, 149, 49)]
)
def test_a_larger_reservation_is_refused_with_what_is_available(
    wanted: int, limit: int, unreserved: int, available: int
) -> None:
    with pytest.raises(StageError, match=f"can give {available}: of its limit of {limit},"):
        deploy.check_concurrency(concurrency_client(limit, unreserved, None), "dev", wanted)


def test_what_runs_is_published_unless_its_last_change_failed() -> None:
    """The deployment that repairs it must not stop there."""
    client = FakeLambda()
    client.deploy(API, build_archive("1", "a" * 12))
    client.deploy(REFRESH, build_archive("1", "a" * 12), LastUpdateStatus="Failed")
    account: Any = SimpleNamespace(client=lambda _: client)
    deploy._publish(account, "dev")
    assert (len(client.published(API)), client.published(REFRESH)) == (1, [])


class FakeTopic:
    """The alarm topic's subscriptions: ARN by address."""

    def __init__(self, email: str, subscriptions: dict[str, str]) -> None:
        self._email = email
        self.subscriptions = subscriptions

    def client(self, _service: str) -> Any:
        return self

    def describe_stacks(self, **_: Any) -> Any:
        parameters = [{"ParameterKey": "AlarmEmail", "ParameterValue": self._email}]
        return {"Stacks": [{"StackStatus": "UPDATE_COMPLETE", "Parameters": parameters}]}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_subscriptions_by_topic"
        found = [{"Endpoint": email, "SubscriptionArn": arn} for email, arn in self.subscriptions.items()]
        pages = SimpleNamespace(build_full_result=lambda: {"Subscriptions": found})
        return SimpleNamespace(paginate=lambda TopicArn: pages)  # noqa: ARG005, N803 - AWS's name

    def subscribe(self, TopicArn: str, Protocol: str, Endpoint: str) -> None:  # noqa: N803 - AWS's names
        assert (TopicArn, Protocol) == (TOPIC, "email")
        self.subscriptions[Endpoint] = "PendingConfirmation"


@pytest.mark.parametrize(
    ("email", "subscriptions", "reported"),
    [
        (EMAIL, {EMAIL: f"{TOPIC}:1"}, False),
        (EMAIL, {EMAIL: "PendingConfirmation"}, True),
        (EMAIL, {}, True),
        (EMAIL, {EMAIL: "Deleted"}, True),
        ("", {}, False),
    ],
)
def test_an_unconfirmed_alarm_address_is_subscribed_and_reported(
    email: str, subscriptions: dict[str, str], reported: bool,
) -> None:  # fmt: skip
    """Also after the topic was lost, with all its subscriptions."""
    topic, report = FakeTopic(email, dict(subscriptions)), list[str]()
    deploy._subscribe(topic, "dev", TOPIC, report.append)  # type: ignore[arg-type]
    assert [EMAIL in line and "click the link" in line for line in report] == [True] * reported
    assert email in {"", *topic.subscriptions}


def test_without_credentials_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(SystemExit, match="Unable to locate credentials: set AWS_PROFILE"), deploy.exit_on_error():
        raise NoCredentialsError
    with (
        pytest.raises(CommandError, match="Unable to locate credentials: set AWS_PROFILE"),
        open_stage("dev", bundle.ROOT),
    ):
        raise NoCredentialsError


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"app.py": "import chalicelib.x\n", "chalicelib/x.py": "\nimport nowhere\n"},
         r"^chalicelib/x\.py, line 2: ModuleNotFoundError: No module named 'nowhere'\. .* Nothing was changed$"),
        ({"app.py": "x = (\n"}, r"^app\.py, line 1: SyntaxError: .*Nothing was changed$"),
        ({"app.py": "import logging\nlogging.no_such\n"}, r"^app\.py, line 2: AttributeError: "),
    ],
)  # fmt: skip
def test_an_app_that_cannot_be_imported_is_refused_with_the_module(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(StageError, match=message):
        deploy.check_import(tmp_path)
    assert not list(tmp_path.rglob("*.pyc"))


def test_the_app_can_be_imported() -> None:
    deploy.check_import(bundle.ROOT)


@pytest.mark.parametrize(("runtime", "lines"), [("python3.11", 1), ("python3.13", 0)])
def test_a_runtime_that_aws_will_soon_not_update_is_named(
    monkeypatch: pytest.MonkeyPatch, runtime: str, lines: int
) -> None:
    client = FakeLambda()
    client.deploy(API, build_archive("1"), Runtime=runtime)
    monkeypatch.setattr(bundle, "RUNTIME", runtime)
    account: Any = SimpleNamespace(client=lambda _: client)
    report: list[str] = []
    deploy._check_runtime(account, "dev", StageSettings(), report.append)
    assert len(report) == lines
    assert all("mid-2027" in line and "infra/stages/dev.toml" in line for line in report)
