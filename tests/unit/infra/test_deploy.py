"""Steps of a deployment that need no deployed stage."""

import contextlib
import re
import subprocess
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from infra import bundle, deploy, destroy
from infra.stage_settings import StageError, StageSettings
from redeemctl.errors import CommandError
from redeemctl.stage import connect_stage
from tests.unit.infra.fake_lambda import FakeLambda, build_archive

API = "douyin-redemption-dev"


def account_of(client: Any) -> Any:
    """Return an account in which this is the client of each service."""
    return SimpleNamespace(client=lambda _: client)


def test_without_credentials_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(SystemExit, match="Unable to locate credentials: set AWS_PROFILE"), deploy.exit_on_error():
        raise NoCredentialsError
    with (
        pytest.raises(CommandError, match=r"AWS credentials are missing .*set AWS_PROFILE"),
        connect_stage("dev", bundle.ROOT),
    ):
        raise NoCredentialsError


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "Scan"), "AccessDeniedException"),
        (StageError("User: x is not authorized to perform: iam:CreateRole"), "iam:CreateRole"),
        (StageError("the stage's settings"), "the stage's settings"),
        (KeyboardInterrupt(), "interrupted: run the same command again"),
    ],
)
def test_an_error_is_one_message_with_what_to_do(error: BaseException, named: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(named)), deploy.exit_on_error():
        raise error


@pytest.mark.parametrize(("answer", "text"), [("y", "nothing was deleted"), (EOFError(), "interrupted")])
def test_destroy_deletes_nothing_without_the_name_of_the_stage(
    monkeypatch: pytest.MonkeyPatch, answer: Any, text: str
) -> None:
    monkeypatch.setattr("sys.argv", ["destroy", "dev"])
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", Mock(side_effect=[answer]))
    account = SimpleNamespace(id="123456789012", region="us-east-1", endpoint_url=None)
    monkeypatch.setattr("infra.destroy.open_account", lambda *_: account)
    with pytest.raises(SystemExit, match=text):
        destroy.main()


FLAGS = {"DRY_RUN": "dry-run", "NO_PLATFORM": "no-platform"}


@pytest.mark.parametrize(("value", "is_set"), [("1", True), ("no", False)])
def test_a_flag_of_make_that_says_no_means_no(value: str, *, is_set: bool) -> None:
    for target in ("deploy", "rollback"):
        command = ["make", "--dry-run", target, "STAGE=dev", *(f"{name}={value}" for name in FLAGS)]
        run = subprocess.run(command, cwd=bundle.ROOT, capture_output=True, text=True, check=True)
        [line] = [line for line in run.stdout.splitlines() if f"-m infra.{target}" in line]
        assert set(re.findall(r"--\S+", line)) == ({f"--{option}" for option in FLAGS.values()} if is_set else set())


@pytest.mark.parametrize(
    ("setting", "deployed", "refusal"),
    [
        (None, None, None),
        (None, "3.13", None),
        (
            None,
            "3.12",
            "the deployed function: Python 3.12, but this is Python 3.13. To keep it: make … PYTHON=python3.12",
        ),
        ("3.13", "3.12", None),
        ("3.12", "3.13", "the stage's settings: Python 3.12, but this is Python 3.13."),
    ],
)
def test_another_python_is_refused_until_the_settings_name_it(
    monkeypatch: pytest.MonkeyPatch, setting: Any, deployed: str | None, refusal: str | None
) -> None:
    """The runtime of the deployed function is not changed by a developer who has another Python."""
    client = FakeLambda()
    if deployed is not None:
        client.deploy(API, build_archive("1"), Runtime=f"python{deployed}")
    monkeypatch.setattr(bundle, "RUNTIME", "python3.13")
    with contextlib.nullcontext() if refusal is None else pytest.raises(StageError, match=refusal):
        deploy._check_runtime(account_of(client), "dev", StageSettings(python=setting))
