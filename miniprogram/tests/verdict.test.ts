/** Tests of the verdict on a certificate, from `dist`: each row, their order, and the next change. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Certificate } from "../src/coupons/client/client";
import type { Use } from "../src/coupons/pages/certificates/messages";
import type * as States from "../src/coupons/pages/certificates/state";
import type * as StoreStates from "../src/coupons/pages/certificates/storeState";
import type * as Submissions from "../src/coupons/pages/certificates/submission";
import type * as Verdicts from "../src/coupons/pages/certificates/verdict";
import type * as Views from "../src/coupons/pages/certificates/view";
import { loadBuilt } from "./built";
import { PROBLEM } from "./fake-tt";
import { rendered } from "./rendered";

const { INITIAL_STATE, nextState } = loadBuilt<typeof States>("coupons/pages/certificates/state");
const { endOf, newSubmission, readStored, restored, secondsLeft, withList } = loadBuilt<typeof Submissions>(
  "coupons/pages/certificates/submission",
);
const { verdictOf } = loadBuilt<typeof Verdicts>("coupons/pages/certificates/verdict");
const { cardsView, counterView, listView } = loadBuilt<typeof Views>("coupons/pages/certificates/view");
const { INITIAL_STORE_STATE } = loadBuilt<typeof StoreStates>("coupons/pages/certificates/storeState");

const MINUTE = 60;
const HOUR = 3600;
const DAY = 24 * HOUR;
/** 2026-12-03 16:07 in China. */
const NOW = Date.UTC(2026, 11, 3, 8, 7) / 1000;
const MIDNIGHT = Date.UTC(2026, 11, 3, 16) / 1000;
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon" };
const HOURS = { hours: [["14:00", "17:00"]] };

interface Situation {
  fields?: Partial<Certificate>;
  submission?: Partial<Submissions.Submission>;
  /** That of another coupon. */
  other?: Partial<Submissions.Submission>;
  list?: Partial<States.ListState>;
  now?: number;
}

const TAP: Submissions.StoredSubmission = { id: "1", store: "7/6601", storeName: "人民广场店", at: NOW };

/** A coupon of a list that was read just now, unless the situation says otherwise. */
function stateOfShop({ fields, submission, other, list, now = NOW }: Situation) {
  const certificate = { ...COUPON, ...fields };
  const listed = { ...INITIAL_STATE, certificates: [certificate], updatedAt: now, ...list };
  const submissions = [submission && { ...TAP, ...submission }, other && { ...TAP, id: "9", ...other }]
    .filter((tap) => tap !== undefined)
    .map((tap) => ({ ...restored(1, 0, tap), ...tap }));
  return { certificate, list: listed, submissions, store: "7/6601", isRestored: true, hasStored: false, user: 0, now };
}

/** Judge it in a shop with 立即核销, or without. */
function judge(situation: Situation, redeems = true) {
  const { certificate, now, ...state } = stateOfShop(situation);
  return verdictOf(certificate, { ...state, redeems }, now);
}

/** What the list of a later read says. */
const seen = (certificate?: Certificate) => ({ seen: { read: 5, at: NOW + MINUTE, certificate } });
const SUBMITTED = { state: "submitted" } as const;
const LISTED = { ...SUBMITTED, ...seen(COUPON) };
const FEWER = { ...SUBMITTED, uses: 10, ...seen({ ...COUPON, times: { usable: 9 } }) };
const RUNNING = { state: "running" } as const;
const STALE = { isStale: true };

const SCAN = "扫 扫抖音订单里的二维码";
const WATCH = "点 让顾客自己点「立即核销」";
const WAIT = "等 请等待，不要再点";
const CHECK = "查 等一分钟，查核销记录";
const ELSEWHERE = "查 叫店长，先不出餐";
const TAPPED = "16:07 在「人民广场店」点过核销";
const RECORD = "点完查核销记录。查到，出餐；查不到，叫店长。";
const PLAIN = `${RECORD}点过的，先查记录`;
const NO_VOUCHER = "验券成功，才出餐；扫不成，叫店长";
const DOUBT = "验券成功，才出餐；扫不成，叫店长。以扫码结果为准。";
const RULE = "查到，出餐；查不到，叫店长。";
const NOT_LISTED = { certificates: [], former: [COUPON] };
const WAITED = { ...LISTED, waitedIn: 4 };

