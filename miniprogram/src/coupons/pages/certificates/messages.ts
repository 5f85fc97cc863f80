/** Messages of the page: problems with their button, counts, waiting. Pure functions. */

import type { Code, Problem, Unusable } from "../../client/client";

/** What the button of a notice does. */
export type NoticeAction = Problem["action"] | "own_merchant";

/** A problem as the page shows it. */
export interface Notice {
  action: NoticeAction;
  text: string;
  /** What to do instead. */
  help: string;
  /** Button text; empty for no button. */
  button: string;
  /** Seconds until the button is enabled. */
  wait: number;
  /** Short problem number for the staff; empty without one. */
  number: string;
}

/** What the page knows when a problem arrives. */
export interface Situation {
  help: string;
  /** No list was shown before: the customer has not been logged in. */
  isFirst: boolean;
  /** The launch query named another merchant than `config.ts`. */
  isForeignMerchant: boolean;
  /** Seconds until the button is enabled. */
  wait: number;
}

const BUTTONS: { [action in NoticeAction]: string } = {
  retry: "重试",
  login: "登录",
  store: "切换门店",
  own_merchant: "切换门店",
  staff: "",
};

/** The failure rule, in the words of the staff's papers: the act, and what follows. */
export const CHECK = "等一分钟，查核销记录";
export const RULE = "查到，出餐；查不到，叫店长";
/** What a customer does when the page cannot help, unless `config.ts` says it: first of all, nothing was paid. */
export const DEFAULT_HELP = "查券不扣券。请打开抖音「我的订单」给店员扫";
/** The same after a submission. */
export const SUBMITTED_HELP = `点过核销的：${CHECK}。${RULE}`;
/** What 券详情 asks before a submission, unless `config.ts` says it. */
const DEFAULT_QUESTION = "确认后会用掉这张券。请当着店员的面确认。店员查到记录，再出餐。";
const AGAIN_QUESTION = "刚才可能已经核销。店长先查核销记录。有记录：点「取消」，否则会多扣。";
const MORE_QUESTION = "上一次写进了登记本，才再扣一次。";
/** `beforeLogin` of `config.ts` has not agreed. */
export const NO_CONSENT: Problem = {
  code: "no_consent",
  status: 0,
  detail: "需要您同意后，才能查询您的券",
  action: "retry",
  retryAfter: 0,
  requestId: "",
};
const NUMBER_LENGTH = 8;
const MAX_WAIT_SECONDS = 60;
/** After this many seconds without a response, say what to do instead, and offer to retry. */
export const LATE_SECONDS = 6;

/**
 * Return the seconds until the button of a problem is enabled; 0 without a problem. `at`: when it arrived. If that is in the
 * future, the phone's clock was changed, and nobody waits for it.
 */
export function waitLeft(problem: Problem | undefined, at: number, now: number): number {
  if (!problem || at > now) {
    return 0;
  }
  return Math.max(0, Math.ceil(at + Math.min(problem.retryAfter, MAX_WAIT_SECONDS) - now));
}

export function noticeOf(problem: Problem, { help, isFirst, isForeignMerchant, wait }: Situation): Notice {
  const { code, detail, requestId } = problem;
  const notice: Notice = {
    action: problem.action,
    text: detail,
    help,
    button: BUTTONS[problem.action],
    wait,
    // Long enough to find a request in the log, short enough to read out.
    number: requestId.slice(0, NUMBER_LENGTH),
  };
  if (code === "unauthenticated" && isFirst) {
    return { ...notice, text: "登录失败，请重试", button: "重试" };
  }
  // Not a dead end: another merchant may be open in this mini-program, or this one a moment later.
  if (isForeignMerchant && (code === "merchant_not_found" || code === "invalid_request")) {
    return { ...notice, action: "own_merchant", button: BUTTONS.own_merchant };
  }
  if (code === "merchant_not_found") {
    return { ...notice, action: "retry", button: BUTTONS.retry };
  }
  return notice;
}

