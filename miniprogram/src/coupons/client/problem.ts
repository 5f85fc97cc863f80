/** Problems of the service and of the phone, and what the page should do about each. */

import { type OrNewer, readServerProblem, type ServerProblem } from "./body";

/**
 * What the page should do:
 *
 * - `retry`: show a retry button; enable it after `retryAfter` seconds
 * - `login`: show a login button; the next request logs in
 * - `store`: let the customer choose another store
 * - `staff`: a retry does not help; show `requestId`, which the staff can report
 */
export type Action = "retry" | "login" | "store" | "staff";

/**
 * The codes that this client knows: the server's, and `network` (no response), `login` (the customer is not logged in
 * to Douyin), `unreadable` (not a service response).
 */
export type Code = ServerProblem["code"] | "network" | "login" | "unreadable";

/** A problem reported by the server or found on the phone. */
export interface Problem {
  code: OrNewer<Code>;
  /** HTTP status; 0 without a response. */
  status: number;
  /** Chinese text for the customer. */
  detail: string;
  action: Action;
  /** Seconds to wait before a retry; 0 if the server gave none. */
  retryAfter: number;
  /** For support; empty without a response of the service. */
  requestId: string;
  /**
   * For the developer: `tt.login: ` or `tt.request: ` and what tt reported or threw, with errNo and errorCode; or what
   * was malformed in the response; or the service's title and errors. It contains no token and no login code.
   */
  cause?: string;
}

/** A response of tt.request, with any status. */
export interface Reply {
  statusCode: number;
  /** The names can have any case. */
  header: object;
  /** An object if the body is JSON, otherwise text. */
  data: unknown;
}

/** A value, or why there is none. */
export type Result<T> = { value: T; problem?: undefined } | { problem: Problem };

const ACTIONS = new Map<ServerProblem["code"], Action>([
  ["unauthenticated", "login"],
  ["store_not_found", "store"],
]);

const TEXTS = {
  network: "网络不给力，请检查网络后重试",
  login: "登录后可以查券，不登录也能用券",
  unreadable: "服务异常，请稍后再试",
};

/** Create a problem that the service did not report. `status` is 0 without a response. */
export function newProblem(code: keyof typeof TEXTS, status: number, cause: string): Problem {
  const action = code === "login" ? "login" : "retry";
  return { code, status, detail: TEXTS[code], action, retryAfter: 0, requestId: "", cause };
}

/** Read a response: the value of `read`, or a problem. A body that is not the service's is `unreadable`. */
export function readReply<T>(reply: Reply, read: (body: unknown) => T): Result<T> {
  const status = Number(reply.statusCode) || 0;
  let body: unknown;
  let cause = "not a problem";
  try {
    body = parse(reply.data);
    if (status === 200) {
      return { value: read(body) };
    }
  } catch (error) {
    cause = (error as Error).message;
  }
  return { problem: readProblem(body, status) || newProblem("unreadable", status, `status ${status}: ${cause}`) };
}

/**
 * Convert a problem of the service; undefined if `body` is not one. `status`: the HTTP status of the response. Without
 * it, the status that the problem itself has: a problem inside a response has a status of its own.
 */
export function readProblem(body: unknown, status = 0): Problem | undefined {
  const read = readServerProblem(body);
  if (!read) {
    return undefined;
  }
  const { code, detail, title, errors = [], retryable, retry_after, request_id = "" } = read;
  const problem: Problem = {
    code,
    status: status || read.status || 0,
    detail,
    action: ACTIONS.get(code) || (retryable ? "retry" : "staff"),
    retryAfter: secondsOf(retry_after),
    requestId: request_id,
  };
  const cause = [title, ...errors.map(({ field, detail }) => `${field} ${detail}`)].filter(Boolean).join("; ");
  if (cause) {
    problem.cause = cause;
  }
  return problem;
}

/** Return the parsed body; throw if it is not JSON. tt.request parses valid JSON; any other body arrives as text. */
function parse(data: unknown): unknown {
  try {
    return typeof data === "string" ? JSON.parse(data) : data;
  } catch (_) {
    // The message of JSON.parse quotes the body, which must not get into `cause`.
    throw new Error("not JSON");
  }
}

function secondsOf(value: unknown): number {
  const seconds = Number(value);
  return seconds > 0 && seconds < Infinity ? seconds : 0;
}
