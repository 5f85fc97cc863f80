/**
 * Client of the redemption service, built on `tt.login` and `tt.request`.
 *
 * Without a valid session, one request logs in and lists. The session is cached on the phone until it expires. When the
 * server rejects it, log in again and retry once; concurrent requests share one login. Promises never reject: each
 * resolves to an outcome.
 */

import type { components, paths } from "./api";
import { isProblem, newProblem, type Problem, parse, problemOf, readProblem } from "./problem";
import type { RequestOptions, TtApi } from "./tt";

export type { Action, Problem } from "./problem";
export type { LoginOptions, Reply, RequestOptions, TtApi } from "./tt";

/** One certificate of the list. Amounts are in 分, times in epoch seconds, ids are strings. */
export type Certificate = components["schemas"]["Certificate"];

/** A merchant, and where it can be visited. Without `stores`, every store of the merchant is served. */
export type Merchant = components["schemas"]["Stores"];

/** A store. The position is in GCJ-02; use it only if both coordinates are there. */
export type Store = components["schemas"]["Store"];

type List = components["schemas"]["List"];
export type Unusable = NonNullable<List["unusable"]>;
type SessionResponse = paths["/v1/sessions"]["post"]["responses"]["200"]["content"]["application/json"];
type QueryParameters = NonNullable<
  paths["/v1/merchants/{account_id}/stores/{poi_id}/certificates"]["get"]["parameters"]["query"]
>;

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

/**
 * Result of `next()`. Ignore `cancelled`.
 *
 * `list` contains everything found so far. `unusable` has the numbers of certificates that cannot be used in this store,
 * by reason; a certificate can be counted once per part.
 */
export type Outcome =
  | { kind: "list"; certificates: Certificate[]; unusable: Unusable; more: boolean }
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

/** Result of `stores()`. `stale`: the service did not respond; these are the last known stores. */
export type StoresOutcome =
  | { kind: "stores"; merchant: Merchant; stale: boolean }
  | { kind: "problem"; problem: Problem };

export interface Client {
  /** Start a list. A client loads one list at a time: this cancels the previous one. */
  certificates(query: ListQuery): Pager;
  /** Return a merchant's stores, cached in tt's storage for 5 minutes. Needs no login. */
  stores(accountId: string): Promise<StoresOutcome>;
}

interface Session {
  token: string;
  /** Epoch milliseconds. */
  endsAt: number;
}

interface CachedMerchant {
  merchant: Merchant;
  /** Epoch milliseconds. */
  readAt: number;
}

type Result<T> = { value: T; problem?: undefined } | { problem: Problem };

interface PendingRequest<T> {
  done: Promise<Result<T>>;
  abort: () => void;
}

/** The service responds within 10 s. */
const TIMEOUT_MS = 12000;
/** Do not use a session that could expire during the request. */
const EXPIRY_MARGIN_MS = 30000;
const STORES_CACHE_MS = 300000;