/** The sign and the act, the reason, and the button in a shop with 立即核销; then what differs in one without. */
// biome-ignore format: one row a line
const rows: [string, Situation, act: string, reason: string, use: Use, scan?: [act: string, reason: string]][] = [
  ["usable", {}, WATCH, PLAIN, "yes", [SCAN, NO_VOUCHER]],
  ["at its first and last second", { fields: { start_time: NOW, expire_time: NOW + 1 } }, WATCH, PLAIN, "yes", [SCAN, NO_VOUCHER]],
  ["within its hours", { fields: { off_peak: HOURS } }, WATCH, PLAIN, "yes", [SCAN, NO_VOUCHER]],
  ["61 s old", { list: { updatedAt: NOW - 61 } }, WATCH, PLAIN, "yes", [SCAN, NO_VOUCHER]],
  ["299 s old, updated", { list: { updatedAt: NOW - 299, activity: "refresh" } }, WATCH, PLAIN, "yes", [SCAN, NO_VOUCHER]],
  ["not read yet", { list: { ...NOT_LISTED, activity: "more" } }, WATCH, PLAIN, "yes", [SCAN, NO_VOUCHER]],
  ["starts today", { fields: { start_time: NOW + 58 * MINUTE } }, SCAN, `${DOUBT}今天 17:05 起可用`, "instead"],
  ["starts tomorrow", { fields: { start_time: NOW + DAY } }, SCAN, `${DOUBT}2026.12.04 起可用`, "instead"],
  ["expired today", { fields: { expire_time: NOW } }, SCAN, `${DOUBT}今天 16:07 到期`, "instead"],
  ["expired before", { fields: { expire_time: NOW - DAY } }, SCAN, `${DOUBT}2026.12.02 到期`, "instead"],
  ["before its hours", { fields: { off_peak: HOURS }, now: NOW - 3 * HOUR }, SCAN, `${DOUBT}现在 13:07，今天 14:00 起可用`, "instead"],
  ["after its hours", { fields: { off_peak: HOURS }, now: NOW + HOUR }, SCAN, `${DOUBT}现在 17:07，今天的可用时段已过`, "instead"],
  ["no uses", { fields: { times: { usable: 0 } } }, SCAN, `${DOUBT}剩余 0 次`, "instead"],
  ["expired, and the list is 300 s old", { fields: { expire_time: NOW }, list: { updatedAt: NOW - 300 } }, SCAN, `${DOUBT}今天 16:07 到期`, "no"],
  ["locked", { fields: { lock: { status: 1 } } }, SCAN, `${DOUBT}能不能用，扫码看结果`, "no"],
  ["locked, another one runs", { fields: { lock: { scene: 9 } }, other: RUNNING }, SCAN, `${DOUBT}能不能用，扫码看结果`, "no"],
  ["weekdays", { fields: { off_peak: { ...HOURS, weekdays: [1] } } }, WATCH, `${PLAIN}。可用日期请看抖音订单`, "yes", [SCAN, `${DOUBT}可用日期请看抖音订单`]],
  ["weekdays, outside its hours", { fields: { off_peak: { ...HOURS, weekdays: [1] } }, now: NOW + HOUR }, SCAN, `${DOUBT}现在 17:07，今天的可用时段已过`, "instead"],
  ["unreadable hours", { fields: { off_peak: { limit_type: 1 } } }, WATCH, `${PLAIN}。可用时段请看抖音订单`, "yes", [SCAN, `${DOUBT}可用时段请看抖音订单`]],
  ["an update has failed", { list: STALE }, SCAN, `${DOUBT}本页未更新（16:07 的数据）`, "instead"],
  ["an update has failed, another runs", { list: { ...STALE, activity: "refresh" } }, SCAN, `${DOUBT}本页未更新（16:07 的数据）`, "instead"],
  ["62 s old", { list: { updatedAt: NOW - 62 } }, SCAN, `${DOUBT}本页未更新（16:05 的数据）`, "instead"],
  ["300 s old", { list: { updatedAt: NOW - 300, ...STALE } }, SCAN, `${DOUBT}本页未更新（16:02 的数据）`, "no"],
  ["300 s old, updated", { list: { updatedAt: NOW - 300, activity: "refresh" } }, SCAN, `${DOUBT}本页未更新（16:02 的数据）`, "no"],
  ["the clock was set back", { list: { updatedAt: NOW + 1 } }, SCAN, `${DOUBT}本页未更新（16:07 的数据）`, "no"],
  ["an update ended before it", { list: { ...NOT_LISTED, problem: PROBLEM } }, SCAN, `${DOUBT}本页未更新（16:07 的数据）`, "instead"],
  ["the hook runs", { submission: RUNNING }, WAIT, "正在提交，最多一分钟。店员请先不出餐", "no"],
  ["another one runs", { other: RUNNING }, WAIT, "另一张券正在提交，最多一分钟。这张没有提交。店员请先不出餐", "no", [SCAN, NO_VOUCHER]],
  ["another one runs, expired", { other: RUNNING, fields: { expire_time: NOW } }, WAIT, "另一张券正在提交，最多一分钟。这张没有提交。店员请先不出餐", "no", [SCAN, `${DOUBT}今天 16:07 到期`]],
  ["another one runs, 300 s old", { other: RUNNING, list: { updatedAt: NOW - 300 } }, SCAN, `${DOUBT}本页未更新（16:02 的数据）`, "no"],
  ["submitted", { submission: SUBMITTED }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫`, "no"],
  ["unknown", { submission: {} }, CHECK, `${RULE}${TAPPED}。未能确认，不要再扫`, "no"],
  ["gone", { submission: { ...SUBMITTED, ...seen() } }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音已不显示，还要查记录（16:08）`, "no"],
  ["listed", { submission: LISTED }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音还没显示用掉（16:08）`, "no"],
  ["listed at last", { submission: WAITED }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音还没显示用掉（16:08）`, "again", [CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音还没显示用掉（16:08）`]],
  ["listed at last, another one runs", { submission: WAITED, other: RUNNING }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音还没显示用掉（16:08）`, "no"],
  ["listed at last, and locked", { submission: WAITED, fields: { lock: {} } }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音还没显示用掉（16:08）`, "no"],
  ["listed at last, then lost", { submission: WAITED, list: { ...NOT_LISTED, problem: PROBLEM } }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音还没显示用掉（16:08）`, "no"],
  ["listed at last, 300 s old", { submission: WAITED, list: { updatedAt: NOW - 300 } }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音还没显示用掉（16:08）`, "no"],
  ["fewer uses", { submission: FEWER }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音显示少了 1 次，还要查记录（16:08）`, "more", [CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音显示少了 1 次，还要查记录（16:08）`]],
  ["fewer uses, none left", { submission: { ...FEWER, uses: 1, ...seen({ ...COUPON, times: { usable: 0 } }) } }, CHECK, `${RULE}${TAPPED}。已提交，不要再扫。抖音显示少了 1 次，还要查记录（16:08）`, "no"],
  ["on the next day", { submission: { at: MIDNIGHT - 1 }, now: MIDNIGHT + HOUR }, CHECK, `${RULE}12.03 23:59 在「人民广场店」点过核销。未能确认，不要再扫`, "no"],
  ["in another store", { submission: { ...WAITED, store: "7/6602" } }, ELSEWHERE, `请「人民广场店」查核销记录。${TAPPED}`, "no"],
  ["in another store without a name", { submission: { ...FEWER, store: "7/6602", storeName: "" } }, "查 叫店长，先不出餐", "请另一家门店查核销记录。16:07 在另一家门店点过核销", "no"],
];

describe("the verdict on a coupon", () => {
  for (const [name, situation, act, reason, use, scan = [act, reason]] of rows) {
    test(`${name}: ${act}`, () => {
      const [tap, without] = [judge(situation), judge(situation, false)];
      assert.deepEqual([`${tap.sign} ${tap.act}`, tap.reason, tap.use], [act, reason, use]);
      assert.deepEqual([`${without.sign} ${without.act}`, without.reason, without.use], [...scan, "no"]);
      for (const sentence of [tap, without].flatMap((verdict) => [verdict.act, ...verdict.reason.split("。")])) {
        assert.ok(sentence.replace(/（.*?）/, "").length <= 20 + "「人民广场店」".length, sentence);
      }
    });
  }

  test("is rendered, with a problem and without, and on pages that were left open", async () => {
    const stores = { ...INITIAL_STORE_STATE, accountId: "7", poiId: "6601" };
    const pages = { clock: "", textSize: 16, isUnchosen: false };
    for (const [name, situation] of rows) {
      for (const problem of [undefined, PROBLEM]) {
        for (const seconds of [0, 12 * MINUTE, DAY]) {
          const { now, list: listed, ...shared } = stateOfShop(situation);
          const list = { ...listed, problem };
          const config = { api: "", account_id: "7", basePath: "", onSelect: async () => true };
          const view = counterView({ ...shared, list, stores }, config, "1", now + seconds);
          const html = await rendered("certificate", { ...pages, ...view, textSize: problem ? 32 : 24 });
          assert.match(html, new RegExp(`>${problem ? "小字" : "大字"}<.*>${view.verdict?.act}<`, "s"), name);
          const cards = cardsView({ ...shared, list, stores }, config, "1", now + seconds);
          await rendered("certificates", { ...pages, ...listView(list, stores, config, now + seconds), ...cards });
        }
      }
    }
  });

  test("is the first that applies", () => {
    const fields = { lock: {}, start_time: NOW + DAY, expire_time: NOW - DAY, times: { usable: 0 }, off_peak: HOURS };
    const situation: Situation = { list: STALE, other: RUNNING, now: NOW + HOUR };
    const { lock: _, ...unlocked } = fields;
    const { start_time: __, ...started } = unlocked;
    const { expire_time: ___, ...current } = started;
    const { times: ____, ...used } = current;
    const situations: [Situation, string][] = [
      [{ ...situation, fields, submission: RUNNING }, "正在提交"],
      [{ ...situation, fields, submission: SUBMITTED }, RULE],
      [{ ...situation, fields }, "能不能用，扫码看结果"],
      [{ ...situation, fields: unlocked }, "另一张券正在提交"],
      [{ ...situation, fields: unlocked, other: { ...RUNNING, certificate: COUPON } }, "「团购券」正在提交"],
      [{ ...situation, fields: unlocked, other: { ...RUNNING, certificate: COUPON, user: 1 } }, "另一张券正在提交"],
      [{ list: STALE, fields: unlocked, now: NOW + HOUR }, "2026.12.04 起可用"],
      [{ list: STALE, fields: started, now: NOW + HOUR }, "2026.12.02 到期"],
      [{ list: STALE, fields: current, now: NOW + HOUR }, "本页未更新"],
      [{ fields: current, now: NOW + HOUR }, "剩余 0 次"],
      [{ fields: used, now: NOW + HOUR }, "现在 17:07"],
    ];
    assert.deepEqual(
      situations.map(([each, text]) => judge(each).reason.includes(text)),
      situations.map(() => true),
    );
  });

  test("can be updated only after a failed update or the last read, and not during another one", () => {
    const situations: [Situation, boolean][] = [
      [{}, false],
      [{ list: STALE }, true],
      [{ list: { ...STALE, activity: "refresh" } }, false],
      [{ fields: { expire_time: NOW }, list: { updatedAt: NOW - 300 } }, true],
      [{ fields: { lock: {} }, list: { updatedAt: NOW - 300 } }, false],
      [{ submission: SUBMITTED }, false],
      [{ submission: { ...SUBMITTED, waitedIn: 4 } }, true],
      [{ submission: { ...LISTED, waitedIn: 5 } }, true],
      [{ submission: WAITED }, false],
      [{ submission: WAITED, list: { updatedAt: NOW - 300 } }, true],
      [{ submission: { ...SUBMITTED, ...seen(), waitedIn: 4 } }, false],
      [{ submission: { ...FEWER, waitedIn: 4 } }, false],
      [{ submission: { ...LISTED, waitedIn: 5, store: "7/6602" } }, false],
    ];
    for (const [situation, canRetry] of situations) {
      assert.equal(judge(situation).canRetry, canRetry, JSON.stringify(situation));
    }
  });

  test("is that of the last update that has ended", () => {
    const listed = (more: boolean): States.ListEvent => {
      return { kind: "responded", outcome: { kind: "list", certificates: [COUPON], unusable: {}, more }, now: NOW };
    };
    const failed: States.ListEvent = { kind: "responded", outcome: { kind: "problem", problem: PROBLEM }, now: NOW };
    const events: [States.ListEvent, boolean][] = [
      [{ kind: "opened" }, false],
      [listed(false), false],
      [{ kind: "refreshed" }, false],
      [failed, true],
      [{ kind: "continued" }, true],
      [failed, true],
      [{ kind: "refreshed" }, true],
      [listed(true), false],
      [failed, false],
    ];
    let list = INITIAL_STATE;
    for (const [index, [event, isStale]] of events.entries()) {
      list = nextState(list, event);
      assert.equal(list.isStale, isStale, `event ${index}`);
    }
  });
});

// biome-ignore format: one row a line
const hours: [string[][] | undefined, time: string, text: string][] = [
  [[["14:00", "17:00"]], "13:59", "现在 13:59，今天 14:00 起可用"],
  [[["14:00", "17:00"]], "14:00", ""],
  [[["14:00", "17:00"]], "17:00", "现在 17:00，今天的可用时段已过"],
  [[["22:00", "02:00"]], "21:59", "现在 21:59，今天 22:00 起可用"],
  [[["22:00", "02:00"]], "23:00", ""],
  [[["22:00", "02:00"]], "01:59", ""],
  [[["22:00", "02:00"]], "02:00", "现在 02:00，今天 22:00 起可用"],
  [[["00:00", "24:00"]], "23:59", ""],
  [[["10:00", "10:00"]], "09:00", ""],
  [[["9:30", "11:00"], ["14:00:00", "17:00:30"]], "17:00", ""],
  [[["9:30", "11:00"], ["14:00", "17:00"]], "12:00", "现在 12:00，今天 14:00 起可用"],
  [[["晚市", "打烊"]], "16:00", "可用时段请看抖音订单"],
  [[["14:00", "17:00"], ["晚市", "打烊"]], "16:00", "可用时段请看抖音订单"],
  [[["14:60", "17:00"]], "16:00", "可用时段请看抖音订单"],
  [[["14:00", "25:00"]], "16:00", "可用时段请看抖音订单"],
  [[["14:00"]], "16:00", "可用时段请看抖音订单"],
  [[[]], "16:00", "可用时段请看抖音订单"],
  [[], "16:00", "可用时段请看抖音订单"],
  [undefined, "16:00", "可用时段请看抖音订单"],
];

describe("hours in China", () => {
  for (const [value, time, text] of hours) {
    test(`${JSON.stringify(value)} at ${time}: ${text || "usable"}`, () => {
      const [hour = 0, minute = 0] = time.split(":").map(Number);
      const off_peak = value ? { hours: value } : { limit_type: 1 };
      const verdict = judge({ fields: { off_peak }, now: MIDNIGHT + hour * HOUR + minute * MINUTE });
      assert.equal(verdict.why, text);
    });
  }

  test("do not help against weekdays and dates, whose numbers are not documented", () => {
    for (const limit of [{ weekdays: [0] }, { start_time: 5 }, { end_time: NOW }]) {
      const text = "可用日期请看抖音订单";
      assert.equal(judge({ fields: { off_peak: { ...HOURS, ...limit } } }).why, text);
      assert.equal(judge({ fields: { off_peak: limit } }).why, text);
    }
    assert.equal(judge({ fields: { off_peak: { ...HOURS, weekdays: [] } } }).why, "");
  });
});

describe("a submission", () => {
  const ends: [result: unknown, end: Submissions.End][] = [
    [true, "submitted"],
    [false, "cancelled"],
    [undefined, "unknown"],
    [{ statusCode: 404 }, "unknown"],
    ["true", "unknown"],
    [1, "unknown"],
  ];
  for (const [result, end] of ends) {
    test(`whose hook resolves to ${JSON.stringify(result)} is ${end}`, () => assert.equal(endOf(result), end));
  }

  const call = { ...newSubmission(1, 0, COUPON, TAP), ...SUBMITTED, endedIn: 2 };
  const read = { ...INITIAL_STATE, reads: 3, shownRead: 3, updatedAt: NOW + 1 };
  const other = { ...COUPON, certificate_id: "9" };
  const lists: [name: string, list: Partial<States.ListState>, seen: boolean | undefined][] = [
    ["a list that has it", { certificates: [COUPON] }, true],
    ["the first part of one", { certificates: [COUPON], more: true, activity: "more" }, true],
    ["a complete list without it", { certificates: [other] }, false],
    ["a part without it", { certificates: [other], more: true }, undefined],
    ["a list that goes on", { certificates: [other], activity: "more" }, undefined],
    ["a list that has failed", { certificates: [other], problem: PROBLEM }, undefined],
    ["a list that began before the hook ended", { certificates: [COUPON], reads: 3, shownRead: 2 }, undefined],
  ];
  for (const [name, list, isListed] of lists) {
    test(`is seen as ${isListed === undefined ? "before" : isListed ? "listed" : "gone"} by ${name}`, () => {
      const after = withList(call, { ...read, ...list }, TAP.store, 0);
      assert.equal(after.seen && !!after.seen.certificate, isListed);
    });
  }

  test("is read from the storage for two hours, whatever else is there", () => {
    const old = { ...TAP, id: "8", at: NOW - 2 * HOUR };
    assert.deepEqual(readStored([TAP, old, { id: 5 }, { ...TAP, at: "x" }, { ...TAP, store: {} }], NOW), [TAP]);
    for (const stored of ["", null, {}, [null]]) {
      assert.deepEqual(readStored(stored, NOW), []);
    }
    const left = [TAP, { ...TAP, at: NOW - HOUR }, { ...TAP, at: NOW + HOUR }].map((tap) => secondsLeft(tap, NOW));
    assert.deepEqual(left, [2 * HOUR, HOUR, 2 * HOUR]);
  });
});
