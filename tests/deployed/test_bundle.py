"""The Lambda bundle: its content, reproducible builds, and that Python runs only what was built."""

import importlib.util
import shutil
import subprocess
import zipfile
from pathlib import Path

import botocore.session
import pytest

from chalicelib.aws import SDK_DATA, create_clients
from infra.bundle import ROOT, BundleError, current_archive, make_bundle, read_build
from infra.sdkdata import OPERATIONS
from sandbox import stack
from sandbox.runtime import INTERPRETER

CHECKED_HASH = (0b11).to_bytes(4, "little")
"""The flags of a .pyc file that Python compares with its source by hash (PEP 552)."""

MAX_BYTES = 8_000_000


def test_the_bundle_contains_the_needed_packages_and_nothing_else(bundle: Path) -> None:
    packages = {path.name for path in bundle.iterdir()}
    assert packages == {
        "__pycache__", "app.py", "chalice", "chalicelib", "commit.txt", "aws_lambda_powertools", "aws_xray_sdk",
        "certifi", "idna", "itsdangerous", "jmespath", "msgspec", "requests", "sdk-data",
        "typing_extensions.py", "urllib3", "wrapt",
    }  # fmt: skip
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    assert size < MAX_BYTES, f"{size:,} bytes"


def test_every_module_is_compiled_with_the_hash_of_its_source(bundle: Path) -> None:
    """Python ignores a .pyc file whose hash differs, whatever the time stamps are."""
    sources = list(bundle.rglob("*.py"))
    assert len(sources) > 200
    for source in sources:
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[:4] == importlib.util.MAGIC_NUMBER, source
        assert compiled[4:8] == CHECKED_HASH, source
        assert compiled[8:16] == importlib.util.source_hash(source.read_bytes()), source
    assert len(list(bundle.rglob("*.pyc"))) == len(sources)


def copy_sources(to: Path) -> None:
    for name in ("chalicelib", ".chalice"):
        ignored = shutil.ignore_patterns("__pycache__", "deploy*")
        shutil.copytree(ROOT / name, to / name, ignore=ignored, copy_function=shutil.copyfile)
    for name in ("app.py", "requirements.txt"):
        shutil.copyfile(ROOT / name, to / name)


def test_the_same_sources_give_the_same_archive_with_the_commit(
    archive: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the variables of pip and Python, the working folder and the user's packages are."""
    copy_sources(tmp_path)
    around = tmp_path_factory.mktemp("around")
    (around / "compileall.py").write_text("")
    (around / "sitecustomize.py").write_text("import sys; sys.dont_write_bytecode = True; sys.exit(0)")
    monkeypatch.chdir(around)
    for name, value in {"PATH": str(around), "OPTIMIZE": "2", "PYCACHEPREFIX": str(around / "cache")}.items():
        monkeypatch.setenv(f"PYTHON{name}", value)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(tmp_path))
    for command in (("init", "--quiet"), ("add", "app.py", "chalicelib"), ("commit", "--quiet", "-m", "x")):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout[:12]
    built = make_bundle(tmp_path)
    assert read_build(built) == read_build(archive)._replace(commit=head)
    with zipfile.ZipFile(archive) as one, zipfile.ZipFile(built) as other:
        entries = [[(entry.filename, entry.date_time, entry.external_attr, entry.CRC) for entry in packed.infolist()
                    if entry.filename != "commit.txt"] for packed in (one, other)]  # fmt: skip
    assert entries[0] == entries[1]


def test_a_build_of_other_sources_is_refused(archive: Path, tmp_path: Path) -> None:
    stack.copy_project(tmp_path)
    assert current_archive(tmp_path).read_bytes() == archive.read_bytes()
    (tmp_path / "app.py").write_text("# changed\n")
    with pytest.raises(BundleError, match="make bundle"):
        current_archive(tmp_path)


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "cn-northwest-1", "ap-southeast-1"])
def test_clients_with_the_reduced_data_have_the_same_endpoints(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    expected = [botocore.session.get_session().create_client(service) for service in OPERATIONS]
    monkeypatch.setattr("chalicelib.aws.SDK_DATA", bundle / SDK_DATA.name)
    for client, original in zip(create_clients(), expected, strict=True):
        assert client.meta.endpoint_url == original.meta.endpoint_url
        assert client.meta.region_name == region
        client.close()
        original.close()


def test_the_app_starts_without_warnings(bundle: Path) -> None:
    """No library warns about packages that the bundle omits."""
    command = [str(INTERPRETER), "-W", "default", "-c", "import app; print(app.gc.isenabled())"]
    run = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=True, env={"PATH": ""})
    assert (run.stdout, run.stderr) == ("True\n", "")
