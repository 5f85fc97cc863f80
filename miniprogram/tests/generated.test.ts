/**
 * Generated tests of the client from `dist`. They need no sandbox. The seed of a failed run is in its message.
 *
 * - `tt` and a service do anything: every promise must resolve in time to an outcome of the documented types, and the next
 *   call must work.
 * - Users change at every callback, and storages fail: nobody must get what is another's.
 */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import type * as Clients from "../src/coupons/client/client";
import { loadBuilt } from "./built";
import { codeOf, FakeTt, flush, listOf, reply, STORE, STORES, settled, thrower, tokenOf } from "./fake-tt";
import { pick, type Random, seeded } from "./random";

const { createClient } = loadBuilt<typeof Clients>("coupons/client/client");

const RUNS = 2000;
const CALLS_PER_RUN = 4;
/** For one call of tt. */
const LIMIT = 13;

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

type Callbacks = { success: (value: never) => void; fail: (reason?: unknown) => void };

// biome-ignore format: many values a line
const JUNK: readonly unknown[] = [
  undefined, null, true, 0, -1, 0.5, 1e300, Number.NaN, Number.POSITIVE_INFINITY, "", "x", "7", "\ud800", [], [null], [[]],
  {}, Object.create(null), () => {}, Symbol("s"),
  {
    get code() {
      throw new Error("getter");
    },
  },
  // biome-ignore lint/suspicious/noThenProperty: a value that a promise would wait for
  { then: () => {} },
];

const PROBLEM = {
  code: "upstream_unavailable",
  title: "Unavailable",
  status: 503,
  detail: "系统繁忙，请稍后再试",
  retryable: true,
  retry_after: 2,
  request_id: "r",
  errors: [{ field: "cursor", detail: "is invalid" }],
};
const CERTIFICATE = {
  certificate_id: "1",
  order_id: "2",
  sku_id: "3",
  title: "双人套餐",
  kind: "times_card",
  pay_amount: 4499,
  expire_time: 1744300799,
  times: { usable: 7, total: 10, usable_serials: [4, 5] },
  lock: { status: 1 },
  off_peak: { weekdays: [1], hours: [["14:00", "17:00"]] },
};
const LIST = {
  ...STORE,
  certificates: [CERTIFICATE, { ...CERTIFICATE, certificate_id: "2" }],
  unusable: { expired: 1 },
};
const SESSION = { token: tokenOf("lin"), expires_in: 7200 };
const BODIES: readonly unknown[] = [
  LIST,
  { ...LIST, next_cursor: "c" },
  { ...STORE, certificates: [], next_cursor: "c" },
  SESSION,
  { ...SESSION, list: LIST },
  { ...SESSION, list_problem: PROBLEM },
  STORES,
  PROBLEM,
  { ...PROBLEM, code: "unauthenticated", status: 401 },
  { ...PROBLEM, code: "invalid_request", status: 400 },
];

/** Return a copy of a value in which some parts are replaced, or missing. */
function mutated(random: Random, value: unknown): unknown {
  if (random() < 0.06) {
    return pick(random, JUNK);
  }
  if (Array.isArray(value)) {
    return value.map((element) => mutated(random, element));
  }
  if (typeof value === "object" && value !== null) {
    const kept = Object.entries(value).filter(() => random() < 0.97);
    return Object.fromEntries(kept.map(([name, member]) => [name, mutated(random, member)]));
  }
  return value;
}

function anyReply(random: Random): unknown {
  const body = mutated(random, pick(random, BODIES));
  const data = random() < 0.1 ? attempt(() => JSON.stringify(body)) : body;
  const header = pick(random, [{}, { "Retry-After": "3" }, { "x-request-id": 5 }, ...JUNK]);
  const statusCode = pick(random, [200, 200, 200, 200, 400, 401, 500, 503, "200", undefined]);
  return random() < 0.05 ? pick(random, JUNK) : { statusCode, header, data };
}

function attempt<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch {
    return undefined;
  }
}

/** Call back, or not: once or twice, at once or late. Return or throw anything. Errors quote the options. */
function misbehave(random: Random, options: Callbacks, result: () => unknown): unknown {
  const { success, fail } = options;
  const reason = () => {
    const errMsg = `fail ${JSON.stringify(options)}`;
    return pick(random, [{ errMsg, errNo: 1 }, new Error(errMsg), errMsg, ...JUNK]);
  };
  for (let calls = pick(random, [0, 1, 1, 1, 1, 1, 1, 2, 3]); calls > 0; calls -= 1) {
    const callBack = () => (random() < 0.8 ? success(result() as never) : fail(reason()));
    if (random() < 0.6) {
      callBack();
    } else {
      setTimeout(callBack, random() * 30_000);
    }
  }
  if (random() < 0.05) {
    throw reason();
  }
  if (random() < 0.05) {
    return Promise.reject(reason());
  }
  return pick(random, [{ abort: () => {} }, { abort: thrower(new Error("abort")) }, ...JUNK]);
}

