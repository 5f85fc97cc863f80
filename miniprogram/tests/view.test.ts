/** Tests of what the pages show in each state of the list and of the stores, from `dist`. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Certificate } from "../src/coupons/client/client";
import type * as States from "../src/coupons/pages/certificates/state";
import type * as StoreStates from "../src/coupons/pages/certificates/storeState";
import type * as Submissions from "../src/coupons/pages/certificates/submission";
import type * as Views from "../src/coupons/pages/certificates/view";
import type { Config } from "../src/coupons/settings";
import { loadBuilt } from "./built";
import { PROBLEM } from "./fake-tt";

const { INITIAL_STATE } = loadBuilt<typeof States>("coupons/pages/certificates/state");
const { INITIAL_STORE_STATE } = loadBuilt<typeof StoreStates>("coupons/pages/certificates/storeState");
const { newSubmission } = loadBuilt<typeof Submissions>("coupons/pages/certificates/submission");
const { cardsView, counterView, listView, storesView, withHelp } = loadBuilt<typeof Views>(
  "coupons/pages/certificates/view",
);

/** 2026-11-24 23:30 in China. */
const NOW = Date.UTC(2026, 10, 24, 15, 30) / 1000;
const CONFIG: Config = { api: "", account_id: "1", basePath: "" };
const HELP = "查券不扣券。请打开抖音「我的订单」给店员扫";
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon", sku_id: "3" };
const EMPTY = {
  stores: { ...INITIAL_STORE_STATE, accountId: "1" },
  submissions: [],
  isRestored: true,
  hasStored: false,
  user: 0,
};
const TAP = { store: "1/", storeName: "", at: NOW };
const STORES = EMPTY.stores;
const LISTED = { ...INITIAL_STATE, certificates: [COUPON], updatedAt: NOW };

describe("the list", () => {
  const view = (list: States.ListState, now = NOW) => listView(list, STORES, CONFIG, now);

  test("that is loading shows nothing else", () => {
    const { loading, loadingMore, empty, slownessText } = view({
      ...INITIAL_STATE,
      activity: "first",
      waiting: "late",
    });
    assert.deepEqual([loading, loadingMore, empty, slownessText], [true, false, false, HELP]);
    assert.equal(view({ ...INITIAL_STATE, waiting: "searching" }).slownessText, "正在继续查找可用的券…");
  });

  test("that is old has its time, and offers no more of it", () => {
    const { stale, more, empty } = view({ ...LISTED, more: true, problem: PROBLEM, isStale: true }, NOW + 60);
    assert.deepEqual([stale, more, empty], ["本页未更新（23:30 的数据）", false, false]);
  });

  test("explains coupons that cannot be used only when it is complete", () => {
    const list = { ...INITIAL_STATE, updatedAt: NOW, unusable: { expired: 1 } };
    assert.equal(view(list).unusable, "另有 1 张已过期");
    assert.equal(view({ ...list, certificates: [COUPON], more: true }).unusable, "");
    assert.equal(view({ ...list, problem: PROBLEM }).unusable, "");
  });

  test("that is partial and still empty says how far it has looked", () => {
    const list = { ...INITIAL_STATE, updatedAt: NOW, more: true, parts: 11, unusable: { other: 550 } };
    const { searched, unusable } = view(list);
    assert.deepEqual([searched, unusable], ["还没查完，暂无可用的券", "另有 550 张暂不能在本店使用"]);
    assert.deepEqual([view({ ...list, certificates: [COUPON] }).searched, view(INITIAL_STATE).searched], ["", ""]);
  });

  test("speaks of a refund only below coupons, and not under a problem", () => {
    const lists = [LISTED, { ...LISTED, problem: PROBLEM }, { ...LISTED, certificates: [] }, INITIAL_STATE];
    assert.equal(lists.map((list) => view(list).refundable).join(), "true,false,false,false");
  });

  const cards = (certificates: Certificate[], fields: Partial<States.ListState> = {}, config = CONFIG) =>
    cardsView({ ...EMPTY, list: { ...LISTED, certificates, ...fields } }, config, "1", NOW);

  test("counts neither locked nor expired coupons, nor those that have not started; one group is open", () => {
    const twin = { ...COUPON, certificate_id: "2" };
    const others: Certificate[] = [
      { ...COUPON, certificate_id: "3", lock: { status: 1 } },
      { ...COUPON, certificate_id: "4", start_time: NOW + 60 },
      { ...COUPON, certificate_id: "5", expire_time: NOW },
    ];
    const all = cards([COUPON, twin, ...others]);
    assert.equal(all.count, "共 2 张可用券，另 3 张先给店员看");
    const shown = [all.usable, all.others].map((each) => each.map(({ id, opened }) => [id, opened]));
    const closed = ["3", "4", "5"].map((id) => [id, false]);
    assert.deepEqual(shown, [[["1", true]], closed]);
    assert.equal(cards(others).count, "3 张先给店员看");
  });

  test("does not count a coupon that was submitted", () => {
    const list = { ...LISTED, certificates: [COUPON, { ...COUPON, certificate_id: "2" }] };
    const submitted = { ...newSubmission(1, 0, COUPON, TAP), state: "submitted" as const };
    const cards = cardsView({ ...EMPTY, list, submissions: [submitted] }, CONFIG, "", NOW);
    assert.equal(cards.count, "共 1 张可用券");
  });

  test("has no prices if the settings say so, and 券详情 neither", () => {
    const paid: Omit<Required<Certificate>, "voucher" | "lock" | "off_peak"> = {
      ...{ ...COUPON, sku_id: "3", title: "双人套餐", start_time: NOW - 60, expire_time: NOW + 60, code_tail: "7001" },
      ...{ pay_amount: 4499, original_amount: 4500, market_price: 5000, is_transfer_asset: true },
      ...{ times: { usable: 1, use_amount: 450 } },
    };
    for (const showPrices of [true, false]) {
      const config = { ...CONFIG, showPrices };
      const card = cards([paid], {}, config).usable[0];
      const { detail } = counterView({ ...EMPTY, list: { ...LISTED, certificates: [paid] } }, config, "1", NOW);
      const texts = JSON.stringify([card, detail]);
      assert.deepEqual(
        ["¥", "44.99", "门市价", "尾号 7001"].map((text) => texts.includes(text)),
        [showPrices, showPrices, showPrices, true],
      );
    }
  });
});

