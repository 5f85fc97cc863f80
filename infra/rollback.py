"""Bring back the code that a stage had before, from a published version of its HTTP function.

All functions of a stage have the same code. Only the code changes: variables, routes and the stack stay as
they are, and the smoke test says whether the code fits them. Nothing is built, and no package registry is used.
"""

import argparse
import io
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import requests

from infra import smoke, versions
from infra.account import AwsAccount, check_target, open_account
from infra.bundle import ROOT, read_build
from infra.chalice_config import API_STAGE
from infra.chalice_state import API_HANDLER, find_functions, find_rest_api
from infra.deploy import exit_on_error
from infra.stage_settings import StageError
from infra.versions import Version

MAX_LISTED = 10
_DOWNLOAD_SECONDS = 60.0


def rollback(
    account: AwsAccount,
    project: Path,
    stage: str,
    print_line: Callable[[str], None],
    commit: str | None = None,
    *,
    dry_run: bool = False,
    tolerates_outage: bool = False,
) -> None:
    """Restore the build before the one that runs, or that of `commit`; with `dry_run`, only list the builds.

    Raises StageError if there is no such build. `tolerates_outage`: see `smoke.check`.
    """
    settings = check_target(account, project, stage, print_line)
    client, functions = account.client("lambda"), find_functions(account, stage)
    api_id = find_rest_api(account.client("apigateway"), stage)
    if API_HANDLER not in functions or api_id is None:
        raise StageError(f"stage {stage} has no function or no API; make deploy STAGE={stage} creates them")
    running, published = versions.read_versions(client, functions[API_HANDLER])
    # List each build once, with the time of its first deployment. The build that was published last comes first.
    for version in [*{version.code_hash: version for version in published}.values()][:MAX_LISTED]:
        mark = " (runs now)" if version.code_hash == running.code_hash else ""
        print_line(f"build {version.build_text}, {version.modified_at}{mark}")
    code_hashes = {client.get_function_configuration(FunctionName=arn)["CodeSha256"] for arn in functions.values()}
    target = choose_build(code_hashes, running, published, commit)
    print_line(f"rollback to {target.build_text}")
    if target.runtime != running.runtime:
        raise StageError(
            f"that build has {target.runtime}, not {running.runtime}: git checkout {target.commit}, then make deploy "
            f"STAGE={stage}"
        )
    if dry_run:
        return
    archive = download(client, functions[API_HANDLER], target)
    for name in functions:
        client.update_function_code(FunctionName=functions[name], ZipFile=archive)
        versions.wait_until_updated(client, functions[name])
        print_line(f"function {name}: {target.build_text}")
    build = read_build(io.BytesIO(archive))
    # Publish this build again, as the newest version. After the next deployment, a rollback looks for it there.
    versions.publish(client, functions[API_HANDLER], build, target.code_hash, versions.ROLLBACK_SUFFIX)
    url = account.api_url(api_id, API_STAGE)
    advice = (
        f"the former code runs, {target.build_text}. If the platform does not answer, no further rollback helps. If "
        f"the code does not fit routes or settings: git checkout {target.commit}, then make deploy STAGE={stage}"
    )
    print_line(
        smoke.check(account, stage, build, url, settings.domain, advice=advice, tolerates_outage=tolerates_outage)
    )


def choose_build(code_hashes: Set[str], running: Version, published: list[Version], commit: str | None) -> Version:
    """Return the newest version of `commit`; without `commit`, the version that ran before the present one.

    If there are builds of `commit` with and without `+`, choose as `commit` says.

    `code_hashes` has the hash of each function's code. Raises StageError if there is no such version, or if it is
    unknown what ran before. This is unknown after a deployment or rollback that ended half-way: the functions have
    different code, or the running code is published, but not as the newest version.
    """
    if commit is not None:
        # A build has the first 12 digits of its commit, and a `+` if files of the app were edited.
        prefix, is_edited = commit.rstrip("+")[:12], commit.endswith("+")
        of_commit = [version for version in published if prefix and version.commit.startswith(prefix)]
        if not of_commit:
            raise StageError(f"no build of commit {commit}")
        return next((version for version in of_commit if version.build_text.endswith("+") == is_edited), of_commit[0])
    published_hashes = [version.code_hash for version in published]
    is_history_known = running.code_hash in published_hashes[:1] or running.code_hash not in published_hashes
    if len(code_hashes) > 1 or not is_history_known:
        raise StageError(
            "a deployment or rollback has ended half-way, so it is not known what ran before. Nothing was changed. "
            "TO=<commit> names a build"
        )
    former = [version for version in versions.list_history(published) if version.code_hash != running.code_hash]
    if not former:
        raise StageError("no older build; TO=<commit> names another one")
    return former[-1]


def download(client: Any, function: str, version: Version) -> bytes:
    """Return the archive of a published version; raises StageError if it is not complete."""
    url = client.get_function(FunctionName=function, Qualifier=str(version.number))["Code"]["Location"]
    try:
        response = requests.get(url, timeout=_DOWNLOAD_SECONDS)
    except requests.RequestException as error:
        # The message of the error would contain the URL, which gives access to the code.
        raise StageError(f"the code cannot be downloaded ({type(error).__name__})") from None
    if response.status_code != 200 or versions.code_hash_of(response.content) != version.code_hash:
        raise StageError(f"the downloaded code is not the deployed one (HTTP {response.status_code})")
    return response.content


def main() -> None:
    """Parse the command line and roll a stage back."""
    parser = argparse.ArgumentParser(prog="python -m infra.rollback", description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--to", metavar="COMMIT", help="the commit to go back to; default: the build before this one")
    parser.add_argument("--dry-run", action="store_true", help="list the builds; change nothing")
    parser.add_argument("--no-platform", action="store_true", help="it is known that the platform does not answer")
    arguments = parser.parse_args()
    with exit_on_error():
        account = open_account(ROOT, arguments.stage)
        options = {"dry_run": arguments.dry_run, "tolerates_outage": arguments.no_platform}
        rollback(account, ROOT, arguments.stage, print, arguments.to, **options)


if __name__ == "__main__":
    main()
