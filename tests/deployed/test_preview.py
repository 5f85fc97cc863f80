"""The mini-program's page in a browser, with the deployed app: what the customer sees and which requests are sent."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests
from playwright.sync_api import expect

from chalicelib.api import problems
from infra.bundle import ROOT
from sandbox import browser as chromium
from sandbox import preview, sample_data, stack
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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page, Request, Route

SCREENSHOTS = ROOT / "build" / "screenshots"
SCREEN = {"width": 375, "height": 812}
PROBLEM_TYPES = {
    problem.code: problem for problem in (*problems.ERROR_PROBLEMS.values(), *problems.FRAMEWORK_PROBLEMS.values())
}
BUTTONS = {"unauthenticated": "登录", "store_not_found": "选择门店"}
"""Buttons of the problems that need something else than a retry."""
LIST_CALL = "query_user_certificates"


@dataclass
class Phone:
    """A phone with the mini-program: its page in the browser, the API requests, and JavaScript errors."""

    page: Page
    url: str
    platform_url: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(
        self, customer: str = CUSTOMER, poi_id: str | None = POI_ID, account_id: str = ACCOUNT_ID, **query: str
    ) -> None:
        """Open the page as Douyin does."""
        query = {"customer": customer, "account_id": account_id, **({"poi_id": poi_id} if poi_id else {}), **query}
        self.page.goto(f"{self.url}/phone.html?" + "&".join(f"{name}={value}" for name, value in query.items()))

    def fail(self, kind: str, call: str = LIST_CALL, **options: Any) -> None:
        """Let calls of the mock platform fail."""
        stack.set_faults(self.platform_url, {"kind": kind, "call": call, **options})

    def clear_faults(self) -> None:
        """Let no call fail any more."""
        stack.set_faults(self.platform_url)

    @contextlib.contextmanager
    def purchases(self, customer: str, entries: list[dict[str, Any]]) -> Iterator[None]:
        """Replace what a customer has bought; restores the sample data at the end of the block."""
        url = f"{self.platform_url}/_sandbox/purchases/{customer}"
        requests.put(url, json=entries, timeout=5).raise_for_status()
        try:
            yield
        finally:
            requests.put(url, json=read_purchases(customer), timeout=5).raise_for_status()

    @property
    def calls(self) -> list[str]:
        """The requests without those for the stores: method and last part of the path."""
        paths = (request.partition("?")[0] for request in self.requests)
        return [f"{path.split()[0]} {path.rpartition('/')[2]}" for path in paths if not path.endswith("/stores")]

    def pull_down(self) -> None:
        """Pull the page down with a finger, which refreshes it."""
        self.page.mouse.move(180, 200)
        self.page.mouse.down()
        self.page.mouse.move(180, 400, steps=4)
        self.page.mouse.up()

    def come_back(self) -> None:
        """Hide the page and show it again."""
        for hidden in ("true", "false"):
            self.page.evaluate(
                f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
                "document.dispatchEvent(new Event('visibilitychange'))"
            )

    def save_screenshot(self, name: str, *, full_page: bool = False) -> None:
        """Save a screenshot of the screen, or of the whole page."""
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page)

    @property
    def store(self) -> Locator:
        """The store's name at the top of the page."""
        return self.page.get_by_role("heading", level=1)

    @property
    def cards(self) -> Locator:
        """The cards, one per certificate."""
        return self.page.get_by_role("listitem")

    @property
    def notice(self) -> Locator:
        """The message of a problem."""
        return self.page.get_by_role("alert")

    def button(self, name: str) -> Locator:
        """The button with this text."""
        return self.page.get_by_role("button", name=name)

    def overflows(self) -> bool:
        """Return whether anything is wider than the screen."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def preview_url(deployed: stack.Stack) -> Iterator[str]:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with stack.run_preview(deployed) as running:
        yield running.url


def read_purchases(customer: str) -> list[dict[str, Any]]:
    """Return the customer's purchases of the sample data, as they are in the file."""
    file = sample_data.DATA_FOLDER / "orders" / f"{customer}.json"
    entries: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    return entries


