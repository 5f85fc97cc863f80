/** Problems of the service and of the phone, and what the page should do about each. */

import type { components } from "./api";
import type { Reply } from "./tt";

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
  /**
   * Server code, or `network` (no response), `login` (no code from tt.login), `unreadable` (not a service response).
   * A newer server can send other codes.
   */
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

const ACTIONS: { [code: string]: Action } = {
  unauthenticated: "login",
  store_not_found: "store",
};

const TEXTS = {
  network: "网络不给力，请检查网络后重试",
  login: "登录抖音后才能查看您的券",
  unreadable: "服务返回异常，请稍后再试",
};

/** Create a problem that the service did not report. `status` is 0 without a response. */
export function newProblem(code: keyof typeof TEXTS, status = 0): Problem {
  const action = code === "login" ? "login" : "retry";
  return { code, status, detail: TEXTS[code], action, retryAfter: 0, requestId: "" };
}

/** Read the problem from a response. A body in another format (such as a proxy's error page) is `unreadable`. */
export function problemOf(reply: Reply): Problem {
  const body = parse(reply.data);
  const problem = isProblem(body) ? readProblem(body, reply.statusCode) : newProblem("unreadable", reply.statusCode);
  problem.retryAfter = problem.retryAfter || secondsOf(headerOf(reply, "retry-after"));
  problem.requestId = problem.requestId || headerOf(reply, "x-request-id");
  return problem;
}

/** Whether a value has the members that every problem of the service has. */
export function isProblem(value: unknown): value is ServerProblem {
  const problem = (value || {}) as Partial<ServerProblem>;
  return typeof problem.code === "string" && typeof problem.detail === "string";
}

/** Convert a problem of the service. */
export function readProblem(problem: ServerProblem, status: number): Problem {
  const { code, detail, retryable, retry_after, request_id } = problem;
  const action = ACTIONS[code] || (retryable ? "retry" : "staff");
  return { code, status, detail, action, retryAfter: secondsOf(retry_after), requestId: request_id || "" };
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

function secondsOf(value: unknown): number {
  return Math.max(0, Number(value) || 0);
}

/** Return a header, ignoring case: Douyin does not document the case of header names. */
function headerOf(reply: Reply, name: string): string {
  const header = (reply.header || {}) as { [name: string]: unknown };
  const found = Object.keys(header).filter((key) => key.toLowerCase() === name)[0];
  return found === undefined ? "" : String(header[found]);
}
