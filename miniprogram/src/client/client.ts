/**
 * The client of the redemption service, over `tt.login` and `tt.request`.
 *
 * It logs in when a list is asked for and no session is at hand, keeps the session on the phone until it ends, and when
 * the server refuses it logs in once more, however many requests met the refusal. Nothing here rejects: every promise
 * tells what became of it.
 */

import type * as tt from "@douyin-microapp/typings/types/api";
import type { components, paths } from "./api";
import { ownProblem, type Problem, parsed, problemOf, type Reply } from "./problem";

export type { Action, Problem } from "./problem";

/** One certificate of the list; amounts in 分, times in epoch seconds, ids are strings. */
export type Certificate = components["schemas"]["Certificate"];

type List = components["schemas"]["List"];
type SessionAnswer = paths["/v1/sessions"]["post"]["responses"]["200"]["content"]["application/json"];
type Query = NonNullable<
  paths["/v1/merchants/{account_id}/stores/{poi_id}/certificates"]["get"]["parameters"]["query"]
>;

/** What of `tt` the client calls. */
export type Platform = Pick<typeof tt, "login" | "request" | "getStorageSync" | "setStorageSync" | "removeStorageSync">;

export interface ClientOptions {
  /** `tt` itself. */
  tt: Platform;
  /** Where the service stands, without a slash at the end; the host must be on the mini-program's allow-list. */
  baseUrl: string;
  /** The mini-program's own app_id. */
  appId: string;
}

/** Whose list: a merchant's store, and the filters that the service knows (times in epoch seconds). */
export interface Question extends Pick<Query, "biz_type" | "start_time" | "end_time"> {
  account_id: string;
  poi_id: string;
}

/** What became of a request: the list so far, or why there is none; `cancelled` is of no interest to anybody any more. */
export type Outcome =
  | { kind: "list"; certificates: Certificate[]; more: boolean }
  | { kind: "problem"; problem: Problem }
  | { kind: "cancelled" };

/** A walk along a list that may be longer than one answer. */
export interface Walk {
  /**
   * The next answer, merged into what was there before: soonest to expire first, each certificate once. While one is
   * under way, that one; at the end, the list as it is. After a problem the same part is asked for again.
   */
  next(): Promise<Outcome>;
  /** Give up: what is under way ends, and its promise tells `cancelled`. */
  cancel(): void;
}

export interface Client {
  /** Begin a list. A client shows one list at a time: the walk before is cancelled. */
  certificates(question: Question): Walk;
}

interface Session {
  token: string;
  /** Epoch milliseconds. */
  endsAt: number;
}

type Told<T> = { value: T } | { problem: Problem };

/** The service answers within 10 s, or says why not. */
const TIMEOUT_MS = 12000;
/** A session about to end would end on its way. */
const MARGIN_MS = 30000;

