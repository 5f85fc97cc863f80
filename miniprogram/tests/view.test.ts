/** Tests of what the pages show in each state of the list and of the stores, from `dist`. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Certificate } from "../src/coupons/client/client";
import type { Config } from "../src/coupons/settings";
import type * as States from "../src/coupons/visit/listState";
import type * as StoreStates from "../src/coupons/visit/storeState";
import type * as Views from "../src/coupons/visit/view";
import { loadBuilt } from "./built";
import { PROBLEM } from "./fake-tt";
import { rendered } from "./rendered";

const { INITIAL_LIST_STATE } = loadBuilt<typeof States>("coupons/visit/listState");
const { INITIAL_STORE_STATE } = loadBuilt<typeof StoreStates>("coupons/visit/storeState");
const { cardsView, certificateView, INITIAL_VISIT_STATE, listView } = loadBuilt<typeof Views>("coupons/visit/view");

/** 2026-11-24 23:30 in China. */
const NOW = Date.UTC(2026, 10, 24, 15, 30) / 1000;
const CONFIG: Config = { api: "", account_id: "1", basePath: "" };
const HELP = "请打开抖音「我的订单」给店员扫码；它一般在「我」→ 右上角 ☰ 里";
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon", sku_id: "3" };
const STORES = { ...INITIAL_STORE_STATE, accountId: "1", poiId: "6601" };
const EMPTY = { ...INITIAL_VISIT_STATE, storeState: STORES };
const LISTED = { ...INITIAL_LIST_STATE, certificates: [COUPON], updatedAt: NOW };

describe("the list", () => {
  const view = (listState: States.ListState, now = NOW) => listView({ ...EMPTY, listState }, CONFIG, now);

  test("that is loading shows nothing else", () => {
    const late = view({ ...INITIAL_LIST_STATE, activity: "first", phase: "late" });
    const { isLoading, isLoadingMore, isEmpty, isLate, loadingText, help } = late;
    assert.deepEqual([isLoading, isLoadingMore, isEmpty, isLate, help], [true, false, false, true, HELP]);
    assert.equal(loadingText, "查询时间较长");
    assert.equal(view({ ...INITIAL_LIST_STATE, activity: "first" }).loadingText, "正在查询可用的券…");
    assert.equal(view({ ...INITIAL_LIST_STATE, phase: "searching" }).loadingText, "正在继续查找可用的券…");
  });

  test("that is old has its time, and offers no more of it after a problem", () => {
    const text = "本页为今天 23:30\u00a0的数据";
    const { age, canLoadMore, isEmpty } = view({ ...LISTED, hasMore: true, problem: PROBLEM, isStale: true }, NOW + 60);
    assert.deepEqual([age, canLoadMore, isEmpty], [text, false, false]);
    assert.deepEqual(
      [view(LISTED, NOW + 300).age, view(LISTED, NOW + 301).age, view(LISTED, NOW - 1).age],
      ["", text, text],
    );
  });

  test("explains coupons that cannot be used, also below an old list, but not below a problem alone", () => {
    const list = { ...INITIAL_LIST_STATE, updatedAt: NOW, unusable: { expired: 1 } };
    assert.equal(view(list).unusableText, "另有 1\u00a0张显示已过期，以扫码结果为准");
    const old = { ...list, certificates: [COUPON], problem: PROBLEM };
    assert.deepEqual(
      [view({ ...list, problem: PROBLEM }).unusableText, view(old).unusableText],
      ["", "另有 1\u00a0张显示已过期，以扫码结果为准"],
    );
  });

  test("that is partial and still empty says so", () => {
    const list = { ...INITIAL_LIST_STATE, updatedAt: NOW, hasMore: true };
    assert.equal(view(list).unfinishedText, "还没查完，暂时没有找到券");
    for (const other of [{ ...list, certificates: [COUPON] }, INITIAL_LIST_STATE]) {
      assert.equal(view(other).unfinishedText, "");
    }
  });

  test("ends with notes only below coupons", () => {
    const lists = [LISTED, { ...LISTED, problem: PROBLEM }, { ...LISTED, certificates: [] }, INITIAL_LIST_STATE];
    assert.equal(lists.map((list) => view(list).hasCards).join(), "true,true,false,false");
  });

  /** Return each section: its heading, and its cards. */
  const cards = (certificates: Certificate[], visitState = EMPTY) =>
    cardsView({ ...visitState, listState: { ...LISTED, certificates } }, NOW).sections.map((section) => [
      section.heading,
      ...section.cards.map(({ id, countText, remark }) => [id, countText, remark]),
    ]);

  test("counts coupons with a doubt apart, and has them last", () => {
    const twin = { ...COUPON, certificate_id: "2" };
    const others: Certificate[] = [
      { ...COUPON, certificate_id: "3", lock: { status: 1 } },
      { ...COUPON, certificate_id: "4", start_time: NOW + 60 },
      { ...COUPON, certificate_id: "5", expire_time: NOW },
    ];
    const doubted = [
      ["3", "", "暂时查不到状态，以扫码结果为准"],
      ["4", "", "今天 23:31 起可用，以扫码结果为准"],
      ["5", "", "今天 23:30 已到期，以扫码结果为准"],
    ];
    assert.deepEqual(cards([...others, COUPON, twin]), [
      ["1 种 2 张显示可用，以扫码结果为准", ["1", "2 张", ""]],
      ["另 3 张可能暂不可用，可请店员扫", ...doubted],
    ]);
    assert.deepEqual(cards(others), [["共 3 张可能暂不可用，可请店员扫", ...doubted]]);
  });

  test("tells the customer of a tapped coupon not to tap or scan it again", () => {
    const certificates = [COUPON, { ...COUPON, certificate_id: "2" }, { ...COUPON, certificate_id: "3", lock: {} }];
    assert.deepEqual(cards(certificates, { ...EMPTY, submittedIds: ["1"] }), [
      ["1 张显示可用，以扫码结果为准", ["2", "", ""]],
      ["另 1 张可能暂不可用，可请店员扫", ["3", "", "暂时查不到状态，以扫码结果为准"]],
      ["1 张已点过", ["1", "", "已点过，先请店员查记录，不要再点、再扫"]],
    ]);
  });
});

