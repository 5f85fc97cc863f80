/**
 * Client of the redemption service, built on `tt.login` and `tt.request`.
 *
 * Without a valid session, one request logs in and lists. The session is cached on the phone until it expires. When the
 * server rejects it, the client logs in again and retries once. Concurrent requests share one login. Every promise
 * resolves to an outcome, whatever `tt` and the server do.
 */

import type { operations } from "./api";
import {
  type Certificate,
  type ListPart,
  type Merchant,
  readMerchant,
  readPart,
  readSessionResponse,
  readStoredMerchant,
} from "./body";
import { newProblem, type Problem, type Reply, type Result, readProblem, readReply } from "./problem";
import { attempt, callTt, TIMEOUT_MS, type TtApi } from "./tt";
import { createPhoneUser } from "./user";

export type { Certificate, Kind, Merchant, Store } from "./body";
export type { Action, Code, Problem, Reply } from "./problem";
export type { LoginOptions, RequestOptions, TtApi } from "./tt";

export type Unusable = NonNullable<ListPart["unusable"]>;
/** Settings of the merchant for the pages: `notice`, if there is one, and `redeeming`, if it is false. */
export type MerchantSettings = Omit<ListPart, "account_id" | "poi_id" | "certificates" | "unusable" | "next_cursor">;
type QueryParameters = NonNullable<operations["listCertificates"]["parameters"]["query"]>;

export interface ClientOptions {
  tt: TtApi;
  /** Address of the service. The host must be on the mini-program's domain allow-list. */
  baseUrl: string;
  /** The app_id of this mini-program. */
  appId: string;
}

/** The store of a merchant to list, and optional filters (times in epoch seconds). */
export interface ListOptions extends Pick<QueryParameters, "biz_type" | "start_time" | "end_time"> {
  account_id: string;
  poi_id: string;
  onProgress?: (progress: Progress) => void;
}

/**
 * Result of `next()`. Ignore `cancelled`.
 *
 * `list` contains everything found so far. `unusable` has the numbers of certificates that cannot be used in this
 * store, by reason. A certificate that several parts report is counted several times. `notice` and `redeeming` are
 * those of the newest part.
 */
export type Outcome =
  | ({ kind: "list"; certificates: Certificate[]; unusable: Unusable; more: boolean } & MerchantSettings)
  | { kind: "problem"; problem: Problem }
  | { kind: "cancelled" };

/** Pagination of one list. */
export interface Pager {
  /**
   * Load the next part and return the whole list so far: soonest to expire first, without duplicates. While a part has
   * no new certificates, the next one is loaded too, at most 10 times.
   *
   * Calls during a load share its promise. After the last part, a call returns the list without a request. After a
   * problem, a call requests the same part again; after a refused cursor, the first part.
   */
  next(): Promise<Outcome>;
  /** Abort the request in flight. A pending `next()` and every later one resolve to `cancelled`. */
  cancel(): void;
}

/**
 * Report to the page.
 *
 * - `searching`: a part had no new certificates, so the next one is being requested
 * - `user_changed`: another user has logged in on this phone, or may have, because the storage has failed. Clear what
 *   is shown. The pager has already cleared its list.
 */
export type Progress = "searching" | "user_changed";

/** Result of `listStores()`. `stale`: the request failed; these are the last known stores. */
export type StoresOutcome =
  | { kind: "stores"; merchant: Merchant; stale: boolean }
  | { kind: "problem"; problem: Problem };

export interface Client {
  /** Start a list. A client loads one list at a time: this cancels the previous one. */
  listCertificates(options: ListOptions): Pager;
  /** Return a merchant's stores, cached in tt's storage for 5 minutes. Needs no login. */
  listStores(options: { account_id: string }): Promise<StoresOutcome>;
  /**
   * Report `user_changed` to the present list if another user has logged in on this phone, or may have, because the
   * storage fails. Call it whenever a page is shown again, before it shows a list. Makes no request.
   */
  checkUser(): void;
}

interface Login {
  token: string;
  /** Seconds. */
  expires_in: number;
  /** The first part or its problem; undefined if the login had no query, or the response has no readable list. */
  firstPart: Result<ListPart> | undefined;
}

interface PendingRequest<T> {
  done: Promise<Result<T>>;
  abort: () => void;
}

/** Do not use a session that could expire during the request. */
const EXPIRY_MARGIN_MS = 30000;
const STORES_CACHE_MS = 300000;
// The service reads up to 4 pages of the platform for a part, and ends a list after 40 (paging.py): 10 full parts.
const MAX_EMPTY_PARTS = 10;
const CANCELLED: Outcome = { kind: "cancelled" };
const MERCHANT_SETTINGS: { [name in keyof MerchantSettings]-?: true } = { notice: true, redeeming: true };

