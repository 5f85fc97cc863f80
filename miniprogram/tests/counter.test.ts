/** Tests of 券详情 and the list under it, from `dist`: what a submission, a failed update and the time change. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import type { Certificate } from "../src/coupons/client/client";
import { FakeTt, flush, reply, STORE, thrower, tokenOf } from "./fake-tt";
import { openPage, type Page, type Settings, start, type Visit } from "./pages";
import { rendered } from "./rendered";

/** 2026-12-03 16:07 in China. */
const NOW = Date.UTC(2026, 11, 3, 8, 7) / 1000;
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon", sku_id: "3", pay_amount: 1 };
const WATCH = "点 点完查核销记录。查到，出餐；查不到，叫店长。点过的，先查记录";
const SCAN = "扫 验券成功，才出餐；扫不成，叫店长";
const STALE = "扫 验券成功，才出餐；扫不成，叫店长。以扫码结果为准。本页未更新（16:07 的数据）";
const TAPPED = "查 查到，出餐；查不到，叫店长。16:07 在「人民广场店」点过核销";
const UNKNOWN = `${TAPPED}。未能确认，不要再扫`;
const SUBMITTED = `${TAPPED}。已提交，不要再扫`;
const GONE = "。抖音已不显示，还要查记录（16:07）";
const LISTED = "。抖音还没显示用掉（16:07）";
const AGAIN = "店长点：再次核销";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW * 1000 }));
afterEach(() => mock.timers.reset());

interface Dialog {
  title: string;
  content: string;
  confirmText: string;
  cancelText: string;
  success: (answer: object) => void;
  fail?: (reason: object) => void;
}

/** A phone whose customer has these coupons, with the list and, over it, 券详情 of the first coupon. */
class Counter {
  readonly tt = new FakeTt();
  readonly backs: object[] = [];
  readonly scrolls: object[] = [];
  readonly dialogs: Dialog[] = [];
  readonly screens: boolean[] = [];
  readonly logged = mock.method(console, "error", () => {});
  visit!: Visit;
  list!: Page;
  page!: Page;
  isOffline = false;
  /** The responses to come: parts of the list. Without one, the response is the complete list. */
  parts: object[] = [];
  /** What the merchant has set. */
  switches: object = {};

  constructor(public coupons: Certificate[] = [COUPON]) {}

