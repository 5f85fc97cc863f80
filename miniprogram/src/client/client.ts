/**
 * Client of the redemption service, built on `tt.login` and `tt.request`.
 *
 * Log in when a request has no valid session. Cache the session on the phone until it expires. When the server rejects
 * the session, log in again and retry once; concurrent requests share one login. Promises never reject: each resolves to
 * an `Outcome`.
 */

import type * as tt from "@douyin-microapp/typings/types/api";
import type { components, paths } from "./api";
import { newProblem, type Problem, parse, problemOf, type Reply } from "./problem";

export type { Action, Problem } from "./problem";

/** One certificate of the list. Amounts are in 分, times in epoch seconds, ids are strings. */
export type Certificate = components["schemas"]["Certificate"];

type List = components["schemas"]["List"];
type SessionResponse = paths["/v1/sessions"]["post"]["responses"]["200"]["content"]["application/json"];
type QueryParameters = NonNullable<
  paths["/v1/merchants/{account_id}/stores/{poi_id}/certificates"]["get"]["parameters"]["query"]
>;

/** The part of `tt` that the client calls. */
export type TtApi = Pick<typeof tt, "login" | "request" | "getStorageSync" | "setStorageSync" | "removeStorageSync">;

export interface ClientOptions {
  tt: TtApi;
  /** Address of the service, without a trailing slash. The host must be on the mini-program's domain allow-list. */
  baseUrl: string;
  /** The app_id of this mini-program. */
  appId: string;
}

/** The store of a merchant to list, and optional filters (times in epoch seconds). */
export interface ListQuery extends Pick<QueryParameters, "biz_type" | "start_time" | "end_time"> {
  account_id: string;
  poi_id: string;
}

/** Result of `next()`. `list` contains everything found so far. Ignore `cancelled`. */
export type Outcome =
  | { kind: "list"; certificates: Certificate[]; more: boolean }
  | { kind: "problem"; problem: Problem }
  | { kind: "cancelled" };

/** Pagination of one list. */
export interface Pager {
  /**
   * Load the next part and return the whole list so far: soonest to expire first, without duplicates.
   *
   * Calls during a load share its promise. At the end, the list is returned without a request. After a problem, the
   * same part is requested again.
   */
  next(): Promise<Outcome>;
  /** Abort the request in flight. A pending `next()` and every later one resolve to `cancelled`. */
  cancel(): void;
}

export interface Client {
  /** Start a list. A client loads one list at a time: this cancels the previous one. */
  certificates(query: ListQuery): Pager;
}

interface Session {
  token: string;
  /** Epoch milliseconds. */
  endsAt: number;
}

type Result<T> = { value: T } | { problem: Problem };

interface PendingRequest<T> {
  done: Promise<Result<T>>;
  abort: () => void;
}

/** The service responds within 10 s. */
const TIMEOUT_MS = 12000;
/** Do not use a session that could expire during the request. */
const EXPIRY_MARGIN_MS = 30000;