/**
 * Create a client; a program needs one. `now` returns epoch milliseconds; tests replace it.
 *
 * @throws Error if an option is missing, or `baseUrl` does not begin with https:// (for tests also http://).
 */
export function createClient(options: ClientOptions, now: () => number = Date.now): Client {
  const missing = (["tt", "baseUrl", "appId"] as const).filter((name) => !options[name]);
  if (missing.length) {
    throw new Error(`createClient: ${missing.join(", ")} missing`);
  }
  if (!/^https?:\/\/./.test(options.baseUrl)) {
    throw new Error("createClient: baseUrl must begin with https://");
  }
  const { tt, appId } = options;
  const baseUrl = options.baseUrl.replace(/\/+$/, "");
  let pendingLogin: Promise<Result<Login>> | undefined;
  let current: Pager | undefined;
  /** Whether the newest list was cancelled: then a login under way ends before its request. */
  let isCurrentCancelled = () => false;
  let report: (progress: Progress) => unknown = () => {};

  const user = createPhoneUser(tt, () => report("user_changed"));

  /** Log in. The same request asks for the list of `query`. */
  function logIn(query?: ListOptions): Promise<Result<Login>> {
    const login = requestLoginCode(true)
      .then((result) => {
        if (result.problem) {
          return result;
        }
        return isCurrentCancelled() ? { problem: otherUser() } : openSession(result.value, query);
      })
      .then((result) => {
        pendingLogin = undefined;
        return result;
      });
    pendingLogin = login;
    return login;
  }

  /** Get a login code of the user whose storage this is. If another user logs in meanwhile, get a new code, once. */
  function requestLoginCode(mayRetry: boolean): Promise<Result<string>> {
    const token = user.ensureStoredToken();
    return callTt<{ code?: unknown }, string>({
      name: "tt.login",
      call: (success, fail) => tt.login({ force: true, success, fail }),
      read: ({ code }) => {
        if (!code || typeof code !== "string") {
          throw new Error("no code: not logged in to Douyin");
        }
        return { value: code };
      },
    }).then((result) => {
      user.sync();
      if (result.problem || user.isStored(token)) {
        return result;
      }
      if (mayRetry) {
        return requestLoginCode(false);
      }
      // With neither token nor session, nothing can be stored, so users cannot be told apart. The code is used all the
      // same; its session serves this list only.
      return token || user.session() ? { problem: otherUser() } : result;
    });
  }

  function openSession(code: string, query: ListOptions | undefined): Promise<Result<Login>> {
    const data = { app_id: appId, code, list: query };
    return send(() => "/v1/sessions", readLogin, code, data).done.then((result) => {
      if (!result.problem) {
        user.setSession({ token: result.value.token, endsAt: now() + result.value.expires_in * 1000 });
      }
      return result;
    });
  }

  /**
   * Send one request. If the user may have changed before the response, the result is a problem.
   *
   * `path` is called inside, because encodeURIComponent can throw. `credential`: the session token, or the login code
   * that is in `loginData`; empty for a request that needs no user.
   */
  function send<T>(
    path: () => string,
    read: (body: unknown) => T,
    credential: string,
    loginData?: object,
  ): PendingRequest<T> {
    const changesAtStart = user.changes();
    let task: { abort(): void } | undefined;
    const content = loginData
      ? { method: "POST" as const, header: { "content-type": "application/json" }, data: loginData }
      : { method: "GET" as const, header: credential ? { authorization: `Bearer ${credential}` } : {} };
    const sent = callTt<Reply, T>({
      name: "tt.request",
      call: (success, fail) => {
        const common = { url: baseUrl + path(), timeout: TIMEOUT_MS };
        task = tt.request(Object.assign(common, content, { success, fail }));
        return task;
      },
      read: (reply) => readReply(reply, read),
      credential,
    });
    const done = sent.then((result) => {
      if (!credential) {
        return result;
      }
      user.sync();
      return user.changes() === changesAtStart ? result : { problem: otherUser() };
    });
    return { done, abort: () => attempt(() => task?.abort()) };
  }

  function listCertificates(options: ListOptions): Pager {
    if (current) {
      current.cancel();
    }
    const { onProgress = () => {} } = options;
    const query = Object.assign({}, options);
    delete query.onProgress;
    report = (progress) => isCancelled || attempt(() => onProgress(progress));
    let knownChanges = user.changes();
    const found = new Map<string, Certificate>();
    let unusable: Unusable = {};
    let merchantSettings: MerchantSettings = {};
    let cursor: string | undefined;
    let isComplete = false;
    let isCancelled = false;
    // Whether this list has logged in. Then it continues with its session, even if that could not be stored. The next
    // list logs in again.
    let hasLoggedIn = false;
    isCurrentCancelled = () => isCancelled;
    let request: PendingRequest<ListPart> | undefined;
    let pending: Promise<Outcome> | undefined;
    let settlePending: (outcome: Outcome) => void = () => {};

    function listOutcome(): Outcome {
      const certificates = Array.from(found.values()).sort(soonestFirst);
      return Object.assign({ kind: "list" as const, certificates, unusable, more: !isComplete }, merchantSettings);
    }

    /** Let the list begin again if the user has changed. */
    function resetIfUserChanged(): void {
      if (!user.sync() && user.session() && !hasLoggedIn) {
        // The session is not in the storage, so it may be another user's.
        user.dropSession();
      }
      if (knownChanges !== user.changes()) {
        knownChanges = user.changes();
        found.clear();
        unusable = {};
        cursor = undefined;
        isComplete = false;
      }
    }

    /** Load parts until one has new certificates, or the list ends. */
    function search(emptyParts: number): Promise<Outcome> {
      return load(true).then((result) => {
        // A list that begins again replaces what was found.
        const before = cursor ? found.size : 0;
        const outcome = addPart(result);
        if (outcome.kind === "list" && outcome.more && found.size === before && emptyParts < MAX_EMPTY_PARTS) {
          report("searching");
          return search(emptyParts + 1);
        }
        return outcome;
      });
    }

    /** Load the next part; undefined if cancelled before its request. */
    function load(mayLogInAgain: boolean): Promise<Result<ListPart> | undefined> {
      if (isCancelled) {
        return Promise.resolve(undefined);
      }
      resetIfUserChanged();
      // The report of another user may have cancelled this list.
      if (isCancelled) {
        return Promise.resolve(undefined);
      }
      const session = user.session();
      if (session && session.endsAt - EXPIRY_MARGIN_MS > now()) {
        return requestPart(session.token, mayLogInAgain);
      }
      if (pendingLogin) {
        // A replaced list is logging in: wait for that login. Then `load` uses the session if it is stored. Otherwise,
        // it may be another user's, and `load` logs in. Also after status 400: the query of the replaced list was
        // invalid, so nobody has been logged in.
        return pendingLogin.then((result) =>
          result.problem && result.problem.status !== 400 ? result : load(mayLogInAgain),
        );
      }
      // A login returns only a first part. A part with a cursor is requested after the login.
      return logIn(cursor ? undefined : query).then((result) => {
        if (result.problem) {
          return result;
        }
        const { token, firstPart } = result.value;
        hasLoggedIn = true;
        if ((found.size || cursor) && knownChanges === user.changes() && !user.isStored(token)) {
          // The session is not in the storage, so the user may have changed: clear what was found before.
          user.markChanged();
        }
        resetIfUserChanged();
        return firstPart ? handleListProblem(firstPart, token, mayLogInAgain) : requestPart(token, mayLogInAgain);
      });
    }

    function requestPart(token: string, mayLogInAgain: boolean): Promise<Result<ListPart> | undefined> {
      if (isCancelled) {
        return Promise.resolve(undefined);
      }
      request = send(() => listPath(query, cursor), readPart, token);
      return request.done.then((result) => handleListProblem(result, token, mayLogInAgain));
    }

    /** After a 401, log in again and retry once. After a refused cursor, let the next call begin at the first part. */
    function handleListProblem(
      result: Result<ListPart>,
      token: string,
      mayLogInAgain: boolean,
    ): Result<ListPart> | Promise<Result<ListPart> | undefined> {
      if (!result.problem) {
        return result;
      }
      if (result.problem.status === 401 || result.problem.code === "login") {
        user.expire(token);
        if (mayLogInAgain) {
          return load(false);
        }
      }
      if (result.problem.code === "invalid_request" && cursor) {
        // The service accepted the same query without a cursor, so it refuses the cursor. Offer a retry without it.
        cursor = undefined;
        return { problem: Object.assign({}, result.problem, { action: "retry" as const }) };
      }
      return result;
    }

    function addPart(result: Result<ListPart> | undefined): Outcome {
      if (!result || isCancelled) {
        return CANCELLED;
      }
      if (result.problem) {
        return { kind: "problem", problem: result.problem };
      }
      const part = result.value;
      if (!cursor) {
        found.clear();
      }
      for (const certificate of part.certificates) {
        found.set(certificate.certificate_id, certificate);
      }
      unusable = sum(cursor ? unusable : {}, part.unusable || {});
      merchantSettings = {};
      for (const name of Object.keys(MERCHANT_SETTINGS) as (keyof MerchantSettings)[]) {
        if (part[name] !== undefined) {
          Object.assign(merchantSettings, { [name]: part[name] });
        }
      }
      cursor = part.next_cursor;
      isComplete = !cursor;
      return listOutcome();
    }

    const pager: Pager = {
      next() {
        resetIfUserChanged();
        if (isCancelled || isComplete) {
          return Promise.resolve(isCancelled ? CANCELLED : listOutcome());
        }
        if (!pending) {
          const outcome = new Promise<Outcome>((resolve) => {
            settlePending = resolve;
            search(0).then(resolve);
          });
          pending = outcome;
          outcome.then(() => {
            pending = undefined;
          });
        }
        return pending;
      },
      cancel() {
        isCancelled = true;
        settlePending(CANCELLED);
        if (request) {
          request.abort();
        }
      },
    };
    current = pager;
    return pager;
  }

  function listStores({ account_id }: { account_id: string }): Promise<StoresOutcome> {
    const storesKey = `redemption.stores.${account_id}`;
    const cached = attempt(() => readStoredMerchant(tt.getStorageSync(storesKey)));
    const age = cached ? now() - cached.readAt : -1;
    if (cached && age >= 0 && age < STORES_CACHE_MS) {
      return Promise.resolve(storesOutcome(cached.merchant, false));
    }
    return send(() => storesPath(account_id), readMerchant, "").done.then((result) => {
      if (!result.problem) {
        attempt(() => tt.setStorageSync(storesKey, { merchant: result.value, readAt: now() }));
        return storesOutcome(result.value, false);
      }
      if (result.problem.code === "merchant_not_found") {
        attempt(() => tt.removeStorageSync(storesKey));
      } else if (cached) {
        return storesOutcome(cached.merchant, true);
      }
      return { kind: "problem", problem: result.problem };
    });
  }

  function checkUser(): void {
    user.sync();
    // Without a session, there is nothing to drop, but a login under way may be the former user's.
    if (!user.isKnown() && (user.session() || pendingLogin)) {
      user.dropSession();
    }
  }

  return { listCertificates, listStores, checkUser };
}