/** Make a client; `now` (epoch milliseconds) is there for tests. */
export function createClient(options: ClientOptions, now: () => number = Date.now): Client {
  const { tt, baseUrl, appId } = options;
  // The platform keeps what is stored apart by mini-program and by user, and drops it when the user logs out.
  const key = `redemption.session.${appId}`;
  let session: Session | undefined;
  // Where the phone's storage fails, a refused session may come back from it.
  let refused: string | undefined;
  let loggingIn: Promise<Told<string>> | undefined;
  let current: Walk | undefined;

  function kept(): Session | undefined {
    if (!session) {
      const stored = withStorage(() => tt.getStorageSync(key));
      session = isSession(stored) && stored.token !== refused ? stored : undefined;
    }
    return session && session.endsAt - MARGIN_MS > now() ? session : undefined;
  }

  /** A session's token; whoever asks while a login is under way gets that login's. */
  function token(): Promise<Told<string>> {
    const held = kept();
    if (held) {
      return Promise.resolve({ value: held.token });
    }
    if (!loggingIn) {
      const done = logIn();
      loggingIn = done;
      done.then(() => {
        loggingIn = undefined;
      });
    }
    return loggingIn;
  }

  function logIn(): Promise<Told<string>> {
    return new Promise<string>((resolve) => {
      // `code` is absent where the user is not logged in to Douyin, and good once.
      tt.login({ force: true, success: (login) => resolve(login.code || ""), fail: () => resolve("") });
    }).then((code) => (code ? exchange(code) : { problem: ownProblem("login") }));
  }

  function exchange(code: string): Promise<Told<string>> {
    const body = { app_id: appId, code };
    return send("POST", "/v1/sessions", isSessionAnswer, { "content-type": "application/json" }, body).done.then(
      (told) => {
        if ("problem" in told) {
          return told;
        }
        const made = { token: told.value.token, endsAt: now() + told.value.expires_in * 1000 };
        session = made;
        withStorage(() => tt.setStorageSync(key, made));
        return { value: made.token };
      },
    );
  }

  /** Forget a session that the server refused, unless another has taken its place already. */
  function forget(token: string): void {
    refused = token;
    if (session && session.token === token) {
      session = undefined;
      withStorage(() => tt.removeStorageSync(key));
    }
  }

  /** One request; `success` comes for every status, so status and shape are what decides. */
  function send<T>(
    method: "GET" | "POST",
    path: string,
    isAnswer: (value: unknown) => value is T,
    header: object,
    data?: object,
  ): Sent<T> {
    let abort = () => {};
    const done = new Promise<Told<T>>((resolve) => {
      // `timeout` is younger than the typings.
      const request = {
        url: baseUrl + path,
        method,
        header,
        timeout: TIMEOUT_MS,
        success: (reply: Reply) => {
          const value = reply.statusCode === 200 ? parsed(reply.data) : null;
          resolve(isAnswer(value) ? { value } : { problem: problemOf(reply) });
        },
        fail: () => resolve({ problem: ownProblem("network") }),
        ...(data ? { data } : {}),
      };
      const task = tt.request(request);
      abort = () => task.abort();
    });
    return { done, abort };
  }

  function certificates(question: Question): Walk {
    if (current) {
      current.cancel();
    }
    const found: { [certificateId: string]: Certificate } = {};
    let cursor: string | undefined;
    let ended = false;
    let cancelled = false;
    let sent: Sent<List> | undefined;
    let underWay: Promise<Outcome> | undefined;
    let giveUp: (outcome: Outcome) => void = () => {};

    function list(): Outcome {
      return {
        kind: "list",
        certificates: Object.keys(found)
          .map((id) => found[id] as Certificate)
          .sort(soonestFirst),
        more: !ended,
      };
    }

    function ask(mayRenew: boolean): Promise<Told<List> | undefined> {
      return token().then((held) => {
        if ("problem" in held) {
          return held;
        }
        if (cancelled) {
          return undefined;
        }
        sent = send("GET", pathOf(question, cursor), isList, { authorization: `Bearer ${held.value}` });
        return sent.done.then((told) => {
          if (!("problem" in told)) {
            return told;
          }
          if (told.problem.status === 401) {
            forget(held.value);
            if (mayRenew && !cancelled) {
              return ask(false);
            }
          }
          if (told.problem.code === "invalid_request" && cursor) {
            // The cursor is no longer one of the server's: from the start, then, and what was found stays found.
            cursor = undefined;
            told.problem.action = "retry";
          }
          return told;
        });
      });
    }

    function take(told: Told<List> | undefined): Outcome {
      if (!told || cancelled) {
        return { kind: "cancelled" };
      }
      if ("problem" in told) {
        return { kind: "problem", problem: told.problem };
      }
      for (const certificate of told.value.certificates) {
        found[certificate.certificate_id] = certificate;
      }
      cursor = told.value.next_cursor;
      ended = !cursor;
      return list();
    }

    const walk: Walk = {
      next() {
        if (cancelled || ended) {
          return Promise.resolve(cancelled ? { kind: "cancelled" } : list());
        }
        if (!underWay) {
          const answered = new Promise<Outcome>((resolve) => {
            giveUp = resolve;
            ask(true).then((told) => resolve(take(told)));
          });
          underWay = answered;
          answered.then(() => {
            underWay = undefined;
          });
        }
        return underWay;
      },
      cancel() {
        cancelled = true;
        giveUp({ kind: "cancelled" });
        if (sent) {
          sent.abort();
        }
      },
    };
    current = walk;
    return walk;
  }

  return { certificates };
}

interface Sent<T> {
  done: Promise<Told<T>>;
  abort: () => void;
}

/** A call of the storage, which throws when it is full or broken: then the session lives in memory alone. */
function withStorage<T>(call: () => T): T | undefined {
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

function isSessionAnswer(value: unknown): value is SessionAnswer {
  const answer = (value || {}) as Partial<SessionAnswer>;
  return typeof answer.token === "string" && typeof answer.expires_in === "number";
}

function isList(value: unknown): value is List {
  return Array.isArray(((value || {}) as Partial<List>).certificates);
}

function pathOf(question: Question, cursor: string | undefined): string {
  const { account_id, poi_id, biz_type, start_time, end_time } = question;
  const query: { [name: string]: string | number | undefined } = { biz_type, start_time, end_time, cursor };
  const given = Object.keys(query)
    .filter((name) => query[name] !== undefined)
    .map((name) => `${name}=${encodeURIComponent(String(query[name]))}`);
  const path = `/v1/merchants/${encodeURIComponent(account_id)}/stores/${encodeURIComponent(poi_id)}/certificates`;
  return given.length ? `${path}?${given.join("&")}` : path;
}

/** As the service sorts: those without an end last, then by certificate_id. */
function soonestFirst(one: Certificate, other: Certificate): number {
  const [a, b] = [one, other].map((c) => (c.expire_time === undefined ? Number.POSITIVE_INFINITY : c.expire_time));
  if (a !== b) {
    return (a as number) < (b as number) ? -1 : 1;
  }
  return one.certificate_id < other.certificate_id ? -1 : 1;
}
