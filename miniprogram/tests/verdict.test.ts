/** Tests of the verdict on a certificate, from `dist`: each row, their order, and the next change. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Certificate, Problem } from "../src/coupons/client/client";
import type * as Expiries from "../src/coupons/pages/certificates/expiry";
import type * as States from "../src/coupons/pages/certificates/state";
import type * as Submissions from "../src/coupons/pages/certificates/submission";
import type * as Verdicts from "../src/coupons/pages/certificates/verdict";
import { loadBuilt } from "./built";

const { INITIAL_STATE, nextState } = loadBuilt<typeof States>("coupons/pages/certificates/state");
const { expiryOf } = loadBuilt<typeof Expiries>("coupons/pages/certificates/expiry");
const { newSubmission, stateOf, withList } = loadBuilt<typeof Submissions>("coupons/pages/certificates/submission");
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
  submission?: Partial<Submissions.Submission>;
  list?: Partial<States.ListState>;
  now?: number;
}

/** Judge a coupon of a list that was read just now, unless the situation says otherwise. */
function judge({ fields, submission, list, now = NOW }: Situation) {
  const certificate = { ...COUPON, ...fields };
  const listed = { ...INITIAL_STATE, certificates: [certificate], updatedAt: now, ...list };
  const calls = new Map<string, Submissions.Submission>();
  if (submission) {
    calls.set("1", { ...newSubmission(1, certificate, "", NOW), ...submission });
  }
  return verdictOf(certificate, listed, calls, now);
}

/** What the list of a later read says. */
const seen = (certificate?: Certificate) => ({ seen: { read: 5, at: NOW + MINUTE, certificate } });
const SUBMITTED = { state: "submitted" } as const;
const UNKNOWN = { state: "unknown" } as const;
const CARD = { times: { usable: 7 } };
const FEWER = { ...SUBMITTED, certificate: { ...COUPON, ...CARD }, ...seen({ ...COUPON, times: { usable: 6 } }) };
const ASK = "请店员在抖音来客查核销记录";

