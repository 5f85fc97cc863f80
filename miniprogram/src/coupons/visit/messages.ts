/** Messages of the page: problems with their button, counts, phases of a request. Pure functions. */

import type { Code, Problem, Unusable } from "../client/client";

/** What the button of a problem does. */
export type ProblemAction = Problem["action"] | "own_merchant";

/** A problem as the page shows it. */
export interface ProblemView {
  action: ProblemAction;
  text: string;
  /** What the customer can do instead. */
  help: string;
  /** Button text; empty for no button. */
  button: string;
  /** Seconds until the button is enabled. */
  waitSeconds: number;
  /** Short number for reporting the problem (报障编号); empty without one. */
  number: string;
}

/** What else decides how a problem is shown. */
export interface Situation {
  help: string;
  /** A list of this store has arrived: the customer was logged in. */
  hasList: boolean;
  /** The present merchant is not the one of `config.ts`: the launch query has named it. */
  isForeignMerchant: boolean;
}

const BUTTONS: { [action in ProblemAction]: string } = {
  retry: "重试",
  login: "登录",
  store: "切换门店",
  own_merchant: "切换门店",
  staff: "",
};

/** The result of the staff's scan decides, not this page. */
export const SCAN_DECIDES = "以扫码结果为准";
/** What a customer can do in any case. `help` of `config.ts` replaces this text. */
export const DEFAULT_HELP = "请打开抖音「我的订单」给店员扫码";
/** Where Douyin has the orders. Douyin does not document this. */
export const ORDERS_PATH = "我\u00a0→\u00a0右上角\u00a0☰\u00a0→ 我的订单";
/** The problem if `beforeLogin` of `config.ts` has not returned `true`. */
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
 * Return the seconds until the button of a problem is enabled; 0 without a problem. If the problem arrived in the
 * future, the phone's clock was changed, and the button is enabled at once.
 */
export function secondsLeft(problem: Problem | undefined, problemAt: number, now: number): number {
  if (!problem || problemAt > now) {
    return 0;
  }
  return Math.max(0, Math.ceil(problemAt + Math.min(problem.retryAfter, MAX_WAIT_SECONDS) - now));
}

/** Return how a problem is shown; null without one. */
export function problemView(
  { problem, problemAt }: { problem: Problem | undefined; problemAt: number },
  { help, hasList, isForeignMerchant }: Situation,
  now: number,
): ProblemView | null {
  if (!problem) {
    return null;
  }
  const { code, detail, requestId } = problem;
  const view: ProblemView = {
    action: problem.action,
    text: detail,
    help,
    button: BUTTONS[problem.action],
    waitSeconds: secondsLeft(problem, problemAt, now),
    // Long enough to find a request in the log, short enough to read out.
    number: requestId.slice(0, NUMBER_LENGTH),
  };
  if (code === "unauthenticated" && !hasList) {
    return { ...view, text: "登录失败，请重试", button: "重试" };
  }
  // An unknown merchant is no dead end. If the launch query named it, the button opens the merchant of `config.ts`.
  // Otherwise the button retries, because the merchant may be registered a moment later.
  if (isForeignMerchant && (code === "merchant_not_found" || code === "invalid_request")) {
    return { ...view, action: "own_merchant", button: BUTTONS.own_merchant };
  }
  if (code === "merchant_not_found") {
    return { ...view, action: "retry", button: BUTTONS.retry };
  }
  return view;
}

/** Problems after which the older list is removed, because it may be wrong. After any other problem, it stays. */
const REFUSALS: Problem["code"][] = [
  "unauthenticated",
  "login",
  "wrong_app",
  "merchant_not_authorized",
  "merchant_not_found",
  "store_not_found",
] satisfies Code[];

/** Whether the older list is removed after a problem. */
export function isRefusal({ code }: Problem): boolean {
  return REFUSALS.indexOf(code) >= 0;
}

/**
 * Return two headings: of the `plain` certificates, which have no doubt, and of the `doubted` ones. `titles`: the
 * number of different titles of the plain ones.
 */
export function countTexts(
  plain: { certificates: number; titles: number },
  doubted: number,
  hasMore: boolean,
): [plain: string, doubted: string] {
  const { certificates, titles } = plain;
  const start = hasMore ? "已找到" : "";
  const kinds = titles === certificates ? " " : ` ${titles}\u00a0种、共\u00a0`;
  return [
    `${start}本店可用${kinds}${certificates}\u00a0张，${SCAN_DECIDES}`,
    `${certificates ? "另" : start || "共"}\u00a0${doubted}\u00a0张，请照常让店员扫码`,
  ];
}

/** Explain the certificates that are not in the list; empty if there are none. */
export function unusableText(unusable: Unusable): string {
  const reasons: [number | undefined, string][] = [
    [unusable.not_started, "显示未到时间"],
    [unusable.expired, "显示已过期"],
    [unusable.other, "显示不适用本店"],
  ];
  const texts = reasons.filter(([count]) => count).map(([count, reason]) => `${count}\u00a0张${reason}`);
  return texts.length ? `另有 ${texts.join("，")}，${SCAN_DECIDES}` : "";
}

/**
 * The phase of a request in flight. `searching`: a part had no new certificates, so the client requests the next
 * one. `late`: there is no response after `LATE_SECONDS`.
 */
export type RequestPhase = "" | "searching" | "late";

/** Return the text that is shown during a request. `usual`: the text if it is neither late nor searching. */
export function phaseText(phase: RequestPhase, usual: string): string {
  return { "": usual, searching: "正在继续查找可用的券…", late: "查得有点慢，先打开抖音订单也能用" }[phase];
}
