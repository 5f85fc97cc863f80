"""A Chromium for the tests of the preview: `python -m sandbox.browser` finds one, or installs one.

Order of search: the path in the variable `CHROMIUM`, Debian's or Google's package, Playwright's own. If none is
found, root installs Debian's package; other users install Playwright's. A headless shell comes first: it uses half the
CPU time of the full browser.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

HEADLESS_SHELL = "chromium-headless-shell"
EXECUTABLE_NAMES = (HEADLESS_SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium's own sandbox does not work as root. The last two options keep it from using the network by itself.
LAUNCH_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-sync",
)


def system_chromium() -> str | None:
    """Return the path in `CHROMIUM`, or that of an installed package. None: only Playwright's own may exist."""
    return os.environ.get("CHROMIUM") or next((path for name in EXECUTABLE_NAMES if (path := shutil.which(name))), None)


def find_chromium() -> str | None:
    """Return the path of a Chromium, or None."""
    if path := system_chromium():
        return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def ensure_chromium() -> str | None:
    """Return the path of a Chromium; installs one, and says so, if there is none."""
    path = find_chromium()
    if path is None:
        print("no Chromium found: installing one for the tests of the preview", file=sys.stderr, flush=True)
        install_chromium()
        path = find_chromium()
    return path


def install_chromium() -> None:
    """Install a Chromium and a Chinese font; raises CalledProcessError."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # apt shows its progress, because a download can take minutes.
    subprocess.run([apt, "update"], check=True, env=environment)
    # Older distributions have no package of the headless shell.
    shell = subprocess.run([apt, "install", "-s", HEADLESS_SHELL], check=False, capture_output=True)
    packages = ["chromium" if shell.returncode else HEADLESS_SHELL, "fonts-noto-cjk"]
    command = [apt, "install", "-y", "--no-install-recommends", *packages]
    subprocess.run(command, check=True, env=environment)


@contextlib.contextmanager
def launch() -> Iterator[Browser]:
    """Launch a headless browser; close it at the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=system_chromium(), args=list(LAUNCH_OPTIONS))
        yield browser
        browser.close()


if __name__ == "__main__":
    chromium = None
    # The command that failed has already printed the reason.
    with contextlib.suppress(subprocess.CalledProcessError):
        chromium = ensure_chromium()
    if chromium is None:
        raise SystemExit("no Chromium was installed: set CHROMIUM to the path of one")
    print(f"Chromium: {chromium}")
