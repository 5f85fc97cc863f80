/**
 * The verdict on a certificate: what the staff does now, and why. Pure functions.
 *
 * No verdict refuses a certificate for good: the phone's clock may be wrong, and the platform says that it can be used.
 */

import type { Certificate } from "../../client/client";
import { clockText, dateText, daysBetween, timeText } from "./dates";
import { CHECK, RULE, type Use } from "./messages";
import { isWithinHours, nextStartToday, type OffPeak } from "./offPeak";
import { titleOf } from "./rows";
import { certificateOf, type ListState } from "./state";
import { isRunning, isStillListed, type Submission, type Submissions, submissionOf, usedSince } from "./submission";

/** What the verdicts of a page depend on besides the certificate and the time. */
export interface Shop {
  list: ListState;
  submissions: Submissions;
  /** Number of the present user. */
  user: number;
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
  use: Use;
  /** Another update may change it. */
  canRetry: boolean;
}

/** Read the list again after this time: until the response, at most `HOLD_SECONDS`, the former one holds. */
export const FRESH_SECONDS = 60;
const HOLD_SECONDS = 62;
/** An older list submits nothing: the merchant may have switched redemption off. */
const MAX_AGE_SECONDS = 300;

const SCAN_RULE = "验券成功，才出餐；扫不成，叫店长";
const NONE = { why: "", use: "no", canRetry: false } as const;

/** `updatedAt` of a list whose age does not matter: its own page says once that it is old. */
export const ANY_AGE = Infinity;

/** Return the verdict at `now` (epoch seconds): the first that applies. */
export function verdictOf(certificate: Certificate, shop: Shop, now: number): Verdict {
  const submission = submissionOf(shop.submissions, certificate.certificate_id);
  const [running] = shop.submissions.filter(isRunning);
  const listed = listedRow(certificate, shop, now);
  if (submission && isRunning(submission)) {
    return { ...waitRow(""), why: "正在提交，还没核销成功" };
  }
  if (submission) {
    return submittedRow(submission, listed.use !== "no" && !running, shop, now);
  }
  return listed.use !== "no" && running ? { ...waitRow(nameOf(running, shop.user)), why: listed.why } : listed;
}

/** Name a submission; nothing is said of another user's. */
function nameOf({ certificate, user }: Submission, present: number): string {
  return certificate && user === present ? `「${titleOf(certificate)}」` : "另一张券";
}

/** `name`: the certificate that is being submitted; empty if it is this one. */
function waitRow(name: string): Verdict {
  const reason = `${name}正在提交，最多一分钟。${name && "这张没有提交。"}店员请先不出餐`;
  return { ...NONE, sign: "等", act: "请等待，不要再点", reason };
}

/** Return the verdict on a certificate from the list alone, without its submission. */
function listedRow(certificate: Certificate, { list, redeems }: Shop, now: number): Verdict {
  const { certificate_id, lock, start_time = 0, expire_time = Infinity, off_peak, times } = certificate;
  const isIdle = list.activity === "idle";
  const isYoung = isFresh(list, now, MAX_AGE_SECONDS);
  const scan = (why: string): Verdict => {
    const reason = why ? `${SCAN_RULE}。以扫码结果为准。${why}` : SCAN_RULE;
    return { ...NONE, sign: "扫", act: "扫抖音订单里的二维码", reason, why };
  };
  const doubted = (why: string): Verdict => {
    return { ...scan(why), use: redeems && isYoung ? "instead" : "no", canRetry: isIdle && !isYoung };
  };
  if (lock) {
    return scan("能不能用，扫码看结果");
  }
  if (start_time > now) {
    return doubted(`${dayText(start_time, now)} 起可用`);
  }
  if (expire_time <= now) {
    return doubted(`${dayText(expire_time, now)} 到期`);
  }
  // A running update keeps the verdict. Its list may not have been read as far as this certificate.
  const isOld = !isFresh(list, now, isIdle ? HOLD_SECONDS : MAX_AGE_SECONDS);
  if (list.isStale || isOld || (isIdle && !certificateOf(list, certificate_id))) {
    return { ...doubted(staleText(list, now)), canRetry: isIdle };
  }
  if (times?.usable === 0) {
    return doubted("剩余 0 次");
  }
  if (off_peak && isWithinHours(off_peak, now) === false) {
    const start = nextStartToday(off_peak, now);
    const hours = start ? `今天 ${timeText(start)} 起可用` : "今天的可用时段已过";
    return doubted(`现在 ${timeText(now)}，${hours}`);
  }
  const why = off_peak ? unjudgedText(off_peak, now) : "";
  if (!redeems) {
    return scan(why);
  }
  const reason = `点完查核销记录。${RULE}。点过的，先查记录${why && `。${why}`}`;
  return { ...NONE, sign: "点", act: "让顾客自己点「立即核销」", reason, why, use: "yes" };
}

/** Return what is known after a submission. `canSubmit`: as far as the list says. */
function submittedRow(submission: Submission, canSubmit: boolean, { list, store }: Shop, now: number): Verdict {
  const { id, at, storeName, state, seen, waitedIn } = submission;
  const row = { ...NONE, sign: "查", act: CHECK } as const;
  const time = clockText(at, now);
  if (submission.store !== store) {
    const place = storeName ? `「${storeName}」` : "另一家门店";
    const why = `${time} 在${place}点过核销`;
    return { ...row, act: "叫店长，先不出餐", reason: `请${place}查核销记录。${why}`, why };
  }
  const used = usedSince(submission);
  const isGone = seen && !seen.certificate;
  const fact = isGone ? "抖音已不显示" : used ? `抖音显示少了 ${used} 次` : "";
  const known = fact ? `${fact}，还要查记录` : "抖音还没显示用掉";
  const why = [
    `${time} ${storeName && `在「${storeName}」`}点过核销`,
    state === "submitted" ? "已提交，不要再扫" : "未能确认，不要再扫",
    ...(seen ? [`${known}（${clockText(seen.at, now)}）`] : []),
  ].join("。");
  const left = seen?.certificate?.times?.usable;
  const next = used ? (left ? "more" : "no") : isStillListed(submission) ? "again" : "no";
  const use = canSubmit && certificateOf(list, id) ? next : "no";
  // No list will be read by itself any more.
  const canRetry = use === "no" && !isGone && waitedIn < Infinity && list.activity === "idle";
  return { ...row, reason: `${RULE}。${why}`, why, use, canRetry };
}

/** Whether the list is recent. One from the future is not: the phone's clock was changed. */
function isFresh({ updatedAt }: ListState, now: number, seconds: number): boolean {
  return updatedAt === ANY_AGE || (updatedAt <= now && now < updatedAt + seconds);
}

/** Say that the list is old. */
export function staleText({ updatedAt }: ListState, now: number): string {
  return `本页未更新（${clockText(updatedAt, now)} 的数据）`;
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
