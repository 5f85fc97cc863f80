/** Tests of 券详情 and the list under it, from `dist`: the page that redeems, a failed update, and the time. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import type { Certificate } from "../src/coupons/client/client";
import type { Config } from "../src/coupons/settings";
import { FakeTt, flush, reply, STORE, thrower, tokenOf } from "./fake-tt";
import { cardsIn, openDetail, openPage, type Page, type Settings, start, type Visit } from "./pages";

/** 2026-12-03 16:07 in China. */
const NOW = Date.UTC(2026, 11, 3, 8, 7) / 1000;
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon", sku_id: "3", pay_amount: 1 };
const OTHER: Certificate = { ...COUPON, certificate_id: "8", sku_id: "8" };
const OLD = "请照常让店员扫码；本页更新于 16:07";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW * 1000 }));
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** A phone whose customer has these coupons, with the list and, over it, 券详情 of the first coupon. */
class Phone {
  readonly tt = new FakeTt();
  readonly toasts: string[] = [];
  /** The pages over 券详情 that were opened. */
  opened: string[] = [];
  visit!: Visit;
  list!: Page;
  page!: Page;
  isOffline = false;
  /** The next responses: parts of the list. When none is left, the response is the complete list. */
  parts: object[] = [];

  constructor(public coupons: Certificate[] = [COUPON]) {}

  async open(settings: Settings = {}): Promise<this> {
    const { onRequest } = this.tt;
    this.tt.onRequest = (options) => {
      if (options.url.endsWith("/stores")) {
        return onRequest(options);
      }
      if (this.isOffline) {
        return options.fail({ errMsg: "request:fail" });
      }
      const list = { ...STORE, certificates: this.coupons, ...this.parts.shift() };
      return options.success(reply(options.data ? { token: tokenOf("lin"), expires_in: 7200, list } : list));
    };
    const host = {
      navigateTo: ({ url }: { url: string }) => this.opened.push(url),
      showToast: ({ title }: { title: string }) => this.toasts.push(title),
    };
    mock.method(console, "error", () => {});
    this.visit = start(Object.assign(this.tt, host), settings);
    this.list = openPage("certificates", { poi_id: STORE.poi_id });
    await flush();
    await this.openCoupon();
    return this;
  }

  /** Open 券详情 over the list. */
  async openCoupon(id = "1"): Promise<void> {
    this.page = openDetail(this.list, id);
    this.opened = [];
    await flush();
  }

  /** Step back to the list. */
  back(): void {
    this.page.onUnload();
    this.list.onShow();
  }

  async comeBack(): Promise<void> {
    this.page.onHide();
    this.page.onShow();
    await flush();
  }

  async wait(seconds: number): Promise<void> {
    for (let left = seconds; left > 0; left -= 1) {
      mock.timers.tick(Math.min(left, 1) * 1000);
      await flush();
    }
  }

  /** Number of lists that were requested. */
  get reads(): number {
    return this.tt.sent.length;
  }
}

