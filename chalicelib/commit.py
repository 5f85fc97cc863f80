"""The git commit that this bundle was built from."""

import functools
from pathlib import Path

COMMIT_FILE = Path(__file__).parent.parent / "commit.txt"
"""The file that `infra.bundle` writes into the bundle. After a plain `chalice deploy` it is missing."""


@functools.cache
def read_commit() -> str | None:
    """Return the commit, with `+` at its end if a file of the app differs; None if it is unknown."""
    try:
        return COMMIT_FILE.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
