/** The counter view (券详情) of one certificate: what the staff looks at, then its conditions. Pure functions. */

import type { Certificate } from "../../client/client";
import { dateText } from "./dates";
import {
  type Expiry,
  expiryOf,
  givesText,
  hoursTexts,
  kindTextOf,
  paymentText,
  SOME_DAYS,
  stateOf,
  titleOf,
  worthText,
  yuan,
} from "./rows";

export interface Fact {
  name: string;
  text: string;
  /** Text that a tap copies; empty if there is nothing to copy. */
  copy: string;
}

export interface Detail {
  id: string;
  kindText: string;
  title: string;
  /** What the staff compares: the last digits of the code or, if there is none, the whole order number in groups. */
  digitsName: string;
  digits: string[];
  isOrder: boolean;
  expiry: Expiry;
  gives: string;
  payment: string;
  /** Why it must not be redeemed now; empty if it can. */
  refusal: string;
  facts: Fact[];
}

/** Return the counter view at `now` (epoch seconds). */
export function detailOf(certificate: Certificate, now: number): Detail {
  const { code_tail, order_id, start_time = 0 } = certificate;
  const refusal = {
    usable: "",
    not_started: `${dateText(start_time)} 起可用`,
    locked: "暂不可用 · 请勿核销",
  }[stateOf(certificate, now)];
  return {
    id: certificate.certificate_id,
    kindText: kindTextOf(certificate.kind),
    title: titleOf(certificate),
    digitsName: code_tail ? "券码尾号" : "订单编号",
    digits: code_tail ? [code_tail] : order_id.match(/.{1,4}/g) || [],
    isOrder: !code_tail,
    // From when it is valid is part of the refusal.
    expiry: expiryOf({ ...certificate, start_time: 0 }, now),
    gives: givesText(certificate),
    payment: refusal ? "" : paymentText(certificate),
    refusal,
    facts: factsOf(certificate),
  };
}

function factsOf(certificate: Certificate): Fact[] {
  const { voucher, off_peak, start_time, expire_time, pay_amount } = certificate;
  const facts: Fact[] = [];
  const add = (name: string, text: string | undefined, copy = "") => {
    if (text) {
      facts.push({ name, text, copy });
    }
  };
  if (off_peak) {
    const days = [rangeText(off_peak.start_time, off_peak.end_time), off_peak.weekdays ? SOME_DAYS : ""];
    add("可用时段", hoursTexts(off_peak.hours).join("、"));
    add("可用日期", days.filter((text) => text).join("，"));
    if (!off_peak.hours && !off_peak.weekdays) {
      add("可用规则", "请咨询店员");
    }
  }
  add("抵扣规则", voucher?.description);
  add("有效期", rangeText(start_time, expire_time));
  add("实付", pay_amount === undefined ? "" : yuan(pay_amount));
  add("门市价", worthText(certificate));
  add("来源", certificate.is_transfer_asset ? "转赠券" : "");
  add("订单编号", certificate.order_id, certificate.order_id);
  return facts;
}

function rangeText(from: number | undefined, to: number | undefined): string {
  if (from === undefined) {
    return to === undefined ? "" : `至 ${dateText(to)}`;
  }
  return to === undefined ? `${dateText(from)} 起` : `${dateText(from)} 至 ${dateText(to)}`;
}
