"""Which commit a bundle reports, what stops a build, and the pinned versions of its packages."""

import re
import subprocess
from pathlib import Path

import pytest
from chalice.utils import OSUtils

from infra import bundle
from infra.bundle import LOCK, ROOT, RUNTIME, BundleError, read_git_commit

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


def test_a_file_that_is_no_python_fails_the_build_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x = (")
    with pytest.raises(BundleError, match=r"app\.py.*SyntaxError"):
        bundle.compile_modules(tmp_path)


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


PINS = re.compile(r"^([\w.-]+)(?:\[\w+\])?==(\S+)", re.MULTILINE)


def read_pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {normalize(name): version for name, version in PINS.findall(text)}


def normalize(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_bundle_has_the_tested_versions_with_hashes_and_no_second_botocore() -> None:
    locked, required, tested = map(read_pins, (LOCK.name, "requirements.txt", "constraints.txt"))
    assert required | locked == {name: tested[name] for name in required | locked}
    assert required.keys() - locked.keys() == {"boto3"}
    assert "botocore" not in locked
    entries = re.split(r"^(?=[\w.-]+==)", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
