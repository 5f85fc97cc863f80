"""Published Lambda versions of the HTTP function. Deployments and rollbacks publish them; a rollback restores one.

The functions serve `$LATEST`. All functions of a stage have the same code.
"""

import base64
import hashlib
import re
from typing import Any, NamedTuple

from infra.bundle import Build
from infra.stage_settings import StageError

ROLLBACK_SUFFIX = " (rollback)"
"""The end of the description of a version that a rollback has published."""


class Version(NamedTuple):
    """What the function serves (`$LATEST`, `number` 0), or a published version."""

    number: int
    code_hash: str
    description: str
    runtime: str
    modified_at: str

    @property
    def build_text(self) -> str:
        """The build, such as "version 0.14.0, commit 0123456789ab"."""
        return self.description.removesuffix(ROLLBACK_SUFFIX)

    @property
    def commit(self) -> str:
        """The commit in the description, without `+`; or ""."""
        match = re.search(r"commit ([0-9a-f]+)", self.description)
        return match[1] if match else ""


def read_versions(client: Any, function_name: str) -> tuple[Version, list[Version]]:
    """Return what a function serves, and its published versions, the newest first."""
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=function_name)
    versions = [
        Version(
            0 if configuration["Version"] == "$LATEST" else int(configuration["Version"]),
            configuration["CodeSha256"],
            configuration.get("Description", ""),
            configuration["Runtime"],
            configuration["LastModified"],
        )
        for page in pages
        for configuration in page["Versions"]
    ]
    running, *published = sorted(versions)
    return running, published[::-1]


def list_history(published: list[Version]) -> list[Version]:
    """Return the builds that ran one after the other, the newest last; `published` has the newest first.

    A rollback removes the builds after its target from the history, so a second rollback goes one build further back.
    """
    history: list[Version] = []
    for version in reversed(published):
        is_rollback = version.description.endswith(ROLLBACK_SUFFIX)
        if is_rollback and version.code_hash in {former.code_hash for former in history}:
            while history[-1].code_hash != version.code_hash:
                history.pop()
        elif not history or history[-1].code_hash != version.code_hash:
            history.append(version)
    return history


def publish(client: Any, function_name: str, build: Build, code_hash: str, suffix: str = "") -> None:
    """Publish a version of what a function serves now. Lambda does nothing if its newest version is the same."""
    client.publish_version(FunctionName=function_name, CodeSha256=code_hash, Description=f"{build}{suffix}")


def check_code(client: Any, function_name: str, code_hash: str) -> None:
    """Wait until a function is active; raise StageError if the hash of its code is not `code_hash`."""
    wait_until_updated(client, function_name)
    if client.get_function_configuration(FunctionName=function_name)["CodeSha256"] != code_hash:
        raise StageError(
            f"function {function_name} serves other code than was just deployed: another deployment runs at the same "
            "time. Run the command again when it has ended"
        )


def code_hash_of(archive: bytes) -> str:
    """Return the SHA-256 of an archive, as Lambda reports it."""
    return base64.b64encode(hashlib.sha256(archive).digest()).decode()


def wait_until_updated(client: Any, function_name: str) -> None:
    """Wait until the last change of a function is complete."""
    client.get_waiter("function_active_v2").wait(FunctionName=function_name)
    client.get_waiter("function_updated_v2").wait(FunctionName=function_name)
