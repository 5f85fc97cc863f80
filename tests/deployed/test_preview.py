"""The sample page in a browser, with the deployed app: the customer's journey, and what only a browser can break.

`miniprogram/tests` has the page's states, texts and rules, `test_screenshots` every state's accessibility.
"""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from sandbox import preview
from sandbox.gateway import certificates_url, stores_url
from sandbox.sample_data import APP_ID, CERTIFICATE_ID, CUSTOMER, CUSTOMER_WITH_MANY_COUPONS
from tests.deployed.phone import PROBLEM_TYPES, SCREEN, SCREENSHOTS, Phone, identical_purchases, read_purchases
from tests.deployed.test_miniprogram import run

LIST = f"GET {certificates_url()}"


def test_a_customers_journey(phone: Phone) -> None:
    """Choose a store, change it, open a group and a coupon, use one, step back each time as the phone does."""
    with phone.purchases(CUSTOMER, [*read_purchases(CUSTOMER), *identical_purchases(2)]):
        phone.open(poi_id=None, place="31.1970,121.4340", hook="1")
        phone.record_event("phone-select")
        expect(phone.title).to_have_text("选择门店")
        phone.button("按距离排序").click()
        expect(phone.page.locator(".choice-distance")).to_have_text(["460 m", "5.6 km"])
        phone.choices.first.click()
        expect(phone.store).to_have_text("四季小馆·徐家汇店")
        expect(phone.cards).to_have_count(9)
        assert phone.requests == [f"GET {stores_url()}", "POST /v1/sessions"], "session and list in one request"
        phone.button("切换门店").click()
        expect(phone.choices).to_have_text(["四季小馆·徐家汇店", "四季小馆·人民广场店", "四季小馆·五角场店"])
        expect(phone.page.locator(".choice-tag")).to_have_text(["当前门店"])
        phone.page.go_back()
        expect(phone.store).to_have_text("四季小馆·徐家汇店")
        phone.button("切换门店").click()
        phone.button("四季小馆·人民广场店").click()
        expect(phone.cards).to_have_count(8)
        expect(phone.page.get_by_text("共 8 张可用券")).to_be_visible()
        assert phone.requests[2:] == [LIST]

        group = phone.button("招牌拿铁，×2")
        group.click()
        expect(group).to_have_attribute("aria-expanded", "true")
        expect(group).to_contain_text("收起")
        phone.button("第 2 张 · 券码尾号 0001", exact=True).click()
        expect(phone.ticket).to_contain_text("招牌拿铁")
        expect(phone.title).to_have_text("券详情")
        phone.page.go_back()
        group.click()
        expect(phone.page.locator(".member")).to_have_count(0)

    phone.show_certificate("双人套餐")
    phone.button("去使用", exact=True).click()
    assert phone.last_event() == CERTIFICATE_ID
    expect(phone.ticket).to_contain_text(re.compile("已提交，请以店员确认为准.*双人套餐.*7001", re.DOTALL))
    phone.button("查看其他券").click()
    expect(phone.cards).to_have_count(7)
    phone.card("100元代金券").get_by_role("button", name="去使用").click()
    assert phone.last_event() == "7200000000000000003", "one tap from the list"
    expect(phone.page.get_by_text("已提交，请以店员确认为准")).to_be_visible()
    with phone.page.expect_response("**/certificates"):
        phone.come_back()
    expect(phone.cards).to_have_count(7)
    assert phone.requests[2:] == [LIST] * 4, "the list is read after each use, and when the page is shown again"

    phone.page.reload()
    expect(phone.store).to_have_text("四季小馆·人民广场店")
    expect(phone.cards).to_have_count(7)
    assert phone.calls.count("POST sessions") == 1, "store and session are kept"


