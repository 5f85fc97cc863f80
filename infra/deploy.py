"""Deploy a stage: the CloudFormation stack, then functions and API with Chalice, then the API's settings, then a test.

Each step changes only what differs, and can be repeated: after a failure, the next run completes the deployment.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from infra import bundle, chalice_config, cloudformation, smoke, versions
from infra.account import check_account, open_account
from infra.api_gateway import configure_api, repeat_while_refused, unmap_domain
from infra.chalice_config import API_STAGE
from infra.chalice_state import (
    choose_rest_api,
    find_rest_apis,
    function_names,
    read_rest_api_id,
    rule_name,
    write_state,
)
from infra.comparison import Target, compare_stage
from infra.stage_settings import StageError, read_stage_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.account import Account
    from infra.stage_settings import StageSettings

_NAME_PARAMETERS = ("function_name", "rule_name", "role_name", "name")


UNRESERVED_CONCURRENCY = 100
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""


class ChaliceError(Exception):
    """Chalice failed. The message contains its output."""


class DeploymentConflictError(Exception):
    """Another deployment of the stage ran at the same time."""


def deploy(
    account: Account, project: Path, stage: str, report: Callable[[str], None], built: Path | None = None
) -> str:
    """Deploy a stage of `project`; return the URL of its default endpoint. `report` receives a line for each step.

    `built` is a folder with a bundle that was built elsewhere from the same commit.
    """
    settings, archive, api_id = _prepare(account, project, stage, report, built)
    stacks = account.client("cloudformation")
    change_set = cloudformation.create_change_set(account.client, stage, _parameters(settings))
    report(f"API: {api_id or 'new'}")
    _report_changes(account, stage, archive, change_set, report)
    _unmap_former_domain(account, stage, settings)
    outputs = cloudformation.execute_change_set(stacks, stage, change_set)
    # The running code may be unpublished: an older version of this module deployed it, or `chalice deploy` alone.
    _publish(account, stage)
    _run_chalice_deploy(account, project, stage, settings)
    # Chalice puts the rule without a state, so one that was disabled by hand may stay disabled.
    account.client("events").enable_rule(Name=rule_name(stage))
    if not settings.tracing:
        _switch_off_tracing(account, stage)
    _publish(account, stage, bundle.read_build(archive))
    api_id = _keep_oldest_api(account, project, stage, api_id)
    report("functions, API and schedule: deployed")
    configure_api(account, stage, api_id, settings, report)
    url = account.api_url(api_id, API_STAGE)
    report("API settings: limits, access log, error responses")
    _subscribe(account, stage, outputs["AlarmTopicArn"], report)
    if settings.domain is not None:
        report(f"domain: https://{settings.domain.name} (DNS: CNAME to {outputs['DomainTarget']})")
    # Without the default endpoint, only the domain can be tested, and it may have no DNS record yet.
    tested = url if settings.domain is None or settings.domain.default_endpoint else None
    report(smoke.check_stage(Target(account, project, stage, settings, api_id), archive, tested))
    return url


def dry_run(account: Account, project: Path, stage: str, report: Callable[[str], None]) -> None:
    """Report what `deploy` would change. No resource is changed."""
    settings, archive, api_id = _prepare(account, project, stage, report)
    stacks = account.client("cloudformation")
    change_set = cloudformation.create_change_set(account.client, stage, _parameters(settings))
    cloudformation.discard_change_set(stacks, stage, change_set)
    report(f"API: {api_id or 'new'}")
    _report_changes(account, stage, archive, change_set, report)
    if api_id is not None:
        differences = compare_stage(Target(account, project, stage, settings, api_id))
        report(f"deployed resources: {len(differences) or 'no'} differences from the settings")
        for difference in differences:
            report(f"  {difference}")
    report("Chalice:")
    write_state(account, project, stage, api_id)
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


def compare_function(account: Account, stage: str, archive: Path) -> str:
    """Describe how the deployed function differs from what would be deployed: code, runtime, architecture."""
    function = _get_function(account, stage)
    if function is None:
        return f"new, {bundle.RUNTIME}"
    local = versions.code_hash(archive.read_bytes())
    architecture = bundle.ARM64 if archive.stem.endswith(bundle.ARM64) else bundle.X86_64
    comparisons = [
        ("code", function["CodeSha256"], local),
        ("runtime", function["Runtime"], bundle.RUNTIME),
        ("architecture", function["Architectures"][0], architecture),
    ]
    changes = [f"{what} {deployed} -> {new}" for what, deployed, new in comparisons if deployed != new]
    return ", ".join(changes) or "code unchanged"


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


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Exit with the message of an error that the caller can do something about, without a traceback."""
    try:
        yield
    except NoCredentialsError:
        raise SystemExit(
            "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except (
        BotoCoreError, ClientError, StageError, bundle.BundleError, cloudformation.StackError, ChaliceError,
        DeploymentConflictError, smoke.SmokeTestError, versions.DownloadError,
    ) as error:  # fmt: skip
        raise SystemExit(f"{error}") from None


