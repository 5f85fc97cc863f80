/** Cards of the list: their texts. Pure functions. */

import type { Certificate } from "../client/client";
import { expiryOf } from "./expiry";
import { groupsOf } from "./groups";
import { hoursText } from "./offPeak";

/** One card: a certificate, or identical ones. Every text is ready to show; empty texts are not shown. */
export interface Card {
  /** The id of the first certificate. */
  id: string;
  /** What the certificate is worth: an amount, or the uses that are left; otherwise its kind. */
  figure: string;
  /** Text below `figure`: the kind, or the total number of uses. Empty if `figure` is the kind. */
  caption: string;
  title: string;
  /** Number of identical certificates; empty for one. */
  countText: string;
  /** Until when it is valid. */
  until: string;
  /** It expires today. */
  isLastDay: boolean;
  /** The rule of a voucher, the hours, and, for identical certificates, what the customer must tell the staff. */
  note: string;
  /** What is doubtful; empty without a doubt. */
  doubt: string;
  /** What the customer paid for each certificate. */
  paid: string;
  /** The end of the order's number; empty if the certificates are of several orders. */
  orderTail: string;
}

/** A certificate with its doubt; empty without one. */
export type JudgedCertificate = Certificate & { doubt: string };

const KINDS: { [kind in Certificate["kind"]]: string } = {
  groupon: "团购券",
  voucher: "代金券",
  times_card: "次卡",
  other: "",
};

/** Title of a certificate that has no title, and whose kind this program cannot name. */
const UNKNOWN_TITLE = "优惠券";

/** Return the cards. One card shows the identical certificates that have the same doubt. */
export function cardsOf(certificates: JudgedCertificate[], now: number): Card[] {
  return groupsOf(certificates).map((group) => cardOf(group, now));
}

/** Return the card of identical certificates at `now` (epoch seconds). */
function cardOf(group: JudgedCertificate[], now: number): Card {
  const certificate = group[0] as JudgedCertificate;
  const { certificate_id: id, kind, pay_amount, off_peak, voucher, doubt } = certificate;
  const countText = group.length > 1 ? `${group.length} 张` : "";
  const { figure = kindTextOf(kind) || UNKNOWN_TITLE, caption = "" } = worthOf(certificate) || {};
  const title = titleOf(certificate);
  const { until, isLastDay } = expiryOf(certificate, now);
  const hours = off_peak ? hoursText(off_peak) : "";
  const notes = [voucher?.description, hours && `可用时段 ${hours}`, countText && "扫码前请告诉店员\u200b用几张"];
  const note = notes.filter(Boolean).join("，");
  const paid = pay_amount === undefined ? "" : `${countText && "每张"}实付 ${yuan(pay_amount)}`;
  const orderTail = orderTailOf(group);
  return { id, figure, caption, title, countText, until, isLastDay, note, doubt, paid, orderTail };
}

/** Return the end of the order's number, by which a customer finds it in Douyin; empty for several orders. */
export function orderTailOf(certificates: Certificate[]): string {
  const [id, ...others] = new Set(certificates.map(({ order_id }) => order_id));
  return id === undefined || others.length ? "" : `订单尾号\u00a0${id.slice(-4)}`;
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

/** Return the worth that the platform reports, as a card shows it; undefined if it reports none. */
export function worthOf({ times, voucher }: Certificate): Pick<Card, "figure" | "caption"> | undefined {
  if (times?.usable !== undefined) {
    return { figure: `剩 ${times.usable} 次`, caption: times.total === undefined ? "次卡" : `共 ${times.total} 次` };
  }
  // Every voucher deducts something, so 0 means that the amount is unknown.
  const { min_amount: min = 0, max_amount: max = 0 } = voucher || {};
  const range = min === max || !min || !max ? "" : `${yuan(min)}\u00a0至 `;
  const bound = min && max ? range : max ? "最高 " : "至少 ";
  return min || max ? { figure: `${bound}${yuan(max || min)}`, caption: "代金券" } : undefined;
}
