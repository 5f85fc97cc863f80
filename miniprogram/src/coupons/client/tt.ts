/** The part of Douyin's `tt` that the client calls, and how. `tt` of @douyin-microapp/typings, Taro and uni-app all fit. */

import { newProblem, type Reply, type Result } from "./problem";

/** Where the session is stored. Douyin isolates storage by user and mini-program and clears it when the user logs out. */
export const SESSION_KEY = "redemption.session";

export interface RequestOptions {
  url: string;
  method: "GET" | "POST";
  header: object;
  data?: object;
  /** Milliseconds. */
  timeout: number;
  /** Called for every status. */
  success: (reply: Reply) => void;
  fail: (reason?: unknown) => void;
}

export interface LoginOptions {
  /** Ask a user who is not logged in to Douyin to log in. */
  force: boolean;
  success: (login: { code?: string }) => void;
  fail: (reason?: unknown) => void;
}

/** Methods, not properties: their parameters are compared bivariantly, so that other declarations of `tt` fit. */
export interface TtApi {
  login(options: LoginOptions): unknown;
  request(options: RequestOptions): { abort(): void };
  /** May throw, as the other two storage functions. */
  getStorageSync(key: string): unknown;
  setStorageSync(key: string, data: unknown): unknown;
  removeStorageSync(key: string): unknown;
}

// Every platform has both; the package does not depend on the types of one.
declare function setTimeout(callback: () => void, milliseconds: number): unknown;
declare function clearTimeout(timer: unknown): void;

/** Of tt.request. The service responds within 10 s. */
export const TIMEOUT_MS = 12000;
/** Later than tt.request, which reports its time limit itself. */
const SETTLE_MS = TIMEOUT_MS + 1000;
const MAX_CAUSE = 200;
/**
 * Texts with which tt.login fails although the customer may be logged in: its document has "network unavailable" and
 * "service error".
 */
const NO_RESPONSE = /network|service|timeout/i;

interface TtCall<V, T> {
  name: "tt.login" | "tt.request";
  /** Call tt. Return what it returns: if that is a promise, it may be rejected. */
  call: (success: (value: V) => void, fail: (reason?: unknown) => void) => unknown;
  /** Read what `success` received; may throw. */
  read: (value: V) => Result<T>;
  /** Removed from the problem's cause. */
  secret?: string;
}

/**
 * Call tt.login or tt.request. The promise always resolves, once and in time, whatever tt does: to what `read` returns,
 * or to a problem with the cause.
 */
export function settle<V, T>({ name, call, read, secret }: TtCall<V, T>): Promise<Result<T>> {
  let timer: unknown;
  // In an array, because a promise would wait for a value that has a `then`.
  const called = new Promise<[V]>((resolve, reject) => {
    timer = setTimeout(() => reject(`no callback in ${SETTLE_MS / 1000} s`), SETTLE_MS);
    Promise.resolve(call((value) => resolve([value]), reject)).catch(reject);
  });
  return called
    .then(([value]) => read(value))
    .catch((reason) => {
      const text = attempt(() => reasonText(reason)) || "no reason";
      const cause = secret ? text.split(secret).join("…") : text;
      const code = name === "tt.login" && !NO_RESPONSE.test(text) ? "login" : "network";
      return { problem: newProblem(code, 0, `${name}: ${cause}`.slice(0, MAX_CAUSE)) };
    })
    .then((result) => {
      clearTimeout(timer);
      return result;
    });
}

/** Call a function that may throw, as those of the storage; undefined if it does. */
export function attempt<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (_) {
    return undefined;
  }
}

/** Return the text of an error, or of what tt passes to `fail`: Douyin adds errorCode to errNo, API by API. */
function reasonText(reason: unknown): string {
  const { errMsg, errNo, errorCode, message } = Object(reason);
  const numbers = [errNo && `errNo ${errNo}`, errorCode && `errorCode ${errorCode}`].filter(Boolean).join(", ");
  return `${errMsg || message || reason || ""}${numbers && ` (${numbers})`}`;
}
