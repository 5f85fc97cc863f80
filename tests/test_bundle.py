"""What is deployed: what is in it, that it is the same for the same sources, and that only what was built is run."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest
from botocore.loaders import Loader

from chalicelib.storage import SDK_DATA, make_clients
from infra.bundle import ROOT, copy_project, current_archive, make_bundle
from infra.sdkdata import OPERATIONS, cut_model
from sandbox.runtime import INTERPRETER

CHECKED = (0b11).to_bytes(4, "little")
LARGEST_BYTES = 8_000_000


def files(bundle: Path) -> set[str]:
    return {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}


def test_the_bundle_holds_what_runs_and_nothing_else(bundle: Path) -> None:
    assert {name.split("/")[0] for name in files(bundle)} == {
        "__pycache__", "app.py", "chalice", "chalicelib", "aws_lambda_powertools", "aws_xray_sdk", "certifi", "idna",
        "itsdangerous", "jmespath", "msgspec", "requests", "sdk-data", "tenacity", "typing_extensions.py", "urllib3",
        "wrapt",
    }  # fmt: skip
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    assert size < LARGEST_BYTES, f"{size:,} bytes"


def test_every_module_is_compiled_and_checked_against_its_own_source(bundle: Path) -> None:
    """Hash-checked: neither a date nor a file of another interpreter decides what is run."""
    sources = list(bundle.rglob("*.py"))
    assert len(sources) > 200
    for source in sources:
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[:4] == importlib.util.MAGIC_NUMBER, source
        assert compiled[4:8] == CHECKED, source
        assert compiled[8:16] == importlib.util.source_hash(source.read_bytes()), source
    assert len(list(bundle.rglob("*.pyc"))) == len(sources)


def test_a_stale_compiled_file_is_not_run(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "task")
    (copy / "chalicelib" / "__init__.py").write_text('"""Newer."""\n\n__version__ = "newer"\n')
    command = [str(INTERPRETER), "-c", "import chalicelib; print(chalicelib.__version__)"]
    run = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=True)
    assert run.stdout == "newer\n"


def test_two_builds_of_the_same_sources_are_the_same_bytes(tmp_path: Path) -> None:
    """From a copy in another folder, whose files have other dates."""
    copy = tmp_path / "elsewhere"
    for name in ("chalicelib", ".chalice"):
        ignored = shutil.ignore_patterns("__pycache__", "deploy*")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored, copy_function=shutil.copyfile)
    for name in ("app.py", "requirements.txt"):
        shutil.copyfile(ROOT / name, copy / name)
    assert make_bundle(copy).read_bytes() == current_archive().read_bytes()


def test_a_build_that_is_not_of_these_sources_is_refused(tmp_path: Path) -> None:
    copy_project(tmp_path)
    assert current_archive(tmp_path).read_bytes() == current_archive().read_bytes()
    (tmp_path / "app.py").write_text("# changed\n")
    with pytest.raises(RuntimeError, match="make bundle"):
        current_archive(tmp_path)


def test_the_sdk_data_is_what_botocore_says_of_the_calls_that_are_made(bundle: Path) -> None:
    """Cut down, not changed: operations and shapes are those of botocore, in the regions that it knows."""
    ours = Loader([str(bundle / SDK_DATA.name)], include_default_search_paths=False)
    whole = Loader()
    for service, operations in OPERATIONS.items():
        model, full = ours.load_service_model(service, "service-2"), whole.load_service_model(service, "service-2")
        assert sorted(model["operations"]) == sorted(operations)
        assert model == cut_model(full, operations)
        assert model["metadata"] == full["metadata"]
    for partition, full in zip(
        ours.load_data("endpoints")["partitions"], whole.load_data("endpoints")["partitions"], strict=True
    ):
        for service in OPERATIONS:
            assert partition["services"][service] == full["services"].get(service, {})


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "cn-northwest-1", "ap-southeast-1"])
def test_clients_are_the_same_with_the_small_data(bundle: Path, monkeypatch: pytest.MonkeyPatch, region: str) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    plain = [botocore.session.get_session().create_client(service) for service in OPERATIONS]
    monkeypatch.setattr("chalicelib.storage.SDK_DATA", bundle / SDK_DATA.name)
    for client, other in zip(make_clients(), plain, strict=True):
        assert client.meta.endpoint_url == other.meta.endpoint_url
        assert client.meta.region_name == region
        client.close()
        other.close()


def test_without_the_small_data_botocores_own_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where the runtime's botocore wants a file that the build's did not have."""
    (tmp_path / "endpoints.json").write_text('{"partitions": []}')
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("chalicelib.storage.SDK_DATA", tmp_path)
    for client in make_clients():
        assert client.meta.region_name == "us-east-1"
        client.close()


def test_the_app_starts_without_a_word(bundle: Path) -> None:
    """No warning of a library that misses what the bundle leaves out."""
    command = [str(INTERPRETER), "-W", "default", "-c", "import app; print(app.gc.isenabled())"]
    run = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=True, env={"PATH": ""})
    assert (run.stdout, run.stderr) == ("True\n", "")


def test_the_bundle_is_of_the_interpreter_that_serves() -> None:
    version = subprocess.run([str(INTERPRETER), "-V"], capture_output=True, text=True, check=True).stdout
    assert version.split()[1].rsplit(".", 1)[0] == "{}.{}".format(*sys.version_info)
