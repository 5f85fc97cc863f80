/** Tests of the client from `dist` with a mock `tt`, over HTTP, against the service deployed in the sandbox. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { MockTt } from "../preview/mock-tt";
import type { Certificate, Merchant, Outcome, Problem, StoresOutcome } from "../src/coupons/client/client";
import { addFault, clearFaults, createPhone, type Phone, STORE } from "./sandbox";

const LIST = "query_user_certificates";

beforeEach(clearFaults);
afterEach(clearFaults);

function certificatesOf(outcome: Outcome): Certificate[] {
  assert.equal(outcome.kind, "list", JSON.stringify(outcome));
  return (outcome as Outcome & { kind: "list" }).certificates;
}

function problemOf(outcome: Outcome): Problem {
  assert.equal(outcome.kind, "problem", JSON.stringify(outcome));
  return (outcome as Outcome & { kind: "problem" }).problem;
}

function statuses({ calls }: Phone): string[] {
  return calls.map(({ method, status }) => `${method} ${status}`);
}

/** Return a change of `tt` that passes requests to `handle`, which may modify, send or fail them. */
function intercept(handle: (options: Parameters<MockTt["request"]>[0], send: MockTt["request"]) => unknown) {
  return (tt: MockTt): MockTt => ({
    ...tt,
    request: ((options: Parameters<MockTt["request"]>[0]) =>
      handle(options, tt.request) ?? { abort: () => {} }) as MockTt["request"],
  });
}

describe("login", () => {
  test("is one request with the first list, and later lists are ordinary requests", async () => {
    const bodies: unknown[] = [];
    const recordBodies = intercept((options, send) => {
      bodies.push(options.data);
      return send(options);
    });
    const lin = createPhone("lin", { change: recordBodies });
    const query = { ...STORE, biz_type: 1 as const };
    const options = { ...query, onProgress: () => {} };
    assert.equal(certificatesOf(await lin.client.listCertificates(options).next()).length, 7);
    assert.deepEqual(statuses(lin), ["POST 200"]);
    assert.deepEqual((bodies[0] as { list: unknown }).list, query);
    assert.equal(certificatesOf(await lin.client.listCertificates(query).next()).length, 7);
    assert.deepEqual(statuses(lin), ["POST 200", "GET 200"]);
  });

  test("is kept if only the list fails; the problem is the list's own", async () => {
    await addFault({ kind: "code", call: LIST, code: 2119005 });
    const lin = createPhone();
    const pager = lin.client.listCertificates(STORE);
    const problem = problemOf(await pager.next());
    assert.deepEqual([problem.code, problem.status, problem.action], ["merchant_not_authorized", 403, "staff"]);
    await clearFaults();
    assert.equal(certificatesOf(await pager.next()).length, 7);
    assert.deepEqual(statuses(lin), ["POST 200", "GET 200"]);
    assert.equal(lin.logins, 1);
  });

  test("is not repeated while the session is valid, even after a restart of the mini-program", async () => {
    const lin = createPhone();
    certificatesOf(await lin.client.listCertificates(STORE).next());
    certificatesOf(await lin.client.listCertificates(STORE).next());
    const restarted = createPhone("lin", { stored: lin.stored });
    certificatesOf(await restarted.client.listCertificates(STORE).next());
    assert.deepEqual([lin.logins, restarted.logins], [1, 0]);
  });

  test("is repeated only once if the server rejects the new session too", async () => {
    const forgeToken = intercept((options, send) =>
      send(options.method === "GET" ? { ...options, header: { authorization: "Bearer forged" } } : options),
    );
    const zhou = createPhone("zhou", { change: forgeToken });
    const pager = zhou.client.listCertificates(STORE);
    certificatesOf(await pager.next());
    const problem = problemOf(await pager.next());
    assert.deepEqual([problem.code, problem.action], ["unauthenticated", "login"]);
    assert.deepEqual(statuses(zhou), ["POST 200", "GET 401", "POST 200", "GET 401"]);
  });

  test("is repeated only once if the list in the login response is refused", async () => {
    const refused = { code: "unauthenticated", status: 401, detail: "登录已失效，请重新登录", retryable: false };
    const refuseList = intercept((options) => {
      const data = { token: "t", expires_in: 7200, list_problem: refused } as unknown as string;
      options.success?.({ errMsg: "", statusCode: 200, header: {}, data });
    });
    const lin = createPhone("lin", { change: refuseList });
    const problem = problemOf(await lin.client.listCertificates(STORE).next());
    assert.deepEqual([problem.code, problem.action, problem.status], ["unauthenticated", "login", 401]);
    assert.equal(lin.logins, 2);
    // The next visit logs in.
    const restarted = createPhone("lin", { stored: lin.stored });
    certificatesOf(await restarted.client.listCertificates(STORE).next());
    assert.deepEqual(statuses(restarted), ["POST 200"]);
  });

  test("happens once for concurrent requests", async () => {
    const lin = createPhone();
    const first = lin.client.listCertificates(STORE).next();
    const pager = lin.client.listCertificates({ ...STORE, poi_id: "6602" });
    const second = pager.next();
    assert.equal(pager.next(), second);
    assert.equal((await first).kind, "cancelled");
    assert.equal(certificatesOf(await second).length, 8);
    assert.equal(lin.logins, 1);
    assert.deepEqual(statuses(lin), ["POST 200", "GET 200"]);
  });

  test("happens again if a login under way had an invalid list", async () => {
    const lin = createPhone();
    const first = lin.client.listCertificates({ ...STORE, poi_id: "六六零一" }).next();
    const second = lin.client.listCertificates(STORE).next();
    assert.equal((await first).kind, "cancelled");
    assert.equal(certificatesOf(await second).length, 7);
    assert.deepEqual(statuses(lin), ["POST 400", "POST 200"]);
  });

  test("does not read a rejected session back from a storage that fails", async () => {
    const broken = () => {
      throw new Error("setStorageSync:fail exceed storage max size");
    };
    const stale = { token: "forged", endsAt: Date.now() + 3_600_000 };
    const keepStale = (tt: MockTt) => ({
      ...tt,
      getStorageSync: (() => stale) as MockTt["getStorageSync"],
      removeStorageSync: broken,
    });
    const lin = createPhone("lin", { change: keepStale });
    certificatesOf(await lin.client.listCertificates(STORE).next());
    assert.deepEqual(statuses(lin), ["GET 401", "POST 200"]);
  });
});

