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
  STATUS_TEXTS,
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
  /** The last digits of the code, which the staff compares; empty if unknown. */
  code: string;
  expiry: Expiry;
  gives: string;
  payment: string;
  /** Why it cannot be used now; empty if it can. */
  status: string;
  facts: Fact[];
}

/** Return the counter view at `now` (epoch seconds). */
export function detailOf(certificate: Certificate, now: number): Detail {
  return {
    id: certificate.certificate_id,
    kindText: kindTextOf(certificate.kind),
    title: titleOf(certificate),
    code: certificate.code_tail || "",
    expiry: expiryOf(certificate, now),
    gives: givesText(certificate),
    payment: paymentText(certificate),
    status: STATUS_TEXTS[stateOf(certificate, now)],
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
    add("错峰时段", hoursTexts(off_peak.hours).join("、"));
    add("错峰日期", rangeText(off_peak.start_time, off_peak.end_time));
    add("可用星期", off_peak.weekdays ? "限部分星期，请咨询店员" : "");
    if (!off_peak.hours && !off_peak.weekdays) {
      add("错峰规则", "请咨询店员");
    }
  }
  add("抵扣规则", voucher?.description);
  add("有效期", rangeText(start_time, expire_time));
  if (pay_amount !== undefined) {
    add("已付", pay_amount === 0 ? "免费领取" : yuan(pay_amount));
  }
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
