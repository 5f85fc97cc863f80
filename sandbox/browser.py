"""A Chromium for the preview's tests: `python -m sandbox.browser` finds one, or installs one.

`CHROMIUM` names one; else Debian's and Google's are looked for, else Playwright's own. Where none is there, Debian's is
installed by whoever may install packages, Playwright's by everybody else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# As root there is no sandbox of its own; nothing is looked up or fetched that no test asks for.
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")


def systems_own() -> str | None:
    """The path of the Chromium that the environment names or the system has; None: there is Playwright's at most."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


def find() -> str | None:
    """The path of a Chromium, if there is one."""
    if path := systems_own():
        return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> None:
    """Install a Chromium, and a Chinese font where the system has none; raises CalledProcessError."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    packages = ["chromium"] if has_chinese_font() else ["chromium", "fonts-noto-cjk"]
    subprocess.run([apt, "update", "-qq"], check=True, env=environment)
    command = [apt, "install", "-y", "-qq", "--no-install-recommends", *packages]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def has_chinese_font() -> bool:
    """Whether Chinese text would be drawn as more than boxes."""
    fonts = shutil.which("fc-list")
    if fonts is None:
        return False
    return bool(subprocess.run([fonts, ":lang=zh"], check=True, capture_output=True).stdout)


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """A headless browser; ends with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=systems_own(), args=list(ARGUMENTS))
        yield browser
        browser.close()


def main() -> None:
    """Make sure that there is one, and name it."""
    if find() is None:
        print("installing a Chromium for the preview's tests", flush=True)
        install()
    print(f"Chromium: {find()}")


if __name__ == "__main__":
    main()