@pytest.fixture
def phone(browser: Browser, preview_url: str, deployed: stack.Stack) -> Iterator[Phone]:
    context = browser.new_context(viewport=SCREEN, device_scale_factor=2, locale="zh-CN")  # type: ignore[arg-type]
    page = context.new_page()
    phone = Phone(page, preview_url, deployed.platform.url)

    def record(request: Request) -> None:
        if "/api/" in request.url:
            phone.requests.append(f"{request.method} {request.url.split('/api', 1)[1]}")

    page.on("request", record)
    page.on("pageerror", lambda error: phone.errors.append(str(error)))
    yield phone
    context.close()
    phone.clear_faults()
    assert phone.errors == []


def test_the_list_shows_the_store_and_the_certificates_sorted_by_expiry(phone: Phone) -> None:
    phone.open()
    expect(phone.store).to_have_text("四季小馆·人民广场店")
    expect(phone.cards).to_have_count(7)
    texts = phone.page.locator("page").inner_text()
    assert texts.startswith("四季小馆·人民广场店")
    expect(phone.page.get_by_text("以下金额均已在抖音支付，到店使用无需再付")).to_be_visible()
    expect(phone.page.get_by_text("共 7 张可用券")).to_be_visible()
    dates = [[int(n) for n in re.findall(r"\d+", text)] for text in phone.page.locator(".expires").all_inner_texts()]
    assert dates == sorted(dates)
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
        "团购券": "双人套餐 已付 ¥44.99 门市价 ¥50 有效期至 2028年6月11日 券码尾号 7001",
        "代金券": "100元代金券 可抵 ¥80 至 ¥100 已付 ¥79 门市价 ¥100 平日可抵100元",
        "次卡": "午市拿铁十次卡 剩余 7 次，共 10 次 已付 ¥27 门市价 ¥35",
        "其他券": "体验券 已付 ¥1",
    }
    for kind, text in expected.items():
        card = phone.cards.filter(has=phone.page.get_by_text(kind, exact=True)).first
        assert " ".join(card.inner_text().split()).startswith(f"{kind} {text}")
    for text in ("错峰优惠：14点至17点（限部分星期，请咨询店员）", "使用状态待确认，请咨询店员", "转赠券"):
        expect(phone.page.get_by_text(text)).to_be_visible()


def test_prices_are_labelled_as_paid_and_the_market_price_is_struck_through(phone: Phone) -> None:
    """The platform's design rule: no customer may think that something is left to pay."""
    phone.open()
    expect(phone.cards).to_have_count(7)
    amounts = phone.page.locator(".price text").all_inner_texts()
    assert all(text.startswith(("已付 ¥", "门市价 ¥")) for text in amounts)
    expect(phone.page.locator(".worth").first).to_have_css("text-decoration-line", "line-through")


def test_a_customer_without_coupons_sees_the_empty_state(phone: Phone) -> None:
    phone.open(CUSTOMER_WITHOUT_COUPONS)
    expect(phone.page.get_by_role("status")).to_contain_text("本店暂无可用的券")
    expect(phone.cards).to_have_count(0)
    expect(phone.notice).to_have_count(0)
    phone.save_screenshot("empty")


def test_scrolling_loads_more_and_shows_each_certificate_once(phone: Phone) -> None:
    phone.open(CUSTOMER_WITH_MANY_COUPONS)
    expect(phone.cards).to_have_count(200)
    expect(phone.page.get_by_text("已找到 200 张可用券")).to_be_visible()
    for _ in range(3):
        phone.page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        phone.page.wait_for_timeout(100)
    expect(phone.cards).to_have_count(340)
    expect(phone.page.get_by_text("共 340 张可用券")).to_be_attached()
    ids = phone.cards.evaluate_all("(cards) => cards.map((card) => card.dataset.id)")
    assert len(set(ids)) == 340
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
    expect(phone.cards).to_have_count(340)
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
    expect(phone.page.get_by_role("status")).to_contain_text("本店暂无可用的券")
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
    expect(phone.page.locator(".choice-name")).to_have_text(names)
    assert phone.requests == [f"GET {stores_url()}"]
    phone.button("按离我最近排列").click()
    expect(phone.page.locator(".choice-name")).to_have_text([names[1], names[0], names[2]])
    expect(phone.page.locator(".choice-distance")).to_have_text(["约 460 米", "约 5.6 公里"])
    phone.save_screenshot("stores")
    phone.button(names[0]).click()
    expect(phone.store).to_have_text(names[0])
    expect(phone.cards).to_have_count(7)


