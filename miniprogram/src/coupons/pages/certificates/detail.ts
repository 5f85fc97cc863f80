/** 券详情 of one certificate: its name, end and facts. Pure functions. */

import type { Certificate } from "../../client/client";
import { expiryOf } from "./expiry";
import { groupsOf } from "./groups";
import { hoursText } from "./offPeak";
import { kindTextOf, titleOf, worthOf, yuan } from "./rows";

/** Characters of a title in a sentence. */
const MAX_NAME_LENGTH = 10;

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
  until: string;
  isLastDay: boolean;
  /** The uses of a times card that are left, and the number of identical certificates. */
  uses: string;
  /** By what its order is found: short name and price, and the order's tail if another order looks alike. */
  looks: string;
  facts: Fact[];
}

/**
 * Return the data at `now` (epoch seconds). `store`: the name of the store. `listed`: the certificates of its list.
 */
export function detailOf(certificate: Certificate, store: string, listed: Certificate[], now: number): Detail {
  const { certificate_id, kind, order_id } = certificate;
  const looks = looksOf(certificate);
  const hasTwin = listed.some((other) => other.order_id !== order_id && looksOf(other) === looks);
  return {
    id: certificate_id,
    kindText: kindTextOf(kind),
    title: titleOf(certificate),
    ...expiryOf(certificate, now),
    uses: usesOf(certificate, listed),
    looks: hasTwin ? `${looks}，订单尾号\u00a0${order_id.slice(-4)}` : looks,
    facts: factsOf(certificate, store),
  };
}

function usesOf({ certificate_id, times }: Certificate, listed: Certificate[]): string {
  const { usable, total } = times || {};
  if (usable !== undefined) {
    const all = total === undefined ? "" : `，共 ${total} 次`;
    return `剩余 ${usable} 次${all}${usable > 1 ? "，扫码前说用几次" : ""}`;
  }
  const group = groupsOf(listed).find((one) => one.some((other) => other.certificate_id === certificate_id)) || [];
  return group.length > 1 ? `共 ${group.length} 张，扫码前说用几张` : "";
}

/** Return by what a customer finds a certificate in Douyin's orders: name and price. */
function looksOf(certificate: Certificate): string {
  const title = titleOf(certificate);
  const { pay_amount } = certificate;
  // No half of a character that has two parts.
  const start = title.slice(0, MAX_NAME_LENGTH).replace(/[\uD800-\uDBFF]$/, "");
  const name = title.length > MAX_NAME_LENGTH ? `${start}…` : title;
  return pay_amount === undefined ? name : `${name}，实付\u00a0${yuan(pay_amount)}`;
}

function factsOf(certificate: Certificate, store: string): Fact[] {
  const { kind, voucher, off_peak, pay_amount, market_price, code_tail, order_id } = certificate;
  const facts: Fact[] = [];
  const add = (name: string, text: string | undefined, copy = "") => {
    if (text) {
      facts.push({ name, text, copy });
    }
  };
  const [figure, unit] = worthOf(certificate);
  if (kind === "voucher" && (unit || voucher?.description)) {
    // A voucher usually leaves a remainder; nothing is promised of the others.
    add("可抵", `${unit && `${figure}，`}超出部分另付`);
  }
  add("抵扣规则", voucher?.description);
  add("可用时段", off_peak && hoursText(off_peak));
  const worth = market_price !== undefined && market_price > (pay_amount || 0) ? yuan(market_price) : "";
  add("实付", pay_amount === undefined ? "" : `${yuan(pay_amount)}${worth && `（门市价 ${worth}）`}`);
  add("门市价", pay_amount === undefined ? worth : "");
  add("来源", certificate.is_transfer_asset ? "转赠券" : "");
  add("所选门店", store);
  add("券码尾号", code_tail && `${code_tail}（仅供核对）`);
  add("订单编号", order_id, order_id);
  return facts;
}
