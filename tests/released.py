"""The released version: a commit in the history of this repository."""

import subprocess

import pytest

from infra.bundle import ROOT

RELEASED = "47f43546d902"
"""The commit of version 0.14.0."""


def read_released(name: str) -> str:
    """Return the text of a file of the released version; skip the test in a copy without the history."""
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "cat-file", "-e", RELEASED], capture_output=True, check=False).returncode:
        pytest.skip("the released version is not in this repository; in a shallow clone: git fetch --unshallow")
    return subprocess.run([*git, "show", f"{RELEASED}:{name}"], capture_output=True, text=True, check=True).stdout
