"""Deploy a stage: the CloudFormation stack, then the functions and the API with Chalice, then the API Gateway settings.

Each step changes only what differs. The names of table and secret are copied from the stack to `.chalice/config.json`.
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
from infra.api_gateway import configure_stage
from infra.bundle import ROOT, current_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

VARIABLES = {"TableName": "TABLE_NAME", "SecretName": "SECRET_NAME"}
"""Stack outputs, and the environment variables of the functions that receive them."""

_NAME_PARAMETERS = ("function_name", "rule_name", "role_name", "name")


class ChaliceError(Exception):
    """Chalice failed. The message contains its output."""


@dataclass(frozen=True)
class Account:
    """An AWS account: `client` creates the client of a service, `environment` gives Chalice the same account."""

    client: Callable[[str], Any]
    environment: Mapping[str, str]


def deploy(account: Account, project: Path, stage: str, report: Callable[[str], None], alarm_email: str | None) -> str:
    """Deploy a stage of `project`; return Chalice's output. `report` receives a line for each step."""
    change_set = cloudformation.create_change_set(account.client, stage, alarm_email)
    report(f"stack {cloudformation.stack_name(stage)}: {len(change_set.changes) or 'no'} changes")
    outputs = cloudformation.execute_change_set(account.client("cloudformation"), stage, change_set)
    for name in write_outputs(project / ".chalice" / "config.json", stage, outputs):
        report(f"{name} updated in .chalice/config.json, stage {stage}")
    output = run_chalice(account, project, "deploy", "--stage", stage)
    settings = configure_stage(account.client("apigateway"), project, stage)
    rate, burst = settings["throttlingRateLimit"], settings["throttlingBurstLimit"]
    report(f"API throttling: {rate:g} requests/s, burst {burst}")
    return output


def dry_run(
    account: Account, project: Path, stage: str, report: Callable[[str], None], alarm_email: str | None
) -> None:
    """Report what `deploy` would change. No resource is changed."""
    change_set = cloudformation.create_change_set(account.client, stage, alarm_email)
    cloudformation.discard_change_set(account.client("cloudformation"), stage, change_set)
    report(f"stack {cloudformation.stack_name(stage)}:")
    for change in change_set.changes or ["no changes"]:
        report(f"  {change}")
    report("code:")
    report(f"  {compare_code(account, project, stage)}")
    report("chalice:")
    for call in parse_planned_calls(run_chalice(account, project, "dev", "plan", "--stage", stage)):
        report(f"  {call}")


def parse_planned_calls(plan: str) -> list[str]:
    """Return the AWS calls in the output of `chalice dev plan`, each with the name of its resource."""
    calls: list[str] = []
    # Each paragraph is one step; its first word is the step's type.
    for step in re.split(r"\n\s*\n", plan):
        parameters = dict(re.findall(r"(\w+): *(\S+)", step))
        if step.lstrip().startswith("API_CALL"):
            resource = next((parameters[name] for name in _NAME_PARAMETERS if name in parameters), "")
            calls.append(f"{parameters['method_name']} {resource}".strip())
    return calls


def compare_code(account: Account, project: Path, stage: str) -> str:
    """Describe whether the local bundle differs from the deployed code, by their SHA-256 hashes."""
    local = base64.b64encode(hashlib.sha256(current_archive(project).read_bytes()).digest()).decode()
    name = cloudformation.stack_name(stage)
    function = cloudformation.none_if_not_found(lambda: account.client("lambda").get_function(FunctionName=name))
    if function is None:
        return f"new: {local}"
    deployed = function["Configuration"]["CodeSha256"]
    return "unchanged" if deployed == local else f"deployed: {deployed}, local: {local}"


def write_outputs(config: Path, stage: str, outputs: Mapping[str, str]) -> list[str]:
    """Write the stack's outputs to the functions' variables in Chalice's config; return the variables that changed."""
    content: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
    variables = content["stages"][stage]["environment_variables"]
    changed = [variable for output, variable in VARIABLES.items() if variables.get(variable) != outputs.get(output, "")]
    if changed:
        variables |= {variable: outputs[output] for output, variable in VARIABLES.items()}
        config.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return changed


def run_chalice(account: Account, project: Path, *arguments: str) -> str:
    """Run Chalice in `project`; return its output. Raises ChaliceError if it fails."""
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


def list_stages(project: Path = ROOT) -> list[str]:
    """Return the stages in the project's Chalice config."""
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    return list(config["stages"])


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Exit with the message of an AWS, CloudFormation or Chalice error, without a traceback."""
    try:
        yield
    except (BotoCoreError, ClientError, cloudformation.StackError, ChaliceError) as error:
        raise SystemExit(str(error)) from None


def account_from_environment() -> Account:
    """Return the account of the AWS credentials in the environment."""
    return Account(boto3.client, os.environ)  # type: ignore[arg-type]  # boto3.client has an overload per service


def main() -> None:
    """Parse the command line and deploy a stage of this project."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("stage", choices=list_stages())
    parser.add_argument("--dry-run", action="store_true", help="show what would change; change nothing")
    parser.add_argument("--alarm-email", help="receives the alarms, after confirming once; default: unchanged")
    arguments = parser.parse_args()
    account = account_from_environment()
    with exit_on_error():
        if arguments.dry_run:
            dry_run(account, ROOT, arguments.stage, print, arguments.alarm_email)
        else:
            print(deploy(account, ROOT, arguments.stage, print, arguments.alarm_email))


if __name__ == "__main__":
    main()
