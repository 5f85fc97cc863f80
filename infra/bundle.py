"""The Lambda bundle: `python -m infra.bundle` makes it, `chalice deploy` and `chalice package` then take it as it is.

Chalice keeps what it packs in `.chalice/deployments/`, named by a hash of what it was made from (requirements.txt, the
app, `vendor/`), and sends an archive that is there instead of making one. This makes that archive with Chalice's own
packager and takes out of it what never runs; when anything it was made from changes, Chalice no longer takes it. Things
that are special:

- aws-xray-sdk asks for botocore, and a second botocore (20 MB) would shadow the Lambda runtime's own. So the SDK goes
  into `vendor/` without its dependencies; what else it needs (wrapt) stands in requirements.txt.
- The app's .pyc are made beforehand, or Chalice, which imports the app before it packs, would write them and so change
  what is hashed. They are checked against the source's hash when they are loaded, so a stale one never runs.
- Powertools carries an event handler and utilities that are half of the whole bundle and are not used here; requests
  carries what guesses encodings, and nobody asks it to.
- Lambda's disk is read-only and no .pyc is ever written there: half of a start would be compiling. So all of them are
  in the archive, and each is checked against its source when it is loaded, whatever the dates in a zip say.
- botocore's own data is read from a small copy (see `sdkdata`).
- The same sources give the same bytes: no dates, one order.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from chalice.deploy.packager import DependencyBuilder, LambdaDeploymentPackager
from chalice.utils import UI, OSUtils

from chalicelib.storage import SDK_DATA
from infra.sdkdata import write_sdk_data

ROOT = Path(__file__).parent.parent
RUNTIME = "python{}.{}".format(*sys.version_info)
TASK_ROOT = "/var/task"
"""Where Lambda lays the bundle out; tracebacks name it."""

VENDORED = ("aws-xray-sdk==2.15.0",)

_NO_DATE = (1980, 1, 1, 0, 0, 0)
_NEVER_RUN_SUFFIXES = (".pyi", ".c", "/py.typed", "/__main__.py")
_NEVER_RUN_FOLDERS = (".dist-info", ".data", "-stubs")
_NEVER_IMPORTED = (
    "aws_lambda_powertools/event_handler/",
    "aws_lambda_powertools/utilities/",
    "aws_xray_sdk/ext/",
    "charset_normalizer/",
)
_IMPORTED_ALL_THE_SAME = (
    "aws_lambda_powertools/utilities/__init__.py",
    "aws_lambda_powertools/utilities/jmespath_utils/",
)


def make_bundle(root: Path = ROOT) -> Path:
    """Make the archive of dependencies for the project in `root`; returns it."""
    _fill_vendor(root / "vendor")
    _compile(root / "chalicelib")
    shutil.rmtree(root / ".chalice" / "deployments", ignore_errors=True)
    archive = Path(_packager().create_deployment_package(str(root), RUNTIME))
    _finish(archive)
    return archive


def copy_project(to: Path, root: Path = ROOT) -> None:
    """Copy the project with its bundle, as Chalice deploys them, to a folder of its own."""
    current_archive(root)
    ignored = shutil.ignore_patterns("deployed")
    for name in ("chalicelib", ".chalice", "vendor"):
        shutil.copytree(root / name, to / name, ignore=ignored)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(root / name, to / name)
    name_archive(to)


def name_archive(root: Path) -> None:
    """Name a copied project's archive as Chalice looks for it.

    The hash in the name depends on the order in which the file system lists names, which a copy need not have.
    """
    [copied] = (root / ".chalice" / "deployments").glob("*.zip")
    copied.rename(_packager().deployment_package_filename(str(root), RUNTIME))


def current_archive(root: Path = ROOT) -> Path:
    """The archive that `chalice deploy` would send; raises RuntimeError when the app is newer."""
    archive = Path(_packager().deployment_package_filename(str(root), RUNTIME))
    if not archive.exists():
        raise RuntimeError("the app has changed since `make bundle`")
    return archive


def _packager() -> LambdaDeploymentPackager:
    osutils = OSUtils()
    return LambdaDeploymentPackager(osutils, DependencyBuilder(osutils), UI())


def _compile(package: Path) -> None:
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    checked = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(package, quiet=1, invalidation_mode=checked)


def _fill_vendor(vendor: Path) -> None:
    shutil.rmtree(vendor, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-compile", "--target", vendor, *VENDORED], check=True)


def _finish(archive: Path) -> None:
    """Take out what never runs, compile the rest, and pack it so that the same sources give the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive) as whole:
            whole.extractall(folder, [name for name in whole.namelist() if _runs(name) and "__pycache__" not in name])
        write_sdk_data(Path(folder) / SDK_DATA.name)
        # In a process of its own, since what is interned in this one would show in the bytes.
        options = ["-q", "--invalidation-mode", "checked-hash", "-s", folder, "-p", TASK_ROOT]
        seeded = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run([sys.executable, "-m", "compileall", *options, folder], env=seeded, check=True)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in files:
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _NO_DATE)
                entry.external_attr = (stat.S_IFREG | 0o644) << 16
                packed.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def _runs(name: str) -> bool:
    if name.endswith(_NEVER_RUN_SUFFIXES) or PurePosixPath(name).parts[0].endswith(_NEVER_RUN_FOLDERS):
        return False
    return name.startswith(_IMPORTED_ALL_THE_SAME) or not name.startswith(_NEVER_IMPORTED)


if __name__ == "__main__":
    made = make_bundle()
    with zipfile.ZipFile(made) as bundle:
        size = sum(entry.file_size for entry in bundle.infolist())
    print(f"{made.relative_to(ROOT)}: {made.stat().st_size:,} bytes, {size:,} unpacked")
