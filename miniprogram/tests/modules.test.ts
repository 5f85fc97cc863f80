/** Tests of the sample page's pure modules, from `dist`: cards, doubts, detail, messages, state of the list, stores. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Certificate, Problem } from "../src/coupons/client/client";
import type * as Cards from "../src/coupons/visit/cards";
import type * as Details from "../src/coupons/visit/detail";
import type * as Doubts from "../src/coupons/visit/doubt";
import type * as Groups from "../src/coupons/visit/groups";
import type * as States from "../src/coupons/visit/listState";
import type * as Messages from "../src/coupons/visit/messages";
import type * as Stores from "../src/coupons/visit/stores";
import { loadBuilt } from "./built";
import { PROBLEM } from "./fake-tt";

const { groupsOf } = loadBuilt<typeof Groups>("coupons/visit/groups");
const { doubtOf } = loadBuilt<typeof Doubts>("coupons/visit/doubt");
const { cardsOf, yuan } = loadBuilt<typeof Cards>("coupons/visit/cards");
const { detailOf } = loadBuilt<typeof Details>("coupons/visit/detail");
const { countTexts, problemView, secondsLeft, unusableText } = loadBuilt<typeof Messages>("coupons/visit/messages");
const { INITIAL_LIST_STATE, isEmpty, nextListState } = loadBuilt<typeof States>("coupons/visit/listState");
const { phoneDigits, storeHeader, storeRows } = loadBuilt<typeof Stores>("coupons/visit/stores");

/** 2026-11-24 23:30 in China. */
const NOW = Date.UTC(2026, 10, 24, 15, 30) / 1000;
const HOUR = 3600;
const DAY = 24 * HOUR;

function certificate(fields: Partial<Certificate>): Certificate {
  return { certificate_id: "1", order_id: "2", kind: "groupon", ...fields };
}

function cardOf(group: Certificate[]) {
  return cardsOf(withDoubts(group), NOW)[0] as Cards.Card;
}

function withDoubts(certificates: Certificate[], doubts: { [id: string]: string } = {}) {
  return certificates.map((each) => ({ ...each, doubt: doubts[each.certificate_id] ?? "" }));
}

function card(fields: Partial<Certificate>) {
  return cardOf([certificate(fields)]);
}

describe("a card", () => {
  test("shows only the kind if all optional fields are missing", () => {
    assert.deepEqual(card({}), {
      id: "1",
      figure: "团购券",
      caption: "",
      title: "团购券",
      countText: "",
      until: "有效期以抖音订单为准",
      isLastDay: false,
      note: "",
      doubt: "",
      paid: "",
      orderTail: "订单尾号\u00a02",
    });
  });

  test("shows the value that the platform sends, or else its kind", () => {
    const worth = (fields: Partial<Certificate>) => {
      const { figure, caption } = card(fields);
      return [figure, caption].filter(Boolean).join(" / ");
    };
    // A newer service may have more kinds.
    const kinds: Certificate["kind"][] = ["groupon", "voucher", "times_card", "other", "subscription"];
    assert.equal(kinds.map((kind) => worth({ kind })).join(), "团购券,代金券,次卡,优惠券,优惠券");
    const vouchers: [Certificate["voucher"], string][] = [
      [{ min_amount: 8000, max_amount: 10000 }, "¥80\u00a0至 ¥100 / 代金券"],
      [{ min_amount: 8000, max_amount: 8000 }, "¥80 / 代金券"],
      [{ max_amount: 5050 }, "最高 ¥50.50 / 代金券"],
      [{ min_amount: 5000 }, "至少 ¥50 / 代金券"],
      [{ min_amount: 0, max_amount: 5000 }, "最高 ¥50 / 代金券"],
      [{ min_amount: 0, max_amount: 0 }, "代金券"],
    ];
    for (const [voucher, text] of vouchers) {
      assert.equal(worth({ kind: "voucher", voucher } as Partial<Certificate>), text);
    }
    const cards: [Certificate["times"], string][] = [
      [{ usable: 7, total: 10 }, "剩 7 次 / 共 10 次"],
      [{ usable: 0 }, "剩 0 次 / 次卡"],
      [{ total: 10 }, "次卡"],
    ];
    for (const [times, text] of cards) {
      assert.equal(worth({ kind: "times_card", times } as Partial<Certificate>), text);
    }
  });

  test("marks the price as paid", () => {
    const prices = [4499, 4500, 0].map((pay_amount) => card({ pay_amount }).paid);
    assert.deepEqual(prices, ["实付 ¥44.99", "实付 ¥45", "实付 ¥0"]);
    assert.deepEqual([yuan(5), yuan(100), yuan(123456)], ["¥0.05", "¥1", "¥1234.56"]);
  });

  test("has the rule of a voucher, and the off-peak hours", () => {
    const off_peak = { hours: ["9:30 11:00", "22:00 02:00"].map((hours) => hours.split(" ")), weekdays: [1] };
    assert.equal(card({ off_peak }).note, "可用时段 9:30~11:00、22:00~次日02:00");
    assert.equal(card({ off_peak: { hours: [["晚市", "打烊"]] } }).note, "可用时段 晚市~打烊");
    assert.equal(card({ off_peak: { weekdays: [1] } }).note, "");
    assert.equal(card({ voucher: { description: "平日可抵100元" } }).note, "平日可抵100元");
  });

  test("shows until when it is valid, and the days left if there are at most 7", () => {
    const expiry = (seconds: number) => {
      const { until, isLastDay } = card({ expire_time: seconds });
      return [until, isLastDay];
    };
    assert.deepEqual(expiry(NOW + HOUR / 4), ["今天\u00a023:45\u00a0到期", true]);
    assert.deepEqual(expiry(NOW + HOUR), ["明天\u00a000:30\u00a0到期", false]);
    assert.deepEqual(expiry(NOW + DAY + 60), ["明天\u00a023:31\u00a0到期", false]);
    assert.deepEqual(expiry(NOW + 7 * DAY), ["有效期至 2026.12.01，还剩\u00a07\u00a0天", false]);
    assert.deepEqual(expiry(NOW + 8 * DAY), ["有效期至 2026.12.02", false]);
    assert.deepEqual(expiry(NOW), ["", false], "its doubt says it");
  });
});

