"""The mini-program's page in a browser, with the deployed app: what the customer sees and which requests are sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from sandbox.gateway import certificates_url, stores_url
from sandbox.sample_data import (
    ACCOUNT_ID,
    CUSTOMER,
    CUSTOMER_WITH_LOCKED_COUPONS,
    CUSTOMER_WITH_MANY_COUPONS,
    CUSTOMER_WITH_MISSING_FIELDS,
    CUSTOMER_WITH_TIMES_CARDS,
    CUSTOMER_WITH_UNUSUAL_DATES,
    CUSTOMER_WITHOUT_COUPONS,
    OTHER_ACCOUNT_ID,
    OTHER_ACCOUNT_POI_ID,
    OTHER_POI_ID,
    POI_ID,
)
from tests.deployed.phone import AXE, PROBLEM_TYPES, SCREEN, SCREENSHOTS, read_purchases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from tests.deployed.phone import Phone

BUTTONS = {"unauthenticated": "重试", "store_not_found": "选择门店", "merchant_not_found": "重试"}
"""Buttons of the problems that need something else than a retry, or that are no dead end."""


def test_the_list_shows_the_store_and_the_certificates_sorted_by_expiry(phone: Phone) -> None:
    phone.open()
    expect(phone.store).to_have_text("四季小馆·人民广场店")
    expect(phone.cards).to_have_count(7)
    texts = phone.page.locator("page").inner_text()
    assert texts.startswith("四季小馆·人民广场店")
    expect(phone.page.get_by_text("金额均已支付，到店无需再付")).to_be_visible()
    expect(phone.page.get_by_text("共 6 张可用券")).to_be_visible()
    usable = phone.page.locator(".item:not(.muted .item) .date").all_inner_texts()
    assert usable == sorted(usable)
    assert usable[0] == "有效期至 2028.06.11"
    phone.save_screenshot("list", full_page=True)


def test_a_first_visit_takes_one_request_to_the_list(phone: Phone) -> None:
    """The stores come before it, or at the same time if Douyin names the store."""
    phone.open(poi_id=None)
    phone.button("四季小馆·人民广场店").click()
    expect(phone.cards).to_have_count(7)
    assert phone.requests == [f"GET {stores_url()}", "POST /v1/sessions"]
    phone.page.evaluate("sessionStorage.clear()")
    phone.requests.clear()
    phone.open()
    expect(phone.cards).to_have_count(7)
    assert phone.requests == [f"GET {stores_url()}", "POST /v1/sessions"]


def test_a_later_visit_takes_one_ordinary_request(phone: Phone) -> None:
    phone.open()
    expect(phone.store).to_have_text("四季小馆·人民广场店")
    expect(phone.cards).to_have_count(7)
    phone.page.reload()
    expect(phone.cards).to_have_count(7)
    assert phone.requests[2:] == [f"GET {certificates_url()}"]


def test_each_kind_of_coupon_shows_its_details(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    expected = {
        "双人套餐": "团购券 双人套餐 有效期至 2028.06.11 已付 ¥44.99 门市价 ¥50 券码尾号 7001",
        "100元代金券": "代金券 100元代金券 可抵 ¥80 至 ¥100 有效期至 2028.07.24 平日可抵100元 已付 ¥79 门市价 ¥100",
        "午市拿铁十次卡": "次卡 午市拿铁十次卡 剩余 7 次，共 10 次 有效期至 2028.08.27 已付 ¥27 门市价 ¥35",
        "体验券": "其他券 体验券 有效期至 2028.09.08 已付 ¥1",
    }
    for title, text in expected.items():
        assert " ".join(phone.card(title).inner_text().split()).startswith(text)
    for text in ("错峰时段 14:00~17:00，限部分星期，请咨询店员", "使用状态待确认，请咨询店员", "转赠券"):
        expect(phone.page.get_by_text(text)).to_be_visible()
    icons = {
        phone.card(title).locator(".icon").evaluate("(e) => getComputedStyle(e).backgroundImage") for title in expected
    }
    assert len(icons) == 4


def test_locked_and_not_yet_valid_coupons_look_different_and_stand_last(phone: Phone) -> None:
    phone.open()
    expect(phone.page.get_by_role("heading", name="暂时不能直接使用")).to_be_visible()
    expect(phone.cards.last).to_contain_text("使用状态待确认，请咨询店员")
    expect(phone.page.locator(".muted .item")).to_have_count(1)
    colors = phone.page.locator(".icon-groupon").evaluate_all(
        "(all) => all.map((e) => getComputedStyle(e).backgroundColor)"
    )
    assert colors[0] != colors[-1]
    entries = read_purchases(CUSTOMER_WITH_UNUSUAL_DATES)
    now = int(phone.page.evaluate("Date.now() / 1000"))
    entries[2]["order"]["certificates"][0]["start_time"] = now + 30 * 86400
    with phone.purchases(CUSTOMER, [*entries, *read_purchases(CUSTOMER)]):
        phone.pull_down()
        expect(phone.page.locator(".muted .item")).to_have_count(3)
    waiting = phone.page.locator(".muted .item").all_inner_texts()
    assert ["未到使用时间" in text for text in waiting] == [True, True, False]
    assert "2029.01.01 起可用" in waiting[0]


def test_coupons_that_cannot_be_used_here_are_explained_below_the_list(phone: Phone) -> None:
    with phone.purchases(CUSTOMER, [*read_purchases(CUSTOMER), *read_purchases(CUSTOMER_WITH_UNUSUAL_DATES)[:1]]):
        phone.open()
        expect(phone.page.locator(".unusable")).to_have_text(
            "另有 2 张券不能在本店使用：1 张已过期，1 张不适用于本店或已使用"
        )


def test_identical_coupons_are_one_card_that_can_be_opened(phone: Phone) -> None:
    with phone.purchases(CUSTOMER, identical_purchases(3)):
        phone.open()
        expect(phone.cards).to_have_count(1)
        expect(phone.page.get_by_text("共 3 张可用券")).to_be_visible()
        group = phone.button("团购券，招牌拿铁，×3")
        expect(group).to_contain_text("×3")
        expect(group).to_have_attribute("aria-expanded", "false")
        group.click()
        expect(group).to_have_attribute("aria-expanded", "true")
        expect(phone.page.locator(".member")).to_have_text([f"第 {n + 1} 张 · 券码尾号 000{n}" for n in range(3)])
        phone.button("第 2 张 · 券码尾号 0001").click()
        expect(phone.detail).to_contain_text("0001")
        phone.button("返回").click()
        group.click()
        expect(phone.page.locator(".member")).to_have_count(0)


def identical_purchases(count: int) -> list[dict[str, Any]]:
    """Return the customer's first purchase several times, in orders of its own."""
    purchases = []
    for number in range(count):
        entry = read_purchases(CUSTOMER)[0]
        entry["order"]["order_id"] = f"29{number}"
        entry["order"]["certificates"][0].update(certificate_id=f"79{number}", code=f"1081500{number:06d}")
        entry["order"]["certificates"][0]["sku_info"].update(title="招牌拿铁", sku_id="1790000000000000001")
        purchases.append(entry)
    return purchases


