"""Build the Lambda bundle: `python -m infra.bundle`. `chalice deploy` and `chalice package` use it unchanged.

Chalice reuses an archive in `.chalice/deployments/` whose name has the hash of its inputs (requirements.txt, app.py,
`chalicelib/`). This module builds it with Chalice's packager, rewrites it, and saves it under that name.

- Packages are installed as wheels from requirements-bundle.txt, which has their hashes, and not boto3, because the
  Lambda runtime has it. When Chalice builds an archive itself, it installs requirements.txt, with boto3.
- Chalice imports the app before it packages it. This import would write .pyc files, which would change the hash. So
  this module writes them first.
- All modules are compiled, because compiling takes half of a cold start. Python checks .pyc files by the hash of their
  source, because zip entries have no useful time stamps.
- Builds are reproducible: fixed time stamps, sorted entries.
- If Chalice builds an archive itself (after an edit), the archive has no `commit.txt`, so its commit is unknown, but
  never wrong.
"""

import compileall
import os
import py_compile
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from chalice.deploy.packager import DependencyBuilder, LambdaDeploymentPackager
from chalice.utils import UI, OSUtils

from chalicelib.aws import SDK_DATA
from chalicelib.settings import COMMIT_FILE
from infra.sdkdata import write_sdk_data

ROOT = Path(__file__).parent.parent
RUNTIME = "python{}.{}".format(*sys.version_info)
TASK_ROOT = "/var/task"
"""Where Lambda unpacks the bundle. Tracebacks show this path."""

LOCK = ROOT / "requirements-bundle.txt"
"""The packages of the bundle with their dependencies and hashes. Written by `make lock`."""

ARCHIVES = ".chalice/deployments"
APP = ("app.py", "chalicelib")
"""File and folder of the app, in the project and in the bundle."""

_VERSION_FILE = "chalicelib/__init__.py"
_FIXED_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_EXCLUDED_SUFFIXES = (".pyc", ".pyi", ".c", "/py.typed", "/__main__.py")
_EXCLUDED_TOP_FOLDER_SUFFIXES = (".dist-info", ".data", "-stubs")
_EXCLUDED_PREFIXES = (
    "aws_lambda_powertools/event_handler/",
    "aws_lambda_powertools/utilities/",
    "aws_xray_sdk/ext/",
    "bin/",
    "charset_normalizer/",
)
# Powertools' logger imports these two.
_KEPT_PREFIXES = ("aws_lambda_powertools/utilities/__init__.py", "aws_lambda_powertools/utilities/jmespath_utils/")


class BundleError(Exception):
    """The bundle cannot be built, or is missing. The message says why."""


class Build(NamedTuple):
    """What a bundle was built from: the app's version and the git commit. None if it is unknown."""

    version: str | None
    commit: str | None

    def __str__(self) -> str:
        return f"version {self.version or 'unknown'}, commit {self.commit or 'unknown'}"


def read_build(archive: Path | IO[bytes]) -> Build:
    """Return what an archive was built from."""
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        texts = [packed.read(name).decode() if name in names else "" for name in (_VERSION_FILE, COMMIT_FILE.name)]
    return Build(parse_version(texts[0]), texts[1] or None)


def parse_version(text: str) -> str | None:
    """Return the version in the source of `chalicelib/__init__.py`."""
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return match[1] if match else None


def read_git_commit(root: Path = ROOT) -> str | None:
    """Return the first 12 hex digits of the git commit in `root`, and `+` if a file of the app differs from the commit.

    A file that git ignores also counts as a difference, because Chalice packages it. Returns None if there is no
    commit, or no git.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    files = *APP, ":(exclude,glob)**/__pycache__/**"
    changes = _git(root, "status", "--porcelain", "--untracked-files=all", "--ignored", "--", *files)
    return f"{commit[:12]}{'' if changes == '' else '+'}"


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints about the repository in `root`, or None if it fails or is not installed."""
    command = ["git", *arguments]
    try:
        run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return None if run.returncode else run.stdout


def make_bundle(root: Path = ROOT) -> Path:
    """Build the archive of the project in `root`; return its path. Raises BundleError if pip or the compiler fails."""
    commit = read_git_commit(root)
    _compile(root / "chalicelib")
    for outdated in list_archives(root / ARCHIVES):
        outdated.unlink()
    archive = Path(_packager().create_deployment_package(str(root), RUNTIME))
    _rewrite(archive, commit)
    return archive


