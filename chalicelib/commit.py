"""The git commit that this bundle was built from."""

from pathlib import Path

COMMIT_FILE = Path(__file__).parent.parent / "commit.txt"
"""The file that `infra.bundle` writes into the bundle. It is missing from an archive that Chalice has built itself."""


def read_commit() -> str | None:
    """Return the commit, or None if it is unknown. A `+` at its end: a file of the app differs from the commit."""
    return COMMIT_FILE.read_text(encoding="ascii").strip() if COMMIT_FILE.is_file() else None
