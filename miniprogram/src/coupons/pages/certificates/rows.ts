/** Cards of the list: texts, groups of identical certificates. Pure functions. */

import type { Certificate } from "../../client/client";
import { DAY_SECONDS, dateText, daysBetween, timeText } from "./dates";
import { hoursText } from "./offPeak";
import type { Use, Verdict } from "./verdict";

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
  /** Until when it is valid. */
  until: string;
  /** It expires today. */
  isLastDay: boolean;
  /** Words for an expiry within `SOON_DAYS`. */
  soon: string;
  kind: Verdict["kind"];
  /** Text of the verdict; empty if it is plainly usable. */
  verdict: string;
  notes: string[];
  paid: string;
  /** The market price, which is struck through. */
  worth: string;
  code: string;
  /** The button's text for one certificate. It opens 券详情. */
  word: string;
  /** The button of the card; empty for an opened group, whose members have buttons. */
  button: string;
  use: Extract<Use, "yes" | "outlined" | "disabled">;
  /** All texts as one sentence, for a screen reader. */
  label: string;
  /** The certificates of a group; empty for one certificate. */
  members: Member[];
}

/** Return what is shown with a certificate: its verdict, and its number in its order. */
export type MarksOf = (certificate: Certificate) => { verdict: Verdict; order: string };

const KINDS: { [kind in Certificate["kind"]]: string } = {
  groupon: "团购券",
  voucher: "代金券",
  times_card: "次卡",
  other: "",
};

/** Fields that may differ between identical certificates. */
type OwnField = "certificate_id" | "order_id" | "code_tail";
type Parts = "times" | "voucher" | "lock" | "off_peak";
type FieldOf<Part> = Part extends unknown ? keyof Part : never;
type SharedField = Exclude<keyof Certificate, OwnField> | FieldOf<NonNullable<Certificate[Parts]>>;
/**
 * The fields that identical certificates share, at any depth. Named, so that a newer service with another field does not
 * split the groups of an installed program.
 */
const SHARED_FIELDS: { [name in SharedField]: true } = {
  sku_id: true,
  title: true,
  kind: true,
  pay_amount: true,
  original_amount: true,
  market_price: true,
  start_time: true,
  expire_time: true,
  is_transfer_asset: true,
  times: true,
  usable: true,
  total: true,
  use_amount: true,
  type: true,
  usable_serials: true,
  voucher: true,
  description: true,
  min_amount: true,
  max_amount: true,
  lock: true,
  status: true,
  scene: true,
  off_peak: true,
  limit_type: true,
  weekdays: true,
  hours: true,
  end_time: true,
};
const SOON_DAYS = 7;
/** A certificate without a title, of a kind that is unknown or newer than this program. */
const UNKNOWN_TITLE = "券";

/**
 * Group identical certificates of the same verdict. The group whose first certificate is `openedId` is opened.
 * `canRedeem`: 券详情 can submit them.
 */
export function cardsOf(
  certificates: Certificate[],
  marksOf: MarksOf,
  canRedeem: boolean,
  openedId: string,
  now: number,
): Card[] {
  return groupsOf(certificates, (certificate) => marksOf(certificate).verdict.text).map((group) =>
    cardOf(group, marksOf, canRedeem, group[0]?.certificate_id === openedId, now),
  );
}

