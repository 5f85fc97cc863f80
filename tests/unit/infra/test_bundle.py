"""Which commit a bundle reports, and what stops a build."""

import subprocess
import zipfile
from pathlib import Path

import pytest
from chalice.utils import OSUtils

from infra import bundle
from infra.bundle import (
    RUNTIME,
    BundleError,
    read_git_commit,
)

IDENTITY = "git config user.name a; git config user.email a@example.com;"


def run(folder: Path, script: str) -> str:
    """Run a script in a folder; return what it prints."""
    command = ["bash", "-e", "-c", script]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with an app, without a change."""
    clone = tmp_path / "clone"
    (clone / "chalicelib").mkdir(parents=True)
    (clone / "app.py").write_text("first\nsecond\n")
    (clone / "chalicelib" / "__init__.py").write_text('__version__ = "1"\n')
    (clone / "chalicelib" / "py.typed").write_text("left out of the bundle")
    (clone / ".gitignore").write_text("*.local\n__pycache__/\n")
    run(clone, f"git init --quiet; {IDENTITY} git add .; git commit --quiet -m x")
    return clone


def head(clone: Path) -> str:
    return run(clone, "git rev-parse HEAD")[:12]


@pytest.mark.parametrize(
    "script",
    [
        "echo changed > app.py",
        "touch chalicelib/new.py",
        "ln -s ../app.py chalicelib/link.py",
        "rm chalicelib/__init__.py",
        "touch chalicelib/settings.local",
    ],
)
def test_a_changed_additional_or_missing_file_of_the_app_is_a_plus(clone: Path, script: str) -> None:
    run(clone, script)
    assert read_git_commit(clone) == f"{head(clone)}+"


def test_without_a_change_of_the_app_there_is_no_plus(clone: Path) -> None:
    run(clone, "echo x > notes.txt; mkdir chalicelib/__pycache__; touch chalicelib/__pycache__/x.pyc")
    assert read_git_commit(clone) == head(clone)


def test_without_a_repository_or_a_commit_nothing_is_known(tmp_path: Path) -> None:
    assert read_git_commit(tmp_path) is None
    run(tmp_path, "git init --quiet")
    assert read_git_commit(tmp_path) is None


def rewrite(clone: Path, files: dict[str, str]) -> Path:
    """Complete an archive with these files, as a build of a clone does, and return it."""
    archive = clone.parent / "archive.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    bundle._rewrite(archive, read_git_commit(clone))
    return archive


@pytest.fixture
def sources(clone: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files of the clone's app. An archive of them gets no SDK data, which take a second."""
    monkeypatch.setattr(bundle, "write_sdk_data", lambda _: None)
    return {name: (clone / name).read_text() for name in ("app.py", "chalicelib/__init__.py", "chalicelib/py.typed")}


def test_a_file_that_is_no_python_fails_the_build_with_its_place(clone: Path, sources: dict[str, str]) -> None:
    with pytest.raises(BundleError, match=r"app\.py.*SyntaxError"):
        rewrite(clone, {**sources, "app.py": "x = ("})


def test_a_package_with_another_hash_fails_the_build_with_what_pip_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample-1.0-py3-none-any.whl").write_bytes(b"not read")
    (tmp_path / "lock.txt").write_text(f"# locked\nsample==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(bundle, "LOCK", tmp_path / "lock.txt")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(BundleError, match=f"^pip cannot install the packages for {RUNTIME}: .*Expected sha256 0{{64}}"):
        bundle._LockedDependencies(OSUtils()).build_site_packages("", "", str(tmp_path / "target"))