def archive_path(root: Path) -> Path:
    """Return where `chalice deploy` looks for the archive: its name has a hash of the inputs in `root`."""
    return Path(_packager().deployment_package_filename(str(root), RUNTIME))


def list_archives(folder: Path) -> list[Path]:
    """Return the archives in `folder` for this Python."""
    return list(folder.glob(f"*-{RUNTIME}.zip"))


def current_archive(root: Path = ROOT) -> Path:
    """Return the archive that `chalice deploy` would upload; raise BundleError if it is not built."""
    archive = archive_path(root)
    if not archive.exists():
        raise BundleError("the bundle is missing or outdated: run `make bundle`")
    return archive


class _LockedDependencies(DependencyBuilder):
    """Installs the bundle's packages from LOCK, as wheels for the functions' platform."""

    def build_site_packages(self, abi: str, requirements_filepath: str, target_directory: str) -> None:
        """Install the packages; raises BundleError. `requirements_filepath` is not used: it has no hashes."""
        del abi, requirements_filepath
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # Wheels only: if pip built a package itself, this would run code of the package, and a build system without a
        # hash.
        how = ["--require-hashes", "--only-binary=:all:", "--no-deps", "--no-compile"]
        platform = ["--platform=manylinux2014_x86_64", "--platform=manylinux_2_17_x86_64"]
        command = [*pip, *how, *platform, "--target", target_directory, "--requirement", str(LOCK)]
        run = subprocess.run(command, env=_environment(), stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode:
            raise BundleError(f"pip cannot install the packages for {RUNTIME}: {' '.join(run.stderr.split())}")


def _environment() -> dict[str, str]:
    """Return the environment without Python's variables, which could change what is built."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _packager() -> LambdaDeploymentPackager:
    return LambdaDeploymentPackager(OSUtils(), _LockedDependencies(OSUtils()), UI())


def _compile(package: Path) -> None:
    """Remove the old .pyc files of a package, which Chalice includes in the hash; compile it and its sub-packages."""
    for cache in list(package.rglob("__pycache__")):
        shutil.rmtree(cache)
    hash_based = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(package, quiet=1, invalidation_mode=hash_based)


def _rewrite(archive: Path, commit: str | None) -> None:
    """Remove unused files from the archive, add .pyc files, SDK data and commit, and pack it reproducibly."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive) as original:
            original.extractall(folder, [name for name in original.namelist() if _is_included(name)])
        # Delete the archive now: if one of the next steps fails, no incomplete archive remains.
        archive.unlink()
        write_sdk_data(Path(folder) / SDK_DATA.name)
        if commit is not None:
            (Path(folder) / COMMIT_FILE.name).write_text(commit, encoding="ascii")
        compile_modules(Path(folder))
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in files:
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _FIXED_TIMESTAMP)
                entry.external_attr = (stat.S_IFREG | 0o644) << 16
                packed.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def compile_modules(folder: Path) -> None:
    """Add the .pyc file of each module in an unpacked bundle; raises BundleError that names the place of an error.

    A separate process compiles, because strings that this process has interned would change the bytes of the .pyc
    files. That process ignores Python's variables, the working folder and the user's packages: each of these could
    change the .pyc files, or leave some out, without an error.
    """
    options = ["-q", "--invalidation-mode", "checked-hash", "-s", str(folder), "-p", TASK_ROOT]
    command = [sys.executable, "-P", "-s", "-m", "compileall", *options, str(folder)]
    run = subprocess.run(
        command, env=_environment() | {"PYTHONHASHSEED": "0"}, stdout=subprocess.PIPE, text=True, check=False
    )
    if run.returncode:
        raise BundleError(" ".join(run.stdout.split()))


def _is_included(name: str) -> bool:
    """Return whether an archive entry belongs in the bundle."""
    path = PurePosixPath(name)
    if name.endswith(_EXCLUDED_SUFFIXES) or path.parts[0].endswith(_EXCLUDED_TOP_FOLDER_SUFFIXES):
        return False
    return name.startswith(_KEPT_PREFIXES) or not name.startswith(_EXCLUDED_PREFIXES)


def main() -> None:
    """Build the bundle."""
    try:
        archive = make_bundle()
    except BundleError as error:
        raise SystemExit(str(error)) from None
    print(f"{archive.relative_to(ROOT)}: {archive.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