describe("a doubt", () => {
  const HOURS = { hours: [["14:00", "17:00"]] };
  /** 2026-12-03 16:07 in China. */
  const AT = Date.UTC(2026, 11, 3, 8, 7) / 1000;
  /** Return the reason of a doubt, without what every doubt begins with. */
  const doubt = (fields: Partial<Certificate>, now = AT) =>
    doubtOf(certificate(fields), now).replace(/^请照常让店员扫码；/, "");

  test("is a text, and never refuses", () => {
    const rows: [Partial<Certificate>, string][] = [
      [{ start_time: AT, expire_time: AT + 1 }, ""],
      [{ expire_time: AT }, "本页显示 16:07\u00a0已到期"],
      [{ expire_time: AT - DAY }, "本页显示 2026.12.02\u00a0已到期"],
      [{ start_time: AT + 58 * 60 }, "本页显示 17:05\u00a0起可用"],
      [{ start_time: AT + DAY }, "本页显示 2026.12.04\u00a0起可用"],
      [{ lock: {} }, "本页暂时查不到状态"],
      [{ times: { usable: 0 } }, "本页显示剩余 0\u00a0次"],
      [{ off_peak: HOURS }, ""],
      [{ off_peak: { ...HOURS, weekdays: [] } }, ""],
    ];
    for (const limit of [{ weekdays: [0] }, { start_time: 5 }, { end_time: AT }]) {
      rows.push([{ off_peak: { ...HOURS, ...limit } }, "可用日期见抖音订单"]);
      rows.push([{ off_peak: limit }, "可用日期见抖音订单"]);
    }
    assert.deepEqual(
      rows.map(([fields]) => doubt(fields)),
      rows.map(([, text]) => text),
    );
  });

  test("is the first that applies", () => {
    const fields = { expire_time: 0, start_time: AT + DAY, lock: {}, times: { usable: 0 } };
    const off_peak = { hours: [["17:00", "18:00"]], weekdays: [1] };
    const doubts = Object.keys(fields).map((_, index) =>
      doubt({ ...Object.fromEntries(Object.entries(fields).slice(index)), off_peak }),
    );
    assert.deepEqual(doubts, [
      "本页显示 1970.01.01\u00a0已到期",
      "本页显示 2026.12.04\u00a0起可用",
      "本页暂时查不到状态",
      "本页显示剩余 0\u00a0次",
    ]);
    assert.equal(doubt({ off_peak }), "本页显示不在可用时段");
  });

  // biome-ignore format: one row a line
  const hours: [string[][] | undefined, time: string, text: string][] = [
    [[["14:00", "17:00"]], "13:59", "本页显示 14:00\u00a0起可用"],
    [[["14:00", "17:00"]], "14:00", ""],
    [[["14:00", "17:00"]], "17:00", "本页显示今天时段已过"],
    [[["22:00", "02:00"]], "21:59", "本页显示 22:00\u00a0起可用"],
    [[["22:00", "02:00"]], "23:00", ""],
    [[["22:00", "02:00"]], "01:59", ""],
    [[["22:00", "02:00"]], "02:00", "本页显示 22:00\u00a0起可用"],
    [[["00:00", "24:00"]], "23:59", ""],
    [[["10:00", "10:00"]], "09:00", ""],
    [[["9:30", "11:00"], ["14:00:00", "17:00:30"]], "17:00", ""],
    [[["9:30", "11:00"], ["14:00", "17:00"]], "12:00", "本页显示 14:00\u00a0起可用"],
    [[["晚市", "打烊"]], "16:00", "可用时段见抖音订单"],
    [[["14:00", "17:00"], ["晚市", "打烊"]], "16:00", "可用时段见抖音订单"],
    [[["14:60", "17:00"]], "16:00", "可用时段见抖音订单"],
    [[["14:00", "25:00"]], "16:00", "可用时段见抖音订单"],
    [[["14:00"]], "16:00", "可用时段见抖音订单"],
    [[[]], "16:00", "可用时段见抖音订单"],
    [[], "16:00", "可用时段见抖音订单"],
    [undefined, "16:00", "可用时段见抖音订单"],
  ];
  for (const [value, time, text] of hours) {
    test(`about the hours ${JSON.stringify(value)} at ${time}: ${text || "none"}`, () => {
      const [hour = 0, minute = 0] = time.split(":").map(Number);
      const midnight = Date.UTC(2026, 11, 3, 16) / 1000;
      const off_peak = value ? { hours: value } : { limit_type: 1 };
      assert.equal(doubt({ off_peak }, midnight + hour * HOUR + minute * 60), text);
    });
  }
});

