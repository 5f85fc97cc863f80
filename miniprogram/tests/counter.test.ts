/** Tests of 券详情 and the list under it, from `dist`: what a submission, a failed update and the time change. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import type { Certificate } from "../src/coupons/client/client";
import type { Config } from "../src/coupons/settings";
import { FakeTt, flush, reply, STORE, tokenOf } from "./fake-tt";
import { openPage, type Page, start } from "./pages";

/** 2026-12-03 16:07 in China. */
const NOW = Date.UTC(2026, 11, 3, 8, 7) / 1000;
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon", sku_id: "3", pay_amount: 1 };
const CHECK_RESULT = "未能确认是否核销 · 请店员核对";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW * 1000 }));
afterEach(() => mock.timers.reset());

/** A phone whose customer has these coupons, with the list and, over it, 券详情 of the first coupon. */
class Counter {
  readonly tt = new FakeTt();
  readonly backs: object[] = [];
  readonly scrolls: object[] = [];
  readonly logged = mock.method(console, "error", () => {});
  list!: Page;
  page!: Page;
  isOffline = false;

  constructor(public coupons: Certificate[] = [COUPON]) {}

  async open(onSelect?: Config["onSelect"]): Promise<this> {
    const navigation = {
      navigateTo: () => {},
      navigateBack: (options: object) => this.backs.push(options),
      pageScrollTo: (options: object) => this.scrolls.push(options),
    };
    const { onRequest } = this.tt;
    this.tt.onRequest = (options) => {
      if (options.url.endsWith("/stores")) {
        return onRequest(options);
      }
      if (this.isOffline) {
        return options.fail({ errMsg: "request:fail" });
      }
      const list = { ...STORE, certificates: this.coupons };
      return options.success(reply(options.data ? { token: tokenOf("lin"), expires_in: 7200, list } : list));
    };
    start(Object.assign(this.tt, navigation), onSelect && { onSelect });
    this.list = openPage("certificates", { poi_id: STORE.poi_id });
    await flush();
    this.list.onHide();
    this.openCoupon();
    return this;
  }

