/** Tests of 券详情 and the list under it, from `dist`: the hook of the program, a failed update, and the time. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import type { Certificate } from "../src/coupons/client/client";
import { FakeTt, flush, reply, STORE, thrower, tokenOf } from "./fake-tt";
import { cardsIn, openPage, type Page, type Settings, start, type Visit } from "./pages";

/** 2026-12-03 16:07 in China. */
const NOW = Date.UTC(2026, 11, 3, 8, 7) / 1000;
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon", sku_id: "3", pay_amount: 1 };
const OTHER: Certificate = { ...COUPON, certificate_id: "8", sku_id: "8" };
const BUTTON = "店长点此验券";
const TAPPED = "已点过，先请店员查记录，不要再点、再扫";
const OLD = "本页为今天 16:07\u00a0的数据，以扫码结果为准";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW * 1000 }));
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** A phone whose customer has these coupons, with the list and, over it, 券详情 of the first coupon. */
class Phone {
  readonly tt = new FakeTt();
  readonly toasts: string[] = [];
  readonly logged = mock.method(console, "error", () => {});
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
    const host = { navigateTo: () => {}, showToast: ({ title }: { title: string }) => this.toasts.push(title) };
    this.visit = start(Object.assign(this.tt, host), settings);
    this.list = openPage("certificates", { poi_id: STORE.poi_id });
    await flush();
    this.list.onHide();
    await this.openCoupon();
    return this;
  }

  /** Open 券详情, and wait until taps count. */
  async openCoupon(id = "1"): Promise<void> {
    this.page = openPage("certificate", { id });
    await this.wait(0.8);
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

  /** What the page shows of the hook: its button, that it was tapped, that it runs. */
  get shownOfHook(): string[] {
    const { button, tappedText, isHookRunning } = this.page.data;
    return [button, tappedText, isHookRunning ? "runs" : ""].filter(Boolean);
  }
}

/** Return a hook that ends when the test says so, and its calls. */
function pendingHook() {
  const calls: { id: string; store: object; resolve: (value?: unknown) => void; reject: (error: Error) => void }[] = [];
  const onSelect = (certificate: Certificate, store: object) => {
    const { certificate_id: id } = certificate;
    // A hook may change its argument.
    certificate.certificate_id = "changed";
    return new Promise((resolve, reject) => calls.push({ id, store, resolve, reject }));
  };
  return { calls, onSelect };
}

describe("the hook", () => {
  for (const [name, end] of [
    ["true", () => true],
    ["nothing", () => undefined],
    ["an error", thrower(new Error("hook"))],
  ] as const) {
    test(`that ends with ${name} is called once: the list is read again, and the button stays away`, async () => {
      let calls = 0;
      const onSelect = () => {
        calls += 1;
        return end();
      };
      const phone = await new Phone().open({ onSelect });
      assert.deepEqual(phone.shownOfHook, [BUTTON]);
      const { reads } = phone;
      phone.page.redeem();
      phone.page.redeem();
      assert.deepEqual(phone.shownOfHook, [TAPPED, "runs"]);
      await phone.wait(2);
      phone.page.redeem();
      assert.deepEqual([phone.shownOfHook, phone.reads - reads, calls], [[TAPPED], 1, 1]);
      phone.back();
      await phone.openCoupon();
      phone.page.redeem();
      assert.deepEqual([phone.shownOfHook, calls], [[TAPPED], 1]);
      const lines = phone.logged.mock.calls.filter(({ arguments: [text] }) => text === "coupons: onSelect:");
      assert.equal(lines.length, name === "an error" ? 1 : 0);
    });
  }

  test("that gives false has submitted nothing: the button comes back", async () => {
    const { calls, onSelect } = pendingHook();
    const phone = await new Phone().open({ onSelect });
    const { reads } = phone;
    phone.page.redeem();
    calls[0]?.resolve(false);
    await flush();
    assert.deepEqual([phone.shownOfHook, phone.reads - reads], [[BUTTON], 1]);
    phone.page.redeem();
    assert.equal(calls.length, 1, "a tap that was meant for what was shown before");
    await phone.wait(0.8);
    phone.page.redeem();
    assert.equal(calls.length, 2);
  });

  test("is given a copy and the ids, and while it runs no other call starts, and everything else goes on", async () => {
    const { calls, onSelect } = pendingHook();
    const phone = await new Phone([COUPON, OTHER]).open({ onSelect });
    phone.page.redeem();
    assert.deepEqual(
      calls.map(({ id, store }) => [id, store]),
      [["1", STORE]],
    );
    phone.back();
    assert.deepEqual(
      cardsIn(phone.list).map(({ id }) => id),
      ["8", "1"],
    );
    await phone.openCoupon("8");
    phone.page.redeem();
    assert.deepEqual([phone.shownOfHook, calls.length], [[], 1]);
    phone.page.onPullDownRefresh();
    await phone.wait(3600);
    assert.equal(phone.page.data.detail?.id, "8");
    calls[0]?.reject(new Error("late"));
    await flush();
    assert.deepEqual(phone.shownOfHook, [BUTTON]);
    await phone.wait(0.8);
    phone.page.redeem();
    assert.deepEqual(
      calls.map(({ id }) => id),
      ["1", "8"],
    );
  });

  test("is not called within 800 ms after the button was shown, nor after five minutes", async () => {
    const { calls, onSelect } = pendingHook();
    const phone = await new Phone().open({ onSelect });
    await phone.comeBack();
    for (const seconds of [0.799, 0]) {
      await phone.wait(seconds);
      phone.page.redeem();
      assert.equal(calls.length, 0);
      phone.page = openPage("certificate", { id: "1" });
    }
    await phone.comeBack();
    await phone.wait(301);
    phone.page.redeem();
    assert.deepEqual([calls.length, phone.page.data.age], [0, OLD]);
    await phone.comeBack();
    await phone.wait(0.8);
    phone.page.redeem();
    assert.equal(calls.length, 1);
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
      texts.map((text) => text.split("，")[0]),
      ["今天 16:08 起可用", "今天 16:09 起可用", "", "今天的可用时段已过", "今天 16:11 已到期"],
    );
  });

  test("of a list passes each minute, in one timer, and not after the page was left", async () => {
    let timers = 0;
    const starts = { ...COUPON, start_time: NOW + 60 };
    const phone = await new Phone([starts, { ...OTHER, expire_time: NOW + 120 }]).open();
    phone.back();
    const ids = () =>
      cardsIn(phone.list)
        .map(({ id, remark }) => `${id}${remark && "?"}`)
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
      "coupons: cannot open /cupons/pages/certificate/certificate (basePath, qualificationPage of config.ts?) navigateTo:fail not found",
    ],
  );
});
