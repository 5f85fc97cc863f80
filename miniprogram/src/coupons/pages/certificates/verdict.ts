/**
 * The verdict on a certificate: whether it is plainly usable, and if not, what customer and staff must know and do. Pure
 * functions.
 *
 * No verdict refuses a certificate for good: the phone's clock may be wrong, and the platform says that it can be used.
 */

import type { Certificate } from "../../client/client";
import { clockText, DAY_SECONDS, dateText, daysBetween, momentText, nextMinute, secondsOfDay, timeText } from "./dates";
import { nextExpiryText } from "./expiry";
import { SLOW_SECONDS } from "./messages";
import { isWithinHours, nextHours, nextStartToday, type OffPeak } from "./offPeak";
import { certificateOf, type ListState } from "./state";
import { isFewer, isRunning, isSubmitted, type Submission, type Submissions } from "./submission";

/**
 * The button of 券详情: 立即核销, prominent (`yes`) or not (`outlined`); 再次核销 (`again`); 查看其他券 (`leave`); or none.
 */
export type Use = "yes" | "outlined" | "again" | "disabled" | "leave" | "no";

export interface Verdict {
  kind: "usable" | "busy" | "done" | "check";
  /** Text of the band. */
  text: string;
  /** What to do next; empty if the button says it. */
  next: string;
  use: Use;
  /** Another update may change it. */
  canRetry: boolean;
  /** Until when it holds, if nothing else happens; epoch seconds. */
  until: number;
}

/** Read the list again after this time: until the response, at most `SLOW_SECONDS`, the former one holds. */
export const FRESH_SECONDS = 60;
const HOLD_SECONDS = FRESH_SECONDS + SLOW_SECONDS;
/** An older list submits nothing: the merchant may have switched redemption off. */
const MAX_AGE_SECONDS = 300;

const ASK_RECORD = "请店员在抖音来客查核销记录";
const ASK_STAFF = "店员同意才能使用";

type Row = [kind: Verdict["kind"], text: string, next: string, use: Use, canRetry?: boolean];

/** `updatedAt` of a list whose age does not matter: its own page says once that it is old. */
export const ANY_AGE = Infinity;

/** Return the verdict at `now` (epoch seconds). */
export function verdictOf(certificate: Certificate, list: ListState, submissions: Submissions, now: number): Verdict {
  const submission = submissions.get(certificate.certificate_id);
  const [kind, text, next, use, canRetry = false] = rowOf(certificate, list, submission, now);
  return { kind, text, next, use, canRetry, until: nextChange(certificate, list, now) };
}

/** The first that applies. */
function rowOf(certificate: Certificate, list: ListState, submission: Submission | undefined, now: number): Row {
  const { certificate_id, lock, start_time = 0, expire_time = Infinity, off_peak, times } = certificate;
  if (isRunning(submission)) {
    return ["busy", "… 处理中，请等待，不要再点", "", "disabled"];
  }
  if (submission && isSubmitted(submission)) {
    return submittedRow(submission, list, now);
  }
  if (lock) {
    return ["check", "! 暂不可用，可能在退款或转赠中", "请在抖音「我的订单」中查看，或换一张券", "no"];
  }
  if (start_time > now) {
    const start = daysBetween(now, start_time) === 0 ? `今天 ${timeText(start_time)}` : dateText(start_time);
    return ["check", `! ${start} 起可用`, `还没到时间，${ASK_STAFF}`, "outlined"];
  }
  if (expire_time <= now) {
    const end = daysBetween(now, expire_time) === 0 ? `今天 ${timeText(expire_time)}` : dateText(expire_time);
    return ["check", `! ${end} 已到期`, ASK_STAFF, "outlined"];
  }
  // During an update, the part of the list that has it may not have been read yet.
  const isListed = !!certificateOf(list, certificate_id);
  const isIdle = list.activity === "idle";
  const doubtful = isListed ? "outlined" : "disabled";
  if (list.isStale || !isFresh(list, now, HOLD_SECONDS) || (!isListed && isIdle)) {
    const next = isIdle ? "网络不好或系统繁忙，请先重新查询" : "正在更新…";
    return [
      "check",
      `! ${staleText(list, now)}`,
      next,
      isFresh(list, now, MAX_AGE_SECONDS) ? doubtful : "disabled",
      isIdle,
    ];
  }
  if (submission?.seen && isFewer(submission)) {
    const [before, after] = [submission.certificate, submission.seen.certificate].map((each) => each?.times?.usable);
    const text = `✓ 剩余次数 ${before} 次 → ${after} 次（${momentText(submission.seen.at)}）`;
    return ["done", text, `${ASK_RECORD}，查到才算核销`, doubtful];
  }
  if (times?.usable === 0) {
    return ["check", "! 剩余 0 次", "请在抖音「我的订单」中查看", doubtful];
  }
  const limit = off_peak ? limitText(off_peak, now) : "";
  if (limit) {
    return ["check", `! ${limit}`, ASK_STAFF, doubtful];
  }
  return ["usable", "本店可用", off_peak ? "正在可用时段内" : "", isListed ? "yes" : "disabled"];
}

