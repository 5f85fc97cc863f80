"""Deploy a stage: the CloudFormation stack, then functions and API with Chalice, then the API's settings, then a test.

Each step changes only what differs, and can be repeated: after a failure, the next run completes the deployment.
"""

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from infra import bundle, chalice_config, cloudformation, smoke, versions
from infra.account import AwsAccount, check_target, open_account
from infra.api_gateway import configure_api
from infra.chalice_config import API_STAGE
from infra.chalice_state import find_functions, find_rest_api, find_rules, read_rest_api_id, write_state
from infra.stage_settings import StageError, StageSettings


class ChaliceError(Exception):
    """Chalice failed. The message contains its output."""


BuildBundle = Callable[[Path], Path]
"""Builds the archive of the project in a folder; returns its path."""


class Prepared(NamedTuple):
    """What `prepare` has read and built."""

    settings: StageSettings
    archive: Path
    build: bundle.Build


def deploy(
    account: AwsAccount,
    project: Path,
    stage: str,
    print_line: Callable[[str], None],
    *,
    tolerates_outage: bool = False,
    build_bundle: BuildBundle = bundle.make_bundle,
) -> str:
    """Deploy a stage of `project`; return the URL of its default endpoint. `print_line` receives a line for each step.

    `tolerates_outage`: see `smoke.check`.
    """
    settings, archive, build = prepare(account, project, stage, print_line, build_bundle)
    outputs = cloudformation.update_stack(account, stage, _parameters(settings))
    former_functions = find_functions(account, stage)
    write_state(account, project, stage, former_functions, find_rest_api(account.client("apigateway"), stage))
    # If Chalice does not find the archive under this name, it builds another one itself.
    if not archive.exists() or bundle.archive_path(project) != archive:
        raise StageError("a file of the app has changed since the bundle was built. Run the command again")
    run_chalice(account, project, "deploy", "--stage", stage)
    api_id, functions = read_rest_api_id(project, stage), find_functions(account, stage)
    # Chalice's update of a rule does not name the rule's state, so a rule that was disabled by hand may stay disabled.
    for rule in find_rules(account, stage, functions):
        account.client("events").enable_rule(Name=rule)
    client, code_hash = account.client("lambda"), versions.code_hash_of(archive.read_bytes())
    for function in functions.values():
        versions.check_code(client, function, code_hash)
    versions.publish(client, cloudformation.shared_name(stage), build, code_hash)
    print_line("functions, API and schedule: deployed")
    url = account.api_url(api_id, API_STAGE)
    configure_api(account.client("apigateway"), api_id, settings)
    print_line("API settings: limits, error responses")
    if settings.domain is not None:
        print_line(f"domain: https://{settings.domain.name} (DNS: CNAME to {outputs['DomainTarget']})")
    advice = f"to bring back what ran before: make rollback STAGE={stage}" if former_functions else ""
    print_line(
        smoke.check(account, stage, build, url, settings.domain, advice=advice, tolerates_outage=tolerates_outage)
    )
    return url


def run_chalice(account: AwsAccount, project: Path, *arguments: str) -> str:
    """Run Chalice in `project`; return its output. Raises ChaliceError if it fails."""
    command, env = [str(Path(sys.executable).with_name("chalice")), *arguments], dict(account.environment)
    run = subprocess.run(
        command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if run.returncode:
        raise ChaliceError(f"chalice {' '.join(arguments)} failed:\n{run.stdout}")
    return run.stdout


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """Exit with the error's message, without a traceback, if the user can do something about the error."""
    try:
        yield
    except NoCredentialsError as error:
        raise SystemExit(f"{error}: set AWS_PROFILE to a profile of ~/.aws/config") from None
    except (BotoCoreError, ClientError, StageError, bundle.BundleError, ChaliceError) as error:
        raise SystemExit(str(error)) from None
    except (KeyboardInterrupt, EOFError):
        raise SystemExit("\ninterrupted: run the same command again, and do what it says") from None


def prepare(
    account: AwsAccount,
    project: Path,
    stage: str,
    print_line: Callable[[str], None],
    build_bundle: BuildBundle = bundle.make_bundle,
) -> Prepared:
    """Check all that can be checked before a change in AWS, and build the bundle.

    If the settings have changed, the files in `.chalice/` are written, too.
    """
    settings = check_target(account, project, stage, print_line)
    cloudformation.check_updatable(account, stage)
    _check_domain(account, stage, settings)
    _check_runtime(account, stage, settings)
    for name in chalice_config.write(project):
        print_line(f".chalice/{name} updated from the stage's settings: commit it")
    print_line("building the bundle")
    archive = build_bundle(project)
    build = bundle.read_build(archive)
    print_line(f"bundle: {build}")
    print_line(f"API: {find_rest_api(account.client('apigateway'), stage) or 'new'}")
    return Prepared(settings, archive, build)


def _check_runtime(account: AwsAccount, stage: str, settings: StageSettings) -> None:
    """Raise StageError if this Python is not the functions' runtime: that of the settings, or else the deployed one."""
    origin, runtime = "the stage's settings", f"python{settings.python}"
    if settings.python is None:
        client, name = account.client("lambda"), cloudformation.shared_name(stage)
        function = cloudformation.none_if_not_found(client.get_function, FunctionName=name)
        origin, runtime = "the deployed function", function["Configuration"]["Runtime"] if function else bundle.RUNTIME
    if runtime != bundle.RUNTIME:
        version, other = runtime.removeprefix("python"), bundle.RUNTIME.removeprefix("python")
        raise StageError(
            f"{origin}: Python {version}, but this is Python {other}. To keep it: make … PYTHON=python{version}. To "
            f'change it: set `python = "{other}"` in infra/stages/{stage}.toml, and commit this'
        )


def _check_domain(account: AwsAccount, stage: str, settings: StageSettings) -> None:
    """Raise StageError if the deployment would delete the domain that the mini-programs call."""
    deployed = cloudformation.read_domain(account, stage)
    if deployed and (settings.domain is None or settings.domain.name != deployed):
        raise StageError(
            f"infra/stages/{stage}.toml must have the [domain] that the stage serves, {deployed}. "
            "Only if nobody calls it any more: delete its mapping in API Gateway, then update the stack with an empty "
            "DomainName"
        )


def _parameters(settings: StageSettings) -> dict[str, str | None]:
    domain = settings.domain
    return {
        "AlarmEmail": settings.alarm_email,
        "DomainName": domain.name if domain else "",
        "CertificateArn": domain.certificate_arn if domain else "",
    }


def main() -> None:
    """Parse the command line and deploy a stage of this project."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--dry-run", action="store_true", help="check and build; change nothing in AWS")
    parser.add_argument("--no-platform", action="store_true", help="it is known that the platform does not answer")
    arguments = parser.parse_args()
    # A deployment calls CreateDeployment twice (once in Chalice), but API Gateway allows one call in 5 s per account:
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
    os.environ |= {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "10"}
    with exit_on_error():
        account = open_account(bundle.ROOT, arguments.stage)
        if arguments.dry_run:
            prepare(account, bundle.ROOT, arguments.stage, print)
        else:
            print(deploy(account, bundle.ROOT, arguments.stage, print, tolerates_outage=arguments.no_platform))


if __name__ == "__main__":
    main()