def test_without_a_hook_the_customer_shows_the_coupon_to_the_staff(phone: Phone) -> None:
    """What the staff looks at is on the first screen, in the order in which they need it."""
    phone.open(help="请到前台报手机号")
    phone.card("午市拿铁十次卡").get_by_role("button", name="去使用").click()
    expect(phone.ticket).to_be_in_viewport()
    order_id = read_purchases(CUSTOMER)[1]["order"]["order_id"]
    assert phone.ticket.inner_text().split("\n") == [
        "午市拿铁十次卡",
        "次卡",
        "订单编号",
        *re.findall(".{1,4}", order_id),
        "有效期至",
        "2028.08.27",
        "剩余 7 次，共 10 次",
        "请联系店员核销",
        "如有问题，请到前台报手机号",
    ]
    expect(phone.page.locator(".bar")).to_contain_text("四季小馆·人民广场店")
    assert [" ".join(fact.split()) for fact in phone.page.locator(".fact").all_inner_texts()] == [
        "有效期 2024.04.15 至 2028.08.27",
        "实付 ¥27",
        "门市价 ¥35",
        f"订单编号 {order_id} 复制",
    ]
    phone.button("复制订单编号").click()
    expect(phone.page.get_by_text("已复制")).to_be_visible()
    expect(phone.button("联系门店 021-5555-6601")).to_be_visible()
    expect(phone.button("去使用", exact=True)).to_have_count(0)
    expect(phone.page.get_by_text("如需退款")).to_have_count(0)
    phone.page.go_back()
    expect(phone.cards).to_have_count(7)


def test_what_must_not_be_redeemed_does_not_look_usable(phone: Phone) -> None:
    """Without a hook or with one, nothing invites to redeem it, or speaks of a payment."""
    phone.open()
    phone.show_certificate("双人套餐")
    expect(phone.ticket).to_contain_text("券款已付")
    color = "(e) => getComputedStyle(e).color"
    usable = phone.page.locator(".digits").evaluate(color)
    expect(phone.page.locator(".verdict")).to_have_count(0)
    phone.open(hook="1")
    phone.page.locator(".muted .card").first.click()
    verdict, digits = phone.page.locator(".verdict"), phone.page.locator(".digits")
    expect(verdict).to_have_text("暂不可用 · 请勿核销")
    assert digits.evaluate(color) != usable
    assert [box["y"] for box in (verdict.bounding_box(), digits.bounding_box()) if box] == sorted(
        box["y"] for box in (verdict.bounding_box(), digits.bounding_box()) if box
    )
    expect(phone.ticket).not_to_contain_text("券款已付")
    expect(phone.button("去使用", exact=True)).to_have_count(0)
    expect(phone.page.get_by_text("请联系店员核销")).to_have_count(0)


def test_a_host_with_login_request_storage_and_navigation_shows_everything(phone: Phone) -> None:
    phone.open(poi_id=None, host="bare")
    expect(phone.choices).to_have_count(3)
    expect(phone.button("按距离排序")).to_have_count(0)
    phone.choices.first.click()
    expect(phone.cards).to_have_count(7)
    phone.pull_down()
    expect(phone.cards).to_have_count(7)
    phone.show_certificate("双人套餐")
    phone.button("复制订单编号").click()
    phone.button("联系门店").click()
    phone.button("大字").click()
    expect(phone.page.locator(".coupons")).to_have_css("font-size", "20px")


def test_the_journey_works_with_a_keyboard(phone: Phone) -> None:
    def press(name: str) -> None:
        """Go to a button with the tab key, and press it."""
        for _ in range(60):
            phone.page.keyboard.press("Tab")
            focused = phone.page.locator("button:focus")
            if focused.count() and name in (focused.get_attribute("aria-label") or focused.inner_text()):
                break
        else:
            pytest.fail(f"{name} cannot be reached")
        phone.page.keyboard.press("Enter")

    with phone.purchases(CUSTOMER, [*read_purchases(CUSTOMER), *identical_purchases(2)]):
        phone.open(poi_id=None, place="31.1970,121.4340", hook="1")
        expect(phone.choices).to_have_count(3)
        press("按距离排序")
        expect(phone.page.locator(".choice-distance")).to_have_count(2)
        press("四季小馆·人民广场店")
        expect(phone.cards).to_have_count(8)
        press("招牌拿铁，×2")
        press("第 2 张")
        expect(phone.ticket).to_contain_text("招牌拿铁")
        press("大字")
        press("复制订单编号")
        press("去使用")
        expect(phone.ticket).to_contain_text("已提交")
        press("查看其他券")
        expect(phone.cards).to_have_count(8)
        press("切换门店")
        expect(phone.title).to_have_text("选择门店")