describe("groups", () => {
  const twin = (id: string, fields: Partial<Certificate> = {}) =>
    certificate({ certificate_id: id, order_id: `o${id}`, code_tail: id, sku_id: "9", title: "四人套餐", ...fields });
  const sizes = (...certificates: Certificate[]) => groupsOf(certificates).map((group) => group.length);

  test("have certificates of one product that differ only in ids and code", () => {
    assert.deepEqual(sizes(twin("0001"), twin("0002"), twin("0003")), [3]);
    assert.deepEqual(sizes(twin("0001"), twin("0002", { sku_id: "8" })), [1, 1]);
    assert.deepEqual(sizes(twin("0001"), twin("0002", { expire_time: NOW })), [1, 1]);
    assert.deepEqual(sizes(twin("0001"), twin("0002", { lock: { status: 1 } })), [1, 1]);
    assert.deepEqual(sizes(twin("0001"), twin("0002", { times: { usable: 1 } })), [1, 1]);
  });

  test("are split by any other field, at any depth, also by one that only a newer service sends", () => {
    const times = { usable: 1, total: 2 };
    const newer = (batch: string) => ({ times: { ...times, batch: { of: [batch] } } }) as Partial<Certificate>;
    assert.deepEqual(sizes(twin("0001", newer("a")), twin("0002", newer("b")), twin("0003", newer("b"))), [1, 2]);
  });

  test("need a product", () => {
    const { sku_id: _, ...one } = twin("0001");
    const { sku_id: __, ...other } = twin("0002");
    assert.deepEqual(sizes(one, other), [1, 1]);
  });

  test("are of one doubt", () => {
    const doubted = withDoubts([twin("0001"), twin("0002"), twin("0003")], { "0002": "暂时查不到状态" });
    const cards = cardsOf(doubted, NOW);
    assert.deepEqual(
      cards.map(({ countText, doubt }) => [countText, doubt]),
      [
        ["2 张", ""],
        ["", "暂时查不到状态"],
      ],
    );
  });

  test("show their number and the price of each, in 券详情, too", () => {
    const group = [twin("0001", { pay_amount: 4499 }), twin("0002", { pay_amount: 4499 })];
    const { countText, orderTail, paid } = cardOf(group);
    assert.deepEqual([countText, orderTail, paid], ["2 张", "", "每张实付 ¥44.99"]);
    const shown = (counted: Certificate[]) => {
      const { quantityText, orderText } = detailOf(group[1] as Certificate, "", counted, NOW);
      return [quantityText, orderText];
    };
    const orderText = "实付\u00a0¥44.99";
    assert.deepEqual(shown(group), ["共 2\u00a0张，扫码前请告诉店员\u200b用几张", orderText]);
    assert.deepEqual(shown(group.slice(1)), ["", `${orderText}，订单尾号\u00a00002`]);
  });

  test("are at the place of their first certificate", () => {
    const certificates = [twin("0001"), twin("0002", { title: "其他" }), twin("0003")];
    const cards = cardsOf(withDoubts(certificates), NOW);
    assert.deepEqual(
      cards.map(({ title, countText }) => title + countText),
      ["四人套餐2 张", "其他"],
    );
  });
});

