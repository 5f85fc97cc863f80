/** Tests of what the pages show in each state of the list and of the stores, from `dist`. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Certificate, Problem } from "../src/coupons/client/client";
import type * as States from "../src/coupons/pages/certificates/state";
import type * as StoreStates from "../src/coupons/pages/certificates/storeState";
import type * as Views from "../src/coupons/pages/certificates/view";
import { loadBuilt } from "./built";

type Submission = Views.Submission;

const { INITIAL_STATE } = loadBuilt<typeof States>("coupons/pages/certificates/state");
const { INITIAL_STORE_STATE } = loadBuilt<typeof StoreStates>("coupons/pages/certificates/storeState");
const { cardsView, counterView, listView, storesView } = loadBuilt<typeof Views>("coupons/pages/certificates/view");

/** 2026-11-24 23:30 in China. */
const NOW = Date.UTC(2026, 10, 24, 15, 30) / 1000;
const CONFIG = { api: "", account_id: "1", basePath: "" };
const PROBLEM: Problem = {
  code: "network",
  status: 0,
  detail: "网络不给力，请检查网络后重试",
  action: "retry",
  retryAfter: 0,
  requestId: "",
};
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon", sku_id: "3" };
const STORES = { ...INITIAL_STORE_STATE, accountId: "1" };
const LISTED = { ...INITIAL_STATE, certificates: [COUPON], updatedAt: NOW };

describe("the list", () => {
  const view = (list: States.ListState, now = NOW) => listView(list, STORES, CONFIG, now);

  test("that is loading shows nothing else", () => {
    const { loading, loadingMore, empty, slownessText } = view({
      ...INITIAL_STATE,
      activity: "first",
      waiting: "late",
    });
    assert.deepEqual(
      [loading, loadingMore, empty, slownessText],
      [true, false, false, "查询时间较长，请稍候或重新查询"],
    );
    assert.equal(view({ ...INITIAL_STATE, waiting: "searching" }).slownessText, "正在继续查找可用的券…");
  });

  test("that is old has its time, and offers no more of it", () => {
    const { updated, more, empty } = view({ ...LISTED, more: true, problem: PROBLEM }, NOW + 60);
    assert.deepEqual([updated, more, empty], ["上次更新 23:30", false, false]);
  });

  test("explains coupons that cannot be used only when it is complete", () => {
    const list = { ...INITIAL_STATE, updatedAt: NOW, unusable: { expired: 1 } };
    assert.equal(view(list).unusable, "另有 1 张券已过期");
    assert.equal(view({ ...list, more: true }).unusable, "");
    assert.equal(view({ ...list, problem: PROBLEM }).unusable, "");
  });

  test("speaks of a refund only below coupons, and not under a problem", () => {
    const lists = [LISTED, { ...LISTED, problem: PROBLEM }, { ...LISTED, certificates: [] }, INITIAL_STATE];
    assert.deepEqual(
      lists.map((list) => view(list).refundable),
      [true, false, false, false],
    );
  });

  test("counts the coupons that can be used now, and one group is open", () => {
    const twin = { ...COUPON, certificate_id: "2" };
    const locked = { ...COUPON, certificate_id: "3", lock: { status: 1 } };
    const { count, usable, waiting } = cardsView({ ...LISTED, certificates: [COUPON, twin, locked] }, "1", NOW);
    assert.equal(count, "共 2 张可用券");
    assert.deepEqual([usable.length, usable[0]?.opened, waiting.length, waiting[0]?.opened], [1, true, 1, false]);
    const onlyLocked = { ...LISTED, certificates: [locked] };
    assert.equal(cardsView(onlyLocked, "", NOW).count, "本店暂无可用的券");
    assert.equal(cardsView({ ...onlyLocked, more: true }, "", NOW).count, "");
  });
});