/** The problems which say that the customer can use nothing here. After any other, the older list stays. */
const REFUSALS: Problem["code"][] = [
  "unauthenticated",
  "login",
  "wrong_app",
  "merchant_not_authorized",
  "merchant_not_found",
  "store_not_found",
] satisfies Code[];

/** Whether a problem ends the older list. */
export function isRefusal({ code }: Problem): boolean {
  return REFUSALS.indexOf(code) >= 0;
}

/**
 * The button of 券详情 that submits: `yes` is prominent; the others are if the order cannot be scanned (`instead`), for the
 * next use of a times card (`more`), or without a record of the last submission (`again`).
 */
export type Use = "yes" | "instead" | "more" | "again" | "no";

export const LABELS: { [use in Use]: string } = {
  yes: "立即核销",
  instead: "扫不了，店长点：立即核销",
  more: "还要用一次：先查到记录",
  again: "店长点：再次核销",
  no: "",
};

/** A dialog: buttons take four characters. */
export interface Dialog {
  title: string;
  content: string;
  confirmText: string;
  cancelText: string;
}

/**
 * Return the dialog before a submission; null if the hook asks itself (an empty `question`). `why`: what is not plain about
 * the certificate.
 */
export function dialogOf(
  title: string,
  store: string,
  question = DEFAULT_QUESTION,
  why: string,
  use: Use,
): Dialog | null {
  const asked = use === "again" ? AGAIN_QUESTION : use === "more" ? MORE_QUESTION : question;
  const confirmText = use === "again" ? "再次核销" : use === "more" ? "再扣一次" : "确认核销";
  const content = [store, why, asked].filter((text) => text).join("\n");
  return question === "" ? null : { title, content, confirmText, cancelText: "取消" };
}

/** What 券详情 says to the customer: a sentence about the money, then the way that works for every coupon. */
export interface Advice {
  heading: string;
  steps: string[];
  /** What to do without a QR code. */
  otherwise: string;
}

/**
 * Return what the customer does while the staff acts by this sign; null while they wait. `why`: what makes it doubtful that
 * the certificate can be used now; empty if nothing does.
 */
export function adviceOf(sign: string, why: string): Advice | null {
  switch (sign) {
    case "扫":
      return {
        heading: why ? "看本页不扣券。能不能用，请店员扫码看" : "看本页不扣券，请您出示抖音订单",
        steps: ["打开抖音「我的订单」", "打开这张券的订单", "请店员扫描订单中的二维码"],
        otherwise: "没有二维码，请店员叫店长",
      };
    case "点":
      return {
        heading: `看本页不扣券，点「立即核销」才会用掉。${why ? "能不能用，先问店员" : "请您当着店员点"}`,
        steps: [],
        otherwise: "",
      };
    case "查":
      return { heading: "请给店员看，您不用再点", steps: [], otherwise: "" };
    default:
      return null;
  }
}

/** Return the line above the list. `plain`: number of the certificates that can be used now; `doubted`: of the others. */
export function countText(plain: number, doubted: number, more: boolean): string {
  const texts = [
    plain && `${more ? "已找到" : "共"} ${plain} 张可用券`,
    doubted && `${plain ? "另 " : ""}${doubted} 张先给店员看`,
  ];
  return texts.filter((text) => text).join("，");
}

/** Explain the certificates that are not in the list; empty if there are none. */
export function unusableText(unusable: Unusable): string {
  const reasons: [number | undefined, string][] = [
    [unusable.not_started, "未到使用时间"],
    [unusable.expired, "已过期"],
    [unusable.other, "暂不能在本店使用"],
  ];
  const texts = reasons.filter(([count]) => count).map(([count, reason]) => `${count} 张${reason}`);
  return texts.length ? `另有 ${texts.join("，")}` : "";
}

/** `searching`: the client goes on after a part of the list without certificates. */
export type Waiting = "" | "searching" | "late";

export function waitingText(waiting: Waiting, help: string): string {
  return { "": "", searching: "正在继续查找可用的券…", late: help }[waiting];
}
