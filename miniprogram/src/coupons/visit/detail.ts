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
  kindAndUntil: string;
  isLastDay: boolean;
  /** The remaining uses of a times card; otherwise the number of identical certificates, if there are several. */
  quantityText: string;
  /** How the customer finds it in Douyin's orders: by the price and the end of the order's number. */
  orderText: string;
  facts: Fact[];
}

/** Return the data at `now` (epoch seconds). `counted`: the certificates among which identical ones are counted. */
export function detailOf(certificate: Certificate, storeName: string, counted: Certificate[], now: number): Detail {
  const { certificate_id, kind } = certificate;
  const isSame = ({ certificate_id: id }: Certificate) => id === certificate_id;
  const { until, isLastDay } = expiryOf(certificate, now);
  const group = groupsOf(counted).find((one) => one.some(isSame)) || [certificate];
  return {
    id: certificate_id,
    title: titleOf(certificate),
    kindAndUntil: [kindTextOf(kind), until].filter(Boolean).join("，"),
    isLastDay,
    quantityText: quantityTextOf(certificate, group.length),
    orderText: orderTextOf(certificate, group),
    facts: factsOf(certificate, storeName),
  };
}

function quantityTextOf({ times }: Certificate, count: number): string {
  const { usable, total } = times || {};
  if (usable !== undefined) {
    const all = total === undefined ? "" : `，共 ${total}\u00a0次`;
    return `剩余 ${usable}\u00a0次${all}${usable > 1 ? "，扫码前请告诉店员\u200b用几次" : ""}`;
  }
  return count > 1 ? `共 ${count}\u00a0张，扫码前请告诉店员\u200b用几张` : "";
}

function orderTextOf({ pay_amount }: Certificate, group: Certificate[]): string {
  const price = pay_amount === undefined ? "" : `实付\u00a0${yuan(pay_amount)}`;
  return [price, orderTailOf(group)].filter(Boolean).join("，");
}

function factsOf(certificate: Certificate, storeName: string): Fact[] {
  const { kind, voucher, off_peak, pay_amount, market_price } = certificate;
  const facts: Fact[] = [];
  const add = (name: string, text: string | undefined) => {
    if (text) {
      facts.push({ name, text });
    }
  };
  const deduction = voucher?.description || (kind === "voucher" && worthOf(certificate)?.figure);
  // A voucher usually leaves a remainder to pay. Of other kinds, this is not known.
  add("抵扣", deduction && kind === "voucher" ? `${deduction}，超出部分另付` : deduction || "");
  add("可用时段", off_peak && hoursText(off_peak));
  add("门市价", market_price !== undefined && market_price > (pay_amount || 0) ? yuan(market_price) : "");
  add("来源", certificate.is_transfer_asset ? "转赠券" : "");
  add("您选的店", storeName);
  return facts;
}
