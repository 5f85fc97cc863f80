"""The mini-program: its own tests against the deployed app, and its settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import preview
from sandbox.sample_data import ACCOUNT_ID

if TYPE_CHECKING:
    from sandbox import stack

pytestmark = pytest.mark.usefixtures("mini_program")


def run(*command: str, **environment: str) -> str:
    """Run a command in the mini-program's folder and return its output."""
    program = shutil.which(command[0])
    assert program is not None
    process = subprocess.run(
        [program, *command[1:]],
        cwd=preview.MINIPROGRAM_FOLDER,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_the_mini_programs_own_tests_pass_against_the_deployed_app(deployed: stack.Stack) -> None:
    output = run("npm", "test", API_URL=deployed.api_url, SANDBOX_URL=deployed.platform.url)
    assert "# fail 0" in output
    assert "# skipped 0" in output


def test_the_mini_program_has_no_dependencies() -> None:
    assert "dependencies" not in json.loads((preview.DIST_FOLDER / "package.json").read_text(encoding="utf-8"))


def test_the_sample_config_names_a_merchant_of_the_sample_data_and_nothing_else_about_it() -> None:
    config: dict[str, Any] = json.loads(run("node", "-p", "JSON.stringify(require('./dist/config.js').config)"))
    assert config == {"api": "https://coupons.example.com", "account_id": ACCOUNT_ID}