def test_a_store_can_be_chosen_without_a_location(phone: Phone) -> None:
    phone.open(poi_id=None)
    phone.button("按离我最近排列").click()
    expect(phone.page.get_by_text("未能获取位置，请直接选择门店")).to_be_visible()
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
    phone.notice.get_by_role("button").click()
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
    expect(phone.page.get_by_text("暂无可选门店，请咨询店员")).to_be_visible()


def respond_with_problem(route: Route, code: str) -> None:
    """Respond to a request for the list; to a login with a session whose list has the problem."""
    problem = problems.problem_for_type(PROBLEM_TYPES[code], "a-request-id")
    if route.request.method == "POST":
        session = {"token": "a-token", "expires_in": 7200, "list_problem": json.loads(problem.body)}
        route.fulfill(json=session)
        return
    headers = {"Content-Type": "application/problem+json", "X-Request-Id": "a-request-id", **problem.headers}
    route.fulfill(status=problem.type.status, headers=headers, body=problem.body)


@pytest.mark.parametrize("first_visit", [True, False], ids=["first visit", "later visit"])
@pytest.mark.parametrize("code", sorted(PROBLEM_TYPES))
def test_each_problem_shows_its_text_and_the_right_button(phone: Phone, code: str, *, first_visit: bool) -> None:
    """The same for the list in the login response and for the ordinary call."""
    if not first_visit:
        phone.open()
        expect(phone.cards).to_have_count(7)
    for path in ("**/certificates", "**/sessions"):
        phone.page.route(path, lambda route: respond_with_problem(route, code))
    phone.open()
    problem = PROBLEM_TYPES[code]
    expect(phone.notice).to_contain_text(problem.detail)
    expect(phone.notice).to_contain_text("问题编号 a-request-id")
    expected = BUTTONS.get(code, "重试" if problem.retryable else None)
    buttons = phone.notice.get_by_role("button")
    if expected is None:
        expect(buttons).to_have_count(0)
    else:
        expect(buttons).to_contain_text(expected)
        (expect(buttons).to_be_disabled if problem.retry_after else expect(buttons).to_be_enabled)()
    expect(phone.page.get_by_text("正在查询可用的券…")).to_have_count(0)
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
    expect(phone.notice).to_contain_text(PROBLEM_TYPES[code].detail, timeout=15_000)
    phone.save_screenshot(f"problem-{code}")
    phone.clear_faults()
    button = phone.notice.get_by_role("button")
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
    button = phone.notice.get_by_role("button")
    expect(button).to_have_text(re.compile(r"重试（\d 秒后）"))
    expect(button).to_be_disabled()
    left = int(re.findall(r"\d", button.inner_text())[0])
    expect(button).to_have_text(f"重试（{left - 1} 秒后）")
    expect(button).to_have_text(re.compile(r"^\s*重试\s*$"), timeout=10_000)
    button.click()
    expect(phone.cards).to_have_count(7)


def test_without_a_network_the_list_stays_and_a_message_appears(phone: Phone) -> None:
    phone.open()
    expect(phone.cards).to_have_count(7)
    phone.page.context.set_offline(True)
    phone.pull_down()
    expect(phone.notice).to_contain_text("网络不给力，请检查网络后重试")
    expect(phone.cards).to_have_count(7)
    phone.save_screenshot("offline")
    phone.page.context.set_offline(False)
    phone.button("重试").click()
    expect(phone.notice).to_have_count(0)
    expect(phone.cards).to_have_count(7)


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
    phone.notice.get_by_role("button").click()
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
    expect(phone.page.get_by_text("正在查询可用的券…")).to_have_count(0)
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


