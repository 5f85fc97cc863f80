/** What can go wrong, and what the page should do about it. */

import type { components } from "./api";

type ServerProblem = components["schemas"]["Problem"];

/**
 * What the page should do:
 *
 * - `retry`: offer to ask again, after `retryAfter` seconds where that is given
 * - `login`: offer to log in, which begins with the next request
 * - `store`: let the customer choose another store
 * - `staff`: asking again will not help; send the customer to the staff, who can pass on `requestId`
 */
export type Action = "retry" | "login" | "store" | "staff";

/** A problem, from the server or from the phone. */
export interface Problem {
  /** The server's code, or `network` (no answer), `login` (tt.login gave no code), `unreadable` (not our answer). */
  code: ServerProblem["code"] | "network" | "login" | "unreadable";
  /** The HTTP status; 0 where there was no answer. */
  status: number;
  /** Chinese, fit to be shown to the customer. */
  detail: string;
  action: Action;
  /** Seconds to wait before asking again; 0 where nothing was said. */
  retryAfter: number;
  /** For support; empty where there was no answer of the server. */
  requestId: string;
}

/** An answer of tt.request, whatever its status. */
export interface Reply {
  statusCode: number;
  header: Record<string, string>;
  data: unknown;
}

const ACTIONS: { [code: string]: Action } = {
  unauthenticated: "login",
  store_not_found: "store",
};

const TEXTS = {
  network: "网络不给力，请检查网络后重试",
  login: "登录抖音后才能查看您的券",
  unreadable: "服务返回异常，请稍后再试",
};

/** A problem of which no answer tells: no network, or no login. */
export function ownProblem(code: "network" | "login"): Problem {
  const action = code === "login" ? "login" : "retry";
  return { code, status: 0, detail: TEXTS[code], action, retryAfter: 0, requestId: "" };
}

/** What an answer that is no success tells; one that is not in the server's shape (a proxy's page) is `unreadable`. */
export function problemOf(reply: Reply): Problem {
  const told = parsed(reply.data) as Partial<ServerProblem> | null;
  const requestId = headerOf(reply, "x-request-id");
  const retryAfter = Math.max(0, Number(headerOf(reply, "retry-after")) || 0);
  if (!told || typeof told.code !== "string" || typeof told.detail !== "string") {
    const detail = TEXTS.unreadable;
    return { code: "unreadable", status: reply.statusCode, detail, action: "retry", retryAfter, requestId };
  }
  return {
    code: told.code,
    status: reply.statusCode,
    detail: told.detail,
    action: ACTIONS[told.code] || (told.retryable ? "retry" : "staff"),
    retryAfter,
    requestId: told.request_id || requestId,
  };
}

/** The body as an object, or null: tt.request parses JSON by itself, but hands over text where it cannot. */
export function parsed(data: unknown): object | null {
  let value = data;
  if (typeof value === "string") {
    try {
      value = JSON.parse(value);
    } catch (_) {
      return null;
    }
  }
  return typeof value === "object" && value !== null ? value : null;
}

/** A header whatever its case: no document says how a phone spells them. */
function headerOf(reply: Reply, name: string): string {
  const header = reply.header || {};
  const found = Object.keys(header).filter((key) => key.toLowerCase() === name)[0];
  return found === undefined ? "" : String(header[found]);
}
