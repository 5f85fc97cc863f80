"""Fixtures and settings of the deployed tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from sandbox import stack
    from tests.deployed.phone import Phone


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage where the app runs in other processes only: tracing makes this one three times as slow."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.path.is_relative_to(Path(__file__).parent) and "api" not in fixtures:
            item.add_marker(pytest.mark.no_cover)


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


@pytest.fixture(scope="module")
def screen(browser: Browser) -> Iterator[Page]:
    from tests.deployed.phone import open_screen

    with open_screen(browser) as page:
        yield page


@pytest.fixture
def phone(screen: Page, preview_url: str, deployed: stack.Stack) -> Iterator[Phone]:
    from tests.deployed.phone import use_phone

    with use_phone(screen, preview_url, deployed.platform.url) as phone:
        yield phone
