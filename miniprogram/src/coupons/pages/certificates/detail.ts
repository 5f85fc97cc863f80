/** The counter view (券详情) of one certificate: what the staff looks at, then its conditions. Pure functions. */

import type { Certificate } from "../../client/client";
import { dateText } from "./dates";
import { hoursText } from "./offPeak";
import { type Expiry, expiryOf, givesText, kindTextOf, paymentText, titleOf, worthText, yuan } from "./rows";
import type { Verdict } from "./verdict";

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
  /** The hours of an off-peak deal. */
  hours: string;
  /** What the staff compares: the last digits of the code or, if there is none, the whole order number in groups. */
  digitsName: string;
  digits: string[];
  isOrder: boolean;
  order: string;
  expiry: Expiry;
  gives: string;
  payment: string;
  facts: Fact[];
}

/** Return the counter view at `now` (epoch seconds). `order`: the certificate's number in its order. */
export function detailOf(certificate: Certificate, verdict: Verdict, order: string, now: number): Detail {
  const { code_tail, order_id, off_peak } = certificate;
  return {
    id: certificate.certificate_id,
    kindText: kindTextOf(certificate.kind),
    title: titleOf(certificate),
    hours: off_peak ? hoursText(off_peak) : "",
    // The platform takes the code only: an order number must not be taken for one.
    digitsName: code_tail ? "券码尾号" : "订单编号（非券码）",
    digits: code_tail ? [code_tail] : order_id.match(/.{1,4}/g) || [],
    isOrder: !code_tail,
    order,
    expiry: expiryOf(certificate, now),
    gives: givesText(certificate),
    payment: verdict.kind === "none" ? paymentText(certificate) : "",
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
  add("可用日期", off_peak && rangeText(off_peak.start_time, off_peak.end_time));
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
