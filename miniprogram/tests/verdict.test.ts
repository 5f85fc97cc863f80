/** Tests of the verdict on a certificate, from `dist`: each row, their order, and the next change. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Certificate, Problem } from "../src/coupons/client/client";
import type * as States from "../src/coupons/pages/certificates/state";
import type * as Verdicts from "../src/coupons/pages/certificates/verdict";
import { loadBuilt } from "./built";

const { INITIAL_STATE, nextState } = loadBuilt<typeof States>("coupons/pages/certificates/state");
const { verdictOf } = loadBuilt<typeof Verdicts>("coupons/pages/certificates/verdict");

const MINUTE = 60;
const HOUR = 3600;
const DAY = 24 * HOUR;
/** 2026-12-03 16:07 in China. */
const NOW = Date.UTC(2026, 11, 3, 8, 7) / 1000;
const MIDNIGHT = Date.UTC(2026, 11, 3, 16) / 1000;
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon" };
const HOURS = { hours: [["14:00", "17:00"]] };
const PROBLEM: Problem = { code: "network", status: 0, detail: "", action: "retry", retryAfter: 0, requestId: "" };

interface Situation {
  fields?: Partial<Certificate>;
  submission?: Partial<Verdicts.Submission>;
  list?: Partial<States.ListState>;
  now?: number;
}

function judge({ fields, submission, list, now = NOW }: Situation) {
  const certificate = { ...COUPON, ...fields };
  const listed = { ...INITIAL_STATE, certificates: [certificate], updatedAt: NOW, ...list };
  const calls = new Map<string, Verdicts.Submission>();
  if (submission) {
    calls.set("1", { certificate, state: "submitted", at: NOW, isOpen: true, ...submission });
  }
  return verdictOf(certificate, listed, calls, now);
}

const GONE = { list: { certificates: [] } };
const CHECK_RESULT = "未能确认是否核销 · 请店员核对";
const EARLIER = { state: "submitted", isOpen: false } as const;

const rows: [name: string, situation: Situation, kind: string, text: string, use: Verdicts.Use][] = [
  ["plainly usable", { fields: { start_time: NOW, expire_time: NOW + 1 } }, "none", "", "yes"],
  ["the hook runs", { submission: { state: "running" } }, "busy", "处理中 · 请勿重复核销", "disabled"],
  [
    "and the coupon has left the list",
    { submission: { state: "running" }, ...GONE },
    "busy",
    "处理中 · 请勿重复核销",
    "disabled",
  ],
  [
    "it runs for 59 s",
    { submission: { state: "running" }, now: NOW + 59 },
    "busy",
    "处理中 · 请勿重复核销",
    "disabled",
  ],
  ["it runs for 60 s", { submission: { state: "running" }, now: NOW + 60 }, "check", CHECK_RESULT, "yes"],
  ["submitted", { submission: {} }, "done", "12.03 16:07 已提交 · 以店员确认为准", "leave"],
  ["on an old screenshot", { submission: {}, now: NOW + DAY }, "done", "12.03 16:07 已提交 · 以店员确认为准", "leave"],
  ["the hook has failed", { submission: { state: "failed" } }, "check", CHECK_RESULT, "yes"],
  ["and the coupon has left the list", { submission: { state: "failed" }, ...GONE }, "check", CHECK_RESULT, "leave"],
  ["the hook has returned without a promise", { submission: { state: "returned" } }, "none", "", "yes"],
  ["locked", { fields: { lock: { status: 1 } } }, "check", "暂不可用 · 请先核实", "no"],
  ["another lock", { fields: { lock: { scene: 1000 } } }, "check", "暂不可用 · 请先核实", "no"],
  ["starts today", { fields: { start_time: NOW + 58 * MINUTE } }, "check", "今天 17:05 起可用 · 请核对", "outlined"],
  ["starts tomorrow", { fields: { start_time: NOW + DAY } }, "check", "2026.12.04 起可用 · 请核对", "outlined"],
  ["expires now", { fields: { expire_time: NOW } }, "check", "已过有效期 · 请店员确认", "outlined"],
  ["submitted before", { submission: EARLIER }, "check", "12.03 16:07 已提交过 · 请核对", "yes"],
  ["and it has left the list", { submission: EARLIER, ...GONE }, "check", "12.03 16:07 已提交过 · 请核对", "leave"],
  ["the update has failed", { list: { isStale: true } }, "check", "未能更新（16:07 的数据）· 请核对", "yes"],
  [
    "on another day",
    { list: { isStale: true }, now: NOW + DAY },
    "check",
    "未能更新（12.03 16:07 的数据）· 请核对",
    "yes",
  ],
  ["within its hours", { fields: { off_peak: HOURS } }, "none", "", "yes"],
  [
    "after its hours",
    { fields: { off_peak: HOURS }, now: NOW + HOUR },
    "check",
    "可用时段 14:00~17:00 · 请核对",
    "yes",
  ],
  [
    "a restricted kind without hours",
    { fields: { off_peak: { limit_type: 1 } } },
    "check",
    "仅部分时段可用 · 请核对",
    "yes",
  ],
];