describe("the page that redeems", () => {
  const redeemPage = { url: "/pages/redeem?from=coupons", text: "核销这张券" };
  const ids = `certificate_id=1&order_id=2&account_id=${STORE.account_id}&poi_id=${STORE.poi_id}`;

  test("is opened by a button, and after the return, by whatever way, the list is read again", async () => {
    for (const returns of ["to 券详情", "to the list", "to a new list"]) {
      const phone = await new Phone().open({ redeemPage });
      assert.equal(phone.page.data.redeemText, "核销这张券");
      phone.page.openRedeemPage();
      assert.deepEqual(phone.opened, [`/pages/redeem?from=coupons&${ids}`]);
      phone.coupons = [OTHER];
      phone.page.onHide();
      if (returns === "to 券详情") {
        phone.page.onShow();
        await flush();
        phone.back();
      } else if (returns === "to the list") {
        phone.back();
      } else {
        phone.list = openPage("certificates", { poi_id: STORE.poi_id });
      }
      await flush();
      assert.deepEqual([phone.reads, cardsIn(phone.list).map(({ id }) => id)], [2, ["8"]], returns);
    }
  });

  test("gets the ids encoded, and is opened only while the button is right", async () => {
    const phone = await new Phone([{ ...COUPON, order_id: "a&b=券" }]).open({ redeemPage: { url: "/r", text: "r" } });
    await phone.wait(301);
    phone.page.openRedeemPage();
    assert.deepEqual([phone.opened, phone.page.data.redeemText], [[], ""]);
    await phone.comeBack();
    phone.page.openRedeemPage();
    assert.deepEqual(phone.opened, [`/r?${ids.replace("id=2", "id=a%26b%3D%E5%88%B8")}`]);
  });

  test("that cannot be opened leaves 券详情 as it is", async () => {
    const phone = await new Phone().open({ redeemPage });
    Object.assign(phone.tt, { navigateTo: ({ fail }: { fail: () => void }) => fail() });
    phone.page.openRedeemPage();
    await flush();
    assert.deepEqual([phone.page.data.redeemText, phone.reads], [redeemPage.text, 1]);
  });

  test("replaces `onSelect`, which a compiler refuses", () => {
    // @ts-expect-error Before 0.15.0, the button called this function.
    const settings: Partial<Config> = { onSelect: async () => true };
    assert.ok(settings);
  });
});

test("orders that cannot be opened are said, and all steps take the place of the button", async () => {
  for (const openOrders of [thrower(new Error("no")), () => Promise.reject(new Error("no"))]) {
    const phone = await new Phone().open({ openOrders });
    assert.ok(phone.page.data.canOpenOrders && phone.list.data.canOpenOrders);
    phone.page.openOrders();
    await flush();
    assert.deepEqual([phone.toasts, phone.page.data.canOpenOrders], [["打不开，请自己打开抖音「我的订单」"], false]);
    await phone.comeBack();
    assert.ok(!phone.page.data.canOpenOrders);
    phone.back();
    assert.ok(!phone.list.data.canOpenOrders);
  }
});

test("nothing is read again while nobody does anything, and only after Douyin on the way back", async () => {
  const phone = await new Phone().open();
  await phone.wait(900);
  phone.back();
  await phone.openCoupon();
  assert.deepEqual([phone.reads, phone.page.data.age], [1, OLD]);
  await phone.comeBack();
  assert.deepEqual([phone.reads, phone.page.data.age], [2, ""]);
  phone.isOffline = true;
  await phone.comeBack();
  assert.deepEqual([phone.page.data.detail?.id, phone.page.data.age], ["1", OLD.replace("16:07", "16:22")]);
});

test("a coupon of a later part is found again, and its part does not make the first one newer", async () => {
  const nine = Array.from({ length: 9 }, (_, n) => ({ ...COUPON, certificate_id: `a${n}`, sku_id: `${n}` }));
  const phone = new Phone();
  phone.parts = [{ next_cursor: "c", certificates: nine }];
  await phone.open();
  assert.equal(phone.page.data.detail?.id, "1");
  await phone.wait(200);
  phone.parts = [{ next_cursor: "c", certificates: nine }];
  phone.back();
  phone.list.onPullDownRefresh();
  await flush();
  await phone.wait(301);
  phone.list.loadMore();
  await flush();
  await phone.openCoupon();
  assert.equal(phone.page.data.age, OLD.replace("16:07", "16:10"));
  phone.coupons = [OTHER];
  await phone.comeBack();
  assert.deepEqual([phone.page.data.detail, phone.page.data.isLoading], [null, false]);
});

test("a coupon that has left the list is named, but not to another user", async () => {
  const phone = await new Phone([{ ...COUPON, title: "双人套餐" }]).open();
  phone.coupons = [OTHER];
  await phone.comeBack();
  assert.deepEqual(
    [phone.page.data.detail, phone.page.data.lastDetail?.title, phone.page.data.lastDetail?.orderText],
    [null, "双人套餐", "实付\u00a0¥0.01，订单尾号\u00a02"],
  );
  phone.tt.setStorageSync("redemption.session", { token: tokenOf("wu"), endsAt: NOW + 7200 });
  await phone.comeBack();
  assert.deepEqual([phone.page.data.detail, phone.page.data.lastDetail], [null, null]);
});

