"""The preview, with the deployed app: the customer's journey, and what only a browser can break.

`miniprogram/tests` has the page's states, texts and rules, `test_screenshots` every state's accessibility.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from sandbox import preview, stack
from sandbox.gateway import certificates_path, stores_path
from sandbox.sample_data import ACCOUNT_ID, CERTIFICATE_ID, CUSTOMER, POI_ID
from tests.deployed.phone import Phone, identical_purchases, read_purchases
from tests.deployed.test_miniprogram import run

LIST = f"GET {certificates_path()}"

TSCONFIG = json.dumps(
    {
        "compilerOptions": {
            "target": "ES2015",
            "module": "CommonJS",
            "lib": ["ES2015"],
            "types": ["@douyin-microapp/typings"],
            "strict": True,
        }
    }
)


def test_a_customers_journey(phone: Phone) -> None:
    """Choose a store, change it, open a group and a coupon, step back each time as the phone does."""
    with phone.purchases(CUSTOMER, [*read_purchases(CUSTOMER), *identical_purchases(2)]):
        phone.open(poi_id=None, place="31.1970,121.4340")
        expect(phone.page.locator("#title")).to_have_text("选择门店")
        phone.button("按距离排序").click()
        expect(phone.page.locator(".coupons-choice-distance")).to_have_text(["460 米", "5.6 公里", "13.8 公里"])
        phone.choices.first.click()
        expect(phone.store).to_have_text("四季小馆·徐家汇店")
        expect(phone.cards).to_have_count(9)
        assert phone.requests == [f"GET {stores_path()}", "POST /v1/sessions"], "session and list in one request"
        phone.button("切换门店").click()
        expect(phone.choices).to_have_text(["四季小馆·徐家汇店", "四季小馆·人民广场店", "四季小馆·五角场店"])
        expect(phone.page.locator(".coupons-choice .coupons-tag")).to_have_text(["已选"])
        phone.page.go_back()
        expect(phone.store).to_have_text("四季小馆·徐家汇店")
        phone.button("切换门店").click()
        phone.button("四季小馆·人民广场店").click()
        expect(phone.cards).to_have_count(8)
        expect(
            phone.page.get_by_text(re.compile(r"^本店可用 [567]\s种、共\s[67]\s张，以扫码结果为准$"))
        ).to_be_visible()
        assert phone.requests[2:] == [LIST]

        phone.show_certificate("招牌拿铁")
        expect(phone.page.get_by_text("共 2 张，扫码前请告诉店员用几张")).to_be_visible()
        expect(phone.page.locator("#title")).to_have_text("券详情")
        phone.page.go_back()

    phone.show_certificate("双人套餐")
    with phone.page.expect_response("**/certificates"):
        phone.come_back()
    assert set(phone.requests[2:]) == {LIST}

    phone.page.reload()
    expect(phone.store).to_have_text("四季小馆·人民广场店")
    expect(phone.cards).to_have_count(7)
    assert phone.requests.count("POST /v1/sessions") == 1, "store and session are kept"


def test_a_coupon_leads_to_the_douyin_order(phone: Phone) -> None:
    phone.open(orders="")
    phone.show_certificate("拿铁十次卡")
    phone.button("打开我的订单").click()
    expect(phone.page.get_by_text("这里会打开抖音「我的订单」")).to_be_visible()
    phone.page.go_back()
    expect(phone.cards).to_have_count(7)


def test_the_coupon_and_what_to_do_are_visible_on_a_small_screen_with_the_largest_text(phone: Phone) -> None:
    phone.page.set_viewport_size({"width": 360, "height": 640})
    entry = read_purchases(CUSTOMER)[0]
    coupon = entry["order"]["certificates"][0]
    coupon["sku_info"]["title"] = "招牌双人套餐（含秘制红烧肉、清炒时蔬）"
    coupon["expire_time"] = 1_713_146_529
    with phone.purchases(CUSTOMER, [entry]):
        for query in ({}, {"orders": ""}):
            phone.open(text="200", **query)
            expect(phone.page.locator(".coupons-how")).to_be_in_viewport(ratio=1)
            phone.page.locator(".coupons-card").click()
            expect(phone.page.locator(".coupons")).to_have_css("font-size", "32px")
            for part in (".coupons-title", ".coupons-doubt", ".coupons-act-name"):
                expect(phone.page.locator(part)).to_be_in_viewport(ratio=1)


def test_a_host_with_login_request_storage_and_navigation_shows_everything(phone: Phone) -> None:
    phone.open(poi_id=None, host="bare")
    expect(phone.choices).to_have_count(3)
    expect(phone.button("按距离排序")).to_have_count(0)
    phone.choices.first.click()
    expect(phone.cards).to_have_count(7)
    phone.pull_down()
    expect(phone.cards).to_have_count(7)
    phone.show_certificate("双人套餐")
    phone.button("联系门店").click()
    phone.page.go_back()
    phone.button("大字").click()
    expect(phone.page.locator(".coupons")).to_have_css("font-size", "32px")


HOST_APP = {
    "pages": ["pages/stores/stores", "pages/redeem/redeem"],
    "subPackages": [
        {
            "root": "shop",
            "pages": [
                f"coupons/pages/{page}"
                for page in ("certificates/certificates", "certificate/certificate", "stores/stores")
            ],
        }
    ],
    "window": {"navigationBarTitleText": "首页"},
}
SETTINGS = """  redeemPage: { url: "/pages/redeem/redeem?from=coupons", text: "核销这张券" },
  openOrders: () => new Promise((success, fail) => (tt as any).openDouyinOrderList({ success, fail })),