/** What the first character of a verdict says; no sign: usable. */
const KINDS: { [sign: string]: Verdicts.Verdict["kind"] } = { "✓": "done", "!": "check", "…": "busy" };
const rows: [name: string, situation: Situation, text: string, use: Verdicts.Use][] = [
  ["plainly usable", { fields: { start_time: NOW, expire_time: NOW + 1 } }, "本店可用", "yes"],
  ["the hook runs", { submission: { state: "running" } }, "… 处理中，请等待，不要再点", "disabled"],
  ["submitted", { submission: SUBMITTED }, "✓ 12.03 16:07 已提交", "leave"],
  [
    "the complete list does not have it",
    { submission: { ...SUBMITTED, ...seen() } },
    "✓ 12.03 16:07 已提交，已不在可用券中（16:08）",
    "leave",
  ],
  [
    "a list still has it",
    { submission: { ...SUBMITTED, ...seen(COUPON) } },
    "! 12.03 16:07 已提交，抖音仍显示可用（16:08）",
    "leave",
  ],
  [
    "and so does the last list",
    { submission: { ...SUBMITTED, ...seen(COUPON), lastRead: 5 } },
    "! 12.03 16:07 已提交，抖音仍显示可用（16:08）",
    "again",
  ],
  [
    "and the present one does not",
    { submission: { ...SUBMITTED, ...seen(COUPON), lastRead: 5 }, list: { certificates: [], problem: PROBLEM } },
    "! 12.03 16:07 已提交，抖音仍显示可用（16:08）",
    "leave",
  ],
  [
    "and it is locked",
    { fields: { lock: { status: 1 } }, submission: { ...SUBMITTED, ...seen(COUPON), lastRead: 5 } },
    "! 12.03 16:07 已提交，抖音仍显示可用（16:08）",
    "leave",
  ],
  ["a times card has fewer uses", { submission: FEWER }, "✓ 剩余次数 7 次 → 6 次（12.03 16:08）", "outlined"],
  ["and has expired", { submission: FEWER, fields: { expire_time: NOW - DAY } }, "! 2026.12.02 已到期", "outlined"],
  ["the result is unknown", { submission: UNKNOWN }, "! 未能确认是否核销", "leave"],
  [
    "and the complete list does not have it",
    { submission: { ...UNKNOWN, ...seen() } },
    "! 未能确认是否核销，已不在可用券中（16:08）",
    "leave",
  ],
  [
    "and the last list still has it",
    { submission: { ...UNKNOWN, ...seen(COUPON), lastRead: 4 } },
    "! 未能确认是否核销，抖音仍显示可用（16:08）",
    "again",
  ],
  ["the hook has returned without a promise", { submission: { state: "returned" } }, "本店可用", "yes"],
  ["locked", { fields: { lock: { status: 1 } } }, "! 暂不可用，可能在退款或转赠中", "no"],
  ["another lock", { fields: { lock: { scene: 1000 } } }, "! 暂不可用，可能在退款或转赠中", "no"],
  ["starts today", { fields: { start_time: NOW + 58 * MINUTE } }, "! 今天 17:05 起可用", "outlined"],
  ["starts tomorrow", { fields: { start_time: NOW + DAY } }, "! 2026.12.04 起可用", "outlined"],
  ["expired today", { fields: { expire_time: NOW - MINUTE } }, "! 今天 16:06 已到期", "outlined"],
  ["expires now", { fields: { expire_time: NOW } }, "! 今天 16:07 已到期", "outlined"],
  ["expired before", { fields: { expire_time: NOW - DAY } }, "! 2026.12.02 已到期", "outlined"],
  ["the update has failed", { list: { isStale: true } }, "! 未能更新（16:07 的数据）", "outlined"],
  [
    "on another day",
    { list: { isStale: true, updatedAt: NOW }, now: NOW + DAY },
    "! 未能更新（12.03 16:07 的数据）",
    "disabled",
  ],
  ["the list was read 61 s ago", { list: { updatedAt: NOW - 61 } }, "本店可用", "yes"],
  ["62 s ago", { list: { updatedAt: NOW - 62 } }, "! 未能更新（16:05 的数据）", "outlined"],
  ["the clock was set back", { list: { updatedAt: NOW + 1 } }, "! 未能更新（16:07 的数据）", "disabled"],
  [
    "an update has not reached it yet",
    { list: { certificates: [], former: [COUPON], activity: "more" } },
    "本店可用",
    "disabled",
  ],
  ["the list was read 299 s ago", { list: { updatedAt: NOW - 299 } }, "! 未能更新（16:02 的数据）", "outlined"],
  ["300 s ago", { list: { updatedAt: NOW - 300 } }, "! 未能更新（16:02 的数据）", "disabled"],
  [
    "an update has ended before it reached it",
    { list: { certificates: [], former: [COUPON], problem: PROBLEM } },
    "! 未能更新（16:07 的数据）",
    "disabled",
  ],
  ["no uses are left", { fields: { times: { usable: 0 } } }, "! 剩余 0 次", "outlined"],
  ["within its hours", { fields: { off_peak: HOURS } }, "本店可用", "yes"],
  [
    "before its hours",
    { fields: { off_peak: HOURS }, now: NOW - 3 * HOUR },
    "! 现在 13:07，今天 14:00 起可用",
    "outlined",
  ],
  ["after its hours", { fields: { off_peak: HOURS }, now: NOW + HOUR }, "! 现在 17:07，今天的可用时段已过", "outlined"],
  [
    "a restricted kind without hours",
    { fields: { off_peak: { limit_type: 1 } } },
    "! 可用时段请看抖音订单",
    "outlined",
  ],
];

