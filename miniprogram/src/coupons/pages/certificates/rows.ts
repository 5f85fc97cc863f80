/**
 * Cards of the list: texts, groups of identical certificates, order. Pure functions.
 *
 * Douyin does not document the values of `lock`, `weekdays` and `type`. They are not interpreted: where they matter, the
 * text refers the customer to the staff.
 */

import type { Certificate } from "../../client/client";
import { dateText, daysBetween, timeText } from "./dates";

/** Whether the customer can use a certificate now, as far as it says so itself. */
export type State = "usable" | "not_started" | "locked";

/** One certificate in an opened group. */
export interface Member {
  id: string;
  text: string;
}

/** One card: a certificate, or identical ones. Every text is ready to show; empty texts are not shown. */
export interface Card {
  /** The id of the first certificate. */
  id: string;
  kindText: string;
  title: string;
  /** ×2 for two identical certificates; empty for one. */
  copies: string;
  /** The certificates of a group are shown. */
  opened: boolean;
  /** What a tap on a group does; empty for one certificate. */
  unfold: string;
  /** Remaining uses of a times card, or the value of a voucher. */
  gives: string;
  /** Until when, or from when, it is valid. */
  until: string;
  /** It expires today. */
  isLastDay: boolean;
  /** Words for an expiry within `SOON_DAYS`. */
  soon: string;
  /** Why it cannot be used now; empty for most. */
  status: string;
  notes: string[];
  paid: string;
  /** The market price, which is struck through. */
  worth: string;
  code: string;
  /** The button; empty if there is nothing to use here: not usable now, or an opened group, whose members have buttons. */
  use: string;
  /** All texts as one sentence, for a screen reader. */
  label: string;
  /** The certificates of a group; empty for one certificate. */
  members: Member[];
}

/** The cards in the order of the page. */
export interface Cards {
  usable: Card[];
  /** Not valid yet, then locked. */
  waiting: Card[];
}

const KINDS: { [kind in Certificate["kind"]]: string } = {
  groupon: "团购券",
  voucher: "代金券",
  times_card: "次卡",
  other: "",
};

/** Fields that differ between identical certificates. */
const OWN_FIELDS = ["certificate_id", "order_id", "code_tail"];
const SOON_DAYS = 7;
export const STATUS_TEXTS: { [state in State]: string } = {
  usable: "",
  not_started: "未到使用时间",
  locked: "暂不可用",
};
/** A certificate without a title, of a kind that is unknown or newer than this program. */
const UNKNOWN_TITLE = "券";

/**
 * Group identical certificates and order the cards: usable ones as the service sorts them, then the others. The group
 * whose first certificate is `openedId` is opened.
 */
export function cardsOf(certificates: Certificate[], openedId: string, now: number): Cards {
  const groups = groupsOf(certificates);
  const inState = (state: State) =>
    groups
      .filter(([first]) => first && stateOf(first, now) === state)
      .map((group) => cardOf(group, now, group[0]?.certificate_id === openedId));
  return { usable: inState("usable"), waiting: inState("not_started").concat(inState("locked")) };
}

/** Return the certificates in groups of identical ones, each group at the place of its first certificate. */
export function groupsOf(certificates: Certificate[]): Certificate[][] {
  const groups = new Map<string, Certificate[]>();
  for (const certificate of certificates) {
    const key = identityOf(certificate);
    const group = groups.get(key);
    if (group) {
      group.push(certificate);
    } else {
      groups.set(key, [certificate]);
    }
  }
  return Array.from(groups.values());
}

/** Return a key that is equal for certificates of one product that differ in nothing a customer cares about. */
function identityOf(certificate: Certificate): string {
  const { sku_id, certificate_id } = certificate;
  if (sku_id === undefined) {
    // Nothing shows that two certificates are of the same product.
    return certificate_id;
  }
  const shared = Object.keys(certificate).filter((name) => OWN_FIELDS.indexOf(name) < 0);
  return JSON.stringify(shared.sort().map((name) => [name, certificate[name as keyof Certificate]]));
}

export function stateOf({ lock, start_time }: Certificate, now: number): State {
  if (lock) {
    return "locked";
  }
  return start_time !== undefined && start_time > now ? "not_started" : "usable";
}

/** Return the card of identical certificates at `now` (epoch seconds). */
export function cardOf(group: Certificate[], now: number, opened = false): Card {
  const certificate = group[0] as Certificate;
  const { code_tail } = certificate;
  const kindText = kindTextOf(certificate.kind);
  const title = titleOf(certificate);
  const copies = group.length > 1 ? `×${group.length}` : "";
  const gives = givesText(certificate);
  const { label, text, isLastDay, soon } = expiryOf(certificate, now);
  const until = label ? `${label} ${text}` : text;
  const status = STATUS_TEXTS[stateOf(certificate, now)];
  const notes = notesOf(certificate);
  const paid = paidText(certificate);
  const worth = worthText(certificate);
  const code = code_tail && !copies ? `券码尾号 ${code_tail}` : "";
  const unfold = copies && (opened ? "收起" : `查看全部 ${group.length} 张`);
  const use = status ? "" : copies ? (opened ? "" : "用 1 张") : "去使用";
  // As on the card, so that the spoken name contains the visible text.
  const price = [paid, worth && `门市价 ${worth}`, code];
  const texts = [title, copies, kindText, gives, until, soon, status, ...notes, unfold, ...price];
  return {
    id: certificate.certificate_id,
    kindText,
    title,
    copies,
    opened,
    unfold,
    gives,
    until,
    isLastDay,
    soon,
    status,
    notes,
    paid,
    worth,
    code,
    use,
    label: texts.filter((text) => text).join("，"),
    members: opened && copies ? group.map(memberOf) : [],
  };
}

