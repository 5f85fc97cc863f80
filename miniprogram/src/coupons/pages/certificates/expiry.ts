/** Texts of a certificate's expiry. Pure functions. */

import type { Certificate } from "../../client/client";
import { DAY_SECONDS, dateText, daysBetween, timeText } from "./dates";

const SOON_DAYS = 7;

/** Until when a certificate is valid. */
export interface Expiry {
  /** Word before the date; empty if the text needs none. */
  label: string;
  text: string;
  isLastDay: boolean;
  /** Words for an expiry within the next days. */
  soon: string;
}

export function expiryOf({ expire_time }: Certificate, now: number): Expiry {
  if (expire_time === undefined) {
    return { label: "", text: "有效期以抖音订单为准", isLastDay: false, soon: "" };
  }
  const days = daysBetween(now, expire_time);
  const left = expire_time - now;
  const day = ["今天", "明天"][days];
  if (left <= DAY_SECONDS && (left > 0 || days === 0)) {
    const text = `${day} ${timeText(expire_time)} 到期`;
    return { label: "", text, isLastDay: days === 0, soon: left > 0 ? leftText(left) : "" };
  }
  const soon = left <= 0 || days > SOON_DAYS ? "" : ["", "明天到期", "后天到期"][days] || `还剩 ${days} 天`;
  return { label: "有效期至", text: dateText(expire_time), isLastDay: false, soon };
}

/** Format the time that is left as 还剩 4 小时 53 分. */
function leftText(seconds: number): string {
  const minutes = minutesOf(seconds);
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return `还剩${hours ? ` ${hours} 小时` : ""}${rest ? ` ${rest} 分` : ""}`;
}

/** Return the minutes that have begun. */
function minutesOf(seconds: number): number {
  return Math.ceil(seconds / 60);
}