describe("the verdict on a coupon", () => {
  for (const [name, situation, kind, text, use] of rows) {
    test(`${name}: ${text || "none"}`, () => {
      const verdict = judge(situation);
      assert.deepEqual([verdict.kind, verdict.text, verdict.use], [kind, text, use]);
    });
  }

  test("is the first that applies", () => {
    const fields = { lock: {}, start_time: NOW + DAY, expire_time: NOW - DAY, off_peak: { ...HOURS, weekdays: [1] } };
    const situation = { fields, list: { isStale: true }, now: NOW + HOUR };
    const { lock: _, ...unlocked } = fields;
    const { start_time: __, ...started } = unlocked;
    const { expire_time: ___, ...current } = started;
    const situations: [Situation, string][] = [
      [{ ...situation, submission: { state: "running", at: NOW + HOUR } }, "处理中"],
      [{ ...situation, submission: {} }, "12.03 16:07 已提交 "],
      [{ ...situation, submission: { state: "failed" } }, "未能确认"],
      [{ ...situation, submission: EARLIER }, "暂不可用"],
      [{ ...situation, submission: EARLIER, fields: unlocked }, "2026.12.04 起可用"],
      [{ ...situation, submission: EARLIER, fields: started }, "已过有效期"],
      [{ ...situation, submission: EARLIER, fields: current }, "12.03 16:07 已提交过"],
      [{ ...situation, fields: current }, "未能更新"],
      [{ ...situation, fields: current, list: {} }, "可用时段"],
      [{ ...situation, fields: current, list: {}, now: NOW }, "仅部分日期可用"],
    ];
    assert.deepEqual(
      situations.map(([each, text]) => judge(each).text.startsWith(text)),
      situations.map(() => true),
    );
  });

  test("can be updated only after a failed update, and not during another one", () => {
    const retries = [{}, { isStale: true }, { isStale: true, activity: "refresh" as const }].map((list) =>
      judge({ list }),
    );
    assert.deepEqual(
      retries.map(({ canRetry }) => canRetry),
      [false, true, false],
    );
  });

  test("is that of the last update that has ended", () => {
    const events: [States.ListEvent, boolean][] = [
      [{ kind: "opened" }, false],
      [
        { kind: "responded", outcome: { kind: "list", certificates: [COUPON], unusable: {}, more: false }, now: NOW },
        false,
      ],
      [{ kind: "refreshed" }, false],
      [{ kind: "responded", outcome: { kind: "problem", problem: PROBLEM }, now: NOW }, true],
      [{ kind: "continued" }, true],
      [{ kind: "responded", outcome: { kind: "problem", problem: PROBLEM }, now: NOW }, true],
      [{ kind: "refreshed" }, true],
      [
        { kind: "responded", outcome: { kind: "list", certificates: [COUPON], unusable: {}, more: true }, now: NOW },
        false,
      ],
      [{ kind: "responded", outcome: { kind: "problem", problem: PROBLEM }, now: NOW }, false],
    ];
    let list = INITIAL_STATE;
    for (const [index, [event, isStale]] of events.entries()) {
      list = nextState(list, event);
      assert.equal(list.isStale, isStale, `event ${index}`);
    }
  });
});

