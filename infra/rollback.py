"""Bring back the code that a stage had before: both functions, from their published Lambda versions.

It changes code and architecture. Runtime, settings, routes and the stack stay as they are; code that does not fit them
is refused. Nothing is built, and no package registry is used.
"""

import argparse
import ast
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra import smoke, versions
from infra.account import Account, begin, open_account
from infra.api_gateway import list_routes
from infra.bundle import ROOT, read_build
from infra.chalice_config import API_STAGE
from infra.chalice_state import find_rest_api, function_names
from infra.cloudformation import none_if_not_found
from infra.deploy import exit_on_error
from infra.stage_settings import StageError
from infra.versions import History, Version

# The API's function is changed last. It counts as what runs, so a rollback that failed half-way can be repeated.
_ORDER = ("refresh_tokens", "api_handler")


def rollback(
    account: Account,
    project: Path,
    stage: str,
    report: Callable[[str], None],
    commit: str | None = None,
    *,
    dry_run: bool = False,
    no_platform: bool = False,
) -> None:
    """Restore the build before the one that runs, or that of `commit`; with `dry_run`, only list the builds.

    Raises StageError if there is no such build, or it does not fit what is deployed. `no_platform`: see `smoke.check`.
    """
    settings = begin(account, project, stage, report)
    client, apigateway, functions = account.client("lambda"), account.client("apigateway"), function_names(stage)
    histories = {}
    for name in functions.values():
        if none_if_not_found(client.get_function, FunctionName=name) is None:
            raise StageError(f"function {name} does not exist; make deploy STAGE={stage} creates it")
        histories[name] = versions.read_history(client, name)
    api_id = find_rest_api(apigateway, stage, settings)
    if api_id is None:
        raise StageError(f"stage {stage} has no API; make deploy STAGE={stage} creates it")
    api_history = histories[functions["api_handler"]]
    _report_builds(api_history, report)
    target = versions.choose_build(api_history, commit)
    report(f"rollback to {target.description}")
    names = [functions[key] for key in _ORDER]
    restored = {name: _find_version(histories[name], target, name, stage) for name in names}
    for name, version in restored.items():
        _check_settings(name, version, histories[name].running, stage)
    archives = {name: versions.download(client, name, version) for name, version in restored.items()}
    archive = archives[functions["api_handler"]]
    _check_routes(read_routes(archive), list_routes(apigateway, api_id), target, stage)
    if dry_run:
        return
    for name, version in restored.items():
        _restore(client, name, version, archives[name])
        report(f"function {name}: {version.description}")
    is_disabled = apigateway.get_rest_api(restApiId=api_id).get("disableExecuteApiEndpoint")
    url = None if is_disabled else account.api_url(api_id, API_STAGE)
    advice = f"the former code runs, {target.description}: if the platform does not answer, no further rollback helps"
    options: Any = {"domain": settings.domain, "way_back": advice, "no_platform": no_platform}
    report(smoke.check(account, stage, read_build(io.BytesIO(archive)), url, **options))


def read_routes(archive: bytes) -> set[tuple[str, str]]:
    """Return path and method of each route in an archive's `app.py`. All arguments there are literals."""
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        tree = ast.parse(packed.read("app.py"))
    routes = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "app.route":
            options = {word.arg: word.value for word in node.keywords}
            methods = ast.literal_eval(options["methods"]) if "methods" in options else ["GET"]
            routes |= {(ast.literal_eval(node.args[0]), method) for method in methods}
    return routes


def _report_builds(history: History, report: Callable[[str], None]) -> None:
    # The newest of them, if a build was published again.
    running = next((version for version in history.published if version == history.running), None)
    if running is None:
        report("runs now: a build that no deployment has published")
    for version in history.published:
        marks = ["runs now"] if version is running else []
        if version.variables != history.running.variables:
            marks.append("other environment variables than deployed")
        report("  ".join(["build", version.description, *(f"({mark})" for mark in marks)]))


def _find_version(history: History, target: Version, name: str, stage: str) -> Version:
    """Return the version of a function that is the same build as `target`."""
    for version in history.published:
        if version == target:
            return version
    raise StageError(f"function {name} has no kept version of {target.description}; {target.redeploy_advice(stage)}")


def _check_settings(name: str, version: Version, running: Version, stage: str) -> None:
    if names := ", ".join(sorted(dict(version.variables.items() ^ running.variables.items()))):
        raise StageError(f"function {name} had other environment variables ({names}); {version.redeploy_advice(stage)}")
    # Code and runtime are changed one after the other: between them, no new instance could start.
    if version.runtime != running.runtime:
        raise StageError(f"that build has {version.runtime}, not {running.runtime}; {version.redeploy_advice(stage)}")


def _check_routes(routes: set[tuple[str, str]], deployed: set[tuple[str, str]], target: Version, stage: str) -> None:
    if different := ", ".join(sorted(f"{method} {path}" for path, method in routes ^ deployed)):
        raise StageError(f"the build has other routes than are deployed ({different}); {target.redeploy_advice(stage)}")


def _restore(client: Any, name: str, version: Version, archive: bytes) -> None:
    client.update_function_code(FunctionName=name, ZipFile=archive, Architectures=[version.architecture])
    versions.wait_until_updated(client, name)


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
        options = {"dry_run": arguments.dry_run, "no_platform": arguments.no_platform}
        rollback(account, ROOT, arguments.stage, print, arguments.to, **options)


if __name__ == "__main__":
    main()