  openCoupon(id = "1"): void {
    this.page = openPage("certificate", { id });
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

  async use(): Promise<void> {
    this.page.use();
    await flush();
  }

  async wait(seconds: number): Promise<void> {
    mock.timers.tick(seconds * 1000);
    await flush();
  }

  get band(): string {
    return this.page.data.verdict?.text ?? "";
  }

  get button(): string {
    return this.page.data.verdict?.use ?? "";
  }
}

/** A hook that ends when the test says so. */
function pendingHook() {
  const ends: { resolve: (value?: unknown) => void; reject: (error: Error) => void }[] = [];
  const onSelect = () => new Promise((resolve, reject) => ends.push({ resolve, reject }));
  return { ends, onSelect };
}

describe("a submission", () => {
  test("is shown until 券详情 is left, then as an earlier one, there and in the list", async () => {
    const counter = await new Counter().open(() => Promise.resolve());
    assert.deepEqual([counter.band, counter.button], ["", "yes"]);
    await counter.use();
    assert.deepEqual([counter.band, counter.button], ["12.03 16:07 已提交 · 以店员确认为准", "leave"]);
    assert.equal(counter.page.data.detail?.payment, "");
    await counter.comeBack();
    assert.equal(counter.page.data.verdict?.kind, "done");
    await counter.wait(86_400);
    counter.back();
    const [card] = counter.list.data.usable;
    assert.deepEqual([card?.verdict, card?.button], ["12.03 16:07 已提交过 · 请核对", "去使用"]);
    counter.openCoupon();
    assert.deepEqual([counter.band, counter.button], ["12.03 16:07 已提交过 · 请核对", "yes"]);
  });

  test("that is running can neither be repeated, nor one of another coupon begin", async () => {
    const { ends, onSelect } = pendingHook();
    const counter = await new Counter([COUPON, { ...COUPON, certificate_id: "9" }]).open(onSelect);
    await counter.use();
    await counter.use();
    assert.deepEqual([counter.band, counter.button, ends.length], ["处理中 · 请勿重复核销", "disabled", 1]);
    counter.back();
    assert.deepEqual(
      counter.list.data.usable.map(({ verdict, copies }) => [verdict, copies]),
      [
        ["处理中 · 请勿重复核销", ""],
        ["", ""],
      ],
    );
    counter.openCoupon("9");
    await counter.use();
    assert.deepEqual([counter.band, ends.length, counter.page.data.selecting], ["", 1, true]);
    await counter.wait(60);
    assert.equal(counter.page.data.selecting, false);
    await counter.use();
    assert.equal(ends.length, 2);
  });

  test("that ends in 券详情, opened again, is shown there", async () => {
    const { ends, onSelect } = pendingHook();
    const counter = await new Counter().open(onSelect);
    await counter.use();
    counter.back();
    counter.openCoupon();
    ends[0]?.resolve();
    await flush();
    assert.equal(counter.page.data.verdict?.kind, "done");
  });

  test("that fails must be checked, also after a step back, and is logged", async () => {
    const counter = await new Counter().open(() => Promise.reject(new Error("not redeemed")));
    await counter.use();
    assert.deepEqual([counter.band, counter.button], [CHECK_RESULT, "yes"]);
    assert.deepEqual(counter.logged.mock.calls.at(-1)?.arguments, ["onSelect:", new Error("not redeemed")]);
    counter.back();
    counter.openCoupon();
    assert.equal(counter.band, CHECK_RESULT);
    counter.coupons = [];
    await counter.comeBack();
    assert.deepEqual(
      [counter.band, counter.button, counter.page.data.detail?.title],
      [CHECK_RESULT, "leave", "团购券"],
    );
  });

  test("that runs for a minute must be checked without a tap, until its late result", async () => {
    for (const [settle, text] of [
      ["resolve", "12.03 16:08 已提交 · 以店员确认为准"],
      ["reject", CHECK_RESULT],
    ] as const) {
      mock.timers.setTime(NOW * 1000);
      const { ends, onSelect } = pendingHook();
      const counter = await new Counter().open(onSelect);
      await counter.use();
      await counter.wait(59);
      assert.equal(counter.page.data.verdict?.kind, "busy");
      await counter.wait(1);
      assert.deepEqual([counter.band, counter.button], [CHECK_RESULT, "yes"]);
      ends[0]?.[settle](new Error("late"));
      await flush();
      assert.equal(counter.band, text);
      counter.page.onUnload();
    }
  });

  test("that the customer gives up restores the state before", async () => {
    const results = [
      () => Promise.resolve(false),
      () => Promise.resolve(),
      () => false,
      () => Promise.reject(new Error("not redeemed")),
      () => Promise.resolve(false),
    ];
    const texts = [
      "",
      "12.03 16:07 已提交 · 以店员确认为准",
      "12.03 16:07 已提交过 · 请核对",
      CHECK_RESULT,
      CHECK_RESULT,
    ];
    const counter = await new Counter().open(() => results.shift()?.());
    for (const text of texts) {
      await counter.use();
      assert.equal(counter.band, text);
      if (counter.button === "leave") {
        counter.back();
        counter.openCoupon();
      }
    }
    assert.equal(results.length, 0);
  });

  test("without a promise counts when the complete list lacks the coupon, also if a later update fails", async () => {
    const counter = await new Counter().open(() => "opened a page");
    await counter.use();
    assert.deepEqual([counter.band, counter.button], ["", "yes"]);
    counter.coupons = [];
    counter.isOffline = true;
    await counter.comeBack();
    assert.equal(counter.page.data.verdict?.canRetry, true);
    counter.isOffline = false;
    counter.page.retry();
    await flush();
    assert.equal(counter.band, "12.03 16:07 已提交 · 以店员确认为准");
    counter.isOffline = true;
    await counter.comeBack();
    assert.equal(counter.band, "12.03 16:07 已提交 · 以店员确认为准");
  });

  test("scrolls to the band when it begins and when it ends", async () => {
    const { ends, onSelect } = pendingHook();
    const counter = await new Counter().open(onSelect);
    assert.equal(counter.scrolls.length, 0);
    await counter.use();
    assert.equal(counter.scrolls.length, 1);
    ends[0]?.resolve();
    await flush();
    await counter.comeBack();
    assert.equal(counter.scrolls.length, 2);
  });
});

test("a failed update is said on 券详情 until one succeeds, and once in the list", async () => {
  const counter = await new Counter().open();
  counter.isOffline = true;
  await counter.wait(60);
  await counter.comeBack();
  assert.deepEqual([counter.band, counter.page.data.verdict?.canRetry], ["未能更新（16:07 的数据）· 请核对", true]);
  counter.page.retry();
  assert.deepEqual([counter.band, counter.page.data.verdict?.canRetry], ["未能更新（16:07 的数据）· 请核对", false]);
  await flush();
  counter.back();
  const { stale, usable } = counter.list.data;
  assert.deepEqual([stale, usable[0]?.verdict], ["未能更新（16:07 的数据）· 请核对", ""]);
  counter.openCoupon();
  counter.isOffline = false;
  counter.page.retry();
  await flush();
  assert.equal(counter.band, "");
});

describe("time", () => {
  test("changes the verdict while it is shown: starts, leaves its hours, expires", async () => {
    const hours = { hours: [["16:09", "16:10"]] };
    const times = { start_time: NOW + 60, off_peak: hours, expire_time: NOW + 300 };
    const counter = await new Counter([{ ...COUPON, ...times }]).open();
    const texts = [counter.band];
    for (let minute = 1; minute <= 5; minute += 1) {
      await counter.wait(60);
      texts.push(counter.band);
    }
    assert.deepEqual(texts, [
      "今天 16:08 起可用 · 请核对",
      "可用时段 16:09~16:10 · 请核对",
      "",
      "可用时段 16:09~16:10 · 请核对",
      "可用时段 16:09~16:10 · 请核对",
      "已过有效期 · 请店员确认",
    ]);
  });

  test("moves a coupon of the list that starts, and one that expires", async () => {
    const starts = { ...COUPON, certificate_id: "1", start_time: NOW + 60 };
    const expires = { ...COUPON, certificate_id: "2", expire_time: NOW + 120 };
    const counter = await new Counter([starts, expires]).open();
    counter.back();
    const ids = () => [counter.list.data.usable, counter.list.data.others].map((cards) => cards.map(({ id }) => id));
    const seen = [ids()];
    for (let minute = 1; minute <= 2; minute += 1) {
      await counter.wait(60);
      seen.push(ids());
    }
    assert.deepEqual(seen, [
      [["2"], ["1"]],
      [["2", "1"], []],
      [["1"], ["2"]],
    ]);
  });

  test("sleeps an hour at most, in one timer, and not after the page was left", async () => {
    const sleeps: number[] = [];
    const counter = new Counter([{ ...COUPON, expire_time: NOW + 100 * 86_400 }]);
    const { setTimeout: original } = globalThis;
    mock.method(globalThis, "setTimeout", (callback: () => void, milliseconds: number) => {
      sleeps.push(milliseconds);
      return original(callback, milliseconds);
    });
    await counter.open();
    assert.equal(Math.max(...sleeps), 3_600_000);
    await counter.wait(10);
    sleeps.length = 0;
    await counter.wait(3600);
    assert.deepEqual(sleeps, [3_600_000]);
    counter.page.onUnload();
    await counter.wait(7200);
    assert.deepEqual(sleeps, [3_600_000]);
    mock.restoreAll();
  });
});

test("查看其他券 goes back once, however often it is tapped", async () => {
  const counter = await new Counter().open();
  counter.page.leave();
  counter.page.leave();
  assert.equal(counter.backs.length, 1);
});

test("a coupon is opened whatever its id is, and whether Douyin decodes the query or not", async () => {
  for (const id of ["a&b=c", "50%25", "%E5%88%B8", "券", "%"]) {
    const urls: string[] = [];
    const counter = await new Counter([{ ...COUPON, certificate_id: id }]).open();
    counter.back();
    Object.assign(counter.tt, { navigateTo: ({ url }: { url: string }) => urls.push(url) });
    counter.list.openCertificate({ currentTarget: { dataset: { id } } });
    const [, query = ""] = (urls[0] as string).split("?id=");
    assert.ok(!query.includes("&"));
    for (const received of [query, decodeURIComponent(query)]) {
      counter.openCoupon(received);
      assert.ok(counter.page.data.detail, received);
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
      "coupons: cannot open /cupons/pages/certificate/certificate (basePath of config.ts?) navigateTo:fail not found",
    ],
  );
});