describe("the detail", () => {
  const detail = (fields: Partial<Certificate>) => detailOf(certificate(fields), "", [], NOW);
  const facts = (fields: Partial<Certificate>) =>
    Object.fromEntries(detail(fields).facts.map(({ name, text }) => [name, text]));

  test("has name, end and uses", () => {
    const fields = { title: "双人套餐", expire_time: NOW + 20 * DAY, times: { usable: 2, total: 10 } };
    const { facts: _, ...shown } = detail(fields);
    assert.deepEqual(shown, {
      id: "1",
      title: "双人套餐",
      kindAndUntil: "团购券，有效期至 2026.12.14",
      isLastDay: false,
      quantityText: "剩余 2\u00a0次，共 10\u00a0次，扫码前请告诉店员\u200b用几次",
      orderText: "订单尾号\u00a02",
    });
    assert.equal(detail({ times: { total: 10 } }).quantityText, "");
  });

  test("has the conditions that mean something to a customer, and no raw numbers", () => {
    const known = facts({
      kind: "voucher",
      pay_amount: 4499,
      original_amount: 4500,
      market_price: 5000,
      start_time: NOW,
      expire_time: NOW + DAY,
      code_tail: "7001",
      is_transfer_asset: true,
      lock: { status: 1, scene: 2 },
      voucher: { description: "平日可抵100元", max_amount: 10000 },
      off_peak: { start_time: NOW, end_time: NOW + DAY, weekdays: [1], hours: [["14:00", "17:00"]] },
    });
    assert.deepEqual(known, {
      抵扣: "平日可抵100元，超出部分另付",
      可用时段: "14:00~17:00",
      门市价: "¥50",
      来源: "转赠券",
    });
  });

  test("mentions the remainder to pay for vouchers only", () => {
    const voucher = { kind: "voucher", voucher: { max_amount: 10000 } } as const;
    assert.equal(facts(voucher).抵扣, "最高 ¥100，超出部分另付");
    assert.equal(facts({ voucher: { description: "平日可抵100元" } }).抵扣, "平日可抵100元");
    const others = [{ kind: "voucher" }, { pay_amount: 0 }, { kind: "times_card", times: { usable: 1 } }] as const;
    assert.deepEqual(
      others.map((fields) => facts(fields).抵扣),
      [undefined, undefined, undefined],
    );
  });

  test("omits what is unknown", () => {
    assert.deepEqual(facts({}), {});
    assert.deepEqual(facts({ pay_amount: 4500, market_price: 0 }), {});
    assert.deepEqual(facts({ market_price: 5000 }), { 门市价: "¥50" });
  });
});

const problem = (fields: Partial<Problem>): Problem => ({ ...PROBLEM, ...fields });