  async open(onSelect?: Settings["onSelect"], settings: Settings = {}): Promise<this> {
    const host = {
      navigateTo: () => {},
      navigateBack: (options: object) => this.backs.push(options),
      pageScrollTo: (options: object) => this.scrolls.push(options),
      showModal: (options: Dialog) => this.dialogs.push(options),
      setKeepScreenOn: ({ keepScreenOn }: { keepScreenOn: boolean }) => this.screens.push(keepScreenOn),
    };
    const { onRequest } = this.tt;
    this.tt.onRequest = (options) => {
      if (options.url.endsWith("/stores")) {
        return onRequest(options);
      }
      if (this.isOffline) {
        return options.fail({ errMsg: "request:fail" });
      }
      const list = { ...STORE, certificates: this.coupons, ...this.switches, ...this.parts.shift() };
      return options.success(reply(options.data ? { token: tokenOf("lin"), expires_in: 7200, list } : list));
    };
    this.visit = start(Object.assign(this.tt, host), { ...(onSelect && { onSelect }), ...settings });
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

  /** Tap the button, and confirm the dialog. */
  async use(): Promise<void> {
    this.page.use();
    this.dialogs.at(-1)?.success({ confirm: true });
    await flush();
  }

  /** Change the first coupon and what the merchant has set, and read the list. */
  async refresh(fields: Partial<Certificate>, switches: object = {}): Promise<void> {
    this.coupons = [{ ...COUPON, ...fields }];
    this.switches = switches;
    this.page.onPullDownRefresh();
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

  get band(): string {
    const { sign = "", reason = "" } = this.page.data.verdict ?? {};
    return `${sign} ${reason}`;
  }

  /** The buttons, those that are disabled in brackets. */
  get button(): string {
    const { button, canSubmit, canLeave, verdict } = this.page.data;
    const submits = button && !canSubmit ? `[${button}]` : button;
    return [verdict?.canRetry && "重新查询", canLeave && "查看其他券", submits].filter(Boolean).join(" ");
  }
}

/** A hook that ends when the test says so. */
function pendingHook() {
  const ends: { resolve: (value?: unknown) => void; reject: (error: Error) => void }[] = [];
  const onSelect = () => new Promise((resolve, reject) => ends.push({ resolve, reject }));
  return { ends, onSelect };
}

describe("a submission", () => {
  test("is shown, and so is what the lists say that are read 3, 15 and 60 s later", async () => {
    const counter = await new Counter().open(() => Promise.resolve(true));
    assert.deepEqual([counter.band, counter.button], [WATCH, "立即核销"]);
    await counter.use();
    const { reads } = counter;
    assert.deepEqual([counter.band, counter.button], [SUBMITTED, "查看其他券"]);
    const seen: [number, string, string][] = [];
    for (const seconds of [2, 1, 12, 45]) {
      await counter.wait(seconds);
      seen.push([counter.reads - reads, counter.band.slice(SUBMITTED.length), counter.button]);
    }
    assert.deepEqual(seen, [
      [0, "", "查看其他券"],
      [1, LISTED, "查看其他券"],
      [2, LISTED, "查看其他券"],
      [3, `。抖音还没显示用掉（16:08）`, `查看其他券 ${AGAIN}`],
    ]);
    assert.ok(counter.page.data.detail?.facts.some(({ name, copy }) => name === "订单编号" && copy === "2"));
    counter.back();
    const [card] = counter.list.data.usable;
    assert.deepEqual([card?.verdict, card?.button], ["等一分钟，查核销记录", "查看"]);
    assert.equal(counter.list.data.count, "");
  });

  test("is not judged by a list of another store, nor by one that began before the hook ended", async () => {
    const { ends, onSelect } = pendingHook();
    const counter = await new Counter().open(onSelect);
    await counter.use();
    const { onRequest } = counter.tt;
    let respond = () => {};
    counter.tt.onRequest = (options) => {
      respond = () => onRequest(options);
      return { abort: () => {} };
    };
    await counter.comeBack();
    ends[0]?.resolve(true);
    await flush();
    counter.coupons = [];
    respond();
    await flush();
    assert.equal(counter.band, SUBMITTED);
    counter.tt.onRequest = onRequest;
    counter.coupons = [COUPON];
    counter.visit.updateStores({ kind: "picked", poiId: "6602", now: NOW });
    await counter.wait(30);
    assert.deepEqual(
      [counter.band, counter.button],
      ["查 请「人民广场店」查核销记录。16:07 在「人民广场店」点过核销", "查看其他券"],
    );
    counter.coupons = [];
    counter.visit.updateStores({ kind: "picked", poiId: "6601", now: NOW });
    await flush();
    assert.equal(counter.band, SUBMITTED + GONE);
  });

  test("of a times card says how many uses are left, and a second guest's use can be submitted", async () => {
    const card = (usable: number): Certificate => ({ ...COUPON, kind: "times_card", times: { usable, total: 10 } });
    const counter = await new Counter([card(10)]).open(() => Promise.resolve(true));
    await counter.use();
    counter.coupons = [card(9)];
    await counter.wait(3);
    assert.equal(counter.band, `${SUBMITTED}。抖音显示少了 1 次，还要查记录（16:07）`);
    assert.equal(counter.button, "查看其他券 还要用一次：先查到记录");
    await counter.wait(0.8);
    await counter.use();
    const { content, confirmText } = counter.dialogs[1] as Dialog;
    assert.match(content, /抖音显示少了 1 次，还要查记录（16:07）\n上一次写进了登记本，才再扣一次。$/);
    assert.equal(confirmText, "再扣一次");
    assert.deepEqual([counter.band, counter.button], [SUBMITTED, "查看其他券"]);
  });

  test("that the hook takes back leaves the one before as it was; one without a promise is not known at once", async () => {
    const refuse = () => Promise.resolve(false);
    const hooks = [refuse, () => Promise.reject(new Error("no network")), refuse];
    const counter = await new Counter().open(() => hooks.shift()?.());
    const stored = () => (counter.tt.stored.get("redemption.submissions") as object[]).length;
    await counter.use();
    assert.deepEqual([counter.band, stored()], [WATCH, 0]);
    await counter.wait(0.8);
    await counter.use();
    await counter.wait(61);
    const before = [counter.band, counter.button, stored()];
    assert.deepEqual(before.slice(1), [`查看其他券 ${AGAIN}`, 1]);
    await counter.use();
    assert.deepEqual([counter.band, counter.button, stored()], before);
    await counter.wait(0.8);
    await counter.use();
    await counter.comeBack();
    await counter.wait(30);
    assert.deepEqual([counter.band.slice(0, 1), counter.button, stored()], ["查", "查看其他券", 2]);
  });

  test("is stored as 0.13.0 does, which knows it, and a row of 0.13.0 is known, for two hours", async () => {
    const row = { id: "1", uses: undefined, store: `${STORE.account_id}/6601`, storeName: "人民广场店", at: NOW + 0.8 };
    const counter = await new Counter().open(() => Promise.resolve(true));
    await counter.use();
    assert.deepEqual(counter.tt.stored.get("redemption.submissions"), [row]);
    counter.page.onUnload();
    for (const [seconds, sign] of [
      [7199, "查"],
      [7201, "点"],
    ] as const) {
      mock.timers.setTime((NOW + seconds) * 1000);
      const restarted = new Counter();
      restarted.tt.stored.set("redemption.submissions", [row]);
      await restarted.open(() => Promise.resolve(true));
      assert.equal(restarted.page.data.verdict?.sign, sign);
      restarted.page.onUnload();
    }
  });

  test("is stored with the next list, and with those before it, after one call of the storage has failed", async () => {
    const other = { ...COUPON, certificate_id: "9" };
    for (const failing of ["getStorageSync", "setStorageSync"] as const) {
      const counter = await new Counter([COUPON, other]).open(() => Promise.resolve(true));
      await counter.use();
      await counter.wait(5);
      counter.back();
      await counter.openCoupon("9");
      const failOnce = ({ tt }: Counter, name: typeof failing) => {
        const { [name]: works } = tt;
        let calls = 0;
        Object.assign(tt, {
          [name]: (key: string, value: unknown) => {
            assert.ok(key !== "redemption.submissions" || calls++, "storage:fail");
            return works.call(tt, key, value);
          },
        });
      };
      failOnce(counter, failing);
      await counter.use();
      await counter.wait(5);
      counter.page.onUnload();
      const restarted = new Counter([COUPON, other]);
      restarted.tt.all.set("lin", counter.tt.stored);
      failOnce(restarted, "getStorageSync");
      await restarted.open(() => Promise.resolve(true));
      for (const id of ["1", "9"]) {
        restarted.page.onUnload();
        await restarted.openCoupon(id);
        await restarted.wait(1);
        assert.match(restarted.band, /^查 .*16:07/);
      }
      restarted.page.onUnload();
    }
  });

  test("is shown for two hours, whatever the phone's clock says, and its hook changes nothing in the list", async () => {
    for (const hours of [-24, 3]) {
      const counter = await new Counter().open((certificate) => {
        certificate.certificate_id = "changed";
        return Promise.resolve(true);
      });
      await counter.use();
      const { now } = Date;
      mock.method(Date, "now", () => now() + hours * 3_600_000);
      counter.page.onPullDownRefresh();
      await counter.wait(7190);
      assert.equal(counter.page.data.verdict?.sign, "查");
      await counter.wait(10);
      assert.equal(counter.page.data.verdict?.sign, "扫");
      counter.page.onUnload();
      mock.restoreAll();
    }
  });

  test("that fails must be checked, also after a step back; the console says why, or what a hook must return", async () => {
    const fail = thrower(new Error("not redeemed"));
    const hooks: [hook: () => unknown, message: RegExp][] = [
      [fail, /^coupons: onSelect: Error: not redeemed$/],
      [async () => fail(), /^coupons: onSelect: Error: not redeemed$/],
      [() => Promise.resolve({ statusCode: 404 }), /^coupons: onSelect must resolve to true/],
      [async () => {}, /^coupons: onSelect must resolve to true/],
      [() => "sent", /^coupons: onSelect must resolve to true/],
    ];
    for (const [hook, message] of hooks) {
      const counter = await new Counter().open(hook);
      await counter.use();
      assert.deepEqual([counter.band, counter.button], [UNKNOWN, "查看其他券"]);
      const lines = counter.logged.mock.calls.map((call) => call.arguments.join(" "));
      assert.equal(lines.length, 1);
      assert.match(lines[0] as string, message);
      assert.ok(!lines.join().includes("404"));
      counter.back();
      await counter.openCoupon();
      assert.equal(counter.band, UNKNOWN);
      counter.page.onUnload();
      mock.restoreAll();
    }
  });
});

describe("the dialog before a submission", () => {
  function counted() {
    const calls: string[] = [];
    return { calls, onSelect: ({ certificate_id }: Certificate) => Promise.resolve(void calls.push(certificate_id)) };
  }

  test("names the coupon and asks for the staff; a second one names the danger", async () => {
    const { calls, onSelect } = counted();
    const counter = await new Counter([{ ...COUPON, title: "双人套餐" }]).open(onSelect);
    counter.page.use();
    const [dialog] = counter.dialogs;
    const texts = [dialog?.title, dialog?.content, dialog?.confirmText, dialog?.cancelText];
    assert.deepEqual(texts, [
      "双人套餐",
      "人民广场店\n确认后会用掉这张券。请当着店员的面确认。店员查到记录，再出餐。",
      "确认核销",
      "取消",
    ]);
    assert.deepEqual(calls, []);
    dialog?.success({ confirm: true });
    dialog?.success({ confirm: true });
    await flush();
    assert.deepEqual(calls, ["1"]);
    await counter.wait(60);
    await counter.wait(0.8);
    counter.page.use();
    assert.match(counter.dialogs[1]?.content ?? "", /人民广场店.*16:07.*可能已经核销.*会多扣/s);
    assert.equal(counter.dialogs[1]?.confirmText, "再次核销");
  });

  test("asks what the settings say, or is left to the hook; a host without dialogs goes on", async () => {
    for (const [settings, asked] of [
      [{ question: "请把手机交给店员" }, ["人民广场店\n请把手机交给店员"]],
      [{ question: "" }, []],
    ] as const) {
      const { calls, onSelect } = counted();
      const counter = await new Counter().open(onSelect, settings);
      await counter.use();
      assert.deepEqual([counter.dialogs.map(({ content }) => content), calls], [asked, ["1"]]);
      counter.page.onUnload();
    }
    const { calls, onSelect } = counted();
    const counter = new Counter();
    await counter.open(onSelect);
    counter.page.onUnload();
    Object.assign(counter.tt, { showModal: undefined });
    await counter.openCoupon();
    counter.page.use();
    await flush();
    assert.deepEqual(calls, ["1"]);
  });

  test("that is refused, fails, throws or never calls back does nothing, and the next tap opens another one", async () => {
    const answers: ((dialog: Dialog) => void)[] = [
      ({ success }) => success({ confirm: false, cancel: true }),
      ({ success }) => success(undefined as unknown as object),
      ({ fail }) => fail?.({ errMsg: "showModal:fail" }),
      () => {},
      thrower(new Error("no dialog")),
    ];
    const { calls, onSelect } = counted();
    const counter = await new Counter().open(onSelect);
    let answer = (_: Dialog): void => {};
    Object.assign(counter.tt, {
      showModal: (dialog: Dialog) => {
        counter.dialogs.push(dialog);
        answer(dialog);
      },
    });
    for (answer of answers) {
      counter.page.use();
      await counter.wait(0.8);
    }
    assert.deepEqual([calls, counter.dialogs.length, counter.button], [[], 5, "立即核销"]);
    for (const dialog of counter.dialogs.slice(0, 4)) {
      dialog.success({ confirm: true });
    }
    await flush();
    assert.deepEqual(calls, [], "only the last one counts");
    counter.dialogs[4]?.success({ confirm: true });
    await flush();
    assert.deepEqual(calls, ["1"]);
  });

  test("counts only on the same page with an active button, whatever the band is then", async () => {
    const changes: [name: string, change: (counter: Counter) => unknown, calls: number][] = [
      ["the page is left", (counter) => counter.page.onUnload(), 0],
      ["the page is covered", (counter) => counter.page.onHide(), 0],
      ["the coupon is opened again", (counter) => counter.openCoupon(), 0],
      ["another user has logged in", (counter) => counter.visit.onProgress("user_changed"), 0],
      ["it is locked", (counter) => counter.refresh({ lock: { status: 1 } }), 0],
      ["it has expired", (counter) => counter.refresh({ expire_time: NOW - 60 }), 1],
      ["it is old", (counter) => counter.wait(65), 1],
      ["redemption is switched off", (counter) => counter.refresh({}, { redeeming: false }), 0],
    ];
    for (const [name, change, expected] of changes) {
      mock.timers.setTime(NOW * 1000);
      const { calls, onSelect } = counted();
      const counter = await new Counter().open(onSelect);
      counter.page.use();
      counter.isOffline = name === "it is old";
      await change(counter);
      counter.dialogs[0]?.success({ confirm: true });
      await flush();
      assert.equal(calls.length, expected, name);
      counter.page.onUnload();
    }
  });

  test("does not open within 800 ms after the button was shown, after a return, or after another dialog", async () => {
    const counter = await new Counter().open(counted().onSelect);
    counter.page.onUnload();
    counter.page = openPage("certificate", { id: "1" });
    const taps: [before: () => void, name: string][] = [
      [() => {}, "opened"],
      [() => counter.page.use(), "a dialog"],
      [() => [counter.page.onHide(), counter.page.onShow()], "a return"],
    ];
    for (const [before, name] of taps) {
      before();
      const { length } = counter.dialogs;
      counter.page.use();
      await counter.wait(0.799);
      counter.page.use();
      assert.equal(counter.dialogs.length, length, name);
      await counter.wait(0.001);
    }
    counter.page.use();
    assert.equal(counter.dialogs.length, 2);
  });
});

test("during an update, the former coupon stays until the list has it or is complete", async () => {
  const other = { ...COUPON, certificate_id: "8", sku_id: "8" };
  const counter = await new Counter().open(() => Promise.resolve());
  const seen: unknown[] = [];
  const { onRequest } = counter.tt;
  counter.tt.onRequest = (options) => {
    seen.push([counter.page.data.detail?.title, counter.button, counter.page.data.canSubmit]);
    return onRequest(options);
  };
  counter.parts = [{ certificates: [other], next_cursor: "c" }];
  await counter.comeBack();
  assert.deepEqual(seen, [
    ["团购券", "立即核销", true],
    ["团购券", "[立即核销]", false],
  ]);
  assert.deepEqual([counter.band, counter.button], [WATCH, "立即核销"]);
  counter.coupons = [other];
  await counter.comeBack();
  assert.equal(counter.page.data.detail, null);
});

test("the list is read again each minute while 券详情 is shown, ten times without a tap", async () => {
  const counter = await new Counter().open();
  const { reads } = counter;
  for (let minute = 1; minute <= 10; minute += 1) {
    await counter.wait(60);
    assert.deepEqual([counter.reads - reads, counter.band], [minute, SCAN]);
  }
  await counter.wait(60);
  await counter.wait(2);
  const stopped = "扫 验券成功，才出餐；扫不成，叫店长。以扫码结果为准。本页未更新（16:17 的数据）";
  assert.deepEqual([counter.reads - reads, counter.band, counter.button], [10, stopped, "重新查询"]);
  await counter.wait(60);
  assert.match(await rendered("certificate", counter.page.data), /重新查询/);
  counter.page.onPullDownRefresh();
  await counter.wait(1);
  assert.deepEqual([counter.reads - reads, counter.band], [11, SCAN]);
  counter.isOffline = true;
  await counter.wait(60);
  assert.deepEqual(
    [counter.reads - reads, counter.band],
    [12, "扫 验券成功，才出餐；扫不成，叫店长。以扫码结果为准。本页未更新（16:19 的数据）"],
  );
  counter.page.onHide();
  await counter.wait(600);
  assert.equal(counter.reads - reads, 12);
});

test("a part that is lost during an update keeps the coupon, which must be checked, also after a second update", async () => {
  const other = { ...COUPON, certificate_id: "8", sku_id: "8" };
  const first = { certificates: [other], next_cursor: "c" };
  const counter = await new Counter().open(() => Promise.resolve());
  const { onRequest } = counter.tt;
  counter.tt.onRequest = (options) =>
    options.url.includes("cursor") ? options.fail({ errMsg: "request:fail" }) : onRequest(options);
  for (const _ of [1, 2]) {
    counter.parts = [first];
    await counter.comeBack();
    assert.deepEqual(
      [counter.page.data.detail?.title, counter.band, counter.page.data.verdict?.canRetry, counter.page.data.canSubmit],
      ["团购券", STALE, true, false],
    );
  }
  counter.tt.onRequest = onRequest;
  counter.parts = [first];
  counter.page.retry();
  await flush();
  assert.equal(counter.band, WATCH);
});

test("a part that is loaded later does not make the first one newer", async () => {
  const counter = new Counter();
  counter.parts = [
    {
      next_cursor: "c",
      certificates: Array.from({ length: 9 }, (_, n) => ({ ...COUPON, certificate_id: `${n}`, sku_id: `${n}` })),
    },
  ];
  await counter.open();
  counter.back();
  await counter.wait(1800);
  counter.coupons = [{ ...COUPON, certificate_id: "10", sku_id: "10" }];
  counter.list.loadMore();
  await flush();
  counter.isOffline = true;
  await counter.openCoupon("1");
  assert.equal(counter.band, STALE);
});

test("a store that is closed meanwhile submits nothing, and a pull-down ends", async () => {
  const calls: object[] = [];
  const counter = await new Counter().open((_, store) => calls.push(store));
  let stops = 0;
  Object.assign(counter.tt, {
    stopPullDownRefresh: () => {
      stops += 1;
    },
  });
  const merchant = {
    account_id: STORE.account_id,
    stores: [
      { poi_id: "1", name: "1" },
      { poi_id: "2", name: "2" },
    ],
  };
  counter.visit.stores = { ...counter.visit.stores, chosenAt: 0, request: 9 };
  counter.visit.updateStores({
    kind: "responded",
    request: 9,
    outcome: { kind: "stores", merchant, stale: false },
    now: NOW,
  });
  assert.equal(counter.page.data.detail, null);
  await counter.use();
  counter.page.onPullDownRefresh();
  assert.deepEqual([calls, stops], [[], 1]);
});

test("a late result begins the reads again: 再次核销 waits for the last of them", async () => {
  const { ends, onSelect } = pendingHook();
  const counter = await new Counter().open(onSelect);
  await counter.use();
  for (const seconds of [60, 3, 12, 30]) {
    await counter.wait(seconds);
  }
  ends[0]?.reject(new Error("late"));
  await flush();
  for (const seconds of [3, 8]) {
    await counter.wait(seconds);
    assert.equal(counter.button, "查看其他券");
  }
  await counter.wait(30);
  assert.equal(counter.button, `查看其他券 ${AGAIN}`);
});

test("each second sets only the clock, and the screen stays on while 券详情 is shown", async () => {
  const counter = await new Counter().open();
  const set: object[] = [];
  const { setData } = counter.page;
  counter.page.setData = (data) => {
    set.push(data);
    setData(data);
  };
  await counter.wait(1);
  await counter.wait(1);
  assert.deepEqual(set, [{ clock: "16:07:01" }, { clock: "16:07:02" }]);
  counter.page.onHide();
  await counter.wait(5);
  assert.deepEqual([set.length, counter.screens], [2, [true, false]]);
});

describe("time", () => {
  test("changes the verdict while it is shown: starts, leaves its hours, expires", async () => {
    const hours = { hours: [["16:09", "16:10"]] };
    const times = { start_time: NOW + 60, off_peak: hours, expire_time: NOW + 300 };
    const counter = await new Counter([{ ...COUPON, ...times }]).open();
    const texts = [counter.page.data.verdict?.why];
    for (let minute = 1; minute <= 5; minute += 1) {
      await counter.wait(60);
      texts.push(counter.page.data.verdict?.why);
    }
    assert.deepEqual(texts, [
      "今天 16:08 起可用",
      "现在 16:08，今天 16:09 起可用",
      "",
      "现在 16:10，今天的可用时段已过",
      "现在 16:11，今天的可用时段已过",
      "今天 16:12 到期",
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

  test("of a list passes each minute, in one timer, and not after the page was left", async () => {
    let timers = 0;
    const counter = await new Counter([{ ...COUPON, expire_time: NOW + 100 * 86_400 }]).open();
    counter.back();
    await counter.wait(60);
    const { setTimeout: original } = globalThis;
    mock.method(globalThis, "setTimeout", (callback: () => void, milliseconds: number) => {
      timers += 1;
      return original(callback, milliseconds);
    });
    await counter.wait(600);
    assert.equal(timers, 10);
    counter.list.onUnload();
    await counter.wait(600);
    assert.equal(timers, 10);
    mock.restoreAll();
  });
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
      await counter.openCoupon(received);
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
      "coupons: cannot open /cupons/pages/certificate/certificate (basePath, qualificationPage of config.ts?) navigateTo:fail not found",
    ],
  );
});
