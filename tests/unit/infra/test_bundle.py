"""Which commit a bundle reports, and what stops a build."""

import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra import bundle
from infra.bundle import (
    ARM64,
    RUNTIME,
    X86_64,
    BundleError,
    extension_suffix,
    install_vendored,
    read_build,
    read_commit,
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
    ],
)
def test_a_changed_additional_or_missing_file_of_the_app_is_a_plus(clone: Path, script: str) -> None:
    run(clone, script)
    assert read_commit(clone) == f"{head(clone)}+"


FSMONITOR = """
printf '#!/bin/sh\\nprintf token\\\\0' > .git/monitor
chmod +x .git/monitor
git config core.fsmonitor .git/monitor
git update-index --fsmonitor
git status
echo changed > app.py
"""
"""A hook that says that nothing has changed."""


@pytest.mark.parametrize(
    "script",
    [
        "touch chalicelib/settings.local",
        "git update-index --assume-unchanged app.py; echo changed > app.py",
        "git update-index --skip-worktree app.py; echo changed > app.py",
        FSMONITOR,
        "git config core.autocrlf true; printf 'first\\r\\nsecond\\r\\n' > app.py; git add app.py",
        "echo '*.py text' > .git/info/attributes; printf 'first\\r\\nsecond\\r\\n' > app.py; git add app.py",
        "echo changed > app.py; git add app.py; git replace HEAD $(git commit-tree $(git write-tree) -m x)",
    ],
    ids=["ignored", "assume-unchanged", "skip-worktree", "fsmonitor", "autocrlf", "attributes", "replaced"],
)
def test_a_change_that_git_does_not_show_is_a_plus(clone: Path, script: str) -> None:
    run(clone, script)
    assert run(clone, "git status --porcelain") == ""
    assert read_commit(clone) == f"{head(clone)}+"


def test_another_repository_in_the_environment_is_not_asked(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(clone, tmp_path / "other")
    run(tmp_path / "other", "echo changed > app.py; git commit --quiet -a -m changed")
    run(clone, "echo changed > app.py")
    expected = f"{head(clone)}+"
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert read_commit(clone) == expected


def test_without_a_change_of_the_app_there_is_no_plus(clone: Path) -> None:
    run(clone, "echo x > notes.txt; mkdir chalicelib/__pycache__; touch chalicelib/__pycache__/x.pyc; rm .gitignore")
    assert read_commit(clone) == head(clone)


def test_without_a_repository_or_a_commit_nothing_is_known(tmp_path: Path) -> None:
    assert read_commit(tmp_path) is None
    run(tmp_path, "git init --quiet")
    assert read_commit(tmp_path) is None


def rewrite(clone: Path, files: dict[str, str], architecture: str = X86_64) -> Path:
    """Complete an archive with these files, as a build of a clone does, and return it."""
    archive = clone.parent / "archive.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    bundle._rewrite(archive, clone, architecture)
    return archive


@pytest.fixture
def sources(clone: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files of the clone's app. An archive of them gets no SDK data, which take a second."""
    monkeypatch.setattr(bundle, "write_sdk_data", lambda _: None)
    return {name: (clone / name).read_text() for name in ("app.py", "chalicelib/__init__.py", "chalicelib/py.typed")}


def test_the_commit_is_that_of_the_files_in_the_archive(clone: Path, sources: dict[str, str]) -> None:
    """Not of those that are in the clone when the archive is complete."""
    assert read_build(rewrite(clone, sources)) == ("1", head(clone))
    assert read_build(rewrite(clone, {**sources, "app.py": "# other"})) == ("1", f"{head(clone)}+")
    run(clone, "echo '# other' > app.py")
    assert read_build(rewrite(clone, sources)) == ("1", head(clone))


@pytest.mark.parametrize(
    ("suffix", "architecture", "fits"),
    [
        (extension_suffix(X86_64), X86_64, True),
        (extension_suffix(ARM64), ARM64, True),
        (extension_suffix(ARM64), X86_64, False),
        (".cpython-39-x86_64-linux-gnu.so", X86_64, False),
        (".cpython-313-darwin.so", X86_64, False),
        (".so", X86_64, False),
    ],
)
def test_an_extension_module_for_another_python_or_platform_is_refused(
    clone: Path, sources: dict[str, str], suffix: str, architecture: str, *, fits: bool
) -> None:
    files = {**sources, f"msgspec/_core{suffix}": ""}
    if fits:
        assert rewrite(clone, files, architecture).exists()
        return
    with pytest.raises(BundleError, match=f"^_core{suffix}: not for {RUNTIME} and {architecture}"):
        rewrite(clone, files, architecture)
    assert not (clone.parent / "archive.zip").exists(), "no later run may find it"


def test_a_file_that_is_no_python_fails_the_build_with_its_place(clone: Path, sources: dict[str, str]) -> None:
    with pytest.raises(BundleError, match=r"app\.py.*SyntaxError"):
        rewrite(clone, {**sources, "app.py": "x = ("})


def test_what_surrounds_the_build_does_not_change_what_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled, around = tmp_path / "bundle", tmp_path / "around"
    bundled.mkdir()
    around.mkdir()
    (bundled / "app.py").write_text("assert True\n")
    bundle.compile_modules(bundled)
    [compiled] = (bundled / "__pycache__").iterdir()
    expected = compiled.read_bytes()
    compiled.unlink()
    (around / "compileall.py").write_text("")
    (around / "sitecustomize.py").write_text("import sys; sys.dont_write_bytecode = True; sys.exit(0)")
    monkeypatch.chdir(around)
    for name, value in {"PATH": str(around), "OPTIMIZE": "2", "PYCACHEPREFIX": str(around / "cache")}.items():
        monkeypatch.setenv(f"PYTHON{name}", value)
    bundle.compile_modules(bundled)
    assert compiled.read_bytes() == expected


@pytest.mark.parametrize("kind", ["link", "broken link", "file"])
def test_a_vendor_folder_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    """Chalice would package what a link leads to."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "extra.py").write_text("")
    if kind == "file":
        (tmp_path / "vendor").write_text("")
    else:
        (tmp_path / "vendor").symlink_to(tmp_path / ("elsewhere" if kind == "link" else "nowhere"))
    with pytest.raises(BundleError, match=r"^.*/vendor cannot be removed: "):
        install_vendored(tmp_path)
    assert (tmp_path / "elsewhere" / "extra.py").exists()


def test_a_vendor_folder_with_a_file_that_cannot_be_removed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vendor").mkdir()

    def refuse(*_: Any, **options: Any) -> None:
        if not options.get("ignore_errors"):
            raise PermissionError(13, "Permission denied", "extra.py")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(BundleError, match=r"^.*/vendor cannot be removed: .*'extra\.py'"):
        install_vendored(tmp_path)
