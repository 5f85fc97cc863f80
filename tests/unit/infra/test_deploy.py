"""Steps of a deployment that need no deployed stage."""

import contextlib
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from infra import bundle, chalice_config, deploy
from infra.comparison import Difference, repair_advice
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
    with (
        pytest.raises(SystemExit, match="Unable to locate credentials: set AWS_PROFILE"),
        deploy.exit_on_error(),
    ):
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
        deploy.check_import(tmp_path, {})
    assert not list(tmp_path.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("level", "message"), [("DEBUG", None), ("VERBOSE", "Unknown level: 'VERBOSE'. The app cannot")]
)
def test_the_app_is_imported_with_the_variables_of_the_stage(level: str, message: str | None) -> None:
    settings = StageSettings(environment={"POWERTOOLS_LOG_LEVEL": level})
    expected = pytest.raises(StageError, match=message) if message else contextlib.nullcontext()
    with expected:
        deploy.check_import(bundle.ROOT, chalice_config.render_environment("dev", settings))


@pytest.mark.parametrize(
    ("error", "named", "is_denied"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "Scan"), "AccessDeniedException", True),
        (StageError("User: x is not authorized to perform: iam:CreateRole"), "iam:CreateRole", True),
        (StageError("the stage's settings"), "the stage's settings", False),
        (KeyboardInterrupt(), "interrupted: run the same command again", False),
    ],
)
def test_an_error_is_one_message_with_what_to_do(error: BaseException, named: str, *, is_denied: bool) -> None:
    with pytest.raises(SystemExit, match=re.escape(named)) as raised, deploy.exit_on_error():
        raise error
    assert ("an administrator deploys it once (CHANGELOG.md" in str(raised.value)) == is_denied


@pytest.mark.parametrize(("value", "flags"), [("1", True), ("0", False), ("", False)])
def test_a_flag_of_make_that_is_0_means_no(value: str, *, flags: bool) -> None:
    for target in ("deploy", "rollback"):
        command = ["make", "--dry-run", target, "STAGE=dev", f"DRY_RUN={value}", f"REPAIR={value}"]
        run = subprocess.run(command, cwd=bundle.ROOT, capture_output=True, text=True, check=True)
        [line] = [line for line in run.stdout.splitlines() if f"-m infra.{target}" in line]
        assert ("--dry-run" in line) == flags
        assert ("--repair" in line) == (flags and target == "deploy")


LOST = Difference("topic x", "missing", repair_advice("dev"))
OFF = Difference("table y", "not enabled: deletion protection", "switch it on")


@pytest.mark.parametrize(
    ("differences", "is_repaired", "named", "absent"),
    [
        ([LOST, OFF], False, ["topic x: missing", "REPAIR=1, as an administrator", "switch it on"], "CloudFormation"),
        ([LOST], True, ["topic x: missing", "the repair has not restored it", "CloudFormation"], "REPAIR=1"),
    ],
)
def test_what_a_deployment_does_not_correct_fails_it_at_the_end(
    monkeypatch: pytest.MonkeyPatch, differences: list[Difference], is_repaired: bool, named: list[str], absent: str
) -> None:
    corrected = Difference("function f", "MemorySize is 1, expected 2")
    monkeypatch.setattr(deploy, "compare_stage", lambda _target, has_stack: [*differences, corrected])  # noqa: ARG005
    target: Any = SimpleNamespace(stage="dev")
    with pytest.raises(StageError) as raised:
        deploy._check_complete(target, is_repaired=is_repaired)
    assert [text for text in named if text not in str(raised.value)] == []
    assert absent not in str(raised.value)
    assert "function f" not in str(raised.value)
    differences.clear()
    deploy._check_complete(target, is_repaired=is_repaired)


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