function memberOf({ certificate_id, code_tail }: Certificate, index: number): Member {
  return { id: certificate_id, text: `第 ${index + 1} 张${code_tail ? ` · 券码尾号 ${code_tail}` : ""}` };
}

export function kindTextOf(kind: Certificate["kind"]): string {
  return KINDS[kind] || "";
}

export function titleOf({ title, kind }: Certificate): string {
  return title || kindTextOf(kind) || UNKNOWN_TITLE;
}

/** Format an amount in 分 as 元, without `.00`. */
export function yuan(amount: number): string {
  return `¥${amount % 100 === 0 ? amount / 100 : (amount / 100).toFixed(2)}`;
}

function paidText({ pay_amount }: Certificate): string {
  return pay_amount === undefined ? "" : `实付 ${yuan(pay_amount)}`;
}

/** Return the market price if it is higher than the price paid. */
export function worthText({ market_price, pay_amount }: Certificate): string {
  return market_price !== undefined && market_price > (pay_amount || 0) ? yuan(market_price) : "";
}

/** Say what has been paid, and what has not. A voucher usually leaves a remainder; nothing is promised of the others. */
export function paymentText(certificate: Certificate): string {
  const { kind, pay_amount, voucher } = certificate;
  if (kind === "voucher") {
    return givesText(certificate) || voucher?.description ? "超出部分需到店另付" : "";
  }
  return kind === "groupon" && pay_amount !== undefined ? (pay_amount === 0 ? "实付 ¥0" : "券款已付") : "";
}

/** Return the remaining uses of a times card, or the value of a voucher. */
export function givesText({ times, voucher }: Certificate): string {
  if (times && times.usable !== undefined) {
    return times.total === undefined ? `剩余 ${times.usable} 次` : `剩余 ${times.usable} 次，共 ${times.total} 次`;
  }
  if (voucher) {
    // No voucher deducts nothing: 0 is an unknown amount.
    const { min_amount, max_amount } = voucher;
    if (min_amount && max_amount) {
      return min_amount === max_amount ? `可抵 ${yuan(max_amount)}` : `可抵 ${yuan(min_amount)} 至 ${yuan(max_amount)}`;
    }
    if (max_amount) {
      return `最高可抵 ${yuan(max_amount)}`;
    }
    return min_amount ? `至少可抵 ${yuan(min_amount)}` : "";
  }
  return "";
}

/** Until when, or from when, a certificate is valid. */
export interface Expiry {
  /** Word before the date; empty if the text needs none. */
  label: string;
  text: string;
  isLastDay: boolean;
  /** Words for an expiry within the next days, or in the past: the platform accepts it, so the staff decides. */
  soon: string;
}

export function expiryOf({ start_time, expire_time }: Certificate, now: number): Expiry {
  if (start_time !== undefined && start_time > now) {
    return { label: "", text: `${dateText(start_time)} 起可用`, isLastDay: false, soon: "" };
  }
  if (expire_time === undefined) {
    return { label: "", text: "有效期以抖音订单为准", isLastDay: false, soon: "" };
  }
  const days = daysBetween(now, expire_time);
  if (days === 0 && expire_time > now) {
    return { label: "", text: `今天 ${timeText(expire_time)} 到期`, isLastDay: true, soon: "" };
  }
  const near = days > SOON_DAYS ? "" : ["", "明天到期", "后天到期"][days] || `还剩 ${days} 天`;
  const soon = expire_time > now ? near : "已过有效期，请咨询店员";
  return { label: "有效期至", text: dateText(expire_time), isLastDay: false, soon };
}

function notesOf(certificate: Certificate): string[] {
  const { kind, voucher, off_peak, is_transfer_asset } = certificate;
  return [
    voucher?.description || "",
    kind === "voucher" ? paymentText(certificate) : "",
    off_peak ? offPeakText(off_peak) : "",
    is_transfer_asset ? "转赠券" : "",
  ].filter((note) => note);
}

export const SOME_DAYS = "仅部分日期可用，请咨询店员";

/** Describe the off-peak hours. Weekdays are only mentioned: Douyin does not document their numbers. */
function offPeakText({ hours, weekdays }: NonNullable<Certificate["off_peak"]>): string {
  const ranges = hoursTexts(hours);
  const text = ranges.length ? `可用时段 ${ranges.join("、")}` : "仅部分时段可用";
  return weekdays ? `${text}，${SOME_DAYS}` : ranges.length ? text : `${text}，请咨询店员`;
}

/** Format pairs of start and end as 14:00~17:00, with 次日 where the end is on the next day. */
export function hoursTexts(hours: string[][] | undefined): string[] {
  return (hours || []).map(([from = "", to = ""]) => {
    const [start, end] = [minutesOf(from), minutesOf(to)];
    const nextDay = start !== undefined && end !== undefined && end <= start;
    return `${from}~${nextDay ? "次日" : ""}${to}`;
  });
}

function minutesOf(time: string): number | undefined {
  const parts = /^(\d{1,2}):(\d{2})/.exec(time);
  return parts ? Number(parts[1]) * 60 + Number(parts[2]) : undefined;
}