describe("time", () => {
  test("changes the doubt while it is shown: starts, leaves its hours, expires", async () => {
    const hours = { hours: [["16:09", "16:10"]] };
    const phone = await new Phone([
      { ...COUPON, start_time: NOW + 60, off_peak: hours, expire_time: NOW + 240 },
    ]).open();
    const texts = [phone.page.data.doubt];
    for (let minute = 1; minute <= 4; minute += 1) {
      await phone.wait(60);
      texts.push(phone.page.data.doubt);
    }
    assert.deepEqual(
      texts.map((text) => text.split("；")[1]),
      [
        "本页显示 16:08\u00a0起可用",
        "本页显示 16:09\u00a0起可用",
        undefined,
        "本页显示今天时段已过",
        "本页显示 16:11\u00a0已到期",
      ],
    );
  });

  test("of a list passes each minute, in one timer, and not after the page was left", async () => {
    let timers = 0;
    const starts = { ...COUPON, start_time: NOW + 60 };
    const phone = await new Phone([starts, { ...OTHER, expire_time: NOW + 120 }]).open();
    phone.back();
    const ids = () =>
      cardsIn(phone.list)
        .map(({ id, doubt }) => `${id}${doubt && "?"}`)
        .join(" ");
    assert.equal(ids(), "8 1?");
    await phone.wait(60);
    assert.equal(ids(), "8 1");
    await phone.wait(60);
    assert.equal(ids(), "1 8?");
    const { setTimeout: original } = globalThis;
    mock.method(globalThis, "setTimeout", (callback: () => void, milliseconds: number) => {
      timers += 1;
      return original(callback, milliseconds);
    });
    await phone.wait(600);
    assert.equal(timers, 10);
    phone.list.onUnload();
    await phone.wait(600);
    assert.equal(timers, 10);
  });
});

test("a coupon is opened whatever its id is, and whether Douyin decodes the query or not", async () => {
  for (const id of ["a&b=c", "50%25", "%E5%88%B8", "券", "%"]) {
    const urls: string[] = [];
    const phone = await new Phone([{ ...COUPON, certificate_id: id }]).open();
    phone.back();
    Object.assign(phone.tt, { navigateTo: ({ url }: { url: string }) => urls.push(url) });
    phone.list.openCertificate({ currentTarget: { dataset: { id } } });
    const [, query = ""] = (urls[0] as string).split("?id=");
    assert.ok(!query.includes("&"));
    for (const received of [query, decodeURIComponent(query)]) {
      await phone.openCoupon(received);
      assert.ok(phone.page.data.detail, received);
    }
  }
});

test("what seems to be wrong in the settings is said once on the console", async () => {
  const logged = mock.method(console, "error", () => {});
  const tt = new FakeTt();
  const { onRequest } = tt;
  tt.onRequest = ({ fail }) => fail({ errMsg: "request:fail url not in domain list" });
  const navigateTo = ({ fail }: { fail: (reason: object) => void }) => fail({ errMsg: "navigateTo:fail not found" });
  start(Object.assign(tt, { navigateTo }), { account_id: "", basePath: "/cupons" });
  const list = openPage("certificates", { account_id: STORE.account_id, poi_id: STORE.poi_id });
  await flush();
  list.onHide();
  list.onShow();
  await flush();
  tt.onRequest = onRequest;
  for (const id of ["1", "2"]) {
    list.openCertificate({ currentTarget: { dataset: { id } } });
  }
  list.onHide();
  assert.deepEqual(
    logged.mock.calls.map((call) => call.arguments.join(" ")),
    [
      "coupons: account_id of config.ts is empty",
      "coupons: tt.request: request:fail url not in domain list",
      "coupons: cannot open /cupons/pages/certificate/certificate (basePath, qualificationPage, redeemPage of config.ts?) navigateTo:fail not found",
    ],
  );
});
