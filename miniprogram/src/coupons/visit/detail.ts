/** 券详情 of one certificate: its title, expiry and facts. Pure functions. */

import type { Certificate } from "../client/client";
import { kindTextOf, orderTailOf, titleOf, worthOf, yuan } from "./cards";
import { expiryOf } from "./expiry";
import { groupsOf } from "./groups";
import { hoursText } from "./offPeak";

export interface Fact {
  name: string;
  text: string;
}

export interface Detail {
  id: string;
  title: string;
  /** Its kind, and until when it is valid. */
  until: string;
  isLastDay: boolean;
  /** The remaining uses of a times card; otherwise the number of identical certificates, if there are several. */
  uses: string;
  /** How the customer finds it in Douyin's orders: by the price and the end of the order's number. */
  orderText: string;
  facts: Fact[];
}

/**
 * Return the data at `now` (epoch seconds). `store`: the name of the store. `listed`: the certificates
 * among which identical ones are counted.
 */
export function detailOf(certificate: Certificate, store: string, listed: Certificate[], now: number): Detail {
  const { certificate_id, kind } = certificate;
  const isSame = ({ certificate_id: id }: Certificate) => id === certificate_id;
  const { until, isLastDay } = expiryOf(certificate, now);
  const group = groupsOf(listed).find((one) => one.some(isSame)) || [certificate];
  return {
    id: certificate_id,
    title: titleOf(certificate),
    until: [kindTextOf(kind), until].filter(Boolean).join("\u00a0· "),
    isLastDay,
    uses: usesOf(certificate, group.length),
    orderText: orderTextOf(certificate, group),
    facts: factsOf(certificate, store),
  };
}

function usesOf({ times }: Certificate, copies: number): string {
  const { usable, total } = times || {};
  if (usable !== undefined) {
    const all = total === undefined ? "" : `，共 ${total} 次`;
    return `剩余 ${usable} 次${all}${usable > 1 ? "，扫码前说用几次" : ""}`;
  }
  return copies > 1 ? `共 ${copies} 张，扫码前说用几张` : "";
}

function orderTextOf({ pay_amount }: Certificate, group: Certificate[]): string {
  const price = pay_amount === undefined ? "" : `实付\u00a0${yuan(pay_amount)}`;
  return [price, orderTailOf(group)].filter(Boolean).join("，");
}

function factsOf(certificate: Certificate, store: string): Fact[] {
  const { kind, voucher, off_peak, pay_amount, market_price } = certificate;
  const facts: Fact[] = [];
  const add = (name: string, text: string | undefined) => {
    if (text) {
      facts.push({ name, text });
    }
  };
  const [figure, unit] = worthOf(certificate);
  if (kind === "voucher" && (unit || voucher?.description)) {
    // A voucher usually leaves a remainder to pay. Of other kinds, this is not known.
    add("可抵", `${unit && `${figure}，`}超出部分另付`);
  }
  add("抵扣规则", voucher?.description);
  add("可用时段", off_peak && hoursText(off_peak));
  add("门市价", market_price !== undefined && market_price > (pay_amount || 0) ? yuan(market_price) : "");
  add("来源", certificate.is_transfer_asset ? "转赠券" : "");
  add("您选的店", store);
  return facts;
}