/** Let every function of a phone misbehave. */
function spoil(tt: FakeTt, random: Random): void {
  const code = () => (random() < 0.9 ? { code: codeOf("lin") } : pick(random, [{}, { code: 5 }, ...JUNK]));
  tt.onLogin = (options) => misbehave(random, options, code);
  tt.onRequest = (options) => misbehave(random, options, () => anyReply(random));
  tt.onStorage = () => {
    if (random() < 0.1) {
      throw new Error("storage:fail");
    }
    for (const key of tt.stored.keys()) {
      if (random() < 0.05) {
        tt.stored.set(key, pick(random, [mutated(random, { ...SESSION, endsAt: 1e15 }), ...JUNK]));
      }
    }
  };
}

/** Check the types of an outcome: what TypeScript promises to those who use the client. */
function check(outcome: Clients.Outcome | Clients.StoresOutcome): void {
  if (outcome.kind === "problem") {
    const { detail, action, status, retryAfter, requestId, cause = "" } = outcome.problem;
    assert.ok(detail.length > 0 && ["retry", "login", "store", "staff"].includes(action));
    assert.ok(Number.isFinite(status) && Number.isFinite(retryAfter) && typeof requestId === "string");
    assert.ok(typeof cause === "string" && !cause.includes(tokenOf("")) && !cause.includes(codeOf("")), cause);
  } else if (outcome.kind === "list") {
    const { certificates, unusable, more } = outcome;
    assert.equal(typeof more, "boolean");
    assert.ok(Object.values(unusable).every(Number.isFinite));
    const ids = certificates.map(({ certificate_id }) => certificate_id);
    assert.equal(new Set(ids).size, ids.length);
    for (const certificate of certificates) {
      assertLike(certificate, CERTIFICATE);
      const { certificate_id, order_id, kind } = certificate;
      assert.ok(certificate_id && order_id && typeof kind === "string");
    }
  } else if (outcome.kind === "stores") {
    const { stores = [] } = outcome.merchant;
    for (const store of stores) {
      assertLike(store, STORES.stores[0]);
      assert.ok(store.poi_id && store.name);
    }
  }
}

/** Assert that the members that a value shares with a sample have the sample's types. */
function assertLike(value: unknown, sample: unknown): void {
  assert.equal(typeof value, typeof sample);
  assert.equal(Array.isArray(value), Array.isArray(sample));
  if (typeof value === "number") {
    assert.ok(Number.isFinite(value));
  } else if (Array.isArray(value)) {
    for (const element of value) {
      assertLike(element, (sample as unknown[])[0]);
    }
  } else if (typeof value === "object") {
    assert.ok(value);
    for (const [name, memberSample] of Object.entries(sample as object)) {
      const member = (value as { [name: string]: unknown })[name];
      if (member !== undefined) {
        assertLike(member, memberSample);
      }
    }
  }
}

async function run(seed: number): Promise<void> {
  const random = seeded(seed);
  const tt = new FakeTt();
  const { onLogin, onRequest, onStorage } = tt;
  const client = createClient({ tt, baseUrl: "https://coupons.example.com", appId: "tt1" });
  const pagers = [client.listCertificates(STORE)];
  const next = () => (pagers[0] as Clients.Pager).next();
  spoil(tt, random);
  for (let number = 0; number < CALLS_PER_RUN; number += 1) {
    const outcomes = [random() < 0.2 ? client.listStores(STORE) : next()];
    if (random() < 0.3) {
      pagers.unshift(client.listCertificates(STORE));
      outcomes.push(next());
    }
    // A login that is under way may be an earlier one.
    const earlier = tt.logins + tt.requests.length - 1;
    const limit = () => LIMIT * (tt.logins + tt.requests.length - earlier);
    for (const outcome of await settled(Promise.all(outcomes), limit)) {
      check(outcome);
    }
  }
  // The login of a cancelled list may still be under way.
  await settled(new Promise((resolve) => setTimeout(resolve, 3 * LIMIT * 1000)), 3 * LIMIT);
  Object.assign(tt, { onLogin, onRequest, onStorage });
  const { certificates } = listOf("lin");
  const found = { kind: "list", certificates, unusable: {}, more: false };
  assert.deepEqual(await settled(client.listCertificates(STORE).next(), LIMIT), found);
  assert.deepEqual(await settled(client.listStores({ account_id: "8" }), 0), {
    kind: "stores",
    merchant: STORES,
    stale: false,
  });
}

const CUSTOMERS = ["lin", "wang", "zhao"] as const;

/**
 * Let other users log in before callbacks, sessions end, and the storage of some users fail. Returns whether the client
 * can know whose phone it is: nobody has logged in since `restart`, or the storage of all who have works.
 */
