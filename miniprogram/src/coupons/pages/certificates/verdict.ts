/**
 * The verdict on a certificate: what the staff does now, and why. Pure functions.
 *
 * No verdict refuses a certificate for good: the phone's clock may be wrong, and the platform says that it can be used.
 */

import type { Certificate } from "../../client/client";
import { clockText, DAY_SECONDS, dateText, daysBetween, nextMinute, secondsOfDay, timeText } from "./dates";
import { nextExpiryText } from "./expiry";
import { SLOW_SECONDS, type Use } from "./messages";
import { isWithinHours, nextHours, nextStartToday, type OffPeak } from "./offPeak";
import { certificateOf, type ListState } from "./state";
import { isRunning, isStillListed, type Submission, type Submissions, submissionOf, usedSince } from "./submission";

/** What the verdicts of a page depend on besides the certificate and the time. */
export interface Shop {
  list: ListState;
  submissions: Submissions;
  /** 券详情 can submit certificates. */
  redeems: boolean;
  /** The present store, as one text. */
  store: string;
}

export interface Verdict {
  /** Scan the order; watch the customer tap; wait; look for the record. */
  sign: "扫" | "点" | "等" | "查";
  act: string;
  reason: string;
  /** What the list and the dialog say of the certificate; empty if it is plainly usable. */
  why: string;
  /** The words by which the list counts it; empty if it can be used now. */
  group: string;
  use: Use;
  /** Another update may change it. */
  canRetry: boolean;
  /** Until when it holds, if nothing else happens; epoch seconds. */
  until: number;
}

type Row = Omit<Verdict, "until">;

/** Read the list again after this time: until the response, at most `SLOW_SECONDS`, the former one holds. */
export const FRESH_SECONDS = 60;
const HOLD_SECONDS = FRESH_SECONDS + SLOW_SECONDS;
/** An older list submits nothing: the merchant may have switched redemption off. */
const MAX_AGE_SECONDS = 300;

const SCAN = "扫抖音订单里的二维码";
const LOCKED = "可能在退款或转赠中";
const CHANGE = "换一张券";
const LATER = "到时间再用，或换一张券";
const CALL = "。查不到，叫店长";
const NONE = { why: "", group: "", use: "no", canRetry: false } as const;

/** `updatedAt` of a list whose age does not matter: its own page says once that it is old. */
export const ANY_AGE = Infinity;

/** Return the verdict at `now` (epoch seconds). */
export function verdictOf(certificate: Certificate, shop: Shop, now: number): Verdict {
  return { ...rowOf(certificate, shop, now), until: nextChange(certificate, shop, now) };
}

/** The first that applies. */
function rowOf(certificate: Certificate, shop: Shop, now: number): Row {
  const { submissions } = shop;
  const submission = submissionOf(submissions, certificate.certificate_id);
  const isAnyRunning = submissions.some(isRunning);
  const listed = listedRow(certificate, shop, now);
  if (submission && isRunning(submission)) {
    const why = "正在提交，还没核销成功";
    return { ...NONE, sign: "等", act: "请等待，不要再点", reason: why, why, group: "正在提交", use: "busy" };
  }
  if (submission) {
    return submittedRow(submission, listed.use !== "no" && !isAnyRunning, shop, now);
  }
  return listed.use !== "no" && isAnyRunning
    ? { ...listed, sign: "等", act: "另一张券正在提交", reason: "最多一分钟", use: "no", canRetry: false }
    : listed;
}

