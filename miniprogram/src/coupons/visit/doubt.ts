/**
 * Doubts: reasons why a certificate may not be usable now. Pure functions.
 *
 * A doubt is a line of text for the customer, never a refusal: the platform says that the certificate can be used, and
 * the phone's clock may be wrong. So it begins with what to do. Its lines wrap at punctuation and ordinary spaces only.
 */

import type { Certificate } from "../client/client";
import { dateText, daysBetween, timeText } from "./dates";
import { hasEnded } from "./expiry";
import type { ListState } from "./listState";
import { isWithinHours, nextStartToday, type OffPeak } from "./offPeak";

const MAX_AGE_SECONDS = 300;
const ADVICE = "请照常让店员扫码；";

/** Return the text of the first doubt that applies at `now` (epoch seconds); empty without one. */
export function doubtOf(certificate: Certificate, now: number): string {
  const reason = reasonOf(certificate, now);
  return reason && ADVICE + reason;
}

/** Return the doubt about a list that is old: its update has failed, or it is older than five minutes. Otherwise empty. */
export function ageText({ updatedAt, isStale }: ListState, now: number): string {
  // A list from the future counts as old: the phone's clock was changed.
  const isFresh = !isStale && updatedAt <= now && now <= updatedAt + MAX_AGE_SECONDS;
  const day = daysBetween(updatedAt, now) === 0 ? "" : `${dateText(updatedAt).slice(5)}\u00a0`;
  return isFresh || !updatedAt ? "" : `${ADVICE}本页更新于 ${day}${timeText(updatedAt)}`;
}

function reasonOf(certificate: Certificate, now: number): string {
  const { start_time = 0, lock, times, off_peak } = certificate;
  if (hasEnded(certificate, now)) {
    return `本页显示 ${dayText(certificate.expire_time, now)}\u00a0已到期`;
  }
  if (start_time > now) {
    return `本页显示 ${dayText(start_time, now)}\u00a0起可用`;
  }
  const offPeak = off_peak ? offPeakText(off_peak, now) : "";
  return lock ? "本页暂时查不到状态" : times?.usable === 0 ? "本页显示剩余 0\u00a0次" : offPeak;
}

/**
 * Return the doubt about an off-peak deal; empty without one. Only hours are evaluated: Douyin documents neither the
 * numbers of weekdays nor the unit of dates.
 */
function offPeakText(offPeak: OffPeak, now: number): string {
  const { weekdays = [], start_time, end_time } = offPeak;
  const isWithin = isWithinHours(offPeak, now);
  const hasDates = weekdays.length > 0 || start_time !== undefined || end_time !== undefined;
  if (hasDates) {
    return isWithin === false ? "本页显示不在可用时段" : "可用日期见抖音订单";
  }
  if (isWithin === false) {
    const start = nextStartToday(offPeak, now);
    return start ? `本页显示 ${timeText(start)}\u00a0起可用` : "本页显示今天时段已过";
  }
  return isWithin ? "" : "可用时段见抖音订单";
}

/** Format a moment: today as the time of day, another day as a date. */
function dayText(seconds: number, now: number): string {
  return daysBetween(now, seconds) === 0 ? timeText(seconds) : dateText(seconds);
}
