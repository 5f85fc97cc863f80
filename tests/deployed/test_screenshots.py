"""The states of the pages: axe, targets, text that fits. `make screenshots` also pictures them in build/screenshots."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

from sandbox import stack
from sandbox.sample_data import (
    CUSTOMER,
    CUSTOMER_WITH_MANY_COUPONS,
    CUSTOMER_WITH_UNUSUAL_DATES,
    CUSTOMER_WITHOUT_COUPONS,
)
from tests.deployed.phone import AXE, SCREENSHOTS, Phone, identical_purchases, read_purchases

WIDTHS = {430: 932, 375: 812, 320: 640}
"""Width and height of the screens."""

THEMES = ("light", "dark")
IS_PICTURED = "PICTURES" in os.environ
"""Set by `make screenshots`."""
LARGEST_TEXT = "32px"
SMALL_SCREEN: ViewportSize = {"width": 360, "height": 640}
"""On this screen, the cashier's line and the size of the text are visible without scrolling."""

NOW = 1_796_285_220
"""2026-12-03 16:07 in China."""
DISHES = ("牛肉面", "小笼包", "炒饭", "馄饨", "盖浇饭", "酸辣粉", "煲仔饭", "葱油拌面", "汤包", "生煎", "烤鱼")
LONG_TITLE = "四季小馆招牌双人套餐（含秘制红烧肉、清炒时蔬、手工小笼包及当季甜品各一份，周末及节假日通用）"


def opened(text: str, customer: str = CUSTOMER, **query: Any) -> Callable[[Phone], None]:
    """The first page, which shows this text after it was opened with these values."""

    def show(phone: Phone) -> None:
        phone.open(customer, **query)
        expect(phone.page.get_by_text(text, exact=True)).to_be_visible()

    return show


def long_list(phone: Phone) -> None:
    """Everything that a list can contain: long titles, groups, soon to expire, not valid yet, locked, unusable."""
    now = int(phone.page.evaluate("Date.now() / 1000"))
    entries = [*read_purchases(CUSTOMER), *identical_purchases(4)]
    coupons = [entry["order"]["certificates"][0] for entry in entries]
    # The end of today in China.
    coupons[0]["expire_time"] = now - (now + 8 * 3600) % 86400 + 86399
    coupons[0]["sku_info"]["title"] = LONG_TITLE
    for entry, coupon in zip(entries[-4:-1], coupons[-4:-1], strict=True):
        entry["order"]["order_id"] = "2000000000000000290"
        coupon["expire_time"] = now + 5 * 86400
    coupons[-1].update(start_time=now + 30 * 86400, expire_time=now + 90 * 86400)
    coupons[-1]["sku_info"]["title"] = "新春团圆套餐"
    with phone.purchases(CUSTOMER, [*entries, *read_purchases(CUSTOMER_WITH_UNUSUAL_DATES)[:1]]):
        phone.open()
        expect(phone.page.get_by_text("另 3 张，请照常让店员扫码")).to_be_visible()


def remembered(phone: Phone) -> None:
    stores(phone)
    phone.choices.first.click()
    expect(phone.cards).to_have_count(7)
    phone.open(poi_id=None)
    expect(phone.page.get_by_text("上次选的门店，不在这家请切换")).to_be_visible()


def counter(title: str, **query: str) -> Callable[[Phone], None]:
    """券详情 of this coupon."""

    def show(phone: Phone) -> None:
        phone.open(**query)
        phone.show_certificate(title)

    return show


def last_day(phone: Phone) -> None:
    """A coupon with a long title that expires today."""
    long_list(phone)
    phone.show_certificate(LONG_TITLE)