@pytest.mark.parametrize("state", ["list", "empty", "stores", "problem"])
def test_axe_reports_no_accessibility_violation(phone: Phone, state: str) -> None:
    """Names, roles, contrast."""
    phone.page.add_init_script(path=preview.MINIPROGRAM_FOLDER / "node_modules" / "axe-core" / "axe.min.js")
    if state == "problem":
        phone.fail("code", code=2100004)
    phone.open(CUSTOMER_WITHOUT_COUPONS if state == "empty" else CUSTOMER, None if state == "stores" else POI_ID)
    shown = {
        "list": phone.cards.first,
        "empty": phone.page.get_by_text("本店暂无可用的券"),
        "stores": phone.button("四季小馆·徐家汇店"),
        "problem": phone.notice,
    }
    expect(shown[state]).to_be_visible(timeout=15_000)
    report = phone.page.evaluate("axe.run(document.querySelector('page'))")
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in report["violations"]] == []
    assert report["passes"]


def test_a_card_has_one_sentence_as_its_accessible_name(phone: Phone) -> None:
    phone.open()
    sentence = "次卡，午市拿铁十次卡，剩余 7 次，共 10 次，已付 ¥27，门市价 ¥35，有效期至 2028年8月27日，券码尾号 7002"
    expect(phone.page.get_by_role("listitem", name=sentence)).to_be_visible()


def test_the_preview_panel_shows_requests_and_switches_faults(browser: Browser, preview_url: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(preview_url)
    phone, calls = page.frame_locator("#phone"), page.locator("#calls tr")
    expect(phone.get_by_role("listitem")).to_have_count(7)
    expect(calls).to_have_count(2)
    expect(calls.nth(0)).to_contain_text(
        re.compile(r"POST /v1/sessions.*200.*\d+ ms.*session, 7 certificates", re.DOTALL)
    )
    expect(calls.nth(1)).to_contain_text(re.compile(r"GET /v1/merchants/\d+/stores.*200.*3 stores", re.DOTALL))
    expect(page.locator("#visit")).to_have_text(re.compile(r"^\d+ ms, 1 request$"))

    page.get_by_label("Opened in").select_option(label="四季小馆·徐家汇店")
    expect(phone.get_by_role("heading", level=1)).to_have_text("四季小馆·徐家汇店")
    expect(phone.get_by_role("listitem")).to_have_count(8)
    page.get_by_label("Customer").select_option(label="吴空")
    expect(phone.get_by_role("status")).to_contain_text("本店暂无可用的券")
    expect(page.locator("#logins")).to_have_text("2")

    page.get_by_label("busy (2100004)").check()
    page.get_by_role("button", name="Pull down").click()
    expect(phone.get_by_role("alert")).to_contain_text(PROBLEM_TYPES["upstream_unavailable"].detail, timeout=15_000)
    expect(calls.nth(0)).to_contain_text(re.compile(r"503.*upstream_unavailable.*2100004/0", re.DOTALL))
    expect(page.locator("#visit")).to_have_text("…")
    page.screenshot(path=SCREENSHOTS / "preview.png")
    page.get_by_label("busy (2100004)").uncheck()
    page.get_by_label("Customer").select_option(label="林小满")
    expect(phone.get_by_role("listitem")).to_have_count(8)

    page.get_by_label("Text").select_option("200")
    expect(phone.locator(".root")).to_have_css("font-size", "32px")
    page.get_by_role("button", name="Clear session and reload").click()
    expect(page.locator("#logins")).to_have_text("3")
    visit = page.locator("#visit")
    expect(visit).to_have_text(re.compile(r"^\d+ ms, 1 request$"))
    fast = int(visit.inner_text().split()[0])
    page.get_by_label("simulate 4G (60 ms round trip)").check()
    expect(phone.get_by_role("listitem")).to_have_count(8)
    expect(visit).to_have_text(re.compile(r"^\d+ ms, 1 request$"))
    assert int(visit.inner_text().split()[0]) >= 60
    page.get_by_role("button", name="Clear session and reload").click()
    expect(page.locator("#logins")).to_have_text("4")
    expect(visit).to_have_text(re.compile(r"^\d+ ms, 1 request$"))
    assert int(visit.inner_text().split()[0]) > fast
    assert errors == []
    page.close()