HOST_PAGE = """Page({
  data: {},
  open() { tt.navigateTo({ url: "/shop/coupons/pages/certificates/certificates?poi_id=6601" }); },
});"""
HOST_STYLES = "button { width: 90%; margin: 20px auto; background: red; color: yellow; font-size: 30px; opacity: 0.5 }"


@pytest.fixture(scope="module")
def host_program(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Another program with a page, styles and a config of its own, into whose subpackage the folder was copied."""
    host, source = tmp_path_factory.mktemp("host"), preview.MINIPROGRAM_FOLDER / "src"
    (host / "node_modules").symlink_to(preview.MINIPROGRAM_FOLDER / "node_modules")
    shutil.copy(preview.MINIPROGRAM_FOLDER / "tsconfig.json", host)
    folder = shutil.copytree(source / "coupons", host / "src" / "shop" / "coupons")
    config = folder / "config.ts"
    config.write_text(config.read_text("utf-8").replace('"/coupons"', '"/shop/coupons"'), "utf-8")
    run(host, "node", "node_modules/typescript/bin/tsc")
    folders = (host / "dist", host / "src")
    files = {path.relative_to(folder).as_posix(): path for folder in folders for path in folder.rglob("*.*")}
    return {
        **{name: path.read_text("utf-8") for name, path in files.items()},
        "app.json": '{"pages": ["pages/stores/stores"], "window": {}}',
        "app.js": "App({});",
        "app.ttss": HOST_STYLES,
        "config.js": "exports.config = { name: 'host' };",
        "pages/stores/stores.js": HOST_PAGE,
        "pages/stores/stores.json": '{"navigationBarTitleText": "首页"}',
        "pages/stores/stores.ttml": '<button class="use" bindtap="open">我的券</button>',
        "pages/stores/stores.ttss": "",
    }


def test_the_folder_works_in_another_program(phone: Phone, host_program: dict[str, str]) -> None:
    """As a subpackage, with the same buttons as in the sample, whatever the program's own buttons look like."""
    looks = "(e) => Object.fromEntries([...getComputedStyle(e)].map((name) => [name, getComputedStyle(e)[name]]))"
    phone.open()
    expect(phone.cards).to_have_count(7)
    sample = [button.evaluate(looks) for button in phone.page.locator(".coupons button").all()]
    api = re.compile(r'(?<=api: )"[^"]*"')
    files = {name: api.sub(f'"{phone.url}/api"', text) for name, text in host_program.items()}
    phone.page.route("**/program.json", lambda route: route.fulfill(json={"app_id": APP_ID, "files": files}))
    phone.open()
    expect(phone.title).to_have_text("首页")
    phone.button("我的券").click()
    expect(phone.cards).to_have_count(7)
    assert [button.evaluate(looks) for button in phone.page.locator(".coupons button").all()] == sample
    phone.show_certificate("双人套餐")
    phone.page.go_back()
    phone.button("切换门店").click()
    phone.button("四季小馆·徐家汇店").click()
    expect(phone.store).to_have_text("四季小馆·徐家汇店")


@pytest.mark.parametrize("way", ["scroll", "button"])
def test_the_next_page_is_loaded_and_each_certificate_shown_once(phone: Phone, way: str) -> None:
    """Users of a screen reader do not scroll."""
    phone.open(CUSTOMER_WITH_MANY_COUPONS)
    expect(phone.cards).to_have_count(200)
    if way == "scroll":
        phone.page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    else:
        phone.button("加载更多").dispatch_event("click")
    expect(phone.cards).to_have_count(320)
    expect(phone.page.get_by_text("共 340 张可用券")).to_be_attached()
    ids = phone.cards.evaluate_all("(cards) => cards.map((card) => card.dataset.id)")
    assert len(set(ids)) == 320
    expect(phone.page.get_by_text("×2")).to_have_count(20)
    assert phone.calls == ["POST sessions", "GET certificates"]


def test_a_card_shows_every_text(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    expected = {
        "双人套餐": "双人套餐 团购券 有效期至 2028.06.11 实付 ¥44.99 门市价 ¥50 券码尾号 7001 去使用",
        "100元代金券": "100元代金券 代金券 可抵 ¥80 至 ¥100 有效期至 2028.07.24 平日可抵100元 超出部分需到店另付 "
        "实付 ¥79 门市价 ¥100 券码尾号 7003 去使用",
        "午市拿铁十次卡": "午市拿铁十次卡 次卡 剩余 7 次，共 10 次 有效期至 2028.08.27 实付 ¥27 门市价 ¥35 去使用",
    }
    for title, text in expected.items():
        assert " ".join(phone.card(title).inner_text().split()) == text


def test_a_step_back_shows_the_list_where_it_was(phone: Phone) -> None:
    phone.open()
    phone.card("体验券").locator(".card").scroll_into_view_if_needed()
    before = phone.page.evaluate("scrollY")
    assert before > 0
    phone.show_certificate("体验券")
    phone.page.go_back()
    expect(phone.card("体验券")).to_be_in_viewport()
    assert phone.page.evaluate("scrollY") == before


def test_the_order_for_a_screen_reader_is_the_order_on_the_screen(phone: Phone) -> None:
    """Store, number, coupons by expiry, those that cannot be used, what else there is."""
    phone.open()
    expect(phone.cards).to_have_count(7)
    tops = phone.page.evaluate(
        """() => [".bar", ".section", ".item", ".muted .item", ".hint", ".coupons > .act"]
            .map((selector) => document.querySelector(selector))
            .map((element, index, all) => index && !(all[index - 1].compareDocumentPosition(element) & 4)
                ? -1 : element.getBoundingClientRect().top)"""
    )
    assert tops == sorted(tops)
    assert min(tops) >= 0


@pytest.fixture
def panel(browser: Browser, preview_url: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(preview_url)
    expect(page.frame_locator("#phone").locator(".item")).to_have_count(7)
    yield page
    for box in page.locator("#faults input:checked").all():
        box.uncheck()
    page.close()
    assert errors == []


def test_the_panel_shows_requests_and_switches_customer_store_and_faults(panel: Page) -> None:
    phone, calls = panel.frame_locator("#phone"), panel.locator("#calls tr")
    expect(calls.nth(0)).to_contain_text(
        re.compile(r"POST /v1/sessions.*200.*\d+ ms.*session, 7 certificates", re.DOTALL)
    )
    expect(calls.nth(1)).to_contain_text(re.compile(r"GET /v1/merchants/\d+/stores.*200.*3 stores", re.DOTALL))
    expect(panel.locator("#visit")).to_have_text(re.compile(r"^\d+ ms, 1 request$"))

    panel.get_by_label("进入的门店").select_option(label="四季小馆·徐家汇店")
    expect(phone.locator(".item")).to_have_count(8)
    panel.get_by_label("顾客").select_option(label="吴空")
    expect(phone.get_by_role("status")).to_contain_text("本店暂无可用的券")
    expect(panel.locator("#logins")).to_have_text("2")

    panel.get_by_label("商家未授权 (2119005)").check()
    panel.get_by_role("button", name="下拉刷新").click()
    expect(phone.get_by_role("alert")).to_contain_text(PROBLEM_TYPES["merchant_not_authorized"].detail)
    expect(calls.nth(0)).to_contain_text(re.compile(r"403.*merchant_not_authorized.*2119005/0", re.DOTALL))
    panel.screenshot(path=SCREENSHOTS / "preview.png")

    panel.get_by_role("button", name="English").click()
    expect(panel.get_by_role("heading", level=1)).to_have_text("Mini-program preview")
    expect(panel.get_by_label("Customer")).to_be_visible()


def test_at_phone_width_the_page_fills_the_screen(panel: Page) -> None:
    panel.set_viewport_size(SCREEN)  # type: ignore[arg-type]
    box = panel.locator("#phone").bounding_box()
    assert box == {"x": 0, "y": 0, **SCREEN}
    expect(panel.locator("#panel")).to_be_hidden()
    panel.get_by_role("button", name="面板").click()
    expect(panel.get_by_label("顾客")).to_be_visible()
    assert not panel.evaluate("document.querySelector('#panel').scrollWidth > innerWidth")
    panel.get_by_role("button", name="关闭").click()
    expect(panel.locator("#panel")).to_be_hidden()