def doubted(text: str, hours: tuple[str, str] | None = None, **fields: Any) -> Callable[[Phone], None]:
    """A coupon with these hours and fields, on 2026-12-03 at 16:07 in China."""

    def show(phone: Phone) -> None:
        [entry, *_] = read_purchases(CUSTOMER)
        coupon = entry["order"]["certificates"][0]
        coupon.update(fields)
        if hours:
            ranges = [dict(zip(("start_time", "end_time"), hours, strict=True))]
            off_peak = {"has_off_peak_discount": True, "off_peak_time": {"daily_time_range_list": ranges}}
            coupon["off_peak_discount_detail"] = off_peak
        phone.page.clock.set_fixed_time(NOW)
        with phone.purchases(CUSTOMER, [entry]):
            phone.open()
            phone.show_certificate("双人套餐")
            expect(phone.doubt).to_have_text(f"请照常让店员扫码；{text}")

    return show


def stale_counter(phone: Phone) -> None:
    """A coupon after an update has failed."""
    phone.page.clock.install(time=NOW)
    phone.open()
    phone.show_certificate("双人套餐")
    phone.page.context.set_offline(True)
    phone.come_back()
    expect(phone.page.get_by_text("请照常让店员扫码；本页更新于 16:07")).to_be_visible()


def searched(phone: Phone) -> None:
    """A list that is still empty after some parts, and has more."""

    def respond(route: Route) -> None:
        part = {"certificates": [], "unusable": {"other": 50}, "next_cursor": "c"}
        login = {"token": "a-token", "expires_in": 7200, "list": part}
        route.fulfill(json=login if route.request.method == "POST" else part)

    for path in ("**/certificates?*", "**/sessions"):
        phone.page.route(path, respond)
    phone.open()
    expect(phone.page.get_by_text("还没查全，可先打开抖音订单")).to_be_visible()


def gone(phone: Phone) -> None:
    phone.open()
    phone.show_certificate("双人套餐")
    with phone.purchases(CUSTOMER, []):
        phone.come_back()
        expect(phone.button("查看其他券")).to_be_visible()


def loading(phone: Phone) -> None:
    phone.page.clock.install()
    # Logins wait until the phone is switched off.
    phone.page.route("**/sessions", lambda _: None)
    phone.open()
    expect(phone.page.locator(".coupons-spinner")).to_be_visible()
    phone.page.clock.fast_forward(6000)
    expect(phone.button("重新查询")).to_be_visible()


def failed_second_page(phone: Phone) -> None:
    fault = {"kind": "http", "call": "query_user_certificates", "page": 2, "status": 404}
    stack.set_faults(phone.platform_url, fault)
    [entry, *_] = read_purchases(CUSTOMER_WITH_MANY_COUPONS)
    template = json.dumps({**entry, "repeat": None}, ensure_ascii=False)
    names = [f"{kind}{dish}" for dish in DISHES for kind in ("招牌", "经典", "午市", "双人", "三人")]
    entries = [template.replace("单人工作餐 {n}", name).replace("{n}", f"{n:04d}") for n, name in enumerate(names, 1)]
    with phone.purchases(CUSTOMER_WITH_MANY_COUPONS, [json.loads(text) for text in entries]):
        phone.open(CUSTOMER_WITH_MANY_COUPONS)
        expect(phone.cards).to_have_count(50)
    expect(phone.page.get_by_text("已找到本店可用 50 张，以扫码结果为准")).to_be_visible()
    phone.button("加载更多").click()
    expect(phone.problem).to_contain_text("后面的券没加载出来")


