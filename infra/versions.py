"""Published Lambda versions: each deployment publishes the code of both functions, so that a rollback can restore it.

The functions keep serving `$LATEST`; the versions only keep code and configuration.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from infra.bundle import Build
from infra.stage_settings import StageError

KEPT_VERSIONS = 10
"""Older versions of a function are deleted."""

_DOWNLOAD_SECONDS = 60.0
_COMMIT = re.compile(r"[0-9a-f]{7,40}\+?")


@dataclass(frozen=True)
class Version:
    """A published version of a function, or with `number` 0 what it serves now. `code` is Lambda's hash of the code.

    Versions are equal if they have the same code and the same configuration that a rollback depends on.
    """

    number: int = field(compare=False)
    code: str
    description: str = field(compare=False)
    runtime: str
    architecture: str
    variables: Mapping[str, str]

    @property
    def commit(self) -> str | None:
        """The commit in the description, None if it has none."""
        match = re.search(r"commit ([0-9a-f]+\+?)(?:,|$)", self.description)
        return match[1] if match else None

    def redeploy_advice(self, stage: str) -> str:
        """Return the advice to deploy this build again, with its settings, which replace the present ones."""
        return f"git checkout {(self.commit or '<its commit>').rstrip('+')}, then make deploy STAGE={stage}"


@dataclass(frozen=True)
class History:
    """What a function serves, and its published versions, the newest first."""

    running: Version
    published: tuple[Version, ...]


def read_history(client: Any, function_name: str) -> History:
    """Read the versions of a function."""
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=function_name)
    versions = [_parse(configuration) for page in pages for configuration in page["Versions"]]
    published = sorted((v for v in versions if v.number), key=lambda version: -version.number)
    return History(next(version for version in versions if not version.number), tuple(published))


def choose_build(history: History, commit: str | None) -> Version:
    """Return the version to restore; raises StageError if there is none, or `commit` is needed to select one."""
    running, published = history.running, history.published
    if commit is not None:
        if not _COMMIT.fullmatch(commit):
            raise StageError(f"TO={commit}: a commit has at least 7 hex digits")
        # A build has the first 12 digits of its commit.
        kept = commit[:12] if len(commit) >= 40 else commit
        found = [version for version in published if (version.commit or "").startswith(kept)]
        others = [version for version in found if version != running]
        if found and not others:
            raise StageError(f"commit {commit} runs already")
        if not others:
            raise StageError(f"no kept build of commit {commit}; check it out and run make deploy")
        return others[0]
    same_code = [version for version in published if version.code == running.code]
    if not same_code:
        # What runs was not published: every version is older.
        candidates = list(published)
    elif published[0] != running:
        raise StageError("a rollback, or a change by hand, followed the last deployment; TO=<commit> selects a build")
    else:
        # What ran between two deployments of the same code has been rolled back.
        candidates = [version for version in published if version.number < same_code[-1].number]
    if not candidates:
        raise StageError("no older build can be restored; TO=<commit> selects another one that is kept")
    return candidates[0]


def publish(
    client: Any,
    function_name: str,
    build: Build | None = None,
    code: str | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Publish what a function serves, unless it is the newest version already; keep the newest KEPT_VERSIONS.

    Without `build`, the description is that of a published version with the same code, or says that it is unknown.
    Raises StageError if the function serves other code than that with the hash `code`.
    """
    wait_until_updated(client, function_name)
    history = read_history(client, function_name)
    running, published = history.running, history.published
    if code not in (None, running.code):
        raise StageError(
            f"function {function_name} serves other code than was just deployed: another deployment runs at the same "
            "time. Run the command again when it has ended"
        )
    if not published or published[0] != running:
        description = next((version.description for version in published if version.code == running.code), "")
        if build is not None or not description:
            description = f"{build or Build(None, None)}, {now():%Y-%m-%dT%H:%M:%SZ}"
        client.publish_version(FunctionName=function_name, CodeSha256=running.code, Description=description)
    for version in read_history(client, function_name).published[KEPT_VERSIONS:]:
        client.delete_function(FunctionName=function_name, Qualifier=str(version.number))


def download(client: Any, function_name: str, version: Version) -> bytes:
    """Return the archive of a published version; raises StageError if it is not complete."""
    url = client.get_function(FunctionName=function_name, Qualifier=str(version.number))["Code"]["Location"]
    try:
        response = requests.get(url, timeout=_DOWNLOAD_SECONDS)
    except requests.RequestException as error:
        # The message of the error would contain the URL, which gives access to the code.
        raise StageError(f"{function_name}: the code cannot be downloaded ({type(error).__name__})") from None
    if response.status_code != 200 or code_hash(response.content) != version.code:
        raise StageError(f"{function_name}: the downloaded code is not the deployed one (HTTP {response.status_code})")
    return response.content


def code_hash(archive: bytes) -> str:
    """Return the SHA-256 of an archive, as Lambda reports it."""
    return base64.b64encode(hashlib.sha256(archive).digest()).decode()


def wait_until_updated(client: Any, function_name: str) -> None:
    """Wait until the last change of a function is complete."""
    client.get_waiter("function_active_v2").wait(FunctionName=function_name)
    client.get_waiter("function_updated_v2").wait(FunctionName=function_name)


def _parse(configuration: Mapping[str, Any]) -> Version:
    number = configuration["Version"]
    return Version(
        number=0 if number == "$LATEST" else int(number),
        code=configuration["CodeSha256"],
        description=configuration.get("Description", ""),
        runtime=configuration["Runtime"],
        architecture=configuration["Architectures"][0],
        variables=configuration.get("Environment", {}).get("Variables", {}),
    )