describe("the verdict on a coupon", () => {
  for (const [name, situation, text, use] of rows) {
    test(`${name}: ${text || "none"}`, () => {
      const verdict = judge(situation);
      assert.deepEqual([verdict.kind, verdict.text, verdict.use], [KINDS[text.charAt(0)] || "usable", text, use]);
    });
  }

  test("is the first that applies", () => {
    const fields = { lock: {}, start_time: NOW + DAY, expire_time: NOW - DAY, off_peak: { ...HOURS, weekdays: [1] } };
    const situation = { fields, list: { isStale: true }, now: NOW + HOUR };
    const { lock: _, ...unlocked } = fields;
    const { start_time: __, ...started } = unlocked;
    const { expire_time: ___, ...current } = started;
    const situations: [Situation, string][] = [
      [{ ...situation, submission: { state: "running", at: NOW + HOUR } }, "… 处理中"],
      [{ ...situation, submission: SUBMITTED }, "✓ 12.03 16:07 已提交"],
      [{ ...situation, submission: UNKNOWN }, "! 未能确认"],
      [{ ...situation, submission: FEWER }, "! 暂不可用"],
      [{ ...situation, submission: FEWER, fields: unlocked }, "! 2026.12.04 起可用"],
      [{ ...situation, submission: FEWER, fields: started }, "! 2026.12.02 已到期"],
      [{ ...situation, submission: FEWER, fields: current }, "! 未能更新"],
      [{ ...situation, submission: FEWER, fields: current, list: {} }, "✓ 剩余次数"],
      [{ ...situation, fields: current, list: {} }, "! 现在 17:07"],
      [{ ...situation, fields: current, list: {}, now: NOW }, "! 可用日期"],
    ];
    assert.deepEqual(
      situations.map(([each, text]) => judge(each).text.startsWith(text)),
      situations.map(() => true),
    );
  });

  test("says what to do next, and who does it", () => {
    const nexts: [Situation, string][] = [
      [{}, ""],
      [{ fields: { off_peak: HOURS } }, "正在可用时段内"],
      [{ submission: SUBMITTED }, `还没有结果。${ASK}，查到才算核销`],
      [{ submission: { ...SUBMITTED, ...seen() } }, `${ASK}，查到才算核销`],
      [{ submission: { ...SUBMITTED, ...seen(COUPON) } }, "请等半分钟，不要再点，也不要扫码"],
      [{ submission: { ...UNKNOWN, ...seen(COUPON), lastRead: 5 } }, `${ASK}：没有，才能再次核销`],
      [{ fields: { lock: {} }, submission: { ...UNKNOWN, ...seen(COUPON), lastRead: 5 } }, `不要再点、再扫。${ASK}`],
      [{ submission: { ...UNKNOWN, ...seen(COUPON), lastRead: 6 } }, `不要再点、再扫。${ASK}`],
      [{ submission: UNKNOWN }, `不要再点、再扫。${ASK}`],
      [{ submission: { ...UNKNOWN, ...seen() } }, `可能已经核销。${ASK}`],
      [{ fields: { lock: {} } }, "请在抖音「我的订单」中查看，或换一张券"],
      [{ list: { isStale: true } }, "网络不好或系统繁忙，请先重新查询"],
      [{ list: { isStale: true, activity: "refresh" } }, "正在更新…"],
    ];
    for (const [situation, next] of nexts) {
      assert.equal(judge(situation).next, next);
    }
  });

  test("can be updated only after a failed update, and not during another one", () => {
    const retries = [{}, { isStale: true }, { isStale: true, activity: "refresh" as const }].map((list) =>
      judge({ list }),
    );
    const submissions = [UNKNOWN, { ...UNKNOWN, lastRead: 5 }, { ...UNKNOWN, ...seen(COUPON), lastRead: 6 }];
    assert.deepEqual(
      [...retries, ...submissions.map((submission) => judge({ submission }))].map(({ canRetry }) => canRetry),
      [false, true, false, false, true, true],
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
  [[["14:00", "17:00"]], "13:59", "现在 13:59，今天 14:00 起可用"],
  [[["14:00", "17:00"]], "14:00", ""],
  [[["14:00", "17:00"]], "17:00", "现在 17:00，今天的可用时段已过"],
  [[["22:00", "02:00"]], "21:59", "现在 21:59，今天 22:00 起可用"],
  [[["22:00", "02:00"]], "23:00", ""],
  [[["22:00", "02:00"]], "01:59", ""],
  [[["22:00", "02:00"]], "02:00", "现在 02:00，今天 22:00 起可用"],
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
    "现在 12:00，今天 14:00 起可用",
  ],
  [[["晚市", "打烊"]], "16:00", "可用时段请看抖音订单"],
  [
    [
      ["14:00", "17:00"],
      ["晚市", "打烊"],
    ],
    "16:00",
    "可用时段请看抖音订单",
  ],
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
      assert.equal(verdict.text, text ? `! ${text}` : "本店可用");
    });
  }

  test("do not help against weekdays and dates, whose numbers are not documented", () => {
    for (const limit of [{ weekdays: [0] }, { start_time: 5 }, { end_time: NOW }]) {
      const text = "! 可用日期请看抖音订单";
      assert.equal(judge({ fields: { off_peak: { ...HOURS, ...limit } } }).text, text);
      assert.equal(judge({ fields: { off_peak: limit } }).text, text);
    }
    assert.equal(judge({ fields: { off_peak: { ...HOURS, weekdays: [] } } }).text, "本店可用");
  });
});