describe("messages", () => {
  const situation = { help: "请联系店员", hasList: true, isForeignMerchant: false };
  const view = (fields: Partial<Problem>, changed: Partial<Messages.Situation> = {}) =>
    problemView({ problem: problem(fields), problemAt: NOW }, { ...situation, ...changed }, NOW);

  test("of a problem have a button, the seconds until it is enabled, and a short number", () => {
    const requestId = "8a6b51c0-7f1e-4a4e-9d0c-0123456789ab";
    assert.deepEqual(view({ requestId, retryAfter: 4 }), {
      action: "retry",
      text: PROBLEM.detail,
      help: "请联系店员",
      button: "重试",
      waitSeconds: 4,
      number: "8a6b51c0",
    });
    const waits = [1.5, 9, -1].map((age) => secondsLeft(problem({ retryAfter: 5 }), NOW, NOW + age));
    assert.deepEqual(waits, [4, 0, 0], "nobody waits for a clock that was set back");
    assert.equal(secondsLeft(problem({ retryAfter: 3600 }), NOW, NOW + 1), 59);
    assert.equal(secondsLeft(undefined, 0, NOW), 0);
  });

  test("have the button of their action; the staff needs none", () => {
    const views = (["retry", "login", "store", "staff"] as const).map((action) => view({ action }));
    assert.deepEqual(
      views.map((shown) => shown?.button),
      ["重试", "登录", "切换门店", ""],
    );
  });

  test("of the first refused login do not say that a login has expired", () => {
    const refused = { code: "unauthenticated", action: "login", detail: "登录已失效，请重新登录" } as const;
    assert.equal(view(refused, { hasList: false })?.text, "登录失败，请重试");
    assert.equal(view(refused)?.text, "登录已失效，请重新登录");
  });

  test("of an unknown merchant lead to the own merchant, or can be retried", () => {
    const unknown = { code: "merchant_not_found", action: "staff" } as const;
    assert.equal(view(unknown)?.button, "重试");
    const malformed = { code: "invalid_request", action: "staff" } as const;
    for (const foreign of [unknown, malformed]) {
      const shown = view(foreign, { isForeignMerchant: true });
      assert.deepEqual([shown?.action, shown?.button], ["own_merchant", "切换门店"]);
    }
  });

  test("count the certificates and their titles, and say whether there are more", () => {
    const many = (certificates: number, titles = certificates) => ({ certificates, titles });
    assert.deepEqual(
      [countTexts(many(8), 3, false), countTexts(many(8), 3, true)],
      [
        ["本店可用 8\u00a0张，以扫码结果为准", "另\u00a03\u00a0张，请照常让店员扫码"],
        ["已找到本店可用 8\u00a0张，以扫码结果为准", "另\u00a03\u00a0张，请照常让店员扫码"],
      ],
    );
    assert.deepEqual(
      [false, true].flatMap((hasMore) => [countTexts(many(8, 6), 0, hasMore)[0], countTexts(many(0), 3, hasMore)[1]]),
      [
        "本店可用 6\u00a0种、共\u00a08\u00a0张，以扫码结果为准",
        "共\u00a03\u00a0张，请照常让店员扫码",
        "已找到本店可用 6\u00a0种、共\u00a08\u00a0张，以扫码结果为准",
        "已找到\u00a03\u00a0张，请照常让店员扫码",
      ],
    );
  });

  test("explain the certificates that are not listed", () => {
    assert.equal(unusableText({}), "");
    assert.equal(
      unusableText({ not_started: 1, expired: 2 }),
      "另有 1\u00a0张显示未到时间，2\u00a0张显示已过期，以扫码结果为准",
    );
    assert.equal(unusableText({ other: 3 }), "另有 3\u00a0张显示不适用本店，以扫码结果为准");
  });
});