/** Return the verdict on a certificate from the list alone, without its submission. */
function listedRow(certificate: Certificate, { list, redeems }: Shop, now: number): Row {
  const { certificate_id, lock, start_time = 0, expire_time = Infinity, off_peak, times } = certificate;
  const isIdle = list.activity === "idle";
  const isYoung = isFresh(list, now, MAX_AGE_SECONDS);
  const use = redeems && isYoung ? "instead" : "no";
  const scan = (act: string, why: string, rest: string): Row => ({
    ...NONE,
    sign: "扫",
    act,
    reason: why + rest,
    why,
  });
  const doubted = (why: string, next: string, group: string): Row => ({
    ...scan(`先${SCAN}`, why, `。扫不出来：${next}`),
    group,
    use,
    canRetry: redeems && !isYoung && isIdle,
  });
  if (lock) {
    return { ...doubted(LOCKED, CHANGE, LOCKED), use: "no", canRetry: false };
  }
  if (start_time > now) {
    return doubted(`${dayText(start_time, now)} 起可用`, LATER, "未到使用时间");
  }
  if (expire_time <= now) {
    return doubted(`${dayText(expire_time, now)} 已到期`, CHANGE, "已到期");
  }
  // A running update keeps the verdict. Its list may not have been read as far as this certificate.
  const isOld = !isFresh(list, now, isIdle ? HOLD_SECONDS : MAX_AGE_SECONDS);
  if (list.isStale || isOld || (isIdle && !certificateOf(list, certificate_id))) {
    const stopped = isIdle && !list.isStale && !list.problem ? "。已停止自动查询" : "";
    const next = redeems && !isYoung ? "。扫不了：先重新查询" : "";
    const row = scan(`直接${SCAN}，不用等`, staleText(list, now), `，不影响扫码${stopped}${next}`);
    return { ...row, use, canRetry: isIdle };
  }
  if (times?.usable === 0) {
    return doubted("剩余 0 次", CHANGE, "剩余 0 次");
  }
  if (off_peak && isWithinHours(off_peak, now) === false) {
    const start = nextStartToday(off_peak, now);
    const hours = start ? `今天 ${timeText(start)} 起可用` : "今天的可用时段已过";
    return doubted(`现在 ${timeText(now)}，${hours}`, start ? LATER : CHANGE, "不在可用时段");
  }
  const why = off_peak ? unjudgedText(off_peak, now) : "";
  if (!redeems) {
    return { ...scan(SCAN, why, why ? "" : "本页不能当券，验券成功才算"), group: why };
  }
  const reason = why || "刚才点过的，先查核销记录；本页不能当券";
  return { ...NONE, sign: "点", act: "看着顾客点「立即核销」", reason, why, group: why, use: why ? "outlined" : "yes" };
}

/** Return what is known after a submission. `canSubmit`: as far as the list says. */
function submittedRow(submission: Submission, canSubmit: boolean, shop: Shop, now: number): Row {
  const { list, redeems, store } = shop;
  const { id, at, storeName, state, seen, waitedIn } = submission;
  const time = clockText(at, now);
  const place = storeName && `在「${storeName}」`;
  const used = usedSince(submission);
  const submits = canSubmit && !!certificateOf(list, id);
  const isHere = submission.store === store;
  const row = (known: string, next: string, use: Use = "no", why = known): Row => ({
    ...NONE,
    sign: "查",
    act: isHere ? "先查核销记录，查到才算核销" : "请那家店查核销记录",
    reason: known + (redeems ? next : "。查不到，才扫码"),
    why,
    group: "待查核销记录",
    use,
  });
  if (!isHere) {
    return row(`${time} ${place || "在另一家门店"}点的，请那家店查`, "");
  }
  if (used) {
    const left = seen?.certificate?.times?.usable || 0;
    const uses = `已用 ${used} 次，剩 ${left} 次`;
    return row(`${time} 那一笔：${place}${uses}`, "", submits && left ? "more" : "no", `${time} ${uses}`);
  }
  const known = `${time} ${place}点的，${state === "submitted" ? "已提交" : "未能确认是否核销"}`;
  if (seen && !seen.certificate) {
    return row(`${known}，已不在可用券中（${clockText(seen.at, now)}）`, CALL);
  }
  const listed = `${known}，${seen ? `抖音仍显示可用（${clockText(seen.at, now)}）` : "还没有结果"}`;
  if (submits && isStillListed(submission)) {
    return row(listed, CALL, "again");
  }
  // No list will be read by itself any more.
  const canRetry = redeems && waitedIn < Infinity && list.activity === "idle";
  return { ...row(listed, "。不要再点、再扫"), canRetry };
}

/** Whether the list is recent. One from the future is not: the phone's clock was changed. */
function isFresh({ updatedAt }: ListState, now: number, seconds: number): boolean {
  return updatedAt === ANY_AGE || (updatedAt <= now && now < updatedAt + seconds);
}

/** Say that the list is old. */
export function staleText({ updatedAt }: ListState, now: number): string {
  return `本页未更新（${clockText(updatedAt, now)} 的数据）`;
}

/** Whether a certificate is neither locked nor outside its validity. */
export function isValid({ lock, start_time = 0, expire_time = Infinity }: Certificate, now: number): boolean {
  return !lock && start_time <= now && now < expire_time;
}

/** Say what cannot be judged: Douyin documents neither the numbers of weekdays nor the unit of dates. */
function unjudgedText(offPeak: OffPeak, now: number): string {
  const { weekdays = [], start_time, end_time } = offPeak;
  if (weekdays.length || start_time !== undefined || end_time !== undefined) {
    return "可用日期请看抖音订单";
  }
  return isWithinHours(offPeak, now) ? "" : "可用时段请看抖音订单";
}

/** Format a start or an end: 今天 with the time of day, or the date. */
function dayText(seconds: number, now: number): string {
  return daysBetween(now, seconds) === 0 ? `今天 ${timeText(seconds)}` : dateText(seconds);
}

/** Return the next moment at which a verdict, or a text beside it, can change; at midnight, today's texts do. */
function nextChange(certificate: Certificate, { list }: Shop, now: number): number {
  const { updatedAt } = list;
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