def report_target(account: Account, stage: str, report: Callable[[str], None]) -> None:
    """Report which account, region and stage a command changes."""
    report(f"account {account.id}, region {account.region}, stage {stage}")


def _prepare(
    account: Account, project: Path, stage: str, report: Callable[[str], None], built: Path | None = None
) -> tuple[StageSettings, Path, str | None]:
    """Check what can be checked before anything is changed; return settings, bundle, and the id of the present API."""
    settings = read_stage_settings(project, stage)
    report_target(account, stage, report)
    check_account(account, settings)
    cloudformation.check_data(account.client, stage)
    _check_runtime(account, stage, settings)
    check_concurrency(account.client("lambda"), stage, settings.reserved_concurrency)
    for name in chalice_config.write(project):
        report(f".chalice/{name} updated from the stage's settings: commit it")
    if built is None:
        archive = _find_archive(project, settings.architecture, report)
    else:
        archive = bundle.adopt_archive(built, project, settings.architecture)
    report(f"bundle: {bundle.read_build(archive)}")
    return settings, archive, _choose_rest_api(account, stage, settings)


def _find_archive(project: Path, architecture: str, report: Callable[[str], None]) -> Path:
    """Return the bundle of the present sources and commit; build it if there is none."""
    commit = bundle.read_commit(project)
    with contextlib.suppress(bundle.BundleError):
        archive = bundle.current_archive(project, architecture)
        # Outside a git repository, the bundle was copied with the sources.
        if commit in (None, bundle.read_build(archive).commit):
            return archive
    report(f"building the bundle for {architecture}")
    return bundle.make_bundle(project, architecture)


def _check_runtime(account: Account, stage: str, settings: StageSettings) -> None:
    """Refuse to change the runtime only because this machine has another Python."""
    function = None if settings.python else _get_function(account, stage)
    runtime = f"python{settings.python}" if settings.python else (function["Runtime"] if function else bundle.RUNTIME)
    if runtime != bundle.RUNTIME:
        version, other = runtime.removeprefix("python"), bundle.RUNTIME.removeprefix("python")
        origin = "the stage's settings" if settings.python else "the deployed function"
        raise StageError(
            f"{origin}: Python {version}, but this is Python {other}. Run the command again with "
            f'PYTHON=python{version}, or set `python = "{other}"` in infra/stages/{stage}.toml to change the runtime'
        )


def check_concurrency(client: Any, stage: str, wanted: int | None) -> None:
    """Raise StageError if the account cannot reserve this concurrency: Lambda refuses it when the function exists."""
    if wanted is None:
        return
    limits = client.get_account_settings()["AccountLimit"]
    function = cloudformation.none_if_not_found(client.get_function, FunctionName=cloudformation.stack_name(stage))
    own = (function or {}).get("Concurrency", {}).get("ReservedConcurrentExecutions", 0)
    available = max(0, limits["UnreservedConcurrentExecutions"] + own - UNRESERVED_CONCURRENCY)
    if wanted > available:
        raise StageError(
            f"reserved_concurrency = {wanted}, but this account can give {available}: of its limit of "
            f"{limits['ConcurrentExecutions']}, Lambda keeps {UNRESERVED_CONCURRENCY} for functions without a "
            "reservation. Request a higher limit from AWS (Service Quotas, Lambda, Concurrent executions), or remove "
            f"the setting from infra/stages/{stage}.toml"
        )


def _report_changes(
    account: Account,
    stage: str,
    archive: Path,
    change_set: cloudformation.ChangeSet,
    report: Callable[[str], None],
) -> None:
    report(f"stack {cloudformation.stack_name(stage)}: {len(change_set.changes) or 'no'} changes")
    for change in change_set.changes:
        report(f"  {change}")
    difference = compare_function(account, stage, archive)
    report(f"functions: {difference}")
    if "runtime" in difference or "architecture" in difference:
        report("warning: requests may fail for some seconds, between the updates of the code and of the configuration")


def _unmap_former_domain(account: Account, stage: str, settings: StageSettings) -> None:
    """Remove the mapping of a domain that the stack will delete, because it is not in the settings any more."""
    former = _read_parameters(cloudformation.read_stack(account.client("cloudformation"), stage)).get("DomainName", "")
    if former and former != _parameters(settings)["DomainName"]:
        unmap_domain(account.client("apigateway"), former)


