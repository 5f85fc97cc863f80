/** The expiry of a certificate. Pure functions. */

import type { Certificate } from "../client/client";
import { dateText, daysBetween, timeText } from "./dates";

const SOON_DAYS = 7;

export interface Expiry {
  until: string;
  isLastDay: boolean;
}

export function hasEnded(certificate: Certificate, now: number): certificate is Certificate & { expire_time: number } {
  return certificate.expire_time !== undefined && certificate.expire_time <= now;
}

/** Return until when a certificate is valid. If it has expired, the text is empty: its doubt says so. */
export function expiryOf(certificate: Certificate, now: number): Expiry {
  const { expire_time } = certificate;
  if (expire_time === undefined) {
    return { until: "有效期以抖音订单为准", isLastDay: false };
  }
  if (hasEnded(certificate, now)) {
    return { until: "", isLastDay: false };
  }
  const days = daysBetween(now, expire_time);
  const day = ["今天", "明天"][days];
  const left = days <= SOON_DAYS ? `，还剩\u00a0${days}\u00a0天` : "";
  const until = day ? `${day}\u00a0${timeText(expire_time)}\u00a0到期` : `有效期至 ${dateText(expire_time)}${left}`;
  return { until, isLastDay: days === 0 };
}