/** Create a client. `now` returns epoch milliseconds; tests replace it. */
export function createClient(options: ClientOptions, now: () => number = Date.now): Client {
  const { tt, baseUrl, appId } = options;
  // Douyin isolates storage by user and mini-program and clears it when the user logs out.
  const key = `redemption.session.${appId}`;
  let session: Session | undefined;
  // The last token that the server rejected. If storage failed to remove it, it must not be read back.
  let rejectedToken: string | undefined;
  let pendingLogin: Promise<Result<string>> | undefined;
  let current: Pager | undefined;

  function cachedSession(): Session | undefined {
    if (!session) {
      const stored = tryStorage(() => tt.getStorageSync(key));
      session = isSession(stored) && stored.token !== rejectedToken ? stored : undefined;
    }
    return session && session.endsAt - EXPIRY_MARGIN_MS > now() ? session : undefined;
  }

  /** Return the session token. Callers during a login share that login. */
  function sessionToken(): Promise<Result<string>> {
    const cached = cachedSession();
    if (cached) {
      return Promise.resolve({ value: cached.token });
    }
    if (!pendingLogin) {
      const login = logIn();
      pendingLogin = login;
      login.then(() => {
        pendingLogin = undefined;
      });
    }
    return pendingLogin;
  }

  function logIn(): Promise<Result<string>> {
    return new Promise<string>((resolve) => {
      // `code` is missing when the user is not logged in to Douyin.
      tt.login({ force: true, success: (login) => resolve(login.code || ""), fail: () => resolve("") });
    }).then((code) => (code ? openSession(code) : { problem: newProblem("login") }));
  }

  function openSession(code: string): Promise<Result<string>> {
    const body = { app_id: appId, code };
    return send("POST", "/v1/sessions", isSessionResponse, { "content-type": "application/json" }, body).done.then(
      (result) => {
        if ("problem" in result) {
          return result;
        }
        const opened = { token: result.value.token, endsAt: now() + result.value.expires_in * 1000 };
        session = opened;
        tryStorage(() => tt.setStorageSync(key, opened));
        return { value: opened.token };
      },
    );
  }

  /** Remove a rejected session from the cache, unless a new session has replaced it. */
  function discard(token: string): void {
    rejectedToken = token;
    if (session && session.token === token) {
      session = undefined;
      tryStorage(() => tt.removeStorageSync(key));
    }
  }

  /** Send one request. tt.request calls `success` for every status, so check the status and the body. */
  function send<T>(
    method: "GET" | "POST",
    path: string,
    isExpected: (value: unknown) => value is T,
    header: object,
    data?: object,
  ): PendingRequest<T> {
    let abort = () => {};
    const done = new Promise<Result<T>>((resolve) => {
      // A variable, not a literal argument: the typings do not declare `timeout`.
      const request = {
        url: baseUrl + path,
        method,
        header,
        timeout: TIMEOUT_MS,
        success: (reply: Reply) => {
          const value = reply.statusCode === 200 ? parse(reply.data) : null;
          resolve(isExpected(value) ? { value } : { problem: problemOf(reply) });
        },
        fail: () => resolve({ problem: newProblem("network") }),
        ...(data ? { data } : {}),
      };
      const task = tt.request(request);
      abort = () => task.abort();
    });
    return { done, abort };
  }

  function certificates(query: ListQuery): Pager {
    if (current) {
      current.cancel();
    }
    const found: { [certificateId: string]: Certificate } = {};
    let cursor: string | undefined;
    let complete = false;
    let cancelled = false;
    let request: PendingRequest<List> | undefined;
    let pending: Promise<Outcome> | undefined;
    let settle: (outcome: Outcome) => void = () => {};

    function list(): Outcome {
      return {
        kind: "list",
        certificates: Object.keys(found)
          .map((id) => found[id] as Certificate)
          .sort(soonestFirst),
        more: !complete,
      };
    }

    /** Request the next part; undefined if cancelled before the request. */
    function load(retryLogin: boolean): Promise<Result<List> | undefined> {
      return sessionToken().then((token) => {
        if ("problem" in token) {
          return token;
        }
        if (cancelled) {
          return undefined;
        }
        request = send("GET", pathOf(query, cursor), isList, { authorization: `Bearer ${token.value}` });
        return request.done.then((result) => {
          if (!("problem" in result)) {
            return result;
          }
          if (result.problem.status === 401) {
            discard(token.value);
            if (retryLogin && !cancelled) {
              return load(false);
            }
          }
          if (result.problem.code === "invalid_request" && cursor) {
            // The server no longer accepts the cursor. Start again without it; keep what was found.
            cursor = undefined;
            result.problem.action = "retry";
          }
          return result;
        });
      });
    }

    function merge(result: Result<List> | undefined): Outcome {
      if (!result || cancelled) {
        return { kind: "cancelled" };
      }
      if ("problem" in result) {
        return { kind: "problem", problem: result.problem };
      }
      for (const certificate of result.value.certificates) {
        found[certificate.certificate_id] = certificate;
      }
      cursor = result.value.next_cursor;
      complete = !cursor;
      return list();
    }

    const pager: Pager = {
      next() {
        if (cancelled || complete) {
          return Promise.resolve(cancelled ? { kind: "cancelled" } : list());
        }
        if (!pending) {
          const outcome = new Promise<Outcome>((resolve) => {
            settle = resolve;
            load(true).then((result) => resolve(merge(result)));
          });
          pending = outcome;
          outcome.then(() => {
            pending = undefined;
          });
        }
        return pending;
      },
      cancel() {
        cancelled = true;
        settle({ kind: "cancelled" });
        if (request) {
          request.abort();
        }
      },
    };
    current = pager;
    return pager;
  }

  return { certificates };
}

/** Call tt's storage. It throws when it is full or broken; then the session is cached in memory only. */
function tryStorage<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (_) {
    return undefined;
  }
}

function isSession(value: unknown): value is Session {
  const stored = (value || {}) as Partial<Session>;
  return typeof stored.token === "string" && typeof stored.endsAt === "number";
}

function isSessionResponse(value: unknown): value is SessionResponse {
  const response = (value || {}) as Partial<SessionResponse>;
  return typeof response.token === "string" && typeof response.expires_in === "number";
}

function isList(value: unknown): value is List {
  return Array.isArray(((value || {}) as Partial<List>).certificates);
}

function pathOf(query: ListQuery, cursor: string | undefined): string {
  const { account_id, poi_id, biz_type, start_time, end_time } = query;
  const parameters: { [name: string]: string | number | undefined } = { biz_type, start_time, end_time, cursor };
  const pairs = Object.keys(parameters)
    .filter((name) => parameters[name] !== undefined)
    .map((name) => `${name}=${encodeURIComponent(String(parameters[name]))}`);
  const path = `/v1/merchants/${encodeURIComponent(account_id)}/stores/${encodeURIComponent(poi_id)}/certificates`;
  return pairs.length ? `${path}?${pairs.join("&")}` : path;
}

/** Compare in the service's order: by expiry, without an expiry last, then by certificate_id. */
function soonestFirst(one: Certificate, other: Certificate): number {
  const [a, b] = [one, other].map((c) => (c.expire_time === undefined ? Number.POSITIVE_INFINITY : c.expire_time));
  if (a !== b) {
    return (a as number) < (b as number) ? -1 : 1;
  }
  return one.certificate_id < other.certificate_id ? -1 : 1;
}
