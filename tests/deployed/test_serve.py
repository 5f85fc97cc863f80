"""`make serve`: its ports and addresses, until it is stopped."""

import contextlib
import subprocess
import sys

import pytest
import requests

from infra.bundle import ROOT
from sandbox import demo
from sandbox.stack import ALL_INTERFACES

pytestmark = pytest.mark.usefixtures("archive", "mini_program")


@pytest.fixture
def ports() -> int:
    """Three successive free ports: the first of them."""
    for first in range(18080, 19080, 10):
        with contextlib.suppress(SystemExit):
            demo.choose_ports(first)
            return first
    pytest.fail("no free ports")


def test_the_sandbox_has_fixed_ports_and_ends_with_its_url_until_it_is_stopped(ports: int) -> None:
    command = [sys.executable, "-m", "sandbox.demo", "--serve", "--port", str(ports), "--host", ALL_INTERFACES]
    url = f"http://127.0.0.1:{ports}"
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        hint = f"# (other devices: this machine's address in the network, with port {ports})"
        assert any(line.rstrip() == hint for line in process.stdout)
        assert process.stdout.readline().rstrip() == url
        requests.get(url, timeout=60).raise_for_status()
        requests.get(f"http://127.0.0.1:{ports + 1}/_sandbox/world", timeout=60).raise_for_status()
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=120)
    assert (process.returncode, rest) == (0, "")