describe("a problem", () => {
  test("is shown with what to do instead, and counts the seconds until a retry", () => {
    const list = { ...INITIAL_STATE, problem: { ...PROBLEM, retryAfter: 3 }, problemAt: NOW };
    const { problem } = listView(list, STORES, CONFIG, NOW + 1);
    assert.deepEqual([problem?.text, problem?.wait, problem?.help], [PROBLEM.detail, 2, "仍无法解决？请联系店员"]);
    const help = "请到前台报手机号";
    assert.equal(listView(list, STORES, { ...CONFIG, help }, NOW).problem?.help, `仍无法解决？${help}`);
    assert.equal(listView(INITIAL_STATE, STORES, CONFIG, NOW).problem, null);
  });

  test("of an unknown merchant offers the own one only to customers who came to another one", () => {
    const problem = { ...PROBLEM, code: "merchant_not_found" as const };
    for (const [account_id, action] of [
      ["1", "retry"],
      ["2", "own_merchant"],
    ] as const) {
      const config = { ...CONFIG, account_id };
      assert.equal(listView({ ...INITIAL_STATE, problem }, STORES, config, NOW).problem?.action, action);
      assert.equal(storesView({ ...STORES, problem }, config, "", NOW).problem?.action, action);
    }
  });
});

describe("the counter view", () => {
  const view = (list: States.ListState, config: Parameters<typeof counterView>[2] = CONFIG, submission?: Submission) =>
    counterView(list, STORES, config, "1", NOW, submission);

  test("shows its certificate, also an old one, and what to do", () => {
    const { detail, problem, updated, hasHook, help } = view({ ...LISTED, problem: PROBLEM });
    assert.deepEqual([detail?.id, problem, updated, hasHook, help], ["1", null, "上次更新 23:30", false, "请联系店员"]);
    assert.ok(view(LISTED, { ...CONFIG, onSelect: () => {} }).hasHook);
  });

  test("without a hook refers to the staff once, or says what the shop has decided", () => {
    assert.equal(view(LISTED).counterText, "请联系店员核销");
    assert.equal(view(LISTED).showsHelp, false);
    const decided = view(LISTED, { ...CONFIG, counterText: "请到前台" });
    assert.deepEqual([decided.counterText, decided.showsHelp], ["请到前台", true]);
    assert.ok(view(LISTED, { ...CONFIG, help: "请到前台报手机号" }).showsHelp);
    assert.ok(view(LISTED, { ...CONFIG, onSelect: () => {} }).showsHelp);
  });

  const EMPTY = { ...LISTED, certificates: [] };
  const SUBMISSION: Submission = { certificate: COUPON, isEnded: true, isAwaited: true };
  const submissions: [string, States.ListState, Partial<Submission>, boolean][] = [
    ["after a promise of the hook, also while the coupon is still listed", LISTED, {}, true],
    ["and when the coupon has left the list", EMPTY, {}, true],
    ["also when the list cannot be read", { ...EMPTY, problem: PROBLEM }, {}, true],
    ["not before the hook has ended, nor after it has failed", EMPTY, { isEnded: false }, false],
    ["not for another coupon", EMPTY, { certificate: { ...COUPON, certificate_id: "2" } }, false],
    ["not because the hook has returned: it may have opened another page", LISTED, { isAwaited: false }, false],
    ["not while a list is read", { ...EMPTY, activity: "refresh" }, { isAwaited: false }, false],
    ["not if the rest of the list is unknown", { ...EMPTY, problem: PROBLEM }, { isAwaited: false }, false],
    ["nor if there is a rest", { ...EMPTY, more: true }, { isAwaited: false }, false],
    ["but when the coupon has left the list after it", EMPTY, { isAwaited: false }, true],
  ];
  for (const [name, list, fields, expected] of submissions) {
    test(`says that the coupon was submitted: ${name}`, () => {
      const { submitted } = view(list, CONFIG, { ...SUBMISSION, ...fields });
      assert.equal(!!submitted, expected);
    });
  }

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