function shareByUsers(tt: FakeTt, random: Random) {
  const failing: readonly string[] = CUSTOMERS.filter(() => random() < 0.2);
  const present = new Set<string>();
  const { onLogin, onRequest, setStorageSync } = tt;
  let areQuiet = false;
  const change = () => {
    tt.customer = !areQuiet && random() < 0.3 ? pick(random, CUSTOMERS) : tt.customer;
    present.add(tt.customer);
  };
  const later = (callBack: () => void) => (random() < 0.5 ? callBack() : setTimeout(callBack, random() * 9000));
  tt.onLogin = (options) =>
    onLogin({
      ...options,
      success: (login) =>
        later(() => {
          change();
          options.success(login);
        }),
    });
  tt.onRequest = (options) => {
    const success = (answer: Clients.Reply) =>
      later(() => {
        change();
        options.success(random() < 0.1 ? reply({ code: "unauthenticated", detail: "登录已失效" }, 401) : answer);
      });
    return onRequest({ ...options, success });
  };
  tt.setStorageSync = (key, data) => {
    if (failing.includes(tt.customer)) {
      throw new Error("exceed storage max size");
    }
    setStorageSync.call(tt, key, data);
  };
  return {
    /** `quiet`: nobody else logs in until the next restart. */
    restart(quiet: boolean) {
      areQuiet = quiet;
      present.clear();
      present.add(tt.customer);
    },
    isKnown: () => present.size === 1 || !failing.some((customer) => present.has(customer)),
  };
}

async function runWithUsers(seed: number): Promise<void> {
  const random = seeded(seed);
  const tt = new FakeTt();
  const users = shareByUsers(tt, random);
  const wrong: string[] = [];
  const { onRequest } = tt;
  /** Of two parts, each with one certificate; the cursor names the customer, too. */
  const withParts = (list: Clients.Certificate[] | undefined, isSecond: boolean) => {
    const [{ certificate_id = "" } = {}] = list ?? [];
    const certificates = list?.map((each) => ({ ...each, certificate_id: `${certificate_id}${isSecond ? 2 : 1}` }));
    return { ...STORE, certificates, ...(!isSecond && { next_cursor: certificate_id }) };
  };
  tt.onRequest = (options) => {
    const token = (options.header as { authorization?: string }).authorization;
    const cursor = /cursor=(\w+)/.exec(options.url)?.[1];
    const sender = CUSTOMERS.find((customer) => token?.includes(tokenOf(customer)));
    if (sender && (sender !== tt.customer || (cursor && cursor !== sender)) && users.isKnown()) {
      // Thrown here, the client would take it for an error of tt.
      wrong.push(`${sender} for ${tt.customer}, ${cursor}`);
    }
    const success = (answer: Clients.Reply) => {
      const data = answer.data as {
        certificates?: Clients.Certificate[];
        list?: { certificates: Clients.Certificate[] };
      };
      const parts = data.list
        ? { ...data, list: withParts(data.list.certificates, false) }
        : data.certificates
          ? withParts(data.certificates, !!cursor)
          : data;
      options.success({ ...answer, data: parts });
    };
    return onRequest({ ...options, success });
  };
  const client = createClient({ tt, baseUrl: "https://coupons.example.com", appId: "tt1" });
  let isReplaced = false;
  for (let number = 0; number < 6; number += 1) {
    const pager = client.listCertificates(STORE);
    const isQuiet = isReplaced;
    users.restart(isQuiet);
    isReplaced = false;
    for (let part = 0; part < 2; part += 1) {
      const loading = pager.next().then((outcome) => ({ outcome, customer: tt.customer, isKnown: users.isKnown() }));
      if (random() < 0.2) {
        // The next list begins while the login of this one may be under way.
        await flush();
        isReplaced = true;
        break;
      }
      const { outcome, customer, isKnown } = await settled(loading, 8 * LIMIT);
      if (outcome.kind === "list" && isKnown) {
        const ids = outcome.certificates.map(({ certificate_id }) => certificate_id);
        assert.ok(ids[0] === `${customer}1` && ids.every((id) => id.startsWith(customer)), `${ids} for ${customer}`);
      }
    }
    assert.deepEqual(wrong, [], "sent for another user");
    if (isQuiet) {
      await settled(new Promise((resolve) => setTimeout(resolve, 3 * LIMIT * 1000)), 3 * LIMIT);
    }
    for (const [customer, stored] of tt.all) {
      const others = CUSTOMERS.filter((other) => other !== customer);
      const text = JSON.stringify([...stored]);
      assert.ok(!others.some((other) => text.includes(tokenOf(other))), "stored for another user");
    }
    tt.customer = pick(random, CUSTOMERS);
  }
}

const TESTS: [string, (seed: number) => Promise<void>][] = [
  ["whatever tt and the service do, every call settles, and the next one works", run],
  ["a user who logs in at any callback gets nothing of another user", runWithUsers],
];
for (const [name, runSeed] of TESTS) {
  test(`${name} (${RUNS} runs)`, async () => {
    for (let seed = 1; seed <= RUNS; seed += 1) {
      await runSeed(seed).catch((error) => {
        throw new Error(`seed ${seed}: ${error.stack}`, { cause: error });
      });
    }
  });
}
