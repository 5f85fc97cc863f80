/** Until when a certificate is valid. Pure functions. */

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

/** Return the text; empty if it has expired, which its doubt says. */
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
  const until = day ? `${day} ${timeText(expire_time)} 到期` : `有效期至 ${dateText(expire_time)}${left}`;
  return { until, isLastDay: days === 0 };
}
