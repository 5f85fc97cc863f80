/** Cards of the list: their texts. Pure functions. */

import type { Certificate } from "../../client/client";
import { expiryOf } from "./expiry";
import { groupsOf } from "./groups";
import { hoursText } from "./offPeak";
import type { Verdict } from "./verdict";

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
  /** What is not plain about it, or the act after a submission; empty if it is plainly usable. */
  verdict: string;
  /** It was submitted. */
  isSubmitted: boolean;
  notes: string[];
  paid: string;
  /** The market price, which is struck through. */
  worth: string;
  code: string;
  /** The button of the card, which opens 券详情; empty for an opened group, whose members have buttons. */
  button: string;
  /** All texts as one sentence, for a screen reader. */
  label: string;
  /** The certificates of a group; empty for one certificate. */
  members: Member[];
}

/** Return the verdict on a certificate. */
export type Judge = (certificate: Certificate) => Verdict;

const KINDS: { [kind in Certificate["kind"]]: string } = {
  groupon: "团购券",
  voucher: "代金券",
  times_card: "次卡",
  other: "",
};

/** A certificate without a title, of a kind that is unknown or newer than this program. */
const UNKNOWN_TITLE = "券";

/** Group identical certificates of the same verdict. The group whose first certificate is `openedId` is opened. */
export function cardsOf(certificates: Certificate[], judge: Judge, openedId: string, now: number): Card[] {
  return groupsOf(certificates, (certificate) => judge(certificate).why).map((group) =>
    cardOf(group, judge(group[0] as Certificate), group[0]?.certificate_id === openedId, now),
  );
}

/** Return the card of identical certificates at `now` (epoch seconds). */
function cardOf(group: Certificate[], verdict: Verdict, opened: boolean, now: number): Card {
  const certificate = group[0] as Certificate;
  const { code_tail } = certificate;
  const kindText = kindTextOf(certificate.kind);
  const title = titleOf(certificate);
  const copies = group.length > 1 ? `×${group.length}` : "";
  const gives = givesText(certificate);
  const { label, text, isLastDay, soon } = expiryOf(certificate, now);
  const until = label ? `${label} ${text}` : text;
  const notes = notesOf(certificate);
  const paid = paidText(certificate, copies ? "每张" : "");
  const worth = worthText(certificate);
  const code = code_tail && !copies ? `券码尾号 ${code_tail}` : "";
  const unfold = copies && (opened ? "收起" : `查看全部 ${group.length} 张`);
  const button = copies ? (opened ? "" : "查看 1 张") : "查看";
  const isSubmitted = verdict.sign === "查";
  const band = isSubmitted ? verdict.act : verdict.why;
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
    verdict: band,
    isSubmitted,
    notes,
    paid,
    worth,
    code,
    button,
    label: texts.filter((text) => text).join("，"),
    members: opened && copies ? group.map(memberOf) : [],
  };
}

/** Return what tells a certificate of a group from the others. */
function memberOf({ certificate_id, code_tail, order_id }: Certificate): Member {
  return { id: certificate_id, text: code_tail ? `券码尾号 ${code_tail}` : `订单编号尾号 ${order_id.slice(-4)}` };
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

function notesOf(certificate: Certificate): string[] {
  const { voucher, off_peak, is_transfer_asset } = certificate;
  return [
    voucher?.description || "",
    remainderText(certificate),
    off_peak ? hoursText(off_peak) : "",
    is_transfer_asset ? "转赠券" : "",
  ].filter((note) => note);
}
