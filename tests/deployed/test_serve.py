"""`make serve`: its ports and addresses, until it is stopped."""

import contextlib
import socket
import subprocess
import sys
from unittest import mock

import pytest
import requests

from infra.bundle import ROOT
from sandbox import demo
from sandbox.stack import ALL_INTERFACES, Process

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


def test_without_a_port_another_one_than_8000_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.ExitStack() as resources:
        with contextlib.suppress(OSError):  # in use already
            resources.enter_context(socket.create_server(("127.0.0.1", 8000)))
        assert demo.choose_ports(None) == (None, None, None)
    demo.print_preview(Process(8123, mock.Mock()), None, "127.0.0.1")
    assert capsys.readouterr().out.splitlines() == [
        "# Open the mini-program in a browser",
        "# (port 8000 is in use, so it has another one)",
        "http://127.0.0.1:8123",
    ]


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"^HOST must be an IPv4 address of this machine, but is 192\.0\.2\.1$"):
        demo.choose_ports(None, "192.0.2.1")