/** Return the certificates in groups of identical ones, each group at the place of its first certificate. */
export function groupsOf(certificates: Certificate[], stateOf = (_: Certificate) => ""): Certificate[][] {
  const groups = new Map<string, Certificate[]>();
  for (const certificate of certificates) {
    const key = identityOf(certificate) + stateOf(certificate);
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
  return JSON.stringify(certificate, Object.keys(SHARED_FIELDS));
}

/** Return the card of identical certificates at `now` (epoch seconds). */
function cardOf(group: Certificate[], marksOf: MarksOf, canRedeem: boolean, opened: boolean, now: number): Card {
  const certificate = group[0] as Certificate;
  const { code_tail } = certificate;
  const { verdict, order } = marksOf(certificate);
  const kindText = kindTextOf(certificate.kind);
  const title = titleOf(certificate);
  const copies = group.length > 1 ? `×${group.length}` : "";
  const gives = givesText(certificate);
  const { label, text, isLastDay, soon } = expiryOf(certificate, now);
  const until = label ? `${label} ${text}` : text;
  const notes = notesOf(certificate).concat(copies || !order ? [] : order);
  const paid = paidText(certificate, copies ? "每张" : "");
  const worth = worthText(certificate);
  const code = code_tail && !copies ? `券码尾号 ${code_tail}` : "";
  const unfold = copies && (opened ? "收起" : `查看全部 ${group.length} 张`);
  const word = canRedeem && verdict.use !== "no" && verdict.use !== "leave" ? "去使用" : "查看";
  const button = copies ? (opened ? "" : `${word === "查看" ? word : "用"} 1 张`) : word;
  const use = verdict.use === "yes" || verdict.use === "disabled" ? verdict.use : "outlined";
  const band = verdict.kind === "usable" ? "" : verdict.text;
  // As on the card, so that the spoken name contains the visible text.
  const price = [paid, worth && `门市价 ${worth}`, code];
  const texts = [band, title, copies, kindText, gives, until, soon, ...notes, unfold, ...price];
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
    kind: verdict.kind,
    verdict: band,
    notes,
    paid,
    worth,
    code,
    word,
    button,
    use,
    label: texts.filter((text) => text).join("，"),
    members: opened && copies ? group.map((member) => memberOf(member, marksOf(member).order)) : [],
  };
}

/** Return what tells a certificate of a group from the others. */
function memberOf({ certificate_id, code_tail, order_id }: Certificate, order: string): Member {
  const code = code_tail && `券码尾号 ${code_tail}`;
  const texts = [order, code || (order ? "" : `订单编号尾号 ${order_id.slice(-4)}`)];
  return { id: certificate_id, text: texts.filter((text) => text).join("，") };
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

function paidText({ pay_amount }: Certificate, each: string): string {
  return pay_amount === undefined ? "" : `${each}实付 ${yuan(pay_amount)}`;
}

/** Return the market price if it is higher than the price paid. */
export function worthText({ market_price, pay_amount }: Certificate): string {
  return market_price !== undefined && market_price > (pay_amount || 0) ? yuan(market_price) : "";
}

/** Say that a voucher usually leaves a remainder; nothing is promised of the others. */
export function remainderText(certificate: Certificate): string {
  const { kind, voucher } = certificate;
  return kind === "voucher" && (givesText(certificate) || voucher?.description) ? "超出部分需到店另付" : "";
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
  if (left > 0 && left <= DAY_SECONDS) {
    return { label: "", text: `${day} ${timeText(expire_time)} 到期`, isLastDay: days === 0, soon: leftText(left) };
  }
  if (left <= 0 && days === 0) {
    return { label: "", text: `${day} ${timeText(expire_time)} 已到期`, isLastDay: false, soon: "" };
  }
  const soon = left <= 0 || days > SOON_DAYS ? "" : ["", "明天到期", "后天到期"][days] || `还剩 ${days} 天`;
  return { label: "有效期至", text: dateText(expire_time), isLastDay: false, soon };
}

/** Return when the text of the expiry changes next, in epoch seconds: each minute of the last day. */
export function nextExpiryText({ expire_time = 0 }: Certificate, now: number): number {
  const minutes = Math.min(minutesOf(expire_time - now) - 1, DAY_SECONDS / 60);
  return expire_time - 60 * Math.max(0, minutes);
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

function notesOf(certificate: Certificate): string[] {
  const { voucher, off_peak, is_transfer_asset } = certificate;
  return [
    voucher?.description || "",
    remainderText(certificate),
    off_peak ? hoursText(off_peak) : "",
    is_transfer_asset ? "转赠券" : "",
  ].filter((note) => note);
}
