"""Fixtures and settings of the deployed tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from sandbox import stack
from tests.deployed.phone import Phone


@pytest.fixture(scope="module")
def browser(pytestconfig: pytest.Config) -> Iterator[Browser]:
    from playwright.sync_api import expect

    from sandbox import browser as chromium
    from tests.harness import lock_builds

    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    # An installation takes some time: let it say so.
    with lock_builds(), capture.global_and_fixture_disabled():
        chromium.ensure_chromium()
    # The default of 5 s is short for a busy machine.
    expect.set_options(timeout=30_000)
    with chromium.launch() as browser:
        yield browser


@pytest.fixture(scope="session")
def mini_program() -> None:
    """The mini-program as `make miniprogram` builds it, up to date."""
    from tests.harness import build_mini_program

    build_mini_program()


@pytest.fixture(scope="module")
def preview_url(deployed: stack.Stack, mini_program: None) -> Iterator[str]:  # noqa: ARG001
    from sandbox import stack

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