def _run_chalice_deploy(account: Account, project: Path, stage: str, settings: StageSettings) -> None:
    """Run `chalice deploy`; while the account's quota for CreateDeployment is used up, wait and repeat."""

    def run() -> None:
        write_state(account, project, stage, _choose_rest_api(account, stage, settings))
        run_chalice(account, project, "deploy", "--stage", stage)

    def is_refused(error: Exception) -> bool:
        text = str(error)
        return isinstance(error, ChaliceError) and "TooManyRequestsException" in text and "CreateDeployment" in text

    repeat_while_refused(run, is_refused)


def _switch_off_tracing(account: Account, stage: str) -> None:
    """Switch off the tracing of both functions. Chalice only switches it on."""
    client = account.client("lambda")
    for name in function_names(stage).values():
        configuration = client.get_function_configuration(FunctionName=name)
        if configuration.get("TracingConfig", {}).get("Mode") == "Active":
            versions.wait_until_updated(client, name)
            client.update_function_configuration(FunctionName=name, TracingConfig={"Mode": "PassThrough"})


def _subscribe(account: Account, stage: str, topic: str, report: Callable[[str], None]) -> None:
    """Subscribe the alarm e-mail if it has no subscription, and report a subscription that is not confirmed.

    The stack subscribes it. But if the topic was deleted by hand, CloudFormation may restore only the topic.
    """
    stack = cloudformation.read_stack(account.client("cloudformation"), stage)
    email = _read_parameters(stack).get("AlarmEmail", "")
    if not email:
        return
    client = account.client("sns")
    pages = client.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    states = {found["Endpoint"]: found["SubscriptionArn"] for page in pages for found in page["Subscriptions"]}
    if states.get(email, "Deleted") == "Deleted":
        client.subscribe(TopicArn=topic, Protocol="email", Endpoint=email)
        states[email] = "PendingConfirmation"
    if states[email] == "PendingConfirmation":
        report(f"alarm e-mail {email}: not confirmed; click the link in AWS's message, or no alarm arrives")


def _publish(account: Account, stage: str, build: bundle.Build | None = None) -> None:
    """Publish the code of both functions as Lambda versions, for `make rollback`."""
    client = account.client("lambda")
    for name in function_names(stage).values():
        function = cloudformation.none_if_not_found(client.get_function, FunctionName=name)
        if function is None:
            continue
        states = [function["Configuration"].get(key) for key in ("State", "LastUpdateStatus")]
        # Lambda refuses to publish a function whose last change failed. The deployment repairs the function.
        if build is not None or states == ["Active", "Successful"]:
            versions.publish(client, name, build)


def _keep_oldest_api(account: Account, project: Path, stage: str, previous_api_id: str | None) -> str:
    """Return the id of the deployed API. If another first deployment was faster, delete this one's API and raise.

    Raises DeploymentConflictError.
    """
    api_id = read_rest_api_id(project, stage)
    client = account.client("apigateway")
    if previous_api_id is None:
        oldest = find_rest_apis(client, stage)[0].id
        if oldest != api_id:
            client.delete_rest_api(restApiId=api_id)
            raise DeploymentConflictError(
                f"another deployment of stage {stage} has created the API {oldest} at the same time; "
                "run the command again when it has ended"
            )
    return api_id


def _choose_rest_api(account: Account, stage: str, settings: StageSettings) -> str | None:
    return choose_rest_api(find_rest_apis(account.client("apigateway"), stage), stage, settings)


def _get_function(account: Account, stage: str) -> dict[str, str] | None:
    client, name = account.client("lambda"), cloudformation.stack_name(stage)
    function = cloudformation.none_if_not_found(client.get_function, FunctionName=name)
    return None if function is None else function["Configuration"]


def _read_parameters(stack: Any) -> dict[str, str]:
    """Return the parameters of a stack's description, which is None for a new stack."""
    return {p["ParameterKey"]: p["ParameterValue"] for p in (stack or {}).get("Parameters", [])}


def _parameters(settings: StageSettings) -> dict[str, str | None]:
    domain, hours = settings.domain, settings.opening_hours_utc
    return {
        "AlarmEmail": settings.alarm_email,
        "OpensAtUtc": str(hours.opens) if hours else "",
        "ClosesAtUtc": str(hours.closes) if hours else "",
        "DomainName": domain.name if domain else "",
        "CertificateArn": domain.certificate_arn if domain else "",
    }


def main() -> None:
    """Parse the command line and deploy a stage of this project."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--dry-run", action="store_true", help="show what would change; change nothing")
    parser.add_argument(
        "--bundle", type=Path, metavar="FOLDER", help="deploy the bundle in this folder, built from the same commit"
    )
    arguments = parser.parse_args()
    with exit_on_error():
        account = open_account(read_stage_settings(bundle.ROOT, arguments.stage))
        if arguments.dry_run:
            dry_run(account, bundle.ROOT, arguments.stage, print)
        else:
            print(deploy(account, bundle.ROOT, arguments.stage, print, arguments.bundle))


if __name__ == "__main__":
    main()