def test_a_card_opens_a_detail_with_everything_that_is_known(phone: Phone) -> None:
    phone.open()
    phone.card("午市拿铁十次卡").get_by_role("button").click()
    expect(phone.detail.get_by_role("heading", level=1)).to_have_text("午市拿铁十次卡")
    facts = dict(
        zip(
            phone.page.locator(".fact-name").all_inner_texts(),
            phone.page.locator(".fact-text").all_inner_texts(),
            strict=True,
        )
    )
    assert facts == {
        "有效期": "2024.04.15 至 2028.08.27",
        "可用序号": "第 4、5、6、7、8、9、10 次",
        "每次金额": "¥3",
        "已付": "¥27",
        "券原价": "¥30",
        "门市价": "¥35",
        "券码尾号": "7002",
        "订单编号": "2000000000000000002",
    }
    phone.button("复制订单编号").click()
    expect(phone.page.get_by_text("已复制")).to_be_visible()
    expect(phone.detail.get_by_role("button", name="使用这张券")).to_have_count(0)
    phone.button("返回").click()
    expect(phone.detail).to_have_count(0)
    phone.page.locator(".muted .card").click()
    expect(phone.detail).to_contain_text("使用状态待确认，请咨询店员")
    expect(phone.detail).to_contain_text("状态 1，场景 1")


def test_the_detail_covers_the_list_and_keeps_its_place(phone: Phone) -> None:
    phone.open()
    phone.card("体验券").get_by_role("button").click()
    expect(phone.detail).to_be_in_viewport()
    expect(phone.button("切换门店")).to_have_count(0)
    before = phone.page.evaluate("scrollY")
    phone.button("返回").click()
    expect(phone.card("体验券")).to_be_in_viewport()
    assert phone.page.evaluate("scrollY") == before


def test_with_a_hook_the_detail_has_a_button_and_the_list_is_read_again(phone: Phone) -> None:
    phone.open(hook="1")
    phone.record_event("phone-select")
    phone.card("双人套餐").get_by_role("button").click()
    with phone.purchases(CUSTOMER, read_purchases(CUSTOMER)[1:]):
        phone.button("使用这张券").click()
        expect(phone.detail).to_have_count(0)
        expect(phone.cards).to_have_count(6)
    assert phone.last_event() == "7200000000000000001"
    assert phone.calls == ["POST sessions", "GET certificates"]
    phone.page.locator(".muted .card").click()
    expect(phone.button("使用这张券")).to_have_count(0)


def test_a_title_ends_after_two_lines_and_is_complete_in_the_detail(phone: Phone) -> None:
    title = "四季小馆招牌双人套餐（含秘制红烧肉、清炒时蔬、手工小笼包及当季甜品各一份，周末及节假日通用）"
    entries = read_purchases(CUSTOMER)[:1]
    entries[0]["order"]["certificates"][0]["sku_info"]["title"] = title
    with phone.purchases(CUSTOMER, entries):
        phone.open()
        size = phone.page.locator(".title").evaluate(
            "(e) => [e.clientHeight / parseFloat(getComputedStyle(e).lineHeight), e.scrollHeight > e.clientHeight]"
        )
        assert (round(size[0]), size[1]) == (2, True)
        phone.cards.get_by_role("button").click()
        expect(phone.detail.get_by_role("heading")).to_have_text(title)
        assert not phone.overflows()


def test_a_coupon_that_ends_soon_says_so_in_words(phone: Phone) -> None:
    entries = read_purchases(CUSTOMER)[:1]
    now = int(phone.page.evaluate("Date.now() / 1000"))
    entries[0]["order"]["certificates"][0]["expire_time"] = now + 5 * 86400
    with phone.purchases(CUSTOMER, entries):
        phone.open()
        expect(phone.cards).to_contain_text("还剩 5 天")


def test_prices_are_labelled_as_paid_and_the_market_price_is_struck_through(phone: Phone) -> None:
    """The platform's design rule: no customer may think that something is left to pay."""
    phone.open()
    expect(phone.cards).to_have_count(7)
    amounts = phone.page.locator(".price .paid, .price .worth").all_inner_texts()
    assert all(text.startswith(("已付 ¥", "门市价 ¥")) for text in amounts)
    expect(phone.page.locator(".worth").first).to_have_css("text-decoration-line", "line-through")


