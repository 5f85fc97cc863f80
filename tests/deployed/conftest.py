"""Fixtures of the tests in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from sandbox import stack
    from tests.deployed.phone import Phone


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from sandbox import browser as chromium

    with chromium.launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def preview_url(deployed: stack.Stack) -> Iterator[str]:
    from sandbox import stack
    from tests.deployed.phone import SCREENSHOTS

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with stack.run_preview(deployed) as running:
        yield running.url


@pytest.fixture
def phone(browser: Browser, preview_url: str, deployed: stack.Stack) -> Iterator[Phone]:
    from tests.deployed.phone import open_phone

    with open_phone(browser, preview_url, deployed.platform.url) as phone:
        yield phone
