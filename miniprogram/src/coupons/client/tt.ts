/**
 * The functions of Douyin's `tt` that the client calls, and `callTt`, which calls tt.login and tt.request. The
 * declarations of `tt` in Taro, uni-app and @douyin-microapp/typings all fit `TtApi`.
 */

import { newProblem, type Reply, type Result } from "./problem";

/** Storage key of the session. Douyin isolates storage by user and mini-program, and clears it at the user's logout. */
export const SESSION_STORAGE_KEY = "redemption.session";

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

/** Has methods, not properties: TypeScript compares their parameters bivariantly, so other declarations of `tt` fit. */
export interface TtApi {
  login(options: LoginOptions): unknown;
  request(options: RequestOptions): { abort(): void };
  /** May throw. The other two storage functions may, too. */
  getStorageSync(key: string): unknown;
  setStorageSync(key: string, data: unknown): unknown;
  removeStorageSync(key: string): unknown;
}

// Every JavaScript runtime has both functions. They are declared here, so that the package needs no runtime's types.
declare function setTimeout(callback: () => void, milliseconds: number): unknown;
declare function clearTimeout(timer: unknown): void;

/** Time limit of tt.request. The service responds within 10 s. */
export const TIMEOUT_MS = 12000;
/** Time limit of `callTt`. It is longer, so that tt.request reports its own timeout first. */
const CALL_LIMIT_MS = TIMEOUT_MS + 1000;
const MAX_CAUSE = 200;
/**
 * Error texts of tt.login that mean "no response": the customer may be logged in. Its document lists "network
 * unavailable" and "service error".
 */
const NO_RESPONSE = /network|service|timeout/i;

interface TtCall<V, T> {
  name: "tt.login" | "tt.request";
  /** Call tt and return its result. If that is a promise which is rejected, the call has failed. */
  call: (success: (value: V) => void, fail: (reason?: unknown) => void) => unknown;
  /** Read what `success` received; may throw. */
  read: (value: V) => Result<T>;
  /** A token or login code, which is removed from the problem's cause. */
  credential?: string;
}

/**
 * Call tt.login or tt.request. Return what `read` returns, or a problem with the cause. The promise always resolves
 * within `CALL_LIMIT_MS`, whatever tt does.
 */
export function callTt<V, T>({ name, call, read, credential }: TtCall<V, T>): Promise<Result<T>> {
  let timer: unknown;
  // The value is in an array: a promise would wait for a bare value that has a `then`.
  const called = new Promise<[V]>((resolve, reject) => {
    timer = setTimeout(() => reject(`no callback in ${CALL_LIMIT_MS / 1000} s`), CALL_LIMIT_MS);
    Promise.resolve(call((value) => resolve([value]), reject)).catch(reject);
  });
  return called
    .then(([value]) => read(value))
    .catch((reason) => {
      const text = attempt(() => reasonText(reason)) || "no reason";
      const cause = credential ? text.split(credential).join("…") : text;
      const code = name === "tt.login" && !NO_RESPONSE.test(text) ? "login" : "network";
      return { problem: newProblem(code, 0, `${name}: ${cause}`.slice(0, MAX_CAUSE)) };
    })
    .then((result) => {
      clearTimeout(timer);
      return result;
    });
}

/** Call a function that may throw, for example one of the storage. Return its result; undefined if it throws. */
export function attempt<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (_) {
    return undefined;
  }
}

/** Return the text of an error, or of what tt passes to `fail`. Some APIs of Douyin report errorCode besides errNo. */
function reasonText(reason: unknown): string {
  const { errMsg, errNo, errorCode, message } = Object(reason);
  const numbers = [errNo && `errNo ${errNo}`, errorCode && `errorCode ${errorCode}`].filter(Boolean).join(", ");
  return `${errMsg || message || reason || ""}${numbers && ` (${numbers})`}`;
}
