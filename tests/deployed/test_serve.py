"""`make serve`: it runs until it is stopped."""

import subprocess
import sys

import pytest
import requests

from infra.bundle import ROOT

pytestmark = pytest.mark.usefixtures("archive", "mini_program")


def test_the_sandbox_ends_its_output_with_the_url_of_the_page_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "sandbox.demo", "--serve"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any(line == "# Open the preview in a browser\n" for line in process.stdout)
        requests.get(process.stdout.readline().rstrip(), timeout=60).raise_for_status()
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=120)
    assert (process.returncode, rest) == (0, "")
