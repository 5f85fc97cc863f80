"""A phone with the mini-program: the preview's page in a browser, as the tests and the screenshots use it."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
from playwright.sync_api import Locator, Page, ViewportSize

from infra.bundle import ROOT
from sandbox import preview, sample_data
from sandbox.sample_data import ACCOUNT_ID, CUSTOMER, POI_ID

SCREENSHOTS = ROOT / "build" / "screenshots"
SCREEN: ViewportSize = {"width": 375, "height": 812}
AXE = preview.MINIPROGRAM_FOLDER / "node_modules" / "axe-core" / "axe.min.js"

CHAIN = {
    "人民广场": "黄浦区西藏中路180", "徐家汇": "徐汇区肇嘉浜路1000", "五角场": "杨浦区淞沪路8",
    "静安寺": "静安区南京西路1700", "梅龙镇": "静安区南京西路1038", "陆家嘴": "浦东新区陆家嘴环路1000",
    "中山公园": "长宁区长宁路1018", "大宁": "静安区共和新路1898", "恒隆": "静安区南京西路1266",
    "虹桥天地": "闵行区申长路688", "莘庄": "闵行区莘庄镇都市路5001", "七宝": "闵行区漕宝路3366",
}  # fmt: skip
"""The stores of a chain, so many that they can be searched: name and address."""


@dataclass
class Phone:
    """A phone with the mini-program: its page in the browser, the API requests, and JavaScript errors."""

    page: Page
    url: str
    platform_url: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, customer: str = CUSTOMER, poi_id: str | None = POI_ID, **query: str) -> None:
        """Open the page as Douyin does."""
        store = {"poi_id": poi_id} if poi_id else {}
        query = {"customer": customer, "account_id": ACCOUNT_ID, **store, **query}
        self.page.goto(f"{self.url}/phone.html?" + "&".join(f"{name}={value}" for name, value in query.items()))

    def list_chain(self) -> None:
        """Let the merchant list the stores of CHAIN."""
        listed = [
            {"poi_id": f"{number}", "name": f"四季小馆·{name}店", "address": f"上海市{address}号"}
            for number, (name, address) in enumerate(CHAIN.items(), 1)
        ]
        merchant = {"account_id": ACCOUNT_ID, "stores": listed}
        self.page.route("**/stores", lambda route: route.fulfill(json=merchant))

    @contextlib.contextmanager
    def purchases(self, customer: str, entries: list[dict[str, Any]]) -> Iterator[None]:
        """Replace what a customer has bought; restores the sample data at the end of the block."""
        url = f"{self.platform_url}/_sandbox/purchases/{customer}"
        requests.put(url, json=entries, timeout=60).raise_for_status()
        try:
            yield
        finally:
            requests.put(url, json=read_purchases(customer), timeout=60).raise_for_status()

    def pull_down(self) -> None:
        """Pull the page down, which refreshes it."""
        self.page.evaluate("dispatchEvent(new Event('pull-down'))")

    def come_back(self) -> None:
        """Hide the page and show it again."""
        for hidden in ("true", "false"):
            self.page.evaluate(
                f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
                "document.dispatchEvent(new Event('visibilitychange'))"
            )

    @property
    def store(self) -> Locator:
        """The store's name at the top of the list."""
        return self.page.locator(".coupons-store")

    @property
    def cards(self) -> Locator:
        """The cards: one per certificate or group of identical ones."""
        return self.page.locator(".coupons-item")

    @property
    def choices(self) -> Locator:
        """The names in the store selection."""
        return self.page.locator(".coupons-choice-name")

    @property
    def problem(self) -> Locator:
        """The message of a problem."""
        return self.page.get_by_role("alert")

    @property
    def how(self) -> Locator:
        """What 券详情 says to do."""
        return self.page.locator(".coupons-how")

    @property
    def doubt(self) -> Locator:
        """What makes a coupon doubtful, in 券详情."""
        return self.page.locator(".coupons-doubt")

    def show_certificate(self, title: str) -> None:
        """Tap the card with this title."""
        self.card(title).locator(".coupons-card").first.click()
        self.how.wait_for()

    def card(self, title: str) -> Locator:
        """The card with this title."""
        return self.cards.filter(has=self.page.get_by_text(title, exact=True))

    def button(self, name: str) -> Locator:
        """The button with this text."""
        return self.page.get_by_role("button", name=name)

    def cut_texts(self) -> list[str]:
        """Return the texts that are wider than their place, or that need horizontal scrolling."""
        cut: list[str] = self.page.evaluate(
            """() => [document.documentElement, ...document.querySelectorAll("view, text, button")]
                .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline")
                .map((e) => e.textContent)"""
        )
        return cut

    def orphans(self) -> list[str]:
        """Return the texts whose last line is a single character."""
        orphans: list[str] = self.page.evaluate(
            """() => {
                const found = [], range = document.createRange();
                const texts = document.createTreeWalker(document.querySelector("page"), NodeFilter.SHOW_TEXT);
                for (let node; (node = texts.nextNode()); ) {
                    const text = node.data.trimEnd(), topOf = (at) => {
                        range.setStart(node, at);
                        range.setEnd(node, at + 1);
                        return range.getBoundingClientRect().top;
                    };
                    const [last, before] = [text.length - 1, text.length - 2];
                    if (text.trim().length > 2 && topOf(last) > topOf(before) + 4) found.push(text.trim());
                }
                return found;
            }"""
        )
        return orphans

    def small_buttons(self) -> list[str]:
        """Return the buttons that are smaller than 44 px, and too small for a finger."""
        small: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll("page button")].filter((button) => {
                const { width, height } = button.getBoundingClientRect();
                return width < 44 || height < 44;
            }).map((button) => button.outerHTML)"""
        )
        return small


def read_purchases(customer: str) -> list[dict[str, Any]]:
    """Return the customer's purchases of the sample data, as they are in the file."""
    file = sample_data.DATA_FOLDER / "orders" / f"{customer}.json"
    entries: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    return entries


def identical_purchases(count: int) -> list[dict[str, Any]]:
    """Return the customer's first purchase several times, in orders of its own."""
    purchases = []
    for number in range(count):
        entry = read_purchases(CUSTOMER)[0]
        entry["order"]["order_id"] = f"200000000000000029{number}"
        entry["order"]["certificates"][0].update(certificate_id=f"79{number}", code=f"1081500{number:06d}")
        entry["order"]["certificates"][0]["sku_info"].update(title="招牌拿铁", sku_id="170", market_price=2600)
        entry["order"]["certificates"][0]["amount"].update(pay_amount=1990)
        purchases.append(entry)
    return purchases
