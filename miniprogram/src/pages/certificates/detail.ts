/** The detail of one certificate: everything that the service knows about it. Pure functions. */

import type { Certificate } from "../../client/client";
import { dateText } from "./dates";
import { givesText, hoursTexts, kindTextOf, STATUS_TEXTS, soonText, stateOf, titleOf, yuan } from "./rows";

export interface Fact {
  name: string;
  text: string;
  /** Text that a tap copies; empty if there is nothing to copy. */
  copy: string;
}

export interface Detail {
  id: string;
  kind: Certificate["kind"];
  kindText: string;
  title: string;
  gives: string;
  soon: string;
  /** Why it cannot be used now. */
  status: string;
  facts: Fact[];
  /** Whether the button of the hook is shown. */
  selectable: boolean;
}

/** Return the detail at `now`. `hasHook`: the program can do something with a certificate. */
export function detailOf(certificate: Certificate, now: number, hasHook: boolean): Detail {
  const state = stateOf(certificate, now);
  const { certificate_id, kind, start_time } = certificate;
  const notStarted = state === "not_started" && start_time !== undefined;
  return {
    id: certificate_id,
    kind: ["groupon", "voucher", "times_card"].indexOf(kind) < 0 ? "other" : kind,
    kindText: kindTextOf(kind),
    title: titleOf(certificate),
    gives: givesText(certificate),
    soon: soonText(certificate, now),
    status: STATUS_TEXTS[state] + (notStarted ? `，${dateText(start_time)} 起可用` : ""),
    facts: factsOf(certificate),
    selectable: hasHook && state === "usable",
  };
}

function factsOf(certificate: Certificate): Fact[] {
  const { times, voucher, off_peak, lock } = certificate;
  const facts: Fact[] = [];
  const add = (name: string, text: string | undefined, copy = "") => {
    if (text) {
      facts.push({ name, text, copy });
    }
  };
  const amount = (value: number | undefined) => (value === undefined ? "" : yuan(value));
  add("有效期", validityText(certificate));
  if (off_peak) {
    add("错峰时段", hoursTexts(off_peak.hours).join("、"));
    add("错峰日期", rangeText(off_peak.start_time, off_peak.end_time));
    add("可用星期", off_peak.weekdays ? "限部分星期，请咨询店员" : "");
    if (!off_peak.hours && !off_peak.weekdays) {
      add("错峰规则", "请咨询店员");
    }
  }
  if (voucher) {
    add("抵扣规则", voucher.description);
  }
  if (times) {
    add("可用序号", times.usable_serials && `第 ${times.usable_serials.join("、")} 次`);
    add("每次金额", amount(times.use_amount));
  }
  add("已付", amount(certificate.pay_amount));
  add("券原价", amount(certificate.original_amount));
  add("门市价", amount(certificate.market_price));
  add("来源", certificate.is_transfer_asset ? "转赠券" : "");
  if (lock) {
    const numbers = [
      lock.status === undefined ? "" : `状态 ${lock.status}`,
      lock.scene === undefined ? "" : `场景 ${lock.scene}`,
    ];
    add("锁定信息", numbers.filter((text) => text).join("，"));
  }
  add("券码尾号", certificate.code_tail);
  add("订单编号", certificate.order_id, certificate.order_id);
  return facts;
}

function validityText({ start_time, expire_time }: Certificate): string {
  if (expire_time === undefined) {
    return start_time === undefined ? "长期有效" : `${dateText(start_time)} 起，长期有效`;
  }
  return rangeText(start_time, expire_time);
}

function rangeText(from: number | undefined, to: number | undefined): string {
  if (from === undefined) {
    return to === undefined ? "" : `至 ${dateText(to)}`;
  }
  return to === undefined ? `${dateText(from)} 起` : `${dateText(from)} 至 ${dateText(to)}`;
}
