"""`make serve`: fixed ports, a message for a busy port, and its end."""

import contextlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from infra.bundle import ROOT
from sandbox import demo, preview, stack

pytestmark = pytest.mark.usefixtures("archive", "mini_program")


@pytest.fixture
def ports() -> int:
    """Three successive free ports: the first of them."""
    for first in range(18080, 19080, 10):
        with contextlib.suppress(SystemExit):
            demo.choose_ports(first)
            return first
    pytest.fail("no free ports")


def test_a_busy_port_is_named(ports: int) -> None:
    message = rf"^port {ports + 1} cannot be used \(Address already in use\).*make serve PORT={ports + 10}$"
    with socket.create_server(("127.0.0.1", ports + 1)), pytest.raises(SystemExit, match=message):
        demo.choose_ports(ports)


def test_the_sandbox_has_fixed_ports_until_it_is_stopped(ports: int) -> None:
    command = [sys.executable, "-m", "sandbox.demo", "--serve", "--port", str(ports)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any("The sandbox is running" in line for line in process.stdout)
        requests.get(f"http://127.0.0.1:{ports}/", timeout=60).raise_for_status()
        requests.get(f"http://127.0.0.1:{ports + 1}/_sandbox/world", timeout=60).raise_for_status()
    finally:
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 0


def test_a_folder_without_a_built_program_is_refused_before_anything_starts(tmp_path: Path) -> None:
    sources = shutil.copytree(preview.MINIPROGRAM_FOLDER / "src", tmp_path / "src")
    for folder, missing in (
        (tmp_path, "app.json, no app.js, no coupons/config.js"),
        (tmp_path / "none", "app.json, no app.js, no coupons/config.js"),
        (sources, "app.js, no coupons/config.js"),
    ):
        command = [sys.executable, "-m", "sandbox.demo", "--serve", "--program", str(folder)]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (process.returncode, process.stdout) == (1, "")
        assert process.stderr.startswith("PROGRAM must be the folder of a built mini-program (JavaScript)")
        assert process.stderr.endswith(f"{folder} has no {missing}\n")


def test_the_sandbox_stops_when_a_process_has_ended() -> None:
    ended = subprocess.Popen(["false"])  # noqa: S607
    with pytest.raises(SystemExit, match="the mock platform ended with status 1: the sandbox stops"):
        demo.wait_for_end({"mock platform": stack.Process(0, ended)})