"""
HOST_PAGE = """Page({
  data: { entry: getApp().entry },
  open() { tt.navigateTo({ url: "/shop/coupons/pages/certificates/certificates?poi_id=6601" }); },
});"""
# The preview does not support <image> and `mode`: it shows the rest.
REDEEM_PAGE = "Page({ data: { ids: {} }, onLoad(ids) { this.setData({ ids }); } });"
REDEEM_TEMPLATE = "<view>{{ids.from}} {{ids.certificate_id}} {{ids.account_id}} {{ids.poi_id}}</view>"
HOST_TEMPLATE = '<image src="/logo.png" mode="widthFix" /><button bindtap="open">{{entry}}</button>'
HOST_STYLES = "button { width: 90%; margin: 20px auto; background: red; color: yellow; font-size: 30px; opacity: 0.5 }"


@pytest.fixture(scope="module")
def host_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another program with a page, hostile styles and a config of its own, into whose subpackage the folder was copied.

    It is compiled as the guide says, with its settings.
    """
    host, source = tmp_path_factory.mktemp("host"), preview.MINIPROGRAM_FOLDER / "src"
    (host / "node_modules").symlink_to(preview.MINIPROGRAM_FOLDER / "node_modules")
    (host / "tsconfig.json").write_text(TSCONFIG, "utf-8")
    folder = shutil.copytree(source / "coupons", host / "shop" / "coupons")
    config = (folder / "config.ts").read_text("utf-8").replace('"/coupons"', '"/shop/coupons"')
    config = re.sub('(api|account_id|appId): ".*"', r"\1: 'of the host'", config)
    config = config.replace("  appId:", f"{SETTINGS}  appId:")
    (folder / "config.ts").write_text(config, "utf-8")
    run(host, "node", "node_modules/typescript/bin/tsc")
    styles = "".join(path.read_text("utf-8") for path in folder.rglob("*.ttss"))
    classes = ", ".join(sorted({f".{name}" for name in re.findall(r"\.coupons-([\w-]+)", styles)}))
    assert ".title, " in classes
    files = {
        "app.json": json.dumps(HOST_APP),
        "app.js": "App({ onLaunch() { this.entry = '我的券' } });",
        "app.ttss": f"{HOST_STYLES} {classes} {{ display: none; color: red }}",
        "config.js": "exports.config = { name: 'host' };",
        "pages/stores/stores.js": HOST_PAGE,
        "pages/stores/stores.ttml": HOST_TEMPLATE,
        "pages/redeem/redeem.js": REDEEM_PAGE,
        "pages/redeem/redeem.ttml": REDEEM_TEMPLATE,
    }
    for name, text in files.items():
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).write_text(text, "utf-8")
    (host / "logo.png").write_bytes(b"\x89PNG")
    return host