describe("the next change", () => {
  const changes: [string, Situation, number][] = [
    ["the end of what the list says", {}, NOW + 62],
    ["the end of its use", { list: { updatedAt: NOW - 290 } }, NOW + 10],
    ["midnight in China, when words such as 今天 change", { list: { updatedAt: 0 } }, MIDNIGHT],
    ["the start", { fields: { start_time: NOW + 30 } }, NOW + 30],
    ["the end", { fields: { expire_time: NOW + 30 } }, NOW + 30],
    ["each minute of the last day", { fields: { expire_time: NOW + HOUR + 1 } }, NOW + 1],
    ["the begin of the last day", { fields: { expire_time: NOW + DAY + 1 } }, NOW + 1],
    ["not a moment that has passed", { fields: { start_time: NOW - 1, expire_time: NOW } }, NOW + 62],
    ["the end of the hours", { fields: { off_peak: HOURS }, now: MIDNIGHT - 7 * HOUR - 1 }, MIDNIGHT - 7 * HOUR],
    ["the start of the hours", { fields: { off_peak: HOURS }, now: MIDNIGHT + 14 * HOUR - 1 }, MIDNIGHT + 14 * HOUR],
    ["each minute outside of the hours", { fields: { off_peak: HOURS }, now: NOW + HOUR + 1 }, NOW + HOUR + MINUTE],
  ];
  for (const [name, situation, until] of changes) {
    test(`is ${name}`, () => assert.equal(judge(situation).until, until));
  }

  /** What a page shows of a list that was read once: verdict and expiry. */
  function shown(situation: Situation, now: number) {
    const { text, until } = judge({ ...situation, list: { updatedAt: NOW, ...situation.list }, now });
    return { text: text + JSON.stringify(expiryOf({ ...COUPON, ...situation.fields }, now)), until };
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
      { list: { updatedAt: NOW + DAY } },
    ];
    for (const situation of situations) {
      const texts = new Set<string>();
      for (let now = NOW; now < NOW + 2 * DAY; ) {
        const { text, until } = shown(situation, now);
        texts.add(text);
        for (; now < until; now = now + 7 * MINUTE < until ? now + 7 * MINUTE : Math.max(now + 1, until - 1)) {
          assert.equal(shown(situation, now).text, text);
        }
        now = until;
      }
      assert.ok(texts.size > 1);
    }
  });
});

describe("a submission", () => {
  const ends: [result: unknown, isPromise: boolean, end: Submissions.End][] = [
    [true, true, "submitted"],
    [undefined, true, "submitted"],
    [false, true, "cancelled"],
    [null, true, "unknown"],
    [{ statusCode: 404 }, true, "unknown"],
    ["true", true, "unknown"],
    [1, true, "unknown"],
    [false, false, "cancelled"],
    [true, false, "returned"],
    [undefined, false, "returned"],
  ];
  for (const [result, isPromise, end] of ends) {
    test(`whose hook ${isPromise ? "resolves to" : "returns"} ${JSON.stringify(result)} is ${end}`, () => {
      assert.equal(stateOf(result, isPromise), end);
    });
  }

  const call = { ...newSubmission(1, COUPON, "", NOW), ...SUBMITTED, endedIn: 2 };
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
      const after = withList(call, { ...read, ...list });
      assert.equal(after.seen && !!after.seen.certificate, isListed);
    });
  }

  test("without a promise is submitted when the complete list does not have it", () => {
    const returned = { ...call, state: "returned" as const };
    assert.equal(withList(returned, { ...read, certificates: [COUPON] }).state, "returned");
    assert.equal(withList(returned, read).state, "submitted");
  });
});
