/** Tests of the client from `dist` with a mock `tt`, over HTTP, against the service deployed in the sandbox. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
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

function dropList(data: object): object {
  return { ...data, list: undefined };
}

describe("login", () => {
  test("happens with the first request, not earlier", async () => {
    const lin = createPhone();
    assert.equal(lin.logins, 0);
    const pager = lin.client.listCertificates(STORE);
    assert.equal(lin.logins, 0);
    assert.equal(certificatesOf(await pager.next()).length, 7);
    assert.equal(lin.logins, 1);
  });

  test("is one request with the first list, and later lists are ordinary requests", async () => {
    const bodies: unknown[] = [];
    const recordBodies = intercept((options, send) => {
      bodies.push(options.data);
      return send(options);
    });
    const lin = createPhone("lin", { change: recordBodies });
    const query = { ...STORE, biz_type: 1 as const };
    assert.equal(certificatesOf(await lin.client.listCertificates(query).next()).length, 7);
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

  test("is followed by an ordinary request if the service is older and returns no list", async () => {
    const withoutList = intercept((options, send) =>
      send({ ...options, ...(options.data && { data: dropList(options.data) }) }),
    );
    const lin = createPhone("lin", { change: withoutList });
    assert.equal(certificatesOf(await lin.client.listCertificates(STORE).next()).length, 7);
    assert.deepEqual(statuses(lin), ["POST 200", "GET 200"]);
  });

  test("is not repeated while the session is valid, even after a restart of the mini-program", async () => {
    const lin = createPhone();
    certificatesOf(await lin.client.listCertificates(STORE).next());
    certificatesOf(await lin.client.listCertificates(STORE).next());
    const restarted = createPhone("lin", { stored: lin.stored });
    certificatesOf(await restarted.client.listCertificates(STORE).next());
    assert.deepEqual([lin.logins, restarted.logins], [1, 0]);
  });

  test("is repeated when the session has expired", async () => {
    let ahead = 0;
    const lin = createPhone("lin", { now: () => Date.now() + ahead });
    certificatesOf(await lin.client.listCertificates(STORE).next());
    ahead = 7_171_000;
    certificatesOf(await lin.client.listCertificates(STORE).next());
    assert.equal(lin.logins, 2);
    assert.ok(!statuses(lin).includes("GET 401"));
  });

  test("is repeated when the server rejects the session", async () => {
    const lin = createPhone();
    certificatesOf(await lin.client.listCertificates(STORE).next());
    const [[key, value] = ["", ""]] = lin.stored;
    lin.stored.set(key, value.replace(/"token":"[^"]*"/, '"token":"forged"'));
    const restarted = createPhone("lin", { stored: lin.stored });
    assert.equal(certificatesOf(await restarted.client.listCertificates(STORE).next()).length, 7);
    assert.deepEqual(statuses(restarted), ["GET 401", "POST 200"]);
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

  test("fails without a request if the user is not logged in to Douyin", async () => {
    const nobody = createPhone("");
    const problem = problemOf(await nobody.client.listCertificates(STORE).next());
    assert.deepEqual([problem.code, problem.action, problem.status], ["login", "login", 0]);
    assert.deepEqual(nobody.calls, []);
  });

  test("uses a new code for the retry after Douyin rejected a code", async () => {
    const codes: string[] = [];
    const recordCodes = intercept((options, send) => {
      codes.push((options.data as { code?: string } | undefined)?.code ?? "");
      return send(options);
    });
    const lin = createPhone("lin", { change: recordCodes });
    await addFault({ kind: "code", call: "jscode2session", code: 40018 });
    const pager = lin.client.listCertificates(STORE);
    const problem = problemOf(await pager.next());
    assert.deepEqual([problem.code, problem.action, problem.status], ["unauthenticated", "login", 401]);
    await clearFaults();
    assert.equal(certificatesOf(await pager.next()).length, 7);
    assert.equal(lin.logins, 2);
    assert.notEqual(codes[0], codes[1]);
  });

  test("works if storage fails, and a rejected session is not read back from storage", async () => {
    const broken = () => {
      throw new Error("setStorageSync:fail exceed storage max size");
    };
    const full = createPhone("lin", { change: (tt) => ({ ...tt, setStorageSync: broken, getStorageSync: broken }) });
    certificatesOf(await full.client.listCertificates(STORE).next());
    certificatesOf(await full.client.listCertificates(STORE).next());
    // Two codes for each list: the storage does not show that the user is still the same.
    assert.deepEqual([full.logins, statuses(full)], [4, ["POST 200", "POST 200"]]);

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

  test("requests the same part again after a failed page", async () => {
    await addFault({ kind: "http", call: LIST, page: 2, status: 404 });
    const zhou = createPhone("zhou");
    const pager = zhou.client.listCertificates(STORE);
    assert.equal(certificatesOf(await pager.next()).length, 50);
    const lost = problemOf(await pager.next());
    assert.equal(lost.status >= 500, true);
    await clearFaults();
    let outcome = await pager.next();
    while (outcome.kind === "list" && outcome.more) {
      outcome = await pager.next();
    }
    assert.equal(certificatesOf(outcome).length, 340);
  });

  /** Let the service get forged cursors, this often. */
  function forgeCursors(times: number) {
    let left = times;
    return intercept((options, send) => {
      const forged = options.url.replace(/cursor=[^&]*/, "cursor=forged");
      const url = forged !== options.url && left-- > 0 ? forged : options.url;
      return send({ ...options, url });
    });
  }

  test("starts again once, unnoticed, if the server rejects the cursor", async () => {
    const zhou = createPhone("zhou", { change: forgeCursors(1) });
    const pager = zhou.client.listCertificates(STORE);
    assert.equal(certificatesOf(await pager.next()).length, 200);
    assert.equal(certificatesOf(await pager.next()).length, 340);
    assert.deepEqual(statuses(zhou), ["POST 200", "GET 400", "GET 200", "GET 200"]);
  });

  test("can be retried if the server rejects the next cursor too, and keeps what was found", async () => {
    const zhou = createPhone("zhou", { change: forgeCursors(2) });
    const pager = zhou.client.listCertificates(STORE);
    assert.equal(certificatesOf(await pager.next()).length, 200);
    const problem = problemOf(await pager.next());
    assert.deepEqual([problem.code, problem.action], ["invalid_request", "retry"]);
    assert.equal(certificatesOf(await pager.next()).length, 340);
  });

  test("goes on after all sessions and cursors have ended, as when the session keys are revoked", async () => {
    let revoked = false;
    const end = intercept((options, send) => {
      const changed = {
        url: options.url.replace(/cursor=[^&]*/, "cursor=forged"),
        header: { authorization: "Bearer x" },
      };
      const isOld = revoked && options.method === "GET";
      revoked = revoked && !isOld;
      return send(isOld ? { ...options, ...changed } : options);
    });
    const zhou = createPhone("zhou", { change: (tt) => end(forgeCursors(1)(tt)) });
    const pager = zhou.client.listCertificates(STORE);
    assert.equal(certificatesOf(await pager.next()).length, 200);
    revoked = true;
    assert.equal(certificatesOf(await pager.next()).length, 340);
    assert.deepEqual(statuses(zhou), ["POST 200", "GET 401", "POST 200", "GET 400", "GET 200", "GET 200"]);
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

  test("is cancelled by the next list, so that a late response cannot show another store's list", async () => {
    const lin = createPhone();
    certificatesOf(await lin.client.listCertificates(STORE).next());
    await addFault({ kind: "delay", call: LIST, seconds: 1, times: 1 });
    const stale = lin.client.listCertificates(STORE).next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const fresh = certificatesOf(await lin.client.listCertificates({ ...STORE, poi_id: "6602" }).next());
    assert.equal(fresh.length, 8);
    assert.deepEqual(await stale, { kind: "cancelled" });
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

  test("are the last known ones without a network, and a problem if there are none", async () => {
    let ahead = 0;
    let down = false;
    const lin = createPhone("lin", {
      now: () => Date.now() + ahead,
      change: intercept((options, send) => (down ? void options.fail?.({ errMsg: "request:fail" }) : send(options))),
    });
    const merchant = merchantOf(await lin.client.listStores({ account_id: ACCOUNT }));
    [ahead, down] = [3_600_000, true];
    assert.deepEqual(merchantOf(await lin.client.listStores({ account_id: ACCOUNT })), { ...merchant, stale: true });
    const outcome = await lin.client.listStores({ account_id: "7100000000000000002" });
    assert.deepEqual([outcome.kind, (outcome as { problem?: Problem }).problem?.code], ["problem", "network"]);
    down = false;
    assert.equal(merchantOf(await lin.client.listStores({ account_id: ACCOUNT })).stale, false);
  });

  test("are forgotten when the merchant is gone", async () => {
    const { calls, client, stored } = createPhone("lin");
    const [key, old] = ["redemption.stores.0", { merchant: { account_id: "0", stores: [] }, readAt: 0 }];
    stored.set(key, JSON.stringify(old));
    const outcome = await client.listStores({ account_id: "0" });
    assert.equal((outcome as { problem?: Problem }).problem?.code, "merchant_not_found");
    assert.deepEqual([calls.length, stored.has(key)], [1, false]);
  });

  test("are read again if the phone has stored something else", async () => {
    const lin = createPhone("lin");
    for (const value of ["", '"text"', "null", '{"merchant":{"stores":{}},"readAt":1}', `{"readAt":${Date.now()}}`]) {
      lin.stored.set(`redemption.stores.${ACCOUNT}`, value || '""');
      assert.equal(merchantOf(await lin.client.listStores({ account_id: ACCOUNT })).stores?.length, 3);
    }
    assert.equal(lin.calls.length, 5);
  });
});

describe("a newer service", () => {
  const respond = (data: object, statusCode = 200) =>
    createPhone("lin", {
      change: intercept((options) => {
        options.success?.({ errMsg: "", statusCode, header: {}, data: data as unknown as string });
      }),
    });

  test("may send members that the client does not know", async () => {
    const certificates = [{ certificate_id: "1", order_id: "2", kind: "subscription", color: "red" }];
    const list = { ...STORE, certificates, unusable: { expired: 1, recalled: 2 }, mood: {} };
    const outcome = await respond({ token: "t", expires_in: 7200, list, extra: 1 })
      .client.listCertificates(STORE)
      .next();
    assert.equal(certificatesOf(outcome).length, 1);
    assert.deepEqual((outcome as Outcome & { kind: "list" }).unusable, { expired: 1, recalled: 2 });
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
  const codeFault = (code: number) => ({ kind: "code", call: LIST, code });
  const cases: [string, object, Partial<Problem>][] = [
    ["busy", codeFault(2100004), { code: "upstream_unavailable", status: 503, action: "retry", retryAfter: 2 }],
    [
      "merchant has not authorized the app",
      codeFault(2119005),
      { code: "merchant_not_authorized", status: 403, action: "staff" },
    ],
    ["app lacks the capability", codeFault(2190004), { code: "app_not_permitted", status: 503, action: "staff" }],
    ["quota exhausted", codeFault(28003017), { code: "quota_exhausted", status: 503, action: "staff" }],
    ["parameters rejected", codeFault(2100005), { code: "upstream_rejected", status: 502, action: "staff" }],
    [
      "access token rejected",
      codeFault(2190002),
      { code: "token_unavailable", status: 503, action: "retry", retryAfter: 0 },
    ],
    [
      "response is not JSON",
      { kind: "body", call: LIST, body: "<" },
      { code: "upstream_malformed", status: 502, action: "retry" },
    ],
    [
      "app secret rejected",
      { kind: "code", call: "jscode2session", code: 40017 },
      { code: "app_misconfigured", action: "staff" },
    ],
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

  test("contains the time to wait when requests are rate limited", async () => {
    await addFault({ kind: "code", call: LIST, code: 2119003 });
    const problem = problemOf(await createPhone().client.listCertificates(STORE).next());
    assert.deepEqual([problem.code, problem.status, problem.action], ["rate_limited", 429, "retry"]);
    assert.ok(problem.retryAfter >= 1);
    await clearFaults();
    // The service caches the rate limit for a second; the following tests use the same service.
    await new Promise((resolve) => setTimeout(resolve, 1500));
  });

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

  test("is `network` if there is no response, and the same pager continues afterwards", async () => {
    let down = true;
    const lin = createPhone("lin", {
      change: intercept((options, send) =>
        down ? void options.fail?.({ errMsg: "request:fail net::ERR_INTERNET_DISCONNECTED" }) : send(options),
      ),
    });
    const pager = lin.client.listCertificates(STORE);
    const problem = problemOf(await pager.next());
    assert.deepEqual([problem.code, problem.status, problem.action], ["network", 0, "retry"]);
    down = false;
    assert.equal(certificatesOf(await pager.next()).length, 7);
  });

  test("is `unreadable` if the response is not in the service's format", async (t) => {
    const responses = [
      { status: 200, body: "<html>error page of a proxy</html>" },
      { status: 200, body: "{}" },
      { status: 403, body: '{"message":"Forbidden"}' },
      { status: 502, body: "" },
      // The body of a session and of a list, but not the status.
      { status: 500, body: '{"token":"-","expires_in":7200,"certificates":[]}' },
    ];
    let next = responses[0] as (typeof responses)[0];
    const server = createServer((_, response) => {
      response.writeHead(next.status, { "retry-after": "3" }).end(next.body);
    });
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (next of responses) {
      const problem = problemOf(await createPhone("lin", { baseUrl }).client.listCertificates(STORE).next());
      const expected = { code: "unreadable", status: next.status, action: "retry", retryAfter: 3 };
      assert.deepEqual({ ...problem, ...expected }, problem);
    }
  });
});
