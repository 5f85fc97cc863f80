"""`make serve`: fixed ports, a message for a busy port, and its end when a process dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from infra.bundle import ROOT
from sandbox import demo

pytestmark = pytest.mark.usefixtures("archive", "mini_program")


@pytest.fixture
def ports() -> Iterator[int]:
    """Three successive free ports: the first of them."""
    for first in range(18080, 19080, 10):
        try:
            demo.choose_ports(first)
        except SystemExit:
            continue
        yield first
        return
    pytest.fail("no free ports")


def serve(port: int) -> subprocess.Popen[str]:
    """Start what `make serve PORT=…` starts."""
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox.demo", "--serve", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def child_of(pid: int, module: str) -> int:
    """Return the pid of the child process that runs a module."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no child runs {module}")


def test_a_busy_port_is_named_before_anything_starts(ports: int) -> None:
    with socket.create_server(("127.0.0.1", ports + 1)):
        process = serve(ports)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert output.startswith(f"port {ports + 1} cannot be used (Address already in use)")
    assert f"make serve PORT={ports + 10}" in output
    assert "starting" not in output


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the child process in /proc")
def test_the_sandbox_has_fixed_ports_and_ends_when_a_process_dies(ports: int, archive: Path) -> None:
    del archive
    process = serve(ports)
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None:
            try:
                requests.get(f"http://127.0.0.1:{ports}/", timeout=60).raise_for_status()
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        requests.get(f"http://127.0.0.1:{ports + 1}/_sandbox/world", timeout=60).raise_for_status()
        os.kill(child_of(process.pid, "sandbox.server"), signal.SIGKILL)
        output, _ = process.communicate(timeout=120)
    finally:
        process.terminate()
        process.wait(120)
    assert process.returncode == 1
    assert "the mock platform ended with status -9: the sandbox stops" in " ".join(output.split())
