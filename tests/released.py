"""The released version: a commit in the history of this repository."""

import subprocess

from infra.bundle import ROOT

RELEASED = "78cd160b3153"
"""The commit of version 0.13.0."""


def read_released(name: str) -> str:
    """Return the text of a file of the released version."""
    command = ["git", "-C", str(ROOT), "show", f"{RELEASED}:{name}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"the released commit is not in this clone (git fetch --unshallow): {run.stderr}"
    return run.stdout
