/**
 * A certificate as the customer reads it. Pure.
 *
 * Numbers whose meaning the platform publishes nowhere (lock, weekdays, types) are not interpreted: where they matter to
 * the customer, the text says that there is something to ask the staff about, and no more.
 */

import type { Certificate } from "../../client/client";

/** One card; every text is ready to be shown, and an empty one is not shown. */
export interface Row {
  id: string;
  kind: Certificate["kind"];
  kindText: string;
  title: string;
  /** What is left of it, or what it is worth: the line that a customer looks for. */
  lead: string;
  paid: string;
  worth: string;
  notes: string[];
  expires: string;
  /** How soon, when it is soon. */
  soon: string;
  code: string;
  /** All of it as one sentence, for a screen reader. */
  label: string;
}

const KINDS: { [kind in Certificate["kind"]]: string } = {
  groupon: "团购券",
  voucher: "代金券",
  times_card: "次卡",
  other: "其他券",
};

const SOON_DAYS = 7;
const DAY = 86400;
/** A shop's day is China's day, wherever the phone believes to be. */
const CHINA = 8 * 3600;

/** The card of a certificate at `now` (epoch seconds). */
export function rowOf(certificate: Certificate, now: number): Row {
  const { kind, pay_amount, market_price, expire_time, code_tail } = certificate;
  const kindText = KINDS[kind];
  const title = certificate.title || kindText;
  const lead = leadOf(certificate);
  const paid = pay_amount === undefined ? "" : `已付 ${yuan(pay_amount)}`;
  const worth = market_price !== undefined && market_price > (pay_amount || 0) ? `门市价 ${yuan(market_price)}` : "";
  const notes = notesOf(certificate, now);
  const expires = expire_time === undefined ? "长期有效" : `有效期至 ${day(expire_time)}`;
  const soon = expire_time === undefined ? "" : soonText(expire_time, now);
  const code = code_tail ? `券码尾号 ${code_tail}` : "";
  const label = [kindText, title, lead, paid, worth, ...notes, expires, soon, code].filter((text) => text).join("，");
  return {
    id: certificate.certificate_id,
    kind,
    kindText,
    title,
    lead,
    paid,
    worth,
    notes,
    expires,
    soon,
    code,
    label,
  };
}

/** 分 as 元: without decimals where there are none. */
export function yuan(amount: number): string {
  return `¥${amount % 100 === 0 ? amount / 100 : (amount / 100).toFixed(2)}`;
}

function leadOf({ times, voucher }: Certificate): string {
  if (times && times.usable !== undefined) {
    return times.total === undefined ? `剩余 ${times.usable} 次` : `剩余 ${times.usable} 次，共 ${times.total} 次`;
  }
  if (voucher) {
    const { min_amount: least, max_amount: most } = voucher;
    if (least !== undefined && most !== undefined) {
      return least === most ? `可抵 ${yuan(most)}` : `可抵 ${yuan(least)} 至 ${yuan(most)}`;
    }
    if (most !== undefined) {
      return `最高可抵 ${yuan(most)}`;
    }
    return least === undefined ? "" : `至少可抵 ${yuan(least)}`;
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
    notes.push(`${day(start_time)} 起可用`);
  }
  if (lock) {
    notes.push("使用状态待确认，请咨询店员");
  }
  if (is_transfer_asset) {
    notes.push("转赠券");
  }
  return notes;
}

/** An off-peak deal's hours in words; which weekdays its numbers mean is not known, so that is left to the staff. */
function offPeakText({ hours, weekdays }: NonNullable<Certificate["off_peak"]>): string {
  const spans = (hours || []).map((span) => spanText(span[0] || "", span[1] || ""));
  const text = `错峰优惠${spans.length ? `：${spans.join("、")}` : ""}`;
  return weekdays ? `${text}（限部分星期，请咨询店员）` : spans.length ? text : `${text}，时段请咨询店员`;
}

/** "09:30" and "02:00" as 9点30分至次日2点; what is no time stays as it is. */
function spanText(from: string, to: string): string {
  const [start, end] = [clock(from), clock(to)];
  return start && end ? `${start.text}至${end.minutes <= start.minutes ? "次日" : ""}${end.text}` : `${from}至${to}`;
}

function clock(time: string): { minutes: number; text: string } | undefined {
  const parts = /^(\d{1,2}):(\d{2})/.exec(time);
  if (!parts) {
    return undefined;
  }
  const [hour, minute] = [Number(parts[1]), Number(parts[2])];
  return { minutes: hour * 60 + minute, text: `${hour}点${minute ? `${minute}分` : ""}` };
}

function day(seconds: number): string {
  const date = new Date((seconds + CHINA) * 1000);
  return `${date.getUTCFullYear()}年${date.getUTCMonth() + 1}月${date.getUTCDate()}日`;
}

function soonText(expires: number, now: number): string {
  const days = Math.floor((expires + CHINA) / DAY) - Math.floor((now + CHINA) / DAY);
  if (days < 0 || days > SOON_DAYS) {
    return "";
  }
  return ["今天到期", "明天到期"][days] || `还有 ${days} 天`;
}