/** Create a client. `now` returns epoch milliseconds; tests replace it. */
export function createClient(options: ClientOptions, now: () => number = Date.now): Client {
  const { tt, baseUrl, appId } = options;
  // Douyin isolates storage by user and mini-program and clears it when the user logs out.
  const key = `redemption.session.${appId}`;
  let session: Session | undefined;
  // The last token that the server rejected. If storage failed to remove it, it must not be read back.
  let rejectedToken: string | undefined;
  let pendingLogin: Promise<Result<SessionResponse>> | undefined;
  let current: Pager | undefined;

  function cachedSession(): Session | undefined {
    if (!session) {
      const stored = tryStorage(() => tt.getStorageSync(key));
      session = isSession(stored) && stored.token !== rejectedToken ? stored : undefined;
    }
    return session && session.endsAt - EXPIRY_MARGIN_MS > now() ? session : undefined;
  }

  /** Log in, and ask for a list in the same request. Callers during a login share it. */
  function logIn(query?: ListQuery): Promise<Result<SessionResponse>> {
    if (!pendingLogin) {
      const login = loginCode().then((code) => (code ? openSession(code, query) : { problem: newProblem("login") }));
      pendingLogin = login;
      login.then(() => {
        pendingLogin = undefined;
      });
    }
    return pendingLogin;
  }

  function loginCode(): Promise<string> {
    return new Promise((resolve) => {
      // `code` is missing when the user is not logged in to Douyin.
      tt.login({ force: true, success: (login) => resolve(login.code || ""), fail: () => resolve("") });
    });
  }

  function openSession(code: string, query: ListQuery | undefined): Promise<Result<SessionResponse>> {
    const body = { app_id: appId, code, list: query };
    return send("POST", "/v1/sessions", isSessionResponse, { "content-type": "application/json" }, body).done.then(
      (result) => {
        if (!result.problem) {
          const opened = { token: result.value.token, endsAt: now() + result.value.expires_in * 1000 };
          session = opened;
          tryStorage(() => tt.setStorageSync(key, opened));
        }
        return result;
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
    let task: { abort(): void } | undefined;
    const done = new Promise<Result<T>>((resolve) => {
      const options: RequestOptions = {
        url: baseUrl + path,
        method,
        header,
        timeout: TIMEOUT_MS,
        success: (reply) => {
          const value = reply.statusCode === 200 ? parse(reply.data) : null;
          resolve(isExpected(value) ? { value } : { problem: problemOf(reply) });
        },
        fail: () => resolve({ problem: newProblem("network") }),
      };
      if (data) {
        options.data = data;
      }
      task = tt.request(options);
    });
    return { done, abort: () => task?.abort() };
  }

  function certificates(query: ListQuery): Pager {
    if (current) {
      current.cancel();
    }
    const found = new Map<string, Certificate>();
    let unusable: Unusable = {};
    let cursor: string | undefined;
    let complete = false;
    let cancelled = false;
    let request: PendingRequest<List> | undefined;
    let pending: Promise<Outcome> | undefined;
    let settle: (outcome: Outcome) => void = () => {};

    function list(): Outcome {
      return { kind: "list", certificates: Array.from(found.values()).sort(soonestFirst), unusable, more: !complete };
    }

    /** Load the next part; undefined if cancelled before its request. */
    function load(retryLogin: boolean): Promise<Result<List> | undefined> {
      const cached = cachedSession();
      if (cached) {
        return getPart(cached.token, retryLogin);
      }
      const isShared = !!pendingLogin;
      // A login under way has another list. Only the first part has no cursor.
      const withList = !isShared && !cursor;
      return logIn(withList ? query : undefined).then((result) => {
        if (result.problem) {
          // The other list was invalid, not the login.
          return isShared && result.problem.status === 400 && !cancelled ? load(retryLogin) : result;
        }
        const first = withList ? firstList(result.value) : undefined;
        return first ? check(first, result.value.token, retryLogin) : getPart(result.value.token, retryLogin);
      });
    }

    function getPart(token: string, retryLogin: boolean): Promise<Result<List> | undefined> {
      if (cancelled) {
        return Promise.resolve(undefined);
      }
      request = send("GET", listPath(query, cursor), isList, { authorization: `Bearer ${token}` });
      return request.done.then((result) => check(result, token, retryLogin));
    }

    /** After a 401, log in again and retry once. */
    function check(
      result: Result<List>,
      token: string,
      retryLogin: boolean,
    ): Result<List> | Promise<Result<List> | undefined> {
      if (!result.problem) {
        return result;
      }
      if (result.problem.status === 401) {
        discard(token);
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
    }

    function merge(result: Result<List> | undefined): Outcome {
      if (!result || cancelled) {
        return { kind: "cancelled" };
      }
      if (result.problem) {
        return { kind: "problem", problem: result.problem };
      }
      const part = result.value;
      for (const certificate of part.certificates) {
        found.set(certificate.certificate_id, certificate);
      }
      unusable = sum(cursor ? unusable : {}, part.unusable || {});
      cursor = part.next_cursor;
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

  function stores(accountId: string): Promise<StoresOutcome> {
    const storesKey = `redemption.stores.${accountId}`;
    const stored = tryStorage(() => tt.getStorageSync(storesKey));
    const cached = isCachedMerchant(stored) ? stored : undefined;
    const age = cached ? now() - cached.readAt : -1;
    if (cached && age >= 0 && age < STORES_CACHE_MS) {
      return Promise.resolve({ kind: "stores", merchant: cached.merchant, stale: false });
    }
    return send("GET", storesPath(accountId), isMerchant, {}).done.then((result) => {
      if (!result.problem) {
        const merchant = result.value;
        tryStorage(() => tt.setStorageSync(storesKey, { merchant, readAt: now() }));
        return { kind: "stores", merchant, stale: false };
      }
      if (result.problem.code === "merchant_not_found") {
        tryStorage(() => tt.removeStorageSync(storesKey));
      } else if (cached) {
        return { kind: "stores", merchant: cached.merchant, stale: true };
      }
      return { kind: "problem", problem: result.problem };
    });
  }

  return { certificates, stores };
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

/** Return the list of a login response, or its problem; undefined if it has neither (an older service). */
function firstList({ list, list_problem }: SessionResponse): Result<List> | undefined {
  if (isProblem(list_problem)) {
    return { problem: readProblem(list_problem, list_problem.status) };
  }
  return isList(list) ? { value: list } : undefined;
}

function isMerchant(value: unknown): value is Merchant {
  const { account_id, stores } = (value || {}) as Partial<Merchant>;
  return typeof account_id === "string" && (stores === undefined || Array.isArray(stores));
}

function isCachedMerchant(value: unknown): value is CachedMerchant {
  const { merchant, readAt } = (value || {}) as Partial<CachedMerchant>;
  return isMerchant(merchant) && typeof readAt === "number";
}

function isList(value: unknown): value is List {
  return Array.isArray(((value || {}) as Partial<List>).certificates);
}

function storesPath(accountId: string): string {
  return `/v1/merchants/${encodeURIComponent(accountId)}/stores`;
}

function listPath(query: ListQuery, cursor: string | undefined): string {
  const { account_id, poi_id, biz_type, start_time, end_time } = query;
  const parameters: { [name: string]: string | number | undefined } = { biz_type, start_time, end_time, cursor };
  const pairs = Object.keys(parameters)
    .filter((name) => parameters[name] !== undefined)
    .map((name) => `${name}=${encodeURIComponent(String(parameters[name]))}`);
  const path = `${storesPath(account_id)}/${encodeURIComponent(poi_id)}/certificates`;
  return pairs.length ? `${path}?${pairs.join("&")}` : path;
}

/** Add two sets of counts. */
function sum(a: Unusable, b: Unusable): Unusable {
  const total = Object.assign({}, a);
  for (const reason of Object.keys(b) as (keyof Unusable)[]) {
    total[reason] = (total[reason] || 0) + (b[reason] as number);
  }
  return total;
}

/** Compare in the service's order: by expiry, without an expiry last, then by certificate_id. */
function soonestFirst(one: Certificate, other: Certificate): number {
  const [a = 0, b = 0] = [one, other].map((c) => (c.expire_time === undefined ? Number.MAX_VALUE : c.expire_time));
  return a - b || (one.certificate_id < other.certificate_id ? -1 : 1);
}