function otherUser(): Problem {
  return newProblem("login", 0, "another user has logged in");
}

function storesOutcome(merchant: Merchant, stale: boolean): StoresOutcome {
  return { kind: "stores", merchant, stale };
}

function readLogin(body: unknown): Login {
  const { token, expires_in, list, list_problem } = readSessionResponse(body);
  const problem = readProblem(list_problem);
  const value = attempt(() => readPart(list));
  return { token, expires_in, firstPart: problem ? { problem } : value && { value } };
}

function storesPath(accountId: string): string {
  return `/v1/merchants/${encodeURIComponent(accountId)}/stores`;
}

function listPath(query: ListOptions, cursor: string | undefined): string {
  const { account_id, poi_id, biz_type, start_time, end_time } = query;
  const parameters: { [name: string]: string | number | undefined } = { biz_type, start_time, end_time, cursor };
  const pairs = Object.keys(parameters)
    .filter((name) => parameters[name] !== undefined)
    .map((name) => `${name}=${encodeURIComponent(String(parameters[name]))}`);
  const path = `${storesPath(account_id)}/${encodeURIComponent(poi_id)}/certificates`;
  return pairs.length ? `${path}?${pairs.join("&")}` : path;
}

/** Add two sets of counts, which may have reasons that this client does not know. */
function sum(a: Unusable, b: Unusable): Unusable {
  const total = Object.assign({}, a);
  for (const reason of Object.keys(b) as (keyof Unusable)[]) {
    const count = b[reason] as number;
    if (Number.isFinite(count)) {
      total[reason] = (total[reason] || 0) + count;
    }
  }
  return total;
}

/** Compare in the service's order: by expiry, without an expiry last, then by certificate_id. */
function soonestFirst(one: Certificate, other: Certificate): number {
  const { expire_time: a = Number.MAX_VALUE } = one;
  const { expire_time: b = Number.MAX_VALUE } = other;
  return a - b || (one.certificate_id < other.certificate_id ? -1 : 1);
}
