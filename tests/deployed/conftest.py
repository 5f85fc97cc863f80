"""Fixtures and settings of the deployed tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, Page, Request

from sandbox import stack
from tests.deployed.phone import SCREEN, Phone


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
def mini_program(pytestconfig: pytest.Config) -> None:
    """The mini-program as `make miniprogram` builds it, up to date."""
    from tests.harness import build_mini_program

    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        build_mini_program()


@pytest.fixture(scope="module")
def preview_url(deployed: stack.Sandbox, mini_program: None) -> Iterator[str]:  # noqa: ARG001
    from sandbox import preview, stack

    with stack.run_preview(deployed, preview.DIST_FOLDER) as running:
        yield running.url


@pytest.fixture(scope="module")
def screen(browser: Browser) -> Iterator[Page]:
    """A page with the size of a phone's screen."""
    context = browser.new_context(viewport=SCREEN, device_scale_factor=2, locale="zh-CN")
    yield context.new_page()
    context.close()


@pytest.fixture
def phone(screen: Page, preview_url: str, deployed: stack.Sandbox) -> Iterator[Phone]:
    """The screen as a new phone; at the end, no fault is left and no JavaScript error has happened.

    A new page takes Chromium four times as long as a screen that is used again.
    """
    phone = Phone(screen, preview_url, deployed.platform.url)

    def record(request: Request) -> None:
        if "/api/" in request.url:
            phone.requests.append(f"{request.method} {request.url.split('/api', 1)[1]}")

    def record_error(error: Error) -> None:
        phone.errors.append(str(error))

    screen.on("request", record)
    screen.on("pageerror", record_error)
    yield phone
    screen.remove_listener("request", record)
    screen.remove_listener("pageerror", record_error)
    screen.unroute_all(behavior="ignoreErrors")
    screen.context.set_offline(False)
    screen.emulate_media(color_scheme="light", reduced_motion="no-preference")
    screen.set_viewport_size(SCREEN)
    # Any page of this origin, without code that could store something again.
    screen.goto(f"{preview_url}/none")
    screen.evaluate("sessionStorage.clear()")
    stack.set_faults(deployed.platform.url)
    assert phone.errors == []