/** Return what the list says after a submission, or after a call of the hook with an unknown result. */
function submittedRow({ certificate, state, at, seen, lastRead }: Submission, list: ListState, now: number): Row {
  const isAccepted = state === "submitted";
  const said = isAccepted ? `${momentText(at)} 已提交` : "未能确认是否核销";
  // No list will be read by itself any more.
  const isOver = lastRead < Infinity && list.activity === "idle";
  if (!seen) {
    return isAccepted
      ? ["done", `✓ ${said}`, `还没有结果。${ASK_RECORD}，查到才算核销`, "leave", isOver]
      : ["check", `! ${said}`, `不要再点、再扫。${ASK_RECORD}`, "leave", isOver];
  }
  const seenAt = clockText(seen.at, now);
  if (!seen.certificate) {
    const gone = `${said}，已不在可用券中（${seenAt}）`;
    return isAccepted
      ? ["done", `✓ ${gone}`, `${ASK_RECORD}，查到才算核销`, "leave"]
      : ["check", `! ${gone}`, `可能已经核销。${ASK_RECORD}`, "leave"];
  }
  const listed = `! ${said}，抖音仍显示可用（${seenAt}）`;
  const isRead = seen.read >= lastRead;
  if (!isRead && !isOver) {
    return ["check", listed, "请等半分钟，不要再点，也不要扫码", "leave"];
  }
  const present = certificateOf(list, certificate.certificate_id);
  if (!isRead || !present || present.lock) {
    return ["check", listed, `不要再点、再扫。${ASK_RECORD}`, "leave", !isRead];
  }
  // Switched off, 券详情 has no button.
  return ["check", listed, `${ASK_RECORD}：没有，才能${list.redeeming ? "再次" : "改由店员"}核销`, "again"];
}

/** Whether the list is recent. One from the future is not: the phone's clock was changed. */
function isFresh({ updatedAt }: ListState, now: number, seconds: number): boolean {
  return updatedAt === ANY_AGE || (updatedAt <= now && now < updatedAt + seconds);
}

/** Say that the list is old. */
export function staleText({ updatedAt }: ListState, now: number): string {
  return `未能更新（${clockText(updatedAt, now)} 的数据）`;
}

/** Whether a certificate is neither locked nor outside its validity. */
export function isValid({ lock, start_time = 0, expire_time = Infinity }: Certificate, now: number): boolean {
  return !lock && start_time <= now && now < expire_time;
}

/** Say why an off-peak deal may not be usable now. Douyin documents neither the numbers of weekdays nor the unit of dates. */
function limitText(offPeak: OffPeak, now: number): string {
  const { weekdays = [], start_time, end_time } = offPeak;
  const isOpen = isWithinHours(offPeak, now);
  if (isOpen === false) {
    const start = nextStartToday(offPeak, now);
    return `现在 ${timeText(now)}，${start ? `今天 ${timeText(start)} 起可用` : "今天的可用时段已过"}`;
  }
  if (weekdays.length || start_time !== undefined || end_time !== undefined) {
    return "可用日期请看抖音订单";
  }
  return isOpen ? "" : "可用时段请看抖音订单";
}

/** Return the next moment at which a verdict, or a text beside it, can change; at midnight, today's texts do. */
function nextChange(certificate: Certificate, { updatedAt }: ListState, now: number): number {
  const { start_time = 0, expire_time = 0, off_peak = {} } = certificate;
  const moments = [
    now - secondsOfDay(now) + DAY_SECONDS,
    start_time,
    expire_time,
    nextExpiryText(certificate, now),
    updatedAt,
    updatedAt + HOLD_SECONDS,
    updatedAt + MAX_AGE_SECONDS,
    ...nextHours(off_peak, now),
    ...(isWithinHours(off_peak, now) === false ? [nextMinute(now)] : []),
  ];
  return Math.min(...moments.filter((moment) => moment > now));
}