const hours: [string[][] | undefined, time: string, text: string][] = [
  [[["14:00", "17:00"]], "13:59", "可用时段 14:00~17:00"],
  [[["14:00", "17:00"]], "14:00", ""],
  [[["14:00", "17:00"]], "17:00", "可用时段 14:00~17:00"],
  [[["22:00", "02:00"]], "21:59", "可用时段 22:00~次日02:00"],
  [[["22:00", "02:00"]], "23:00", ""],
  [[["22:00", "02:00"]], "01:59", ""],
  [[["22:00", "02:00"]], "02:00", "可用时段 22:00~次日02:00"],
  [[["00:00", "24:00"]], "23:59", ""],
  [[["10:00", "10:00"]], "09:00", ""],
  [
    [
      ["9:30", "11:00"],
      ["14:00:00", "17:00:30"],
    ],
    "17:00",
    "",
  ],
  [
    [
      ["9:30", "11:00"],
      ["14:00", "17:00"],
    ],
    "12:00",
    "可用时段 9:30~11:00、14:00~17:00",
  ],
  [[["晚市", "打烊"]], "16:00", "仅部分时段可用"],
  [
    [
      ["14:00", "17:00"],
      ["晚市", "打烊"],
    ],
    "16:00",
    "仅部分时段可用",
  ],
  [[["14:60", "17:00"]], "16:00", "仅部分时段可用"],
  [[["14:00", "25:00"]], "16:00", "仅部分时段可用"],
  [[["14:00"]], "16:00", "仅部分时段可用"],
  [[[]], "16:00", "仅部分时段可用"],
  [[], "16:00", "仅部分时段可用"],
  [undefined, "16:00", "仅部分时段可用"],
];

describe("hours in China", () => {
  for (const [value, time, text] of hours) {
    test(`${JSON.stringify(value)} at ${time}: ${text || "usable"}`, () => {
      const [hour = 0, minute = 0] = time.split(":").map(Number);
      const off_peak = value ? { hours: value } : { limit_type: 1 };
      const verdict = judge({ fields: { off_peak }, now: MIDNIGHT + hour * HOUR + minute * MINUTE });
      assert.equal(verdict.text, text && `${text} · 请核对`);
    });
  }

  test("do not help against weekdays and dates, whose numbers are not documented", () => {
    for (const limit of [{ weekdays: [0] }, { start_time: 5 }, { end_time: NOW }]) {
      const text = "仅部分日期可用 · 请核对";
      assert.equal(judge({ fields: { off_peak: { ...HOURS, ...limit } } }).text, text);
      assert.equal(judge({ fields: { off_peak: limit } }).text, text);
    }
    assert.equal(judge({ fields: { off_peak: { ...HOURS, weekdays: [] } } }).text, "");
  });
});

describe("the next change", () => {
  const changes: [string, Situation, number][] = [
    ["midnight in China, when words such as 今天 change", {}, MIDNIGHT],
    ["the start", { fields: { start_time: NOW + HOUR } }, NOW + HOUR],
    ["the end", { fields: { expire_time: NOW + HOUR } }, NOW + HOUR],
    ["not a moment that has passed", { fields: { start_time: NOW - 1, expire_time: NOW } }, MIDNIGHT],
    ["a hook that runs for 60 s", { submission: { state: "running" } }, NOW + 60],
    ["not a hook that has run for longer", { submission: { state: "running", at: NOW - 60 } }, MIDNIGHT],
    ["the end of the hours", { fields: { off_peak: HOURS } }, MIDNIGHT - 7 * HOUR],
    ["the start of the hours", { fields: { off_peak: HOURS }, now: MIDNIGHT + 9 * HOUR }, MIDNIGHT + 14 * HOUR],
    ["the soonest of them", { fields: { off_peak: HOURS, expire_time: NOW + 20 } }, NOW + 20],
  ];
  for (const [name, situation, until] of changes) {
    test(`is ${name}`, () => assert.equal(judge(situation).until, until));
  }

  test("comes before no other change", () => {
    const situations: Situation[] = [
      { fields: { start_time: NOW + 30 * HOUR } },
      { fields: { expire_time: NOW + 30 * HOUR } },
      {
        fields: {
          off_peak: {
            hours: [
              ["9:30", "11:00"],
              ["22:00", "02:00:30"],
            ],
          },
        },
      },
      { list: { isStale: true } },
      { submission: { state: "running", at: NOW + 7 * HOUR } },
    ];
    for (const situation of situations) {
      const texts = new Set<string>();
      for (let now = NOW; now < NOW + 2 * DAY; ) {
        const { text, until } = judge({ ...situation, now });
        texts.add(text);
        for (; now < until; now = now + 7 * MINUTE < until ? now + 7 * MINUTE : Math.max(now + 1, until - 1)) {
          assert.equal(judge({ ...situation, now }).text, text);
        }
        now = until;
      }
      assert.ok(texts.size > 1);
    }
  });
});
