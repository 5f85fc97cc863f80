/** A `tt` without a network, of which a test can replace every call, and a clock that a test advances. */

import assert from "node:assert/strict";
import { mock } from "node:test";
import type { LoginOptions, Problem, Reply, RequestOptions, TtApi } from "../src/coupons/client/client";

export const STORE = { account_id: "7100000000000000001", poi_id: "6601" };
export const MERCHANT = {
  account_id: STORE.account_id,
  name: "四季小馆",
  stores: [
    {
      poi_id: "6601",
      name: "人民广场店",
      address: "西藏中路180号",
      phone: "021-5555-6601",
      latitude: 31.2327,
      longitude: 121.4751,
    },
    { poi_id: "6602", name: "徐家汇店", latitude: 31.1943, longitude: 121.4376 },
    { poi_id: "6603", name: "五角场店" },
  ],
};

export const codeOf = (customer: string) => `login-code-of-${customer}`;
export const tokenOf = (customer: string) => `session-token-of-${customer}`;

const NO_ANSWER = { status: 0, retryAfter: 0, requestId: "" };
export const PROBLEM: Problem = {
  ...NO_ANSWER,
  code: "network",
  detail: "网络不给力，请检查网络后重试",
  action: "retry",
};

/** The list of a customer: one certificate, whose id is the customer's name. */
export function listOf(customer: string) {
  const certificate = { certificate_id: customer, order_id: "2", kind: "groupon", sku_id: "3" };
  return { ...STORE, certificates: [certificate] };
}

export function reply(data: unknown, statusCode = 200): Reply {
  return { statusCode, header: {}, data };
}

/** Respond as the service does. */
function respond({ url, header, data }: RequestOptions): Reply {
  if (url.endsWith("/stores")) {
    return reply(MERCHANT);
  }
  const { code, list } = (data ?? {}) as { code?: string; list?: object };
  if (code) {
    const customer = code.replace(codeOf(""), "");
    return reply({ token: tokenOf(customer), expires_in: 7200, ...(list && { list: listOf(customer) }) });
  }
  const [, customer] = (header as { authorization: string }).authorization.split(tokenOf(""));
  return customer ? reply(listOf(customer)) : reply({ code: "unauthenticated", detail: "登录已失效，请重新登录" }, 401);
}

/** A phone with a storage for each customer, and a service that knows the customer of each token and code. */
export class FakeTt implements TtApi {
  customer = "lin";
  logins = 0;
  requests: RequestOptions[] = [];
  /** The storage of each customer. */
  readonly all = new Map<string, Map<string, unknown>>();

  /** Tests can replace these three functions. */
  onLogin = (options: LoginOptions): unknown => options.success({ code: codeOf(this.customer) });
  onRequest = (options: RequestOptions): unknown => {
    options.success(respond(options));
    return { abort: () => {} };
  };
  onStorage = (): void => {};

  get stored(): Map<string, unknown> {
    const stored = this.all.get(this.customer) ?? new Map<string, unknown>();
    this.all.set(this.customer, stored);
    return stored;
  }

  /** Method and credential of each request, except the requests for stores. */
  get sent(): string[] {
    return this.requests
      .filter(({ url }) => !url.endsWith("/stores"))
      .map(({ method, header, data }) => {
        const { authorization = "" } = header as { authorization?: string };
        return `${method} ${(data as { code?: string } | undefined)?.code ?? authorization.replace("Bearer ", "")}`;
      });
  }

  navigateTo(_: object): void {}

  login(options: LoginOptions): unknown {
    this.logins += 1;
    return this.onLogin(options);
  }

  request(options: RequestOptions): { abort(): void } {
    this.requests.push(options);
    return this.onRequest(options) as { abort(): void };
  }

  getStorageSync(key: string): unknown {
    this.onStorage();
    return this.stored.get(key) ?? "";
  }

  setStorageSync(key: string, data: unknown): void {
    this.onStorage();
    this.stored.set(key, structuredClone(data));
  }

  removeStorageSync(key: string): void {
    this.onStorage();
    this.stored.delete(key);
  }
}

/** Return a function that throws a value. */
export function thrower(value: unknown): () => never {
  return () => {
    throw value;
  };
}

/** Let pending promises run, but no timers. */
export function flush(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Advance the mocked clock until a promise is fulfilled, and return its value. Fail after `limit` seconds. */
export async function settled<T>(promise: Promise<T>, limit: number | (() => number)): Promise<T> {
  const isTooLate = (seconds: number) => seconds >= (typeof limit === "number" ? limit : limit());
  let value: { is: T } | undefined;
  promise.then((is) => {
    value = { is };
  });
  await flush();
  for (let seconds = 0; !value && !isTooLate(seconds); seconds += 1) {
    mock.timers.tick(1000);
    await flush();
  }
  assert.ok(value, "not settled in time");
  return value.is;
}
