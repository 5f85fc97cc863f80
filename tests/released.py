"""The released version: a commit in the history of this repository."""

import os
import subprocess

import pytest

from infra.bundle import ROOT

RELEASED = "47f43546d902"
"""The commit of version 0.14.0."""


def read_released(name: str) -> str:
    """Return the text of a file of the released version; skip the test in a copy without the history."""
    command = ["git", "-C", str(ROOT), "show", f"{RELEASED}:{name}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        assert "CI" not in os.environ, run.stderr
        pytest.skip("the released version is not in this repository; in a shallow clone: git fetch --unshallow")
    return run.stdout