def test_a_customer_without_coupons_sees_the_empty_state(phone: Phone) -> None:
    phone.open(CUSTOMER_WITHOUT_COUPONS)
    expect(phone.page.get_by_role("status")).to_contain_text("本店暂无可用的券")
    expect(phone.page.get_by_role("status")).to_contain_text("刚刚购买的券，请稍等片刻再刷新")
    expect(phone.page.locator(".picture")).to_be_visible()
    expect(phone.cards).to_have_count(0)
    expect(phone.notice).to_have_count(0)
    phone.save_screenshot("empty")
    with phone.purchases(CUSTOMER_WITHOUT_COUPONS, read_purchases(CUSTOMER)[:1]):
        phone.button("刷新").click()
        expect(phone.cards).to_have_count(1)


def test_scrolling_loads_more_and_shows_each_certificate_once(phone: Phone) -> None:
    phone.open(CUSTOMER_WITH_MANY_COUPONS)
    expect(phone.cards).to_have_count(200)
    expect(phone.page.get_by_text("已找到 200 张可用券")).to_be_visible()
    for _ in range(3):
        phone.page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        phone.page.wait_for_timeout(100)
    expect(phone.cards).to_have_count(320)
    expect(phone.page.get_by_text("共 340 张可用券")).to_be_attached()
    ids = phone.cards.evaluate_all("(cards) => cards.map((card) => card.dataset.id)")
    assert len(set(ids)) == 320
    expect(phone.page.get_by_text("×2")).to_have_count(20)
    assert phone.calls == ["POST sessions", "GET certificates"]
    assert "cursor=" in phone.requests[-1]
    phone.page.evaluate("window.scrollTo(0, 0)")
    phone.pull_down()
    expect(phone.cards).to_have_count(200)
    phone.page.wait_for_timeout(300)
    assert len(phone.calls) == 3


def test_a_button_loads_more_as_well(phone: Phone) -> None:
    """Users of a screen reader do not scroll."""
    phone.open(CUSTOMER_WITH_MANY_COUPONS)
    expect(phone.cards).to_have_count(200)
    phone.button("加载更多").dispatch_event("click")
    expect(phone.cards).to_have_count(320)
    expect(phone.button("加载更多")).to_have_count(0)


def test_responses_without_certificates_of_the_store_are_followed_by_the_next(phone: Phone) -> None:
    """A response may be empty although there are more pages; the customer could not scroll to load them."""
    order = {"certificates": [{"certificate_id": "75{n}", "sku_info": {"title": "他店券"}}], "order_id": "23{n}"}
    last = {"certificates": [{"certificate_id": "1", "sku_info": {"title": "本店券"}}], "order_id": "1"}
    purchases: list[dict[str, Any]] = [
        {"account_id": ACCOUNT_ID, "stores": [OTHER_POI_ID], "repeat": 450, "order": order},
        {"account_id": ACCOUNT_ID, "order": last},
    ]
    with phone.purchases(CUSTOMER_WITHOUT_COUPONS, purchases):
        phone.open(CUSTOMER_WITHOUT_COUPONS)
        expect(phone.cards).to_have_count(1)
        expect(phone.cards).to_contain_text("本店券")
        assert phone.calls == ["POST sessions", "GET certificates", "GET certificates"]


def test_a_customer_logs_in_once(phone: Phone) -> None:
    """One session is used for all requests, stores and visits."""
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.button("切换门店").click()
    phone.button("四季小馆·徐家汇店").click()
    expect(phone.store).to_have_text("四季小馆·徐家汇店")
    expect(phone.cards).to_have_count(8)
    phone.page.reload()
    expect(phone.cards).to_have_count(7)
    assert phone.calls == ["POST sessions", "GET certificates", "GET certificates"]