describe("a problem", () => {
  test("is shown with what to do instead, and counts the seconds until a retry", () => {
    const listState = { ...INITIAL_LIST_STATE, problem: { ...PROBLEM, retryAfter: 3 }, problemAt: NOW };
    const { problem } = listView({ ...EMPTY, listState }, CONFIG, NOW + 1);
    assert.deepEqual([problem?.text, problem?.waitSeconds, problem?.help], [PROBLEM.detail, 2, HELP]);
    const help = "请到前台报手机号";
    assert.equal(listView({ ...EMPTY, listState }, { ...CONFIG, help }, NOW).problem?.help, help);
    assert.equal(listView(EMPTY, CONFIG, NOW).problem, null);
  });
});

describe("券详情", () => {
  const view = (listState: States.ListState, config: Config = CONFIG, visitState = EMPTY, id = "1") =>
    certificateView({ ...visitState, listState }, config, id, NOW);
  const REDEEMS: Config = { ...CONFIG, onSelect: async () => true };

  test("shows its coupon, also of an old list, and the orders if the program can open them", () => {
    const { detail, doubt, age, button, canOpenOrders } = view({ ...LISTED, problem: PROBLEM, isStale: true }, REDEEMS);
    assert.deepEqual([detail?.id, doubt, button, canOpenOrders], ["1", "", "", false]);
    assert.equal(age, "本页为今天 23:30\u00a0的数据，以扫码结果为准");
    const locked = view({ ...LISTED, certificates: [{ ...COUPON, lock: {} }], isStale: true });
    assert.deepEqual([locked.doubt, locked.age], ["暂时查不到状态", ""]);
    assert.ok(view(LISTED, { ...CONFIG, openOrders: () => {} }).canOpenOrders);
  });

  test("has a button for the hook only on a new list, without a doubt, and before a tap", () => {
    const card = { ...COUPON, times: { usable: 0 } };
    const texts: [list: Partial<States.ListState>, visitState: Partial<typeof EMPTY>, button: string][] = [
      [{}, {}, "店长点此验券"],
      [{ updatedAt: NOW - 300 }, {}, "店长点此验券"],
      [{ updatedAt: NOW - 300, activity: "refresh" }, {}, "店长点此验券"],
      [{ updatedAt: NOW - 301 }, {}, ""],
      [{ updatedAt: NOW + 1 }, {}, ""],
      [{ isStale: true }, {}, ""],
      [{ allowsRedeeming: false }, {}, ""],
      [{ certificates: [card] }, {}, ""],
      [{ certificates: [] }, {}, ""],
      [{}, { submittedIds: ["1"] }, ""],
      [{}, { submittedIds: ["2"] }, "店长点此验券"],
      [{}, { isHookRunning: true }, ""],
      [{}, { storeState: { ...STORES, poiId: "" } }, ""],
    ];
    for (const [list, visitState, button] of texts) {
      assert.equal(
        view({ ...LISTED, ...list }, REDEEMS, { ...EMPTY, ...visitState }).button,
        button,
        JSON.stringify(list),
      );
    }
    assert.equal(view(LISTED, { ...REDEEMS, selectText: "现在用掉" }).button, "现在用掉");
    assert.equal(view(LISTED).button, "");
  });

  test("says after a tap what is not to be done again", () => {
    const visitState = { ...EMPTY, submittedIds: ["1"], isHookRunning: true };
    const { tappedText, isHookRunning, staffText } = view(LISTED, REDEEMS, visitState);
    assert.deepEqual([tappedText, isHookRunning], ["已点过，先请店员查记录，不要再点、再扫", true]);
    const coded = view({ ...LISTED, certificates: [{ ...COUPON, code_tail: "7001" }] }).staffText;
    assert.deepEqual(
      [staffText, coded],
      [
        "先别出餐，叫店长查核销记录；有、没出过餐才出；没有，听店长的",
        "先别出餐，叫店长查核销记录（尾号\u00a07001）；有、没出过餐才出；没有，听店长的",
      ],
    );
  });

  test("counts identical coupons without the tapped ones", () => {
    const certificates = ["1", "2", "3"].map((certificate_id) => ({ ...COUPON, certificate_id }));
    const quantity = (id: string) =>
      view({ ...LISTED, certificates }, CONFIG, { ...EMPTY, submittedIds: ["1"] }, id).detail?.quantityText;
    assert.deepEqual([quantity("1"), quantity("2")], ["", "共 2 张，扫码前说用几张"]);
  });

  test("names the store whose list it is", () => {
    const storeState = { ...STORES, stores: [{ poi_id: "6601", name: "人民广场店", phone: "021-5555-6601" }] };
    const { detail, phone } = view(LISTED, CONFIG, { ...EMPTY, storeState });
    assert.deepEqual([detail?.facts[0]?.text, phone], ["人民广场店", "021-5555-6601"]);
  });

  test("without its certificate is loading, has a problem, or says that it is gone", () => {
    const states = [
      { ...INITIAL_LIST_STATE, activity: "first" as const },
      { ...INITIAL_LIST_STATE, problem: PROBLEM },
      { ...LISTED, certificates: [{ ...COUPON, certificate_id: "9" }] },
    ].map((list) => view(list));
    const shown = states.map(({ detail, isLoading, problem }) => `${detail} ${isLoading} ${problem?.text}`);
    assert.deepEqual(shown, ["null true undefined", `null false ${PROBLEM.detail}`, "null false undefined"]);
  });

  test("is rendered with its orders, after a tap, gone and with a problem; its words are the customer's", async () => {
    const html = (list: States.ListState, config = CONFIG, visitState = EMPTY) =>
      rendered("certificate", { textSize: 16, ...view(list, config, visitState) });
    const usual = await html(LISTED, { ...REDEEMS, openOrders: () => {} });
    const order = ["请出示抖音订单", "记住这张券", "打开我的订单", "打不开：一般在「我」→ 右上角 ☰ 里"].concat(
      ["找到这张券，请店员扫二维码", "没有二维码：请店员输完整券码，不是尾号"],
      ["店员：", "扫订单里的码，验券成功才出餐；扫不成，叫店长"],
      ["扫不了码，店长才点。顾客请勿点", "店长点此验券"],
    );
    assert.deepEqual(
      order,
      order.slice().sort((a, b) => usual.indexOf(a) - usual.indexOf(b)),
    );
    assert.ok(order.every((text) => usual.includes(text)));
    assert.deepEqual(
      [usual, await html(LISTED)].map((text) => text.includes("本页不能验券")),
      [false, true],
    );
    const locked = { ...LISTED, certificates: [{ ...COUPON, lock: {} }] };
    const tapped = await html(locked, REDEEMS, { ...EMPTY, submittedIds: ["1"] });
    assert.deepEqual(
      ["不要再点、再扫", "核销记录", "请店员扫", "店长点此验券"].map((text) => tapped.includes(text)),
      [true, true, false, false],
    );
    assert.match(
      await html({ ...LISTED, certificates: [] }),
      /这里查不到这张券了.*可能已用完、已退款，或还没更新.*「待使用」或还有次数：请店员扫码.*验券成功才出餐/s,
    );
    assert.match(
      await html({ ...INITIAL_LIST_STATE, problem: PROBLEM }),
      /网络不给力.*重试.*请打开抖音「我的订单」给店员扫码.*店员：.*扫订单里的码/s,
    );
  });
});