describe("a list", () => {
  test("returns every certificate once, soonest to expire first, over several responses", async () => {
    const zhou = createPhone("zhou");
    const pager = zhou.client.listCertificates(STORE);
    const first = await pager.next();
    assert.equal(certificatesOf(first).length, 200);
    assert.equal((first as Outcome & { kind: "list" }).more, true);
    const second = await pager.next();
    const all = certificatesOf(second);
    assert.equal((second as Outcome & { kind: "list" }).more, false);
    assert.equal(all.length, 340);
    assert.equal(new Set(all.map((certificate) => certificate.certificate_id)).size, 340);
    const ends = all.map((certificate) => certificate.expire_time ?? Number.POSITIVE_INFINITY);
    assert.deepEqual(
      ends,
      [...ends].sort((a, b) => a - b),
    );
    assert.deepEqual(certificatesOf(await pager.next()), all);
    assert.deepEqual(statuses(zhou), ["POST 200", "GET 200"]);
  });

  test("begins again after the server has rejected the next cursor", async () => {
    let forged = false;
    const forge = intercept((options, send) => {
      const url = options.url.replace(/cursor=[^&]*/, "cursor=forged");
      const isFirst = !forged && url !== options.url;
      forged ||= isFirst;
      return send(isFirst ? { ...options, url } : options);
    });
    const zhou = createPhone("zhou", { change: forge });
    const pager = zhou.client.listCertificates(STORE);
    assert.equal(certificatesOf(await pager.next()).length, 200);
    const problem = problemOf(await pager.next());
    assert.deepEqual([problem.code, problem.action], ["invalid_request", "retry"]);
    assert.equal(certificatesOf(await pager.next()).length, 200);
    assert.equal(certificatesOf(await pager.next()).length, 340);
  });

  test("sends the filters", async () => {
    const zhao = createPhone("zhao");
    const standard = certificatesOf(await zhao.client.listCertificates(STORE).next());
    const bizType2 = certificatesOf(await zhao.client.listCertificates({ ...STORE, biz_type: 2 }).next());
    assert.equal(bizType2.length, standard.length + 1);
    const none = certificatesOf(await zhao.client.listCertificates({ ...STORE, start_time: 9_000_000_000 }).next());
    assert.deepEqual(none, []);
  });

  test("ends at once when cancelled, and aborts its request", async () => {
    const lin = createPhone();
    certificatesOf(await lin.client.listCertificates(STORE).next());
    await addFault({ kind: "delay", call: LIST, seconds: 5 });
    const pager = lin.client.listCertificates(STORE);
    const outcome = pager.next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    pager.cancel();
    assert.deepEqual(await outcome, { kind: "cancelled" });
    assert.deepEqual(await pager.next(), { kind: "cancelled" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual([lin.calls.at(-1)?.status, lin.calls.at(-1)?.body], [0, "abort"]);
  });
});

describe("stores", () => {
  const ACCOUNT = STORE.account_id;

  function merchantOf(outcome: StoresOutcome): Merchant & { stale: boolean } {
    assert.equal(outcome.kind, "stores", JSON.stringify(outcome));
    const { merchant, stale } = outcome as StoresOutcome & { kind: "stores" };
    return { ...merchant, stale };
  }

  test("need no login, and are cached on the phone for 5 minutes", async () => {
    let ahead = 0;
    const lin = createPhone("lin", { now: () => Date.now() + ahead });
    const merchant = merchantOf(await lin.client.listStores({ account_id: ACCOUNT }));
    assert.deepEqual([merchant.name, merchant.stale], ["四季小馆", false]);
    assert.deepEqual(
      merchant.stores?.map(({ poi_id }) => poi_id),
      ["6601", "6602", "6603"],
    );
    assert.equal(merchant.stores?.[0]?.phone, "021-5555-6601");
    ahead = 299_000;
    const restarted = createPhone("lin", { stored: lin.stored, now: () => Date.now() + ahead });
    assert.deepEqual(merchantOf(await restarted.client.listStores({ account_id: ACCOUNT })), merchant);
    assert.deepEqual([lin.logins, statuses(lin), statuses(restarted)], [0, ["GET 200"], []]);
    ahead = 301_000;
    merchantOf(await lin.client.listStores({ account_id: ACCOUNT }));
    assert.deepEqual(statuses(lin), ["GET 200", "GET 200"]);
    // The phone's clock was set back.
    ahead = -3_600_000;
    merchantOf(await lin.client.listStores({ account_id: ACCOUNT }));
    assert.equal(lin.calls.length, 3);
  });

  test("are forgotten when the merchant is gone", async () => {
    const { calls, client, stored } = createPhone("lin");
    const [key, old] = ["redemption.stores.0", { merchant: { account_id: "0", stores: [] }, readAt: 0 }];
    stored.set(key, JSON.stringify(old));
    const outcome = await client.listStores({ account_id: "0" });
    assert.equal((outcome as { problem?: Problem }).problem?.code, "merchant_not_found");
    assert.deepEqual([calls.length, stored.has(key)], [1, false]);
  });
});

describe("a newer service", () => {
  const respond = (data: object, statusCode = 200) =>
    createPhone("lin", {
      change: intercept((options) => {
        options.success?.({ errMsg: "", statusCode, header: {}, data: data as unknown as string });
      }),
    });

  test("may send codes that the client does not know", async () => {
    const problem = { code: "on_vacation", status: 503, detail: "请稍后再试", request_id: "r", retry_after: 3 };
    const list_problem = { ...problem, retryable: true };
    const { client } = respond({ token: "t", expires_in: 7200, list_problem });
    const expected = { code: "on_vacation", status: 503, detail: "请稍后再试", retryAfter: 3, requestId: "r" };
    assert.deepEqual(problemOf(await client.listCertificates(STORE).next()), { ...expected, action: "retry" });
    const other = respond({ ...problem, retryable: false }, 503).client;
    assert.deepEqual(problemOf(await other.listCertificates(STORE).next()), { ...expected, action: "staff" });
  });
});

describe("a problem", () => {
  const codeFault = (code: number, call = LIST) => ({ kind: "code", call, code });
  const cases: [string, object, Partial<Problem>][] = [
    ["busy", codeFault(2100004), { code: "upstream_unavailable", status: 503, action: "retry", retryAfter: 2 }],
    ["not authorized", codeFault(2119005), { code: "merchant_not_authorized", status: 403, action: "staff" }],
    ["secret rejected", codeFault(40017, "jscode2session"), { code: "app_misconfigured", action: "staff" }],
  ];
  for (const [name, rule, expected] of cases) {
    test(`has an action for the page: ${name}`, async () => {
      await addFault(rule);
      const problem = problemOf(await createPhone().client.listCertificates(STORE).next());
      assert.deepEqual({ ...problem, ...expected }, problem);
      assert.match(problem.detail, /\p{Script=Han}/u);
      assert.match(problem.requestId, /.+/);
    });
  }

  test("of an invalid store or merchant leads to the store selection or to the staff", async () => {
    const lin = createPhone();
    const load = async (query: object) => {
      const { code, action } = problemOf(await lin.client.listCertificates({ ...STORE, ...query }).next());
      return [code, action];
    };
    assert.deepEqual(await load({ poi_id: "9999" }), ["store_not_found", "store"]);
    assert.deepEqual(await load({ account_id: "0" }), ["merchant_not_found", "staff"]);
    assert.deepEqual(await load({ account_id: "7100000000000000003", poi_id: "6606" }), ["wrong_app", "staff"]);
    assert.deepEqual(await load({ poi_id: "六六零一" }), ["invalid_request", "staff"]);
  });
});