describe("the state of the list", () => {
  const ids = (count: number) =>
    Array.from({ length: count }, (_, n) => certificate({ certificate_id: String(n), sku_id: String(n) }));
  const listed = (count: number, more = false, unusable = {}): States.ListEvent => ({
    kind: "responded",
    outcome: { kind: "list", certificates: ids(count), unusable, more },
    now: NOW,
  });
  const failed = (fields: Partial<Problem> = {}): States.ListEvent => ({
    kind: "responded",
    outcome: { kind: "problem", problem: problem(fields) },
    now: NOW,
  });
  const after = (...events: States.ListEvent[]) => events.reduce(nextListState, INITIAL_LIST_STATE);
  const opened: States.ListEvent = { kind: "opened" };
  const refreshed: States.ListEvent = { kind: "refreshed" };
  const continued: States.ListEvent = { kind: "continued" };

  test("is loading when a store is opened, and idle with its list", () => {
    assert.equal(after(opened).activity, "first");
    const { activity, certificates, updatedAt } = after(opened, listed(3));
    assert.deepEqual([activity, certificates.length, updatedAt], ["idle", 3, NOW]);
    assert.ok(isEmpty(after(opened, listed(0))));
    assert.ok(!isEmpty(after(opened)));
  });

  test("knows how many cannot be used only when it is complete", () => {
    const known = [true, false].map((more) => after(opened, listed(8, more, { other: 2 })).unusable);
    assert.deepEqual(known, [{}, { other: 2 }]);
  });

  test("shows the old list during a refresh, and not when another store is opened", () => {
    assert.deepEqual(
      [after(opened, listed(3), refreshed), after(opened, listed(3), opened)].map((s) => [
        s.activity,
        s.certificates.length,
      ]),
      [
        ["refresh", 3],
        ["first", 0],
      ],
    );
  });

  test("keeps the list after a problem of the service, which says nothing about the coupons", () => {
    const state = after(opened, listed(3), refreshed, failed({ action: "staff", code: "internal_error" }));
    assert.deepEqual([state.certificates.length, state.isStale], [3, true]);
  });

  for (const code of ["login", "store_not_found", "merchant_not_authorized"]) {
    test(`clears the list after a refusal (${code})`, () => {
      const state = after(opened, listed(3), refreshed, failed({ code }));
      assert.deepEqual(
        [state.certificates.length, state.hasMore, state.isStale, isEmpty(state)],
        [0, false, false, false],
      );
      assert.equal(nextListState(state, continued).activity, "first");
    });
  }

  test("shows a problem below the list if more was being loaded", () => {
    const state = after(opened, listed(20, true), continued, failed());
    assert.deepEqual([state.isProblemBelow, state.isStale, state.certificates.length], [true, false, 20]);
    assert.equal(nextListState(state, continued).activity, "more");
  });

  test("is not empty while there is more", () => {
    const stopped = after(opened, listed(0, true));
    assert.deepEqual([stopped.activity, stopped.hasMore, isEmpty(stopped)], ["idle", true, false]);
  });

  test("says that the client is still looking, and waits anew", () => {
    const state = after(opened);
    const late = nextListState(state, { kind: "late", requestNumber: state.requestNumber });
    const searching = nextListState(late, { kind: "searching" });
    assert.equal(searching.phase, "searching");
    assert.equal(nextListState(searching, { kind: "late", requestNumber: state.requestNumber }), searching);
    assert.equal(nextListState(searching, listed(1)).phase, "");
  });

  test("has nothing of the former user after another has logged in", () => {
    const user_changed: States.ListEvent = { kind: "user_changed" };
    const refreshing = after(opened, listed(3, true), refreshed);
    const { activity, certificates, hasMore, updatedAt } = nextListState(refreshing, user_changed);
    assert.deepEqual([activity, certificates, hasMore, updatedAt], ["first", [], false, 0]);
    const failing = after(opened, listed(3), refreshed, failed(), user_changed);
    assert.deepEqual([failing.activity, failing.certificates, failing.problem], ["idle", [], undefined]);
  });

  test("knows how long a request takes, and ignores timers of earlier requests", () => {
    const state = after(opened);
    const slow = nextListState(state, { kind: "late", requestNumber: state.requestNumber });
    assert.equal(slow.phase, "late");
    const retried = nextListState(slow, refreshed);
    assert.equal(retried.phase, "");
    assert.equal(nextListState(retried, { kind: "late", requestNumber: state.requestNumber }).phase, "");
    const done = nextListState(retried, listed(1));
    assert.equal(nextListState(done, { kind: "late", requestNumber: done.requestNumber }), done);
  });
});

describe("the store selection", () => {
  test("wraps an address after its district and after 号, and reads it out as it is", () => {
    const store = { poi_id: "1", name: "一店", address: "上海市闵行区莘庄镇都市路5001号2楼" };
    const wrapped = "上海市闵行区\u200b莘庄镇都市路5001号\u200b2楼";
    assert.equal(storeHeader("1", [store]).address, wrapped);
    const [row] = storeRows([store], {});
    assert.deepEqual([row?.address, row?.label], [wrapped, `一店，${store.address}`]);
    assert.equal(storeHeader("1", [{ ...store, address: "西藏中路180号" }]).address, "西藏中路180号");
  });

  test("dials the digits of the first number", () => {
    const numbers: [string, string][] = [
      ["021-5555-6601", "02155556601"],
      ["(021) 5555 6601 转 8", "02155556601"],
      ["021-55556601-8", "02155556601"],
      ["400-820-8820-123", "4008208820"],
      ["13800138000/13900139000", "13800138000"],
      ["021-55556601 55556602", "02155556601"],
      ["24小时热线：400-820-8820", "4008208820"],
      ["+86 138 0013 8000", "13800138000"],
      ["电话：0086-13800138000", "13800138000"],
      ["＋８６（１３８）００１３－８０００", "13800138000"],
      ["400-0086-123", "4000086123"],
      ["55556601", "55556601"],
      ["1380013800013900139000", ""],
      ["总机", ""],
    ];
    assert.deepEqual(
      numbers.map(([text]) => [text, phoneDigits(text)]),
      numbers,
    );
  });
});