def test_another_user_of_the_phone_gets_an_own_session(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.open(CUSTOMER_WITHOUT_COUPONS)
    expect(phone.page.get_by_text("本店暂无可用的券")).to_be_visible()
    assert phone.calls == ["POST sessions", "POST sessions"]


def test_pulling_down_refreshes_the_list_and_shows_the_old_one_meanwhile(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    with phone.purchases(CUSTOMER, read_purchases(CUSTOMER)[:1]):
        phone.fail("delay", seconds=1.5, times=1)
        phone.pull_down()
        expect(phone.page.get_by_text("正在刷新…")).to_be_visible()
        expect(phone.cards).to_have_count(7)
        expect(phone.cards).to_have_count(1)
        expect(phone.page.get_by_text("正在刷新…")).to_be_hidden()


def test_a_late_response_of_another_store_is_not_shown(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.fail("delay", seconds=1.0, times=1)
    phone.pull_down()
    phone.button("切换门店").click()
    phone.button("四季小馆·徐家汇店").click()
    expect(phone.cards).to_have_count(8)
    phone.page.wait_for_timeout(1500)
    expect(phone.cards).to_have_count(8)
    expect(phone.notice).to_have_count(0)


def test_without_a_store_the_customer_chooses_one_from_a_list_that_can_be_sorted_by_distance(phone: Phone) -> None:
    phone.open(poi_id=None, place="31.1970,121.4340")
    expect(phone.store).to_have_text("选择门店")
    names = ["四季小馆·人民广场店", "四季小馆·徐家汇店", "四季小馆·五角场店"]
    expect(phone.choices).to_have_text(names)
    expect(phone.page.locator(".choice").first).to_contain_text("上海市黄浦区西藏中路180号")
    expect(phone.page.get_by_text("位置仅在您的手机上用于计算距离，不会上传或保存")).to_be_visible()
    assert phone.requests == [f"GET {stores_url()}"]
    phone.button("按离我最近排列").click()
    expect(phone.choices).to_have_text([names[1], names[0], names[2]])
    expect(phone.page.locator(".choice-distance")).to_have_text(["460 m", "5.6 km"])
    phone.save_screenshot("stores")
    phone.button(names[0]).click()
    expect(phone.store).to_have_text(names[0])
    expect(phone.cards).to_have_count(7)


def test_the_position_is_asked_for_once_and_then_used(phone: Phone) -> None:
    """Without a permission, nothing asks for the position until the customer taps."""
    phone.open(poi_id=None, place="31.1970,121.4340")
    expect(phone.page.locator(".choice-distance")).to_have_count(0)
    phone.button("按离我最近排列").click()
    expect(phone.page.locator(".choice-distance")).to_have_count(2)
    phone.page.reload()
    expect(phone.page.locator(".choice-distance")).to_have_count(2)
    expect(phone.button("按离我最近排列")).to_have_count(0)


def test_the_last_choice_is_remembered(phone: Phone) -> None:
    phone.open(poi_id=None)
    phone.button("四季小馆·徐家汇店").click()
    expect(phone.cards).to_have_count(8)
    phone.page.reload()
    expect(phone.store).to_have_text("四季小馆·徐家汇店")
    expect(phone.cards).to_have_count(8)
    phone.button("切换门店").click()
    expect(phone.page.locator(".choice").filter(has_text="当前门店")).to_contain_text("四季小馆·徐家汇店")
    # Douyin's own choice is stronger.
    phone.open()
    expect(phone.store).to_have_text("四季小馆·人民广场店")
    phone.button("切换门店").click()
    expect(phone.page.locator(".choice").filter(has_text="上次选择")).to_contain_text("四季小馆·徐家汇店")
    phone.button("返回").click()
    expect(phone.store).to_have_text("四季小馆·人民广场店")
    expect(phone.cards).to_have_count(7)


def test_a_remembered_store_that_is_closed_leads_to_the_selection(phone: Phone) -> None:
    phone.open(poi_id=None)
    phone.button("四季小馆·徐家汇店").click()
    expect(phone.cards).to_have_count(8)
    phone.page.evaluate(
        f"""() => Object.keys(sessionStorage)
            .filter((key) => key.endsWith("redemption.store.{ACCOUNT_ID}"))
            .forEach((key) => {{ sessionStorage[key] = '"9999"'; }})"""
    )
    phone.page.reload()
    expect(phone.choices).to_have_count(3)
    expect(phone.store).to_have_text("选择门店")


def test_a_store_can_be_chosen_without_a_location(phone: Phone) -> None:
    phone.open(poi_id=None)
    phone.button("按离我最近排列").click()
    expect(phone.page.get_by_text("未获取到位置，您可以直接选择门店")).to_be_visible()
    expect(phone.button("去设置中开启定位")).to_be_visible()
    phone.button("四季小馆·徐家汇店").click()
    expect(phone.cards).to_have_count(8)


def test_the_stores_stay_when_the_network_is_gone(phone: Phone) -> None:
    phone.open(poi_id=None)
    expect(phone.page.locator(".choice")).to_have_count(3)
    phone.page.evaluate(
        """() => Object.keys(sessionStorage).forEach((key) => {
            sessionStorage[key] = sessionStorage[key].replace(/"readAt":\\d+/, '"readAt":1');
        })"""
    )
    phone.page.route("**/stores", lambda route: route.abort())
    phone.come_back()
    expect(phone.page.get_by_text("网络不给力，以下为上次加载的门店")).to_be_visible()
    expect(phone.page.locator(".choice")).to_have_count(3)


def test_stores_that_cannot_be_loaded_show_their_problem_and_can_be_loaded_again(phone: Phone) -> None:
    phone.page.route("**/stores", lambda route: route.abort())
    phone.open(poi_id=None)
    expect(phone.notice).to_contain_text("网络不给力，请检查网络后重试")
    phone.page.unroute("**/stores")
    phone.notice.locator(".act").click()
    expect(phone.page.locator(".choice")).to_have_count(3)
    expect(phone.notice).to_have_count(0)


def test_the_list_does_not_need_the_stores(phone: Phone) -> None:
    phone.page.route("**/stores", lambda route: route.abort())
    phone.open()
    expect(phone.cards).to_have_count(7)
    expect(phone.store).to_have_text("当前门店")
    expect(phone.notice).to_have_count(0)


def test_a_single_store_is_opened_and_a_merchant_without_listed_stores_is_explained(phone: Phone) -> None:
    store = {"poi_id": POI_ID, "name": "唯一门店"}
    phone.page.route("**/stores", lambda route: route.fulfill(json={"account_id": ACCOUNT_ID, "stores": [store]}))
    phone.open(poi_id=None)
    expect(phone.store).to_have_text("唯一门店")
    expect(phone.cards).to_have_count(7)
    phone.page.evaluate("sessionStorage.clear()")
    phone.page.route("**/stores", lambda route: route.fulfill(json={"account_id": ACCOUNT_ID}))
    phone.open(poi_id=None)
    expect(phone.page.get_by_text("暂无可选门店")).to_be_visible()
    phone.open()
    expect(phone.cards).to_have_count(7)


def test_an_unknown_merchant_is_no_dead_end(phone: Phone) -> None:
    for poi_id in (None, POI_ID):
        phone.open(account_id="unknown", poi_id=poi_id)
        expect(phone.notice).to_contain_text(PROBLEM_TYPES["merchant_not_found"].detail)
        phone.button("选择其他门店").click()
        expect(phone.choices).to_have_count(3)
        expect(phone.notice).to_have_count(0)


@pytest.mark.parametrize("first_visit", [True, False], ids=["first visit", "later visit"])
@pytest.mark.parametrize("code", sorted(PROBLEM_TYPES))
def test_each_problem_shows_its_text_and_the_right_button(phone: Phone, code: str, *, first_visit: bool) -> None:
    """The same for the list in the login response and for the ordinary call."""
    if not first_visit:
        phone.open()
        expect(phone.cards).to_have_count(7)
    phone.refuse(code)
    phone.open()
    problem = PROBLEM_TYPES[code]
    detail = "登录失败，请重试" if code == "unauthenticated" else problem.detail
    expect(phone.notice).to_contain_text(detail)
    expect(phone.notice).to_contain_text("问题编号 8a6b51c0")
    expected = BUTTONS.get(code, "重试" if problem.retryable else None)
    buttons = phone.notice.locator(".act")
    if expected is None:
        expect(buttons).to_have_count(0)
    else:
        expect(buttons).to_contain_text(expected)
        (expect(buttons).to_be_disabled if problem.retry_after else expect(buttons).to_be_enabled)()
    expect(phone.page.locator(".skeleton")).to_have_count(0)
    assert not phone.overflows()


FAULTS: list[Any] = [
    pytest.param({"kind": "code", "code": 2100004}, "upstream_unavailable", id="busy"),
    pytest.param({"kind": "code", "code": 2119005}, "merchant_not_authorized", id="not authorized"),
    pytest.param({"kind": "code", "code": 28001016}, "app_not_permitted", id="banned"),
    pytest.param({"kind": "code", "code": 28003017}, "quota_exhausted", id="quota"),
    pytest.param({"kind": "code", "code": 2100005}, "upstream_rejected", id="rejected"),
    pytest.param({"kind": "code", "code": 2190008}, "token_unavailable", id="token"),
    pytest.param({"kind": "body", "body": "<html>"}, "upstream_malformed", id="not JSON"),
    pytest.param({"kind": "hang"}, "upstream_timeout", id="no response"),
    pytest.param({"kind": "code", "call": "jscode2session", "code": 40018}, "unauthenticated", id="code"),
    pytest.param({"kind": "code", "call": "jscode2session", "code": 40015}, "app_misconfigured", id="app"),
]


@pytest.mark.parametrize(("rule", "code"), FAULTS)
def test_a_fault_of_the_platform_shows_its_problem_and_the_page_recovers(
    phone: Phone, rule: dict[str, Any], code: str
) -> None:
    """From the mock platform through the deployed service to the screen."""
    phone.fail(**rule)
    phone.open()
    detail = "登录失败，请重试" if code == "unauthenticated" else PROBLEM_TYPES[code].detail
    expect(phone.notice).to_contain_text(detail, timeout=15_000)
    phone.save_screenshot(f"problem-{code}")
    phone.clear_faults()
    button = phone.notice.locator(".act")
    if button.count():
        expect(button).to_be_enabled(timeout=10_000)
        button.click()
    else:
        phone.pull_down()
    expect(phone.cards).to_have_count(7)
    expect(phone.notice).to_have_count(0)


def test_after_a_rate_limit_the_retry_button_counts_down(phone: Phone) -> None:
    phone.fail("code", code=2119003)
    phone.open()
    expect(phone.notice).to_contain_text(PROBLEM_TYPES["rate_limited"].detail)
    phone.clear_faults()
    button = phone.notice.locator(".act")
    expect(button).to_have_text(re.compile(r"重试（\d 秒后）"))
    expect(button).to_be_disabled()
    left = int(re.findall(r"\d", button.inner_text())[0])
    expect(button).to_have_text(f"重试（{left - 1} 秒后）")
    expect(button).to_have_text(re.compile(r"^\s*重试\s*$"), timeout=10_000)
    button.click()
    expect(phone.cards).to_have_count(7)


def test_without_a_network_the_old_list_stays_with_its_time(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.page.context.set_offline(True)
    phone.pull_down()
    expect(phone.notice).to_contain_text("网络不给力，请检查网络后重试")
    expect(phone.page.get_by_text(re.compile(r"^上次更新 \d\d:\d\d$"))).to_be_visible()
    expect(phone.cards).to_have_count(7)
    phone.save_screenshot("offline")
    phone.page.context.set_offline(False)
    phone.button("重试").click()
    expect(phone.notice).to_have_count(0)
    expect(phone.page.get_by_text("上次更新")).to_have_count(0)
    expect(phone.cards).to_have_count(7)


@pytest.mark.parametrize("code", ["merchant_not_authorized", "unauthenticated", "store_not_found", "quota_exhausted"])
def test_a_refusal_clears_the_old_list(phone: Phone, code: str) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.refuse(code)
    phone.pull_down()
    expect(phone.notice).to_contain_text(PROBLEM_TYPES[code].detail)
    expect(phone.cards).to_have_count(0)
    expect(phone.page.locator(".count")).to_have_count(0)


def test_the_problem_number_has_eight_characters_and_is_copied_by_a_tap(phone: Phone) -> None:
    phone.refuse("upstream_rejected")
    phone.open()
    phone.record_event("phone-copy")
    phone.button("问题编号 8a6b51c0").click()
    expect(phone.page.get_by_text("已复制")).to_be_visible()
    assert phone.last_event() == "8a6b51c0"


def test_loading_shows_a_skeleton_then_a_word_then_a_button(phone: Phone) -> None:
    phone.page.route("**/sessions", lambda _: None)
    phone.open()
    expect(phone.page.locator(".skeleton")).to_be_visible()
    slow = phone.page.get_by_text("仍在查询，请稍候…")
    expect(slow).to_have_count(0)
    phone.page.wait_for_timeout(1000)
    expect(slow).to_have_count(0)
    expect(slow).to_be_visible(timeout=2_000)
    expect(phone.button("重新查询")).to_have_count(0)
    expect(phone.button("重新查询")).to_be_visible(timeout=5_000)


def test_the_offered_retry_replaces_the_slow_request(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.page.route("**/certificates", lambda _: None, times=1)
    phone.button("切换门店").click()
    phone.button("四季小馆·徐家汇店").click()
    phone.button("重新查询").click(timeout=8_000)
    expect(phone.cards).to_have_count(8, timeout=3_000)
    expect(phone.notice).to_have_count(0)


def test_slow_stores_are_waited_for_in_the_same_way(phone: Phone) -> None:
    phone.page.route("**/stores", lambda _: None, times=1)
    phone.open(poi_id=None)
    expect(phone.page.locator(".skeleton")).to_be_visible()
    expect(phone.page.get_by_text("仍在查询，请稍候…")).to_be_visible()
    expect(phone.button("重新加载")).to_be_visible(timeout=6_000)
    phone.button("重新加载").click()
    expect(phone.choices).to_have_count(3)


def test_a_customers_journey(phone: Phone) -> None:
    """Open, choose a store, see the coupons, open a detail and a group, refresh, lose the network, recover."""
    with phone.purchases(CUSTOMER, [*read_purchases(CUSTOMER), *identical_purchases(2)]):
        phone.open(poi_id=None, place="31.1970,121.4340", hook="1")
        phone.button("按离我最近排列").click()
        phone.choices.first.click()
        expect(phone.store).to_have_text("四季小馆·徐家汇店")
        expect(phone.cards).to_have_count(9)
        phone.button("切换门店").click()
        phone.button("四季小馆·人民广场店").click()
        expect(phone.cards).to_have_count(8)
        expect(phone.page.get_by_text("共 8 张可用券")).to_be_visible()

        phone.card("100元代金券").get_by_role("button").click()
        expect(phone.detail).to_contain_text("平日可抵100元")
        phone.button("返回").click()
        phone.button("团购券，招牌拿铁，×2").click()
        phone.button("第 2 张 · 券码尾号 0001").click()
        expect(phone.detail).to_contain_text("291")
        phone.button("使用这张券").click()
        expect(phone.detail).to_have_count(0)

    phone.page.evaluate("window.scrollTo(0, 0)")
    phone.pull_down()
    expect(phone.cards).to_have_count(7)
    phone.page.context.set_offline(True)
    phone.pull_down()
    expect(phone.notice).to_contain_text("网络不给力")
    expect(phone.page.get_by_text("上次更新")).to_be_visible()
    expect(phone.cards).to_have_count(7)
    phone.page.context.set_offline(False)
    phone.button("重试").click()
    expect(phone.notice).to_have_count(0)
    expect(phone.cards).to_have_count(7)
    assert phone.calls[0] == "POST sessions"
    assert phone.calls.count("POST sessions") == 1


def test_without_a_douyin_login_the_page_asks_for_it_and_sends_nothing(phone: Phone) -> None:
    phone.open("")
    expect(phone.notice).to_contain_text("登录抖音后才能查看您的券")
    expect(phone.button("登录")).to_be_enabled()
    assert phone.calls == []


def test_after_a_lost_page_the_list_stays_and_can_be_continued(phone: Phone) -> None:
    phone.fail("http", page=2, status=404)
    phone.open(CUSTOMER_WITH_MANY_COUPONS)
    expect(phone.cards).to_have_count(50)
    phone.page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    expect(phone.notice).to_be_in_viewport()
    expect(phone.cards).to_have_count(50)
    phone.clear_faults()
    phone.notice.locator(".act").click()
    expect(phone.cards).not_to_have_count(50)


def test_an_unknown_store_and_a_merchant_of_another_app_show_their_problems(phone: Phone) -> None:
    phone.open(poi_id="9999")
    expect(phone.notice).to_contain_text(PROBLEM_TYPES["store_not_found"].detail)
    phone.button("选择门店").click()
    phone.button("四季小馆·徐家汇店").click()
    expect(phone.cards).to_have_count(8)
    phone.open(CUSTOMER_WITH_TIMES_CARDS, OTHER_ACCOUNT_POI_ID, OTHER_ACCOUNT_ID)
    expect(phone.notice).to_contain_text(PROBLEM_TYPES["wrong_app"].detail)


def test_coming_back_to_the_page_refreshes_the_list(phone: Phone) -> None:
    """The customer may have redeemed a coupon meanwhile."""
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.come_back()
    expect(phone.cards).to_have_count(7)
    phone.page.wait_for_timeout(300)
    assert phone.calls == ["POST sessions", "GET certificates"]
    assert len(phone.requests) == 3


@pytest.mark.parametrize(
    "customer",
    [
        CUSTOMER,
        CUSTOMER_WITHOUT_COUPONS,
        CUSTOMER_WITH_LOCKED_COUPONS,
        CUSTOMER_WITH_MISSING_FIELDS,
        CUSTOMER_WITH_UNUSUAL_DATES,
    ],
)
@pytest.mark.parametrize("text", ["100", "200"])
def test_large_text_fits_the_screen(phone: Phone, customer: str, text: str) -> None:
    """On a screen of 375 px, nothing is cut off and nothing needs horizontal scrolling."""
    phone.open(customer, text=text)
    expect(phone.page.locator(".skeleton")).to_have_count(0)
    expect(phone.page.locator(".root")).to_have_css("font-size", f"{int(text) * 16 // 100}px")
    assert not phone.overflows()
    clipped = phone.page.evaluate(
        """() => [...document.querySelectorAll("view, text, button")]
            .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline")
            .map((e) => e.textContent)"""
    )
    assert clipped == []
    if customer == CUSTOMER:
        phone.save_screenshot(f"list-{text}-percent")


def test_the_chosen_text_size_is_kept(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    sizes = []
    for _ in range(3):
        phone.button("调整字号").click()
        sizes.append(phone.page.locator(".root").evaluate("(root) => getComputedStyle(root).fontSize"))
    assert sizes == ["24px", "32px", "16px"]
    phone.button("调整字号").click()
    phone.page.reload()
    expect(phone.page.locator(".root")).to_have_css("font-size", "24px")


def show_list(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)


def show_group(phone: Phone) -> None:
    with phone.purchases(CUSTOMER, identical_purchases(2)):
        phone.open()
        phone.button("团购券，招牌拿铁，×2").click()
        expect(phone.page.locator(".member")).to_have_count(2)


def show_detail(phone: Phone) -> None:
    phone.open(hook="1")
    phone.card("双人套餐").get_by_role("button").click()
    expect(phone.button("使用这张券")).to_be_visible()


def show_locked_detail(phone: Phone) -> None:
    phone.open()
    phone.page.locator(".muted .card").click()
    expect(phone.detail).to_be_visible()


def show_empty(phone: Phone) -> None:
    phone.open(CUSTOMER_WITHOUT_COUPONS)
    expect(phone.page.get_by_text("本店暂无可用的券")).to_be_visible()


def show_stores(phone: Phone) -> None:
    phone.open(poi_id=None, place="31.1970,121.4340")
    phone.button("按离我最近排列").click()
    expect(phone.page.locator(".choice-distance")).to_have_count(2)


def show_refused_position(phone: Phone) -> None:
    phone.open(poi_id=None)
    phone.button("按离我最近排列").click()
    expect(phone.button("去设置中开启定位")).to_be_visible()


def show_disabled_retry(phone: Phone) -> None:
    phone.refuse("rate_limited")
    phone.open()
    expect(phone.notice.locator(".act")).to_be_disabled()


def show_stale(phone: Phone) -> None:
    show_list(phone)
    phone.page.context.set_offline(True)
    phone.pull_down()
    expect(phone.page.get_by_text("上次更新")).to_be_visible()


def show_loading(phone: Phone) -> None:
    phone.page.route("**/sessions", lambda _: None)
    phone.open()
    expect(phone.button("重新查询")).to_be_visible(timeout=8_000)


STATES = [
    show_list,
    show_group,
    show_detail,
    show_locked_detail,
    show_empty,
    show_stores,
    show_refused_position,
    show_disabled_retry,
    show_stale,
    show_loading,
]


@pytest.mark.parametrize("show", STATES)
def test_axe_reports_no_violation_and_everything_can_be_tapped(phone: Phone, show: Callable[[Phone], None]) -> None:
    """Names, roles, contrast in both themes; targets of 44 px; nothing wider than a screen of 320 px."""
    phone.page.emulate_media(reduced_motion="reduce")
    show(phone)
    phone.page.evaluate(AXE.read_text("utf-8"))
    for theme in ("light", "dark"):
        phone.page.emulate_media(color_scheme=theme)
        report = phone.page.evaluate("axe.run(document.querySelector('page'))")
        violations = [(v["id"], [node["html"] for node in v["nodes"]]) for v in report["violations"]]
        assert violations == [], theme
        assert report["passes"]
    small = phone.page.evaluate(
        """() => [...document.querySelectorAll("page button")].filter((button) => {
            const { width, height } = button.getBoundingClientRect();
            return width < 44 || height < 44;
        }).map((button) => button.outerHTML)"""
    )
    assert small == []
    phone.page.set_viewport_size({"width": 320, "height": 640})
    assert not phone.overflows()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_follows_the_theme_of_the_phone(phone: Phone, theme: str) -> None:
    phone.page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    show_list(phone)
    color = phone.page.locator("page").evaluate("(e) => getComputedStyle(e).backgroundColor")
    assert color == {"light": "rgb(244, 244, 246)", "dark": "rgb(16, 16, 20)"}[theme]


def test_the_order_for_a_screen_reader_is_the_order_on_the_screen(phone: Phone) -> None:
    """Store, tools, numbers, coupons by expiry, those that cannot be used, service."""
    phone.open()
    expect(phone.cards).to_have_count(7)
    tops = phone.page.evaluate(
        """() => [".bar", ".count", ".item", ".section", ".muted .item", ".unusable", ".service"]
            .map((selector) => document.querySelector(selector))
            .map((element, index, all) => index && !(all[index - 1].compareDocumentPosition(element) & 4)
                ? -1 : element.getBoundingClientRect().top)"""
    )
    assert tops == sorted(tops)
    assert min(tops) >= 0


def test_a_card_has_one_sentence_as_its_accessible_name(phone: Phone) -> None:
    phone.open()
    sentence = "次卡，午市拿铁十次卡，剩余 7 次，共 10 次，有效期至 2028.08.27，已付 ¥27，门市价 ¥35，券码尾号 7002"
    expect(phone.page.get_by_role("button", name=sentence)).to_be_visible()


def test_the_preview_panel_shows_requests_and_switches_faults(browser: Browser, preview_url: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(preview_url)
    phone, calls = page.frame_locator("#phone"), page.locator("#calls tr")
    expect(phone.locator(".item")).to_have_count(7)
    expect(calls).to_have_count(2)
    expect(calls.nth(0)).to_contain_text(
        re.compile(r"POST /v1/sessions.*200.*\d+ ms.*session, 7 certificates", re.DOTALL)
    )
    expect(calls.nth(1)).to_contain_text(re.compile(r"GET /v1/merchants/\d+/stores.*200.*3 stores", re.DOTALL))
    expect(page.locator("#visit")).to_have_text(re.compile(r"^\d+ ms, 1 request$"))

    page.get_by_label("打开的门店").select_option(label="四季小馆·徐家汇店")
    expect(phone.locator(".store")).to_have_text("四季小馆·徐家汇店")
    expect(phone.locator(".item")).to_have_count(8)
    page.get_by_label("顾客").select_option(label="吴空")
    expect(phone.get_by_role("status")).to_contain_text("本店暂无可用的券")
    expect(page.locator("#logins")).to_have_text("2")

    page.get_by_label("系统繁忙 (2100004)").check()
    page.get_by_role("button", name="下拉刷新").click()
    expect(phone.get_by_role("alert")).to_contain_text(PROBLEM_TYPES["upstream_unavailable"].detail, timeout=15_000)
    expect(calls.nth(0)).to_contain_text(re.compile(r"503.*upstream_unavailable.*2100004/0", re.DOTALL))
    expect(page.locator("#visit")).to_have_text("…")
    page.screenshot(path=SCREENSHOTS / "preview.png")
    page.get_by_label("系统繁忙 (2100004)").uncheck()
    page.get_by_label("顾客").select_option(label="林小满")
    expect(phone.locator(".item")).to_have_count(8)

    page.get_by_label("字号").select_option("200")
    expect(phone.locator(".root")).to_have_css("font-size", "32px")
    page.get_by_role("button", name="清除会话并重新打开").click()
    expect(page.locator("#logins")).to_have_text("3")
    visit = page.locator("#visit")
    expect(visit).to_have_text(re.compile(r"^\d+ ms, 1 request$"))
    page.get_by_label("模拟 4G（往返 60 毫秒）").check()
    expect(phone.locator(".item")).to_have_count(8)
    expect(visit).to_have_text(re.compile(r"^\d+ ms, 1 request$"))
    assert int(visit.inner_text().split()[0]) >= 60
    page.get_by_role("button", name="清除会话并重新打开").click()
    expect(page.locator("#logins")).to_have_text("4")
    expect(visit).to_have_text(re.compile(r"^\d+ ms, 1 request$"))
    assert int(visit.inner_text().split()[0]) >= 60
    assert errors == []
    page.close()


@pytest.fixture
def panel(browser: Browser, preview_url: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    page.goto(preview_url)
    expect(page.frame_locator("#phone").locator(".item")).to_have_count(7)
    yield page
    for box in page.locator("#faults input:checked").all():
        box.uncheck()
    page.close()


def test_the_panel_is_in_chinese_and_english(panel: Page) -> None:
    expect(panel.get_by_role("heading", level=1)).to_have_text("小程序预览")
    panel.get_by_role("button", name="English").click()
    expect(panel.get_by_role("heading", level=1)).to_have_text("Mini-program preview")
    expect(panel.get_by_label("Customer")).to_be_visible()
    texts = panel.locator("#panel").evaluate(
        "(panel) => [...panel.querySelectorAll('[data-en]')].map((e) => e.dataset)"
    )
    assert all(text["zh"] and text["en"] for text in texts)
    assert not re.search(
        "[一-鿿]",
        panel.locator("#faults")
        .inner_text()
        .replace("林小满", "")
        .replace("周多多", "")
        .replace("登录失败，请重试", ""),
    )
    panel.get_by_role("button", name="中文").click()
    expect(panel.get_by_label("顾客")).to_be_visible()


def test_each_fault_names_the_customer_who_shows_it_and_what_to_expect(panel: Page) -> None:
    hints = panel.locator("#faults small").all_inner_texts()
    assert len(hints) == panel.locator("#faults input").count()
    names = panel.locator("#customer option").all_inner_texts()
    assert all(hint.partition("：")[0] in names for hint in hints)
    panel.get_by_label("繁忙两次后恢复").check()
    panel.get_by_role("button", name="下拉刷新").click()
    expect(panel.locator("#calls tr").first).to_contain_text("retried 2×", timeout=10_000)


def test_the_panel_switches_the_hook_on(panel: Page) -> None:
    panel.get_by_label("config.ts 配置了 onSelect").check()
    phone = panel.frame_locator("#phone")
    phone.get_by_role("button", name="双人套餐").click()
    phone.get_by_role("button", name="使用这张券").click()
    expect(phone.get_by_text("onSelect: 7200000000000000001")).to_be_visible()


def test_at_phone_width_the_page_fills_the_screen(panel: Page) -> None:
    panel.set_viewport_size(SCREEN)  # type: ignore[arg-type]
    box = panel.locator("#phone").bounding_box()
    assert box == {"x": 0, "y": 0, **SCREEN}
    assert not panel.evaluate("document.documentElement.scrollWidth > innerWidth")
    expect(panel.locator("#panel")).to_be_hidden()
    panel.get_by_role("button", name="面板").click()
    expect(panel.get_by_label("顾客")).to_be_visible()
    assert not panel.evaluate("document.querySelector('#panel').scrollWidth > innerWidth")
    panel.screenshot(path=SCREENSHOTS / "preview-phone.png")
    panel.get_by_role("button", name="关闭").click()
    expect(panel.locator("#panel")).to_be_hidden()
