/**
 * Card texts of a certificate. Pure functions.
 *
 * Douyin does not document the values of `lock`, `weekdays` and `type`. They are not interpreted: where they matter, the
 * text refers the customer to the staff.
 */

import type { Certificate } from "../../client/client";

/** One card. Every text is ready to show; empty texts are not shown. */
export interface Row {
  id: string;
  kind: Certificate["kind"];
  kindText: string;
  title: string;
  /** Remaining uses of a times card, or the value of a voucher. */
  headline: string;
  paid: string;
  worth: string;
  notes: string[];
  expires: string;
  /** Days until expiry, if there are at most `SOON_DAYS`. */
  soon: string;
  code: string;
  /** All texts as one sentence, for a screen reader. */
  label: string;
}

const KINDS: { [kind in Certificate["kind"]]: string } = {
  groupon: "团购券",
  voucher: "代金券",
  times_card: "次卡",
  other: "其他券",
};

const SOON_DAYS = 7;
const DAY_SECONDS = 86400;
/** Dates are in China's time zone, whatever the phone's time zone is. */
const CHINA_OFFSET_SECONDS = 8 * 3600;

/** Return the card of a certificate at `now` (epoch seconds). */
export function rowOf(certificate: Certificate, now: number): Row {
  const { kind, pay_amount, market_price, expire_time, code_tail } = certificate;
  const kindText = KINDS[kind] || KINDS.other;
  const title = certificate.title || kindText;
  const headline = headlineOf(certificate);
  const paid = pay_amount === undefined ? "" : `已付 ${yuan(pay_amount)}`;
  const worth = market_price !== undefined && market_price > (pay_amount || 0) ? `门市价 ${yuan(market_price)}` : "";
  const notes = notesOf(certificate, now);
  const expires = expire_time === undefined ? "长期有效" : `有效期至 ${dateText(expire_time)}`;
  const soon = expire_time === undefined ? "" : soonText(expire_time, now);
  const code = code_tail ? `券码尾号 ${code_tail}` : "";
  const texts = [kindText, title, headline, paid, worth, ...notes, expires, soon, code];
  const label = texts.filter((text) => text).join("，");
  return {
    id: certificate.certificate_id,
    kind,
    kindText,
    title,
    headline,
    paid,
    worth,
    notes,
    expires,
    soon,
    code,
    label,
  };
}

/** Format an amount in 分 as 元, without `.00`. */
export function yuan(amount: number): string {
  return `¥${amount % 100 === 0 ? amount / 100 : (amount / 100).toFixed(2)}`;
}

function headlineOf({ times, voucher }: Certificate): string {
  if (times && times.usable !== undefined) {
    return times.total === undefined ? `剩余 ${times.usable} 次` : `剩余 ${times.usable} 次，共 ${times.total} 次`;
  }
  if (voucher) {
    const { min_amount, max_amount } = voucher;
    if (min_amount !== undefined && max_amount !== undefined) {
      return min_amount === max_amount ? `可抵 ${yuan(max_amount)}` : `可抵 ${yuan(min_amount)} 至 ${yuan(max_amount)}`;
    }
    if (max_amount !== undefined) {
      return `最高可抵 ${yuan(max_amount)}`;
    }
    return min_amount === undefined ? "" : `至少可抵 ${yuan(min_amount)}`;
  }
  return "";
}

function notesOf({ voucher, off_peak, start_time, lock, is_transfer_asset }: Certificate, now: number): string[] {
  const notes = [];
  if (voucher?.description) {
    notes.push(voucher.description);
  }
  if (off_peak) {
    notes.push(offPeakText(off_peak));
  }
  if (start_time !== undefined && start_time > now) {
    notes.push(`${dateText(start_time)} 起可用`);
  }
  if (lock) {
    notes.push("使用状态待确认，请咨询店员");
  }
  if (is_transfer_asset) {
    notes.push("转赠券");
  }
  return notes;
}

/** Describe the off-peak hours. Weekdays are only mentioned: Douyin does not document their numbers. */
function offPeakText({ hours, weekdays }: NonNullable<Certificate["off_peak"]>): string {
  const ranges = (hours || []).map((range) => hoursText(range[0] || "", range[1] || ""));
  const text = `错峰优惠${ranges.length ? `：${ranges.join("、")}` : ""}`;
  return weekdays ? `${text}（限部分星期，请咨询店员）` : ranges.length ? text : `${text}，时段请咨询店员`;
}

/** Format "09:30" and "02:00" as 9点30分至次日2点. Other texts stay unchanged. */
function hoursText(from: string, to: string): string {
  const [start, end] = [parseTime(from), parseTime(to)];
  return start && end ? `${start.text}至${end.minutes <= start.minutes ? "次日" : ""}${end.text}` : `${from}至${to}`;
}

function parseTime(time: string): { minutes: number; text: string } | undefined {
  const parts = /^(\d{1,2}):(\d{2})/.exec(time);
  if (!parts) {
    return undefined;
  }
  const [hour, minute] = [Number(parts[1]), Number(parts[2])];
  return { minutes: hour * 60 + minute, text: `${hour}点${minute ? `${minute}分` : ""}` };
}

/** Return the line above the list. */
export function countText(rows: number, more: boolean): string {
  return rows ? `${more ? "已找到" : "共"} ${rows} 张可用券` : "";
}

function dateText(seconds: number): string {
  const date = new Date((seconds + CHINA_OFFSET_SECONDS) * 1000);
  return `${date.getUTCFullYear()}年${date.getUTCMonth() + 1}月${date.getUTCDate()}日`;
}

function soonText(expires: number, now: number): string {
  const days = chinaDay(expires) - chinaDay(now);
  if (days < 0 || days > SOON_DAYS) {
    return "";
  }
  return ["今天到期", "明天到期"][days] || `还有 ${days} 天`;
}

function chinaDay(seconds: number): number {
  return Math.floor((seconds + CHINA_OFFSET_SECONDS) / DAY_SECONDS);
}
