"""The released version: a commit in the history of this repository."""

import subprocess

import pytest

from infra.bundle import ROOT

RELEASED = "47f43546d902"
"""The commit of version 0.14.0."""


def read_released(name: str) -> str:
    """Return the text of a file of the released version; skip the test in a clone without the history."""
    command = ["git", "-C", str(ROOT), "show", f"{RELEASED}:{name}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode and (ROOT / ".git" / "shallow").exists():
        pytest.skip("the released version is not in this shallow clone: git fetch --unshallow")
    assert run.returncode == 0, run.stderr
    return run.stdout