def stale(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.page.context.set_offline(True)
    phone.pull_down()
    expect(phone.problem).to_be_visible()


def stores(phone: Phone) -> None:
    phone.open(poi_id=None, place="31.1970,121.4340")
    expect(phone.choices).to_have_count(3)


def stores_by_distance(phone: Phone) -> None:
    stores(phone)
    phone.button("四季小馆·人民广场店").click()
    phone.button("切换门店").click()
    phone.button("按距离排序").click()
    expect(phone.page.locator(".coupons-choice-distance")).to_have_count(3)


def stores_refused(phone: Phone) -> None:
    phone.open(poi_id=None)
    phone.button("按距离排序").click()
    expect(phone.page.get_by_text("未获取到位置")).to_be_visible()


def chain(phone: Phone) -> None:
    phone.list_chain()
    phone.open(poi_id=None)
    expect(phone.choices).to_have_count(12)


STATES: dict[str, Callable[[Phone], None]] = {
    "list": long_list,
    "remembered": remembered,
    "loading": loading,
    "empty": opened("这里没查到券，请看抖音订单", CUSTOMER_WITHOUT_COUPONS),
    "empty-orders": opened("打开我的订单", CUSTOMER_WITHOUT_COUPONS, orders=""),
    "searched": searched,
    "offline": stale,
    "login": opened("登录", ""),
    "failed-second-page": failed_second_page,
    "stores-distance": stores_by_distance,
    "stores-no-position": stores_refused,
    "stores-chain": chain,
    "coupon": counter("拿铁十次卡"),
    "coupon-orders": counter("100元代金券", orders=""),
    "coupon-last-day": last_day,
    "coupon-ended": doubted("本页显示 16:06 已到期", expire_time=NOW - 60),
    "coupon-hours": doubted("本页显示 17:00 起可用", ("17:00", "02:00")),
    "coupon-stale": stale_counter,
    "coupon-gone": gone,
    "coupon-redeem": counter("双人套餐", redeem="/redeem"),
}
"""How each state is reached."""


@pytest.mark.parametrize("name", STATES)
def test_a_state_is_accessible_and_fits_the_screen(phone: Phone, name: str) -> None:
    """In both themes, from 320 px on. The pictures are for people: look at them after a change of the pages."""
    page = phone.page
    page.emulate_media(reduced_motion="reduce")
    STATES[name](phone)
    page.evaluate(AXE.read_text("utf-8"))
    colors = set()
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        report = page.evaluate("axe.run(document.querySelector('page'))")
        assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in report["violations"]] == [], theme
        assert report["passes"]
        colors.add(page.locator(".coupons").evaluate("(e) => getComputedStyle(e).backgroundColor"))
        picture(page, f"{name}-{theme}")
    assert len(colors) == len(THEMES)
    assert phone.small_buttons() == []
    root = page.locator(".coupons")
    usual = root.evaluate("(e) => e.style.fontSize")
    # The narrowest screen comes last, with the largest text: this is pictured, too.
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        for size in (usual, LARGEST_TEXT):
            root.evaluate("(e, size) => { e.style.fontSize = size }", size)
            assert phone.cut_texts() == [], f"{width} px, text {size}"
            assert phone.orphans() == [], f"{width} px, text {size}"
    # The page's own button says that the text is large.
    if phone.button("大字").is_visible():
        phone.button("大字").dispatch_event("click")
    picture(page, f"{name}-large")
    page.set_viewport_size(SMALL_SCREEN)
    page.evaluate("scrollTo(0, 0)")
    expect(root).to_have_css("font-size", LARGEST_TEXT)
    staff = page.get_by_text("店员：扫订单里的码，验券成功才出餐；扫不成，叫店长", exact=True)
    for part in (staff, phone.button("标准字")):
        expect(part).to_be_in_viewport(ratio=1)


def picture(page: Page, name: str) -> None:
    """Picture the whole page, however long it is."""
    if IS_PICTURED:
        path = SCREENSHOTS / "states" / f"{name}.png"
        page.screenshot(path=path, full_page=True, animations="disabled", scale="css")


DOCUMENTED = {"list": long_list, "counter": counter("拿铁十次卡")}
"""The documented pictures: copy build/screenshots/docs/*.png to miniprogram/docs/ after a change of the pages."""


@pytest.mark.skipif(not IS_PICTURED, reason="only make screenshots writes pictures")
@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_picture_of_the_documentation_is_written(phone: Phone, name: str) -> None:
    phone.page.set_viewport_size({"width": 375, "height": 720})
    DOCUMENTED[name](phone)
    phone.page.screenshot(path=SCREENSHOTS / "docs" / f"mini-program-{name}.png", animations="disabled")
