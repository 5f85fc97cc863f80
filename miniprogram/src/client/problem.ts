/** Problems of the service and of the phone, and what the page should do about each. */

import type { components } from "./api";

type ServerProblem = components["schemas"]["Problem"];

/**
 * What the page should do:
 *
 * - `retry`: show a retry button; enable it after `retryAfter` seconds
 * - `login`: show a login button; the next request logs in
 * - `store`: let the customer choose another store
 * - `staff`: a retry does not help; show `requestId`, which the staff can report
 */
export type Action = "retry" | "login" | "store" | "staff";

/** A problem reported by the server or found on the phone. */
export interface Problem {
  /** Server code, or `network` (no response), `login` (no code from tt.login), `unreadable` (not a service response). */
  code: ServerProblem["code"] | "network" | "login" | "unreadable";
  /** HTTP status; 0 without a response. */
  status: number;
  /** Chinese text for the customer. */
  detail: string;
  action: Action;
  /** Seconds to wait before a retry; 0 if the server gave none. */
  retryAfter: number;
  /** For support; empty without a response of the service. */
  requestId: string;
}

/** A response of tt.request, with any status. */
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

/** Create a problem that has no response: no network or no login. */
export function newProblem(code: "network" | "login"): Problem {
  const action = code === "login" ? "login" : "retry";
  return { code, status: 0, detail: TEXTS[code], action, retryAfter: 0, requestId: "" };
}

/** Read the problem from a response. A body in another format (such as a proxy's error page) is `unreadable`. */
export function problemOf(reply: Reply): Problem {
  const body = parse(reply.data) as Partial<ServerProblem> | null;
  const requestId = headerOf(reply, "x-request-id");
  const retryAfter = Math.max(0, Number(headerOf(reply, "retry-after")) || 0);
  if (!body || typeof body.code !== "string" || typeof body.detail !== "string") {
    const detail = TEXTS.unreadable;
    return { code: "unreadable", status: reply.statusCode, detail, action: "retry", retryAfter, requestId };
  }
  return {
    code: body.code,
    status: reply.statusCode,
    detail: body.detail,
    action: ACTIONS[body.code] || (body.retryable ? "retry" : "staff"),
    retryAfter,
    requestId: body.request_id || requestId,
  };
}

/** Return the body as an object, or null. tt.request parses valid JSON; any other body arrives as text. */
export function parse(data: unknown): object | null {
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

/** Return a header, ignoring case: Douyin does not document the case of header names. */
function headerOf(reply: Reply, name: string): string {
  const header = reply.header || {};
  const found = Object.keys(header).filter((key) => key.toLowerCase() === name)[0];
  return found === undefined ? "" : String(header[found]);
}
