"""Every state of the page: axe, targets, text that fits, and a picture in build/screenshots/contact-sheet.png."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from sandbox.sample_data import (
    ACCOUNT_ID,
    CUSTOMER,
    CUSTOMER_WITH_UNUSUAL_DATES,
    CUSTOMER_WITHOUT_COUPONS,
)
from tests.deployed.phone import AXE, SCREENSHOTS, identical_purchases, read_purchases, use_phone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from sandbox import stack
    from tests.deployed.phone import Phone

WIDTHS = {320: 640, 375: 812, 768: 1024}
"""Width and height of the screens."""

PICTURED = [*WIDTHS] if "ALL_WIDTHS" in os.environ else [375]
"""`make screenshots` pictures all of them, `make test` one."""

THEMES = ("light", "dark")
LONG_TITLE = "四季小馆招牌双人套餐（含秘制红烧肉、清炒时蔬、手工小笼包及当季甜品各一份，周末及节假日通用）"


def long_list(phone: Phone) -> None:
    """Everything that a list can contain: long titles, groups, soon to expire, not valid yet, locked, unusable."""
    now = int(phone.page.evaluate("Date.now() / 1000"))
    entries = [*read_purchases(CUSTOMER), *identical_purchases(4)]
    coupons = [entry["order"]["certificates"][0] for entry in entries]
    coupons[0]["expire_time"] = now + 3600
    coupons[0]["sku_info"]["title"] = LONG_TITLE
    for coupon in coupons[-4:-1]:
        coupon["expire_time"] = now + 5 * 86400
    coupons[-1].update(start_time=now + 30 * 86400, expire_time=now + 90 * 86400)
    coupons[-1]["sku_info"]["title"] = "新春团圆套餐"
    with phone.purchases(CUSTOMER, [*entries, *read_purchases(CUSTOMER_WITH_UNUSUAL_DATES)[:1]]):
        phone.open()
        expect(phone.page.get_by_text("暂时不能直接使用")).to_be_visible()


def opened_list(phone: Phone) -> None:
    long_list(phone)
    phone.card("招牌拿铁").get_by_role("button").click()
    expect(phone.page.locator(".member")).to_have_count(3)


def large_text(phone: Phone) -> None:
    phone.open(text="200")
    expect(phone.cards).to_have_count(7)


def detail(title: str, **query: str) -> Callable[[Phone], None]:
    def show(phone: Phone) -> None:
        phone.open(hook="1", **query)
        phone.card(title).get_by_role("button").first.click()
        expect(phone.detail).to_be_visible()

    return show


def locked_detail(phone: Phone) -> None:
    phone.open(hook="1")
    phone.page.locator(".muted .card").first.click()
    expect(phone.detail).to_be_visible()


def hold(phone: Phone, path: str) -> None:
    """Let requests wait until the phone is switched off."""
    phone.page.route(path, lambda _: None)


def loading(seconds: int, words: str) -> Callable[[Phone], None]:
    def show(phone: Phone) -> None:
        phone.page.clock.install()
        hold(phone, "**/sessions")
        phone.open()
        expect(phone.page.locator(".skeleton")).to_be_visible()
        phone.page.clock.fast_forward(seconds * 1000)
        if words:
            expect(phone.page.get_by_text(words)).to_be_visible()

    return show


def empty(phone: Phone) -> None:
    phone.open(CUSTOMER_WITHOUT_COUPONS)
    expect(phone.page.get_by_text("本店暂无可用的券")).to_be_visible()


def refused(code: str) -> Callable[[Phone], None]:
    def show(phone: Phone) -> None:
        phone.refuse(code)
        phone.open()
        expect(phone.notice).to_be_visible()

    return show


def stale(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.page.context.set_offline(True)
    phone.pull_down()
    expect(phone.notice).to_be_visible()


def stores(phone: Phone) -> None:
    phone.open(poi_id=None, place="31.1970,121.4340")
    expect(phone.choices).to_have_count(3)


def stores_by_distance(phone: Phone) -> None:
    stores(phone)
    phone.button("四季小馆·徐家汇店").click()
    phone.button("切换门店").click()
    phone.button("按离我最近排列").click()
    expect(phone.page.locator(".choice-distance")).to_have_count(2)


def stores_refused(phone: Phone) -> None:
    phone.open(poi_id=None)
    phone.button("按离我最近排列").click()
    expect(phone.button("去设置中开启定位")).to_be_visible()


def no_stores(phone: Phone) -> None:
    phone.page.route("**/stores", lambda route: route.fulfill(json={"account_id": ACCOUNT_ID}))
    phone.open(poi_id=None)
    expect(phone.page.get_by_text("暂无可选门店")).to_be_visible()


def unknown_merchant(phone: Phone) -> None:
    phone.open(poi_id=None, account_id="unknown")
    expect(phone.notice).to_be_visible()


def login(phone: Phone) -> None:
    phone.open("")
    expect(phone.button("登录")).to_be_visible()


STATES: dict[str, tuple[Callable[[Phone], None], bool]] = {
    "list": (long_list, True),
    "group": (opened_list, True),
    "text-200": (large_text, True),
    "detail": (detail("双人套餐"), False),
    "detail-times": (detail("午市拿铁十次卡"), False),
    "detail-voucher": (detail("100元代金券"), False),
    "detail-off-peak": (detail("下午茶错峰套餐"), False),
    "detail-locked": (locked_detail, False),
    "detail-text-200": (detail("午市拿铁十次卡", text="200"), False),
    "loading": (loading(0, ""), False),
    "loading-2s": (loading(2, "仍在查询，请稍候…"), False),
    "loading-6s": (loading(6, "网络较慢，还没有收到结果"), False),
    "empty": (empty, False),
    "stale": (stale, False),
    "temporary": (refused("rate_limited"), False),
    "refused": (refused("merchant_not_authorized"), False),
    "login": (login, False),
    "stores": (stores, False),
    "stores-distance": (stores_by_distance, False),
    "stores-no-position": (stores_refused, False),
    "no-stores": (no_stores, False),
    "unknown-merchant": (unknown_merchant, False),
}
"""How each state is reached, and whether its screenshots show the whole page."""


@pytest.fixture(scope="module")
def pictured(browser: Browser) -> Iterator[list[str]]:
    """The names of the states that have pictures; at the end, these are on the contact sheet."""
    names: list[str] = []
    yield names
    save_contact_sheet(browser, names)


@pytest.mark.parametrize("name", STATES)
def test_a_state_is_accessible_and_fits_the_screen(phone: Phone, pictured: list[str], name: str) -> None:
    """In both themes, from 320 px on. The contact sheet is for people: look at it after a change of the page."""
    show, full_page = STATES[name]
    page = phone.page
    page.emulate_media(reduced_motion="reduce")
    show(phone)
    page.evaluate(AXE.read_text("utf-8"))
    colors = set()
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        report = page.evaluate("axe.run(document.querySelector('page'))")
        assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in report["violations"]] == [], theme
        assert report["passes"]
        colors.add(page.locator("page").evaluate("(e) => getComputedStyle(e).backgroundColor"))
    assert len(colors) == len(THEMES)
    assert phone.small_buttons() == []
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        assert phone.cut_texts() == [], f"{width} px"
        for theme in THEMES if width in PICTURED else ():
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            path = SCREENSHOTS / "states" / f"{name}-{width}-{theme}.png"
            page.screenshot(path=path, full_page=full_page, animations="disabled", scale="css")
    pictured.append(name)


DOCUMENTED: dict[str, tuple[Callable[[Phone], None], str]] = {
    "list": (opened_list, "light"),
    "detail": (detail("午市拿铁十次卡"), "light"),
    "stores": (stores_by_distance, "dark"),
    "large": (large_text, "light"),
}
"""The pictures of README and docs: copy build/screenshots/docs/*.png to docs/ after a change of the page."""


def test_the_pictures_of_the_documentation_are_written(screen: Page, preview_url: str, deployed: stack.Stack) -> None:
    folder = SCREENSHOTS / "docs"
    for name, (show, theme) in DOCUMENTED.items():
        with use_phone(screen, preview_url, deployed.platform.url) as phone:
            screen.set_viewport_size({"width": 375, "height": 720})
            screen.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            show(phone)
            screen.screenshot(path=folder / f"mini-program-{name}.png", animations="disabled")


def save_contact_sheet(browser: Browser, names: list[str]) -> None:
    """Put the screenshots into one picture: a row for each state."""
    rows = []
    for name in names:
        cells = []
        for width in PICTURED:
            for theme in THEMES:
                content = (SCREENSHOTS / "states" / f"{name}-{width}-{theme}.png").read_bytes()
                source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
                cells.append(f'<td><img src="{source}" style="width: {width // 2}px" alt=""></td>')
        rows.append(f"<tr><th>{name}</th>{''.join(cells)}</tr>")
    head = "".join(f"<th>{width} px, {theme}</th>" for width in PICTURED for theme in THEMES)
    style = (
        "body { margin: 16px; font: 12px sans-serif; background: #ccc } td, th { vertical-align: top; padding: 4px }"
    )
    page = browser.new_page(viewport={"width": 1640, "height": 1000}, device_scale_factor=1)
    page.set_content(f"<style>{style}</style><table><tr><th></th>{head}</tr>{''.join(rows)}</table>")
    page.screenshot(path=SCREENSHOTS / "contact-sheet.png", full_page=True)
    page.close()