@contextlib.contextmanager
def run_program(phone: Phone, deployed: stack.Sandbox, folder: Path) -> Iterator[None]:
    """Let the phone run the program in a folder, as `make serve PROGRAM=…` does."""
    with stack.run_preview(deployed, preview.check_program(str(folder))) as running:
        phone.url = running.url
        yield


def test_the_folder_works_in_another_program(phone: Phone, deployed: stack.Sandbox, host_program: Path) -> None:
    """As a subpackage, looking as in the sample, whatever the program's own buttons and classes look like."""
    looks = """() => [...document.querySelectorAll(".coupons, .coupons *")].map((element) => {
        const style = getComputedStyle(element);
        return [element.className, ...[...style].map((name) => `${name}: ${style[name]}`)];
    })"""

    def look() -> Any:
        expect(phone.page.get_by_text("四季小馆·人民广场店")).to_be_visible()
        return phone.page.evaluate(looks)

    phone.open(redeem="/redeem", orders="")
    expect(phone.cards).to_have_count(7)
    sample = [look()]
    phone.show_certificate("拿铁十次卡")
    sample.append(look())
    with run_program(phone, deployed, host_program):
        phone.open()
        expect(phone.page.locator("#title")).to_have_text("首页")
        phone.button("我的券").click()
        expect(phone.cards).to_have_count(7)
        assert look() == sample[0]
        phone.show_certificate("拿铁十次卡")
        assert look() == sample[1]
        phone.button("打开我的订单").click()
        expect(phone.page.get_by_text("打不开，请自己打开抖音「我的订单」")).to_be_visible()
        expect(phone.page.locator(".coupons-step")).to_have_count(3)
        phone.page.go_back()
        phone.show_certificate("双人套餐")
        phone.button("核销这张券").click()
        ids = f"coupons {CERTIFICATE_ID} {ACCOUNT_ID} {POI_ID}"
        expect(phone.page.get_by_text(ids)).to_be_visible()
        with phone.page.expect_response("**/certificates"):
            phone.page.go_back()
        phone.page.go_back()
        phone.button("切换门店").click()
        phone.button("四季小馆·徐家汇店").click()
        expect(phone.store).to_have_text("四季小馆·徐家汇店")


def test_the_colours_of_the_guide(phone: Phone, deployed: stack.Sandbox, tmp_path: Path) -> None:
    """Colors in both themes, from the program's own styles."""
    program = shutil.copytree(preview.DIST_FOLDER, tmp_path / "dist")
    (program / "app.ttss").write_text("page .coupons { --accent: #00695c; --on-accent: #ffffff }", "utf-8")
    with run_program(phone, deployed, program):
        phone.open()
        expect(phone.cards).to_have_count(7)
        for theme in ("light", "dark"):
            phone.page.emulate_media(color_scheme=theme)
            expect(phone.page.locator(".coupons-figure").first).to_have_css("color", "rgb(0, 105, 92)")


def test_the_order_for_a_screen_reader_is_the_order_on_the_screen(phone: Phone) -> None:
    """The cashier's line, store, number, coupons by expiry, those that cannot be used, what else there is."""
    phone.open()
    expect(phone.cards).to_have_count(7)
    tops = phone.page.evaluate(
        """() => ["top", "bar", "count", "how", "item", "item:last-child", "link:last-child"]
            .map((name) => document.querySelector(`.coupons-${name}`))
            .map((element, index, all) => index && !(all[index - 1].compareDocumentPosition(element) & 4)
                ? -1 : element.getBoundingClientRect().top)"""
    )
    assert tops == sorted(tops)
    assert min(tops) >= 0
