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
const PATH = "我\u00a0→\u00a0右上角\u00a0☰\u00a0→ 我的订单";
const HELP = `请打开抖音「我的订单」给店员扫码：${PATH}`;
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
    assert.equal(loadingText, "查得有点慢，先打开抖音订单也能用");
    assert.equal(view({ ...INITIAL_LIST_STATE, activity: "first" }).loadingText, "正在查询可用的券…");
    assert.equal(view({ ...INITIAL_LIST_STATE, phase: "searching" }).loadingText, "正在继续查找可用的券…");
  });

  test("that is old has its time, and offers no more of it after a problem", () => {
    const text = "请照常让店员扫码；本页更新于 23:30";
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
    assert.equal(view(list).unfinishedText, "还没查全，可先打开抖音订单");
    for (const other of [{ ...list, certificates: [COUPON] }, INITIAL_LIST_STATE]) {
      assert.equal(view(other).unfinishedText, "");
    }
  });

  test("ends with notes only below coupons", () => {
    const lists = [LISTED, { ...LISTED, problem: PROBLEM }, { ...LISTED, certificates: [] }, INITIAL_LIST_STATE];
    assert.equal(lists.map((list) => view(list).hasCards).join(), "true,true,false,false");
  });

  /** Return each section: its heading, and its cards. */
  const cards = (certificates: Certificate[]) =>
    cardsView({ ...EMPTY, listState: { ...LISTED, certificates } }, NOW).sections.map((section) => [
      section.heading,
      ...section.cards.map(({ id, countText, doubt }) => [id, countText, doubt]),
    ]);

  test("counts coupons with a doubt apart, and has them last", () => {
    const twin = { ...COUPON, certificate_id: "2" };
    const others: Certificate[] = [
      { ...COUPON, certificate_id: "3", lock: { status: 1 } },
      { ...COUPON, certificate_id: "4", start_time: NOW + 60 },
      { ...COUPON, certificate_id: "5", expire_time: NOW },
    ];
    const doubted = [
      ["3", "", "请照常让店员扫码；本页暂时查不到状态"],
      ["4", "", "请照常让店员扫码；本页显示 23:31\u00a0起可用"],
      ["5", "", "请照常让店员扫码；本页显示 23:30\u00a0已到期"],
    ];
    assert.deepEqual(cards([...others, COUPON, twin]), [
      ["本店可用 1\u00a0种、共\u00a02\u00a0张，以扫码结果为准", ["1", "2 张", ""]],
      ["另\u00a03\u00a0张，请照常让店员扫码", ...doubted],
    ]);
    assert.deepEqual(cards(others), [["共\u00a03\u00a0张，请照常让店员扫码", ...doubted]]);
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
  const REDEEMS: Config = { ...CONFIG, redeemPage: { url: "/redeem", text: "核销这张券" } };

  test("shows its coupon, also of an old list, and the orders if the program can open them", () => {
    const { detail, doubt, age, canOpenOrders } = view({ ...LISTED, problem: PROBLEM, isStale: true });
    assert.deepEqual([detail?.id, doubt, canOpenOrders], ["1", "", false]);
    assert.equal(age, "请照常让店员扫码；本页更新于 23:30");
    const locked = view({ ...LISTED, certificates: [{ ...COUPON, lock: {} }], isStale: true });
    assert.deepEqual([locked.doubt, locked.age], ["请照常让店员扫码；本页暂时查不到状态", ""]);
    assert.ok(view(LISTED, { ...CONFIG, openOrders: () => {} }).canOpenOrders);
  });

  test("has a button for the page that redeems only on a new list, and without a doubt", () => {
    const card = { ...COUPON, times: { usable: 0 } };
    const states: [list: Partial<States.ListState>, isShown: boolean, storeState?: typeof STORES][] = [
      [{}, true],
      [{ updatedAt: NOW - 300 }, true],
      [{ updatedAt: NOW - 300, activity: "refresh" }, true],
      [{ updatedAt: NOW - 301 }, false],
      [{ updatedAt: NOW + 1 }, false],
      [{ isStale: true }, false],
      [{ allowsRedeeming: false }, false],
      [{ certificates: [card] }, false],
      [{ certificates: [] }, false],
      [{}, false, { ...STORES, poiId: "" }],
    ];
    for (const [list, isShown, storeState = STORES] of states) {
      const { redeemText } = view({ ...LISTED, ...list }, REDEEMS, { ...EMPTY, storeState });
      assert.equal(redeemText, isShown ? "核销这张券" : "", JSON.stringify(list));
    }
    assert.equal(view(LISTED).redeemText, "");
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

  test("is rendered with its orders, gone and with a problem; its words are the customer's", async () => {
    const html = (list: States.ListState, config = CONFIG) =>
      rendered("certificate", { textSize: 16, ...view(list, config) });
    const usual = await html(LISTED, { ...REDEEMS, openOrders: () => {} });
    const order = ["店员：", "扫订单里的码，验券成功才出餐；扫不成，叫店长"].concat(
      ["本页没有券码，请店员扫抖音订单", "认准这张券", "打开我的订单", `打不开：${PATH}`],
      ["找到这张券，请店员扫二维码", "没有二维码：请店员输完整券码，不是尾号", "核销这张券"],
    );
    assert.deepEqual(
      order,
      order.slice().sort((a, b) => usual.indexOf(a) - usual.indexOf(b)),
    );
    assert.ok(order.every((text) => usual.includes(text)));
    assert.ok((await html(LISTED)).includes(`回到抖音：${PATH}`));
    assert.match(
      await html({ ...LISTED, certificates: [] }),
      /验券成功才出餐.*这里暂时没有这张券，请打开抖音订单核对.*刷新.*「待使用」或还有次数：请店员扫码.*查看其他券/s,
    );
    assert.match(
      await html({ ...INITIAL_LIST_STATE, problem: { ...PROBLEM, requestId: "8a6b51c0-1234" } }),
      /店员：.*扫订单里的码.*网络不给力.*重试.*请打开抖音「我的订单」给店员扫码.*报障编号 8a6b51c0/s,
    );
  });
});
