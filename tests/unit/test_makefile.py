"""The Makefile: its messages when something is missing, or a registry cannot be reached. All programs are fakes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKES = {
    # A virtual environment gets a copy of this.
    "python3": """case "$*" in
  $FAILING) echo "ERROR of $*" >&2; exit 1;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python";;
  "-c "*) echo 3.11;;
esac""",
    "npm": """case "npm $*" in $FAILING) echo "ERROR of npm $*" >&2; exit 1;; esac
mkdir -p miniprogram/node_modules miniprogram/build""",
    "node": "echo v20.0.0",
}
VARIABLES = ("PIP_INDEX_URL", "npm_config_registry", "PLAYWRIGHT_DOWNLOAD_HOST", "https_proxy", "http_proxy")
SOURCES = """requirements.txt requirements-bundle.txt requirements-dev.txt requirements-deploy.txt constraints.txt
    pyproject.toml app.py infra/bundle.py infra/sdkdata.py chalicelib/__init__.py miniprogram/package.json
    miniprogram/package-lock.json miniprogram/tsconfig.json miniprogram/tsconfig.client.json
    miniprogram/client-package.mjs miniprogram/src/app.ts miniprogram/preview/phone.ts"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone whose sources are empty, with fakes of Python, npm and Node.js in `bin`."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in SOURCES.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name, script in FAKES.items():
        add_program(tmp_path, name, script)
    return tmp_path


def add_program(folder: Path, name: str, script: str) -> None:
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    program.chmod(0o755)


def make(folder: Path, command: str, failing: str = "nothing") -> subprocess.CompletedProcess[str]:
    # Without what this test's own make has set.
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "FAILING": failing}
    arguments = ["make", *command.split()]
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", ["miniprogram", "serve", "test", "screenshots", "nightly", "format", "release"])
def test_an_old_node_is_refused_before_anything_is_installed(folder: Path, target: str) -> None:
    for script, found in (("echo v18.19.0", "v18.19.0"), ("exit 127", "not found")):
        add_program(folder, "node", script)
        run = make(folder, target)
        assert run.returncode == 2
        assert run.stdout.startswith(f"Node.js 20 or newer is needed, but node is {found}.")


@pytest.mark.parametrize("target", ["deploy", "rollback", "destroy"])
def test_a_command_without_a_stage_shows_its_usage_before_anything_is_installed(folder: Path, target: str) -> None:
    run = make(folder, target)
    assert (run.returncode, run.stdout.startswith(f"usage: make {target} STAGE=dev [")) == (2, True)
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("version", ["v20.0.0", "v24.11.1", "v100.0.0"])
def test_node_20_or_newer_builds_the_mini_program(folder: Path, version: str) -> None:
    add_program(folder, "node", f"echo {version}")
    run = make(folder, "miniprogram")
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "written: miniprogram/dist")


def test_the_preview_can_show_another_program(folder: Path) -> None:
    run = make(folder, "serve PROGRAM=../shop/dist", "-m sandbox.demo --serve --program ../shop/dist")
    assert run.stderr.startswith("ERROR of -m sandbox.demo")


@pytest.mark.parametrize(
    ("command", "failing"),
    [
        ("check", "-m pip*-r requirements-dev.txt"),
        ("check", "-m pip*--editable ."),
        ("demo", "-m infra.bundle --vendor"),
        ("demo", "-m infra.bundle"),
        ("install", "-m pip*awslambdaric boto3"),
        ("miniprogram", "npm * ci"),
        ("test", "-m sandbox.browser"),
        ("rollback STAGE=dev", "-m pip*-r requirements-deploy.txt"),
        ("lock", "-m pip*-r build/lock.in"),
        ("lock", "-m pip* uv"),
    ],
)
def test_after_a_failed_installation_one_line_names_the_variables(folder: Path, command: str, failing: str) -> None:
    """A second run fails in the same way: nothing half-installed is taken for complete."""
    for _ in range(2):
        run = make(folder, command, failing)
        assert run.returncode == 2
        error, hint, end = run.stderr.splitlines()
        assert error.startswith("ERROR of ")
        assert [name for name in VARIABLES if name not in hint] == []
        assert end.startswith("make: ***")
