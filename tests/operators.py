"""Drives `redeemctl` as an operator does, against an emulated AWS and a mock platform."""

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from infra import cloudformation
from redeemctl.cli import redeemctl
from sandbox import stack
from sandbox.stack import STAGE
from tests import policies

TABLE = cloudformation.shared_name(STAGE)
SECRET = cloudformation.secret_name(STAGE)


class Operator:
    """An operator's machine with this project, and an AWS account that is empty at first."""

    def __init__(self, platform: stack.Process, aws: stack.Process, folder: Path) -> None:
        self.sandbox = stack.Sandbox(platform, aws, folder)

    @property
    def account(self) -> Any:
        """The account, with all rights."""
        return self.sandbox.account

    @functools.cached_property
    def credentials(self) -> dict[str, str]:
        """Those of a user who has the stage's operator policy."""
        return policies.create_user(self.account.client("iam"), "OperatorPolicy", STAGE)

    def environment(self) -> dict[str, str]:
        """Return the environment of a process on this machine."""
        url = self.sandbox.platform.url
        aws = {**stack.aws_environment(self.sandbox.aws.url), **self.credentials}
        return {**os.environ, **aws, "DOUYIN_OPEN_API": url, "DOUYIN_LOGIN_API": url, "REDEEM_STAGE": STAGE}

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Result:
        """Run redeemctl in this process with these environment variables."""
        unset = dict.fromkeys(os.environ.keys() - self.environment().keys())
        command = ["--project", str(self.sandbox.folder), *arguments]
        environment = {**unset, **self.environment(), **variables}
        return CliRunner().invoke(redeemctl, command, input=stdin, env=environment, catch_exceptions=False)

    def succeed(self, *arguments: str, **options: str) -> str:
        """Run redeemctl with the options of `run`, expect success, and return what it prints to stdout."""
        result = self.run(*arguments, **options)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    def read_json(self, *arguments: str, **options: str) -> Any:
        """Run redeemctl with --json and return what it prints."""
        return json.loads(self.succeed(*arguments, "--json", **options))

    def fail(self, exit_code: int, *arguments: str, **options: str) -> str:
        """Run redeemctl, expect an exit code, and return what it prints to stderr."""
        result = self.run(*arguments, **options)
        assert result.exit_code == exit_code, result.output
        return str(result.stderr)

    def get_secret(self) -> dict[str, Any]:
        """Return the secret's value."""
        value = self.account.client("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"]
        content: dict[str, Any] = json.loads(value)
        return content

    def put_secret(self, value: str) -> None:
        """Replace the secret's value without redeemctl."""
        self.account.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=value)

    def set_fault(self, **fault: Any) -> None:
        """Let calls of the platform fail; without arguments no call fails any more."""
        stack.set_faults(self.sandbox.platform.url, *([fault] if fault else []))


@contextlib.contextmanager
def run_operator(folder: Path) -> Iterator[Operator]:
    """Run an empty account and a mock platform, for an operator with a clone of the project in `folder`."""
    stack.copy_project(folder)
    with stack.run_server("sandbox.server") as platform, stack.run_server("sandbox.aws") as aws:
        stack.write_stage_settings(folder, platform.url)
        yield Operator(platform, aws, folder)