describe("a problem", () => {
  test("is shown with what to do instead, and counts the seconds until a retry", () => {
    const list = { ...INITIAL_STATE, problem: { ...PROBLEM, retryAfter: 3 }, problemAt: NOW };
    const { problem } = listView(list, STORES, CONFIG, NOW + 1);
    assert.deepEqual([problem?.text, problem?.wait, problem?.help], [PROBLEM.detail, 2, HELP]);
    const help = "请到前台报手机号";
    assert.equal(listView(list, STORES, { ...CONFIG, help }, NOW).problem?.help, help);
    assert.equal(listView(INITIAL_STATE, STORES, CONFIG, NOW).problem, null);
  });
});

describe("the counter view", () => {
  const view = (
    list: States.ListState,
    submission?: Partial<Submissions.Submission>,
    config: Config = CONFIG,
    id = "1",
  ) => {
    const call: Submissions.Submission = { ...newSubmission(1, 0, COUPON, TAP), ...submission };
    return counterView({ ...EMPTY, list, submissions: submission ? [call] : [] }, config, id, NOW);
  };
  const REDEEMS: Config = { ...CONFIG, onSelect: async () => true };

  test("shows its certificate with the verdict, also an old one, and what to do", () => {
    const { detail, verdict, button, help } = view({ ...LISTED, problem: PROBLEM, isStale: true }, undefined, REDEEMS);
    assert.deepEqual(
      [detail?.id, verdict?.why, verdict?.canRetry, button, help],
      ["1", "本页未更新（23:30 的数据）", true, "扫不了，店长点：立即核销", ""],
    );
  });

  test("without a hook, or switched off, leads to the Douyin order, or to what the shop has decided", () => {
    const off = view({ ...LISTED, redeeming: false, notice: "暂停核销" }, undefined, REDEEMS);
    for (const { button, canSubmit, advice, verdict, help } of [view(LISTED), off]) {
      const heading = "看本页不扣券，请您出示抖音订单";
      assert.deepEqual([button, canSubmit, advice?.heading, verdict?.sign, help], ["", false, heading, "扫", ""]);
    }
    assert.equal(off.notice, "暂停核销");
    const words = ["立即核销", "券款已付"].filter((word) => JSON.stringify(view(LISTED)).includes(word));
    assert.deepEqual(words, []);
  });

  test("speaks to the customer: of the money, of another act, and never that nothing was paid after a submission", () => {
    const rule = "点过核销的：等一分钟，查核销记录。查到，出餐；查不到，叫店长";
    const config = { ...REDEEMS, help: "请打电话" };
    const gone = { ...LISTED, certificates: [] };
    const other = { id: "9" };
    const views: [ReturnType<typeof view>, heading: string | undefined, help: string][] = [
      [view(gone), undefined, HELP],
      [view(gone, undefined, config), undefined, "请打电话"],
      [view(gone, other, config), undefined, rule],
      [view({ ...INITIAL_STATE, problem: PROBLEM }, other), undefined, rule],
      [view(gone, { ...other, user: 9 }), undefined, HELP],
      [view({ ...LISTED, redeeming: false }, undefined, config), "看本页不扣券，请您出示抖音订单", "请打电话"],
      [view(LISTED, undefined, config), "看本页不扣券，点「立即核销」才会用掉。请您当着店员点", ""],
      [view(LISTED, {}, config), undefined, ""],
      [view(LISTED, { state: "unknown" }, config), "请给店员看，您不用再点", ""],
    ];
    for (const [{ advice, help, problem }, heading, text] of views) {
      assert.deepEqual([advice?.heading, help, problem?.help ?? text], [heading, text, text]);
    }
    // Before a list, the storage may have a submission.
    const unread = { ...EMPTY, list: INITIAL_STATE, isRestored: false, hasStored: true };
    assert.deepEqual([withHelp(unread, REDEEMS).help, withHelp(unread, CONFIG).help], [rule, HELP]);
  });

  test("of a coupon that was submitted in another store has that store's number, or none", () => {
    const stores = { ...STORES, poiId: "6601", stores: [{ poi_id: "6601", name: "近", phone: "1" }] };
    const there = { poi_id: "6602", name: "远", phone: "2" };
    const submission = {
      ...newSubmission(1, 0, COUPON, { ...TAP, store: "1/6602", storeName: "远" }),
      state: "unknown",
    };
    const shown = [stores, { ...stores, stores: [...stores.stores, there] }].map((each) => {
      const visited = { ...EMPTY, list: LISTED, stores: each, submissions: [submission as Submissions.Submission] };
      const { contact, phone, verdict } = counterView(visited, REDEEMS, "1", NOW);
      return [verdict?.act, contact, phone];
    });
    const act = "叫店长，先不出餐";
    assert.deepEqual(shown, [
      [act, "", ""],
      [act, "「远」", "2"],
    ]);
  });

  test("says if nobody has chosen the store today", () => {
    for (const [chosenAt, remembered] of [
      [0, true],
      [NOW, false],
    ] as const) {
      const stores = { ...STORES, poiId: "1", chosenAt };
      assert.equal(counterView({ ...EMPTY, list: LISTED, stores }, CONFIG, "1", NOW).remembered, remembered);
    }
  });

  test("without its certificate is loading, has a problem, or says that it is gone", () => {
    const states = [
      { ...INITIAL_STATE, activity: "first" as const },
      { ...INITIAL_STATE, problem: PROBLEM },
      { ...LISTED, certificates: [{ ...COUPON, certificate_id: "9" }] },
    ].map((list) => view(list));
    assert.deepEqual(
      states.map(({ detail, loading, problem }) => [detail, loading, problem?.text]),
      [
        [null, true, undefined],
        [null, false, PROBLEM.detail],
        [null, false, undefined],
      ],
    );
  });
});

describe("the store selection", () => {
  const storesOf = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ poi_id: String(n), name: `${n} 号店` }));

  test("of a chain with 63 stores can be searched", () => {
    const state = { ...STORES, stores: storesOf(63) };
    const { searchable, stores, hasStores } = storesView(state, CONFIG, "没有", NOW);
    assert.deepEqual([searchable, stores.length, hasStores], [true, 0, true]);
    assert.ok(!storesView({ ...STORES, stores: storesOf(3) }, CONFIG, "", NOW).searchable);
  });
});
