/**
 * The verdict on a certificate: whether it is plainly usable, and if not, what customer and staff must know. Pure
 * functions.
 *
 * No verdict refuses a certificate for good: the phone's clock may be wrong, and the platform says that it can be used.
 */

import type { Certificate } from "../../client/client";
import { clockText, DAY_SECONDS, dateText, daysBetween, momentText, secondsOfDay, timeText } from "./dates";
import { hoursText, isWithinHours, nextHours, type OffPeak } from "./offPeak";
import { certificateOf, type ListState } from "./state";

/** A call of the program's hook. */
export interface Submission {
  certificate: Certificate;
  /** `returned`: without a promise. What it began may go on: only a list without the certificate shows its end. */
  state: "running" | "returned" | "submitted" | "cancelled" | "failed";
  /** When this state began, in epoch seconds. */
  at: number;
  /** 券详情, where it ended, is still open. */
  isOpen: boolean;
}

/** The last call of the hook for each certificate_id. */
export type Submissions = ReadonlyMap<string, Submission>;

/** 去使用: `outlined` is not prominent; with `leave`, 查看其他券 takes its place. */
export type Use = "yes" | "outlined" | "disabled" | "leave" | "no";

export interface Verdict {
  kind: "none" | "busy" | "done" | "check";
  /** Text of the band; empty without one. */
  text: string;
  use: Use;
  /** Another update may change it. */
  canRetry: boolean;
  /** Until when it holds, if nothing else happens; epoch seconds. */
  until: number;
}

/** After this time, a hook that still runs may have broken off. */
const MAX_RUN_SECONDS = 60;

type Row = [kind: Verdict["kind"], text: string, use: Use, canRetry?: boolean];

/** Return the verdict at `now` (epoch seconds). The list's own page passes a list that is not stale: it says that once. */
export function verdictOf(certificate: Certificate, list: ListState, submissions: Submissions, now: number): Verdict {
  const { certificate_id } = certificate;
  const submission = submissions.get(certificate_id);
  const [kind, text, use, canRetry = false] = rowOf(certificate, list, submission, now);
  // Without a submission, it is in the list.
  const isListed = !submission || !!certificateOf(list, certificate_id);
  return {
    kind,
    text,
    use: isListed || kind === "busy" ? use : "leave",
    canRetry,
    until: nextChange(certificate, submissions, now),
  };
}

/** The first that applies. */
function rowOf(certificate: Certificate, list: ListState, submission: Submission | undefined, now: number): Row {
  const { lock, start_time = 0, expire_time = Infinity, off_peak } = certificate;
  const { state, at = 0, isOpen } = submission || {};
  if (isRunning(submission, now)) {
    return ["busy", "处理中 · 请勿重复核销", "disabled"];
  }
  if (state === "submitted" && isOpen) {
    return ["done", `${momentText(at)} 已提交 · 以店员确认为准`, "leave"];
  }
  if (state === "failed" || state === "running") {
    return ["check", "未能确认是否核销 · 请店员核对", "yes"];
  }
  if (lock) {
    return ["check", "暂不可用 · 请先核实", "no"];
  }
  if (start_time > now) {
    const start = daysBetween(now, start_time) === 0 ? `今天 ${timeText(start_time)}` : dateText(start_time);
    return ["check", `${start} 起可用 · 请核对`, "outlined"];
  }
  if (expire_time <= now) {
    return ["check", "已过有效期 · 请店员确认", "outlined"];
  }
  if (state === "submitted") {
    return ["check", `${momentText(at)} 已提交过 · 请核对`, "yes"];
  }
  if (list.isStale) {
    return ["check", staleText(list, now), "yes", list.activity === "idle"];
  }
  const limit = off_peak ? limitText(off_peak, now) : "";
  return limit ? ["check", `${limit} · 请核对`, "yes"] : ["none", "", "yes"];
}

/** Say that the last update has failed. */
export function staleText({ updatedAt }: ListState, now: number): string {
  return `未能更新（${clockText(updatedAt, now)} 的数据）· 请核对`;
}

/** Whether a certificate is neither locked nor outside its validity. */
export function isValid({ lock, start_time = 0, expire_time = Infinity }: Certificate, now: number): boolean {
  return !lock && start_time <= now && now < expire_time;
}

/** Whether the hook runs for any certificate. */
export function isAnyRunning(submissions: Submissions, now: number): boolean {
  return Array.from(submissions.values()).some((submission) => isRunning(submission, now));
}

/** Whether the hook runs, and has not run for too long. */
function isRunning(submission: Submission | undefined, now: number): boolean {
  return submission?.state === "running" && now < submission.at + MAX_RUN_SECONDS;
}

/** Whether a certificate may have been redeemed: then it is shown also when it has left the list. */
export function isKept(submission: Submission | undefined): submission is Submission {
  return !!submission && ["running", "submitted", "failed"].indexOf(submission.state) >= 0;
}

/** Say why an off-peak deal may not be usable now. Douyin documents neither the numbers of weekdays nor the unit of dates. */
function limitText(offPeak: OffPeak, now: number): string {
  const { weekdays = [], start_time, end_time } = offPeak;
  const isOpen = isWithinHours(offPeak, now);
  if (isOpen === false) {
    return hoursText(offPeak);
  }
  if (weekdays.length || start_time !== undefined || end_time !== undefined) {
    return "仅部分日期可用";
  }
  return isOpen ? "" : "仅部分时段可用";
}

/** Return the next moment at which a verdict can change; at midnight, today's texts do. */
function nextChange(
  { start_time = 0, expire_time = 0, off_peak = {} }: Certificate,
  submissions: Submissions,
  now: number,
): number {
  const runs = Array.from(submissions.values()).filter(({ state }) => state === "running");
  const moments = [
    now - secondsOfDay(now) + DAY_SECONDS,
    start_time,
    expire_time,
    ...runs.map(({ at }) => at + MAX_RUN_SECONDS),
    ...nextHours(off_peak, now),
  ];
  return Math.min(...moments.filter((moment) => moment > now));
}
