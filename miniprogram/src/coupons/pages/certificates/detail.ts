/** The counter view (券详情) of one certificate: what the staff looks at, then its conditions. Pure functions. */

import type { Certificate } from "../../client/client";
import { type Expiry, expiryOf } from "./expiry";
import { hoursText } from "./offPeak";
import { givesText, kindTextOf, remainderText, titleOf, worthText, yuan } from "./rows";

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
  expiry: Expiry;
  gives: string;
  remainder: string;
  facts: Fact[];
}

/** Return the counter view at `now` (epoch seconds). */
export function detailOf(certificate: Certificate, now: number): Detail {
  const { off_peak } = certificate;
  return {
    id: certificate.certificate_id,
    kindText: kindTextOf(certificate.kind),
    title: titleOf(certificate),
    hours: off_peak ? hoursText(off_peak) : "",
    expiry: expiryOf(certificate, now),
    gives: givesText(certificate),
    remainder: remainderText(certificate),
    facts: factsOf(certificate),
  };
}

function factsOf(certificate: Certificate): Fact[] {
  const { voucher, pay_amount } = certificate;
  const facts: Fact[] = [];
  const add = (name: string, text: string | undefined, copy = "") => {
    if (text) {
      facts.push({ name, text, copy });
    }
  };
  add("抵扣规则", voucher?.description);
  add("实付", pay_amount === undefined ? "" : yuan(pay_amount));
  add("门市价", worthText(certificate));
  add("来源", certificate.is_transfer_asset ? "转赠券" : "");
  add("券码尾号", certificate.code_tail);
  add("订单编号", certificate.order_id, certificate.order_id);
  return facts;
}
