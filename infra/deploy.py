"""`python -m infra.deploy STAGE [--dry-run]`: the template, then the app, then what Chalice cannot say.

Every step leaves alone what already is as it should be. What the template made reaches `.chalice/config.json` here.
With --dry-run nothing is changed: it shows what CloudFormation and Chalice would do, and whether the code differs.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import cloudformation
from infra.bundle import ROOT, current_archive
from infra.stage import complete_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_NAMES = ("function_name", "rule_name", "role_name", "name")

VARIABLES = {"TableName": "TABLE_NAME", "SecretName": "SECRET_NAME"}
"""The template's outputs and the functions' variables they belong in."""


class ChaliceError(Exception):
    """Chalice failed; the message is what it printed."""


@dataclass(frozen=True)
class Account:
    """Where it goes: how to make clients of it, and the environment in which Chalice finds it."""

    client: Callable[[str], Any]
    environment: Mapping[str, str]


def deploy(account: Account, project: Path, stage: str, say: Callable[[str], None], alarm_email: str | None) -> str:
    """Deploy a stage of `project`; returns what Chalice printed."""
    stack = account.client("cloudformation")
    made = cloudformation.plan(account.client, stage, alarm_email)
    say(f"stack {cloudformation.stack_name(stage)}: {len(made.changes) or 'no'} changes")
    outputs = cloudformation.carry_out(stack, stage, made)
    for name in carry_outputs(project / ".chalice" / "config.json", stage, outputs):
        say(f"{name} of stage {stage} is now what the stack says")
    printed = chalice(account, project, "deploy", "--stage", stage)
    limits = complete_stage(account.client("apigateway"), project, stage)
    rate, burst = limits["throttlingRateLimit"], limits["throttlingBurstLimit"]
    say(f"at most {rate:g} requests a second, {burst} at once")
    return printed


def dry_run(account: Account, project: Path, stage: str, say: Callable[[str], None], alarm_email: str | None) -> None:
    """Say what `deploy` would change, and change nothing."""
    stack = account.client("cloudformation")
    made = cloudformation.plan(account.client, stage, alarm_email)
    cloudformation.forget(stack, stage, made)
    say(f"stack {cloudformation.stack_name(stage)}:")
    for change in made.changes or ["no changes"]:
        say(f"  {change}")
    say("code:")
    say(f"  {code_difference(account, project, stage)}")
    say("chalice:")
    for call in planned_calls(chalice(account, project, "dev", "plan", "--stage", stage)):
        say(f"  {call}")


def planned_calls(plan: str) -> list[str]:
    """The calls of AWS in what `chalice dev plan` prints, each with what it is about."""
    calls: list[str] = []
    # A paragraph is a step; its first word is the kind.
    for step in re.split(r"\n\s*\n", plan):
        given = dict(re.findall(r"(\w+): *(\S+)", step))
        if step.lstrip().startswith("API_CALL"):
            about = next((given[name] for name in _NAMES if name in given), "")
            calls.append(f"{given['method_name']} {about}".strip())
    return calls


def code_difference(account: Account, project: Path, stage: str) -> str:
    """Whether the bundle is the code that runs."""
    wanted = base64.b64encode(hashlib.sha256(current_archive(project).read_bytes()).digest()).decode()
    name = cloudformation.stack_name(stage)
    function = cloudformation.unless_missing(lambda: account.client("lambda").get_function(FunctionName=name))
    if function is None:
        return f"new: {wanted}"
    runs = function["Configuration"]["CodeSha256"]
    return "the same that runs" if runs == wanted else f"{runs} runs, {wanted} would"


def carry_outputs(config: Path, stage: str, outputs: Mapping[str, str]) -> list[str]:
    """Put the stack's outputs where Chalice takes the functions' variables from; returns what was not so before."""
    written: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
    variables = written["stages"][stage]["environment_variables"]
    changed = [variable for output, variable in VARIABLES.items() if variables.get(variable) != outputs.get(output, "")]
    if changed:
        variables |= {variable: outputs[output] for output, variable in VARIABLES.items()}
        config.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return changed


def chalice(account: Account, project: Path, *arguments: str) -> str:
    """Run Chalice in `project`; returns what it printed, raises ChaliceError with it when it failed."""
    run = subprocess.run(
        [Path(sys.executable).with_name("chalice"), *arguments],
        cwd=project,
        env=dict(account.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode:
        raise ChaliceError(f"chalice {' '.join(arguments)} failed:\n{run.stdout}")
    return run.stdout


def stages(project: Path = ROOT) -> list[str]:
    """The stages that the project knows."""
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    return list(config["stages"])


@contextmanager
def in_words() -> Iterator[None]:
    """End the program with what AWS, CloudFormation or Chalice said, not with where we were when it did."""
    try:
        yield
    except (BotoCoreError, ClientError, cloudformation.StackError, ChaliceError) as error:
        raise SystemExit(str(error)) from None


def own_account() -> Account:
    """The account that the environment names."""
    return Account(boto3.client, os.environ)  # type: ignore[arg-type]  # its overloads name every service


def main() -> None:
    """Deploy a stage of this project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=stages())
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--alarm-email")
    arguments = parser.parse_args()
    account = own_account()
    with in_words():
        if arguments.dry_run:
            dry_run(account, ROOT, arguments.stage, print, arguments.alarm_email)
        else:
            print(deploy(account, ROOT, arguments.stage, print, arguments.alarm_email))


if __name__ == "__main__":
    main()
