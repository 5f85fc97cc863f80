/** The client, as built, against the deployed service: over real HTTP, with a `tt` in front. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { Platform } from "../preview/platform";
import type { Certificate, Outcome, Problem } from "../src/client/client";
import { fail, mend, type Phone, phone, STORE } from "./sandbox";

const LIST = "query_user_certificates";

beforeEach(mend);
afterEach(mend);

function listed(outcome: Outcome): Certificate[] {
  assert.equal(outcome.kind, "list", JSON.stringify(outcome));
  return (outcome as Outcome & { kind: "list" }).certificates;
}

function problem(outcome: Outcome): Problem {
  assert.equal(outcome.kind, "problem", JSON.stringify(outcome));
  return (outcome as Outcome & { kind: "problem" }).problem;
}

function statuses({ calls }: Phone): string[] {
  return calls.map(({ method, status }) => `${method} ${status}`);
}

/** A `tt` whose requests go through `answer`, which may change what is sent or answer by itself. */
function answering(answer: (options: Parameters<Platform["request"]>[0], send: Platform["request"]) => unknown) {
  return (tt: Platform): Platform => ({
    ...tt,
    request: ((options: Parameters<Platform["request"]>[0]) =>
      answer(options, tt.request) ?? { abort: () => {} }) as Platform["request"],
  });
}

describe("login", () => {
  test("comes with the first request and not before", async () => {
    const lin = phone();
    assert.equal(lin.logins, 0);
    const walk = lin.client.certificates(STORE);
    assert.equal(lin.logins, 0);
    assert.equal(listed(await walk.next()).length, 7);
    assert.equal(lin.logins, 1);
    assert.deepEqual(statuses(lin), ["POST 200", "GET 200"]);
  });

  test("is not repeated while the session lasts, nor after the mini-program was closed", async () => {
    const lin = phone();
    listed(await lin.client.certificates(STORE).next());
    listed(await lin.client.certificates(STORE).next());
    const again = phone("lin", { stored: lin.stored });
    listed(await again.client.certificates(STORE).next());
    assert.deepEqual([lin.logins, again.logins], [1, 0]);
  });

  test("is repeated when the session has ended by the clock", async () => {
    let ahead = 0;
    const lin = phone("lin", { now: () => Date.now() + ahead });
    listed(await lin.client.certificates(STORE).next());
    ahead = 7_171_000;
    listed(await lin.client.certificates(STORE).next());
    assert.equal(lin.logins, 2);
    assert.ok(!statuses(lin).includes("GET 401"));
  });

  test("is repeated once when the server refuses the session", async () => {
    const lin = phone();
    listed(await lin.client.certificates(STORE).next());
    const [[key, value] = ["", ""]] = lin.stored;
    lin.stored.set(key, value.replace(/"token":"[^"]*"/, '"token":"forged"'));
    const again = phone("lin", { stored: lin.stored });
    assert.equal(listed(await again.client.certificates(STORE).next()).length, 7);
    assert.deepEqual(statuses(again), ["GET 401", "POST 200", "GET 200"]);
  });

  test("is repeated no more than once, however often the session is refused", async () => {
    const refusing = answering((options, send) =>
      send(options.method === "GET" ? { ...options, header: { authorization: "Bearer forged" } } : options),
    );
    const lin = phone("lin", { change: refusing });
    const told = problem(await lin.client.certificates(STORE).next());
    assert.deepEqual([told.code, told.action], ["unauthenticated", "login"]);
    assert.deepEqual(statuses(lin), ["POST 200", "GET 401", "POST 200", "GET 401"]);
  });

  test("happens once for requests that need it at the same time", async () => {
    const lin = phone();
    const first = lin.client.certificates(STORE).next();
    const walk = lin.client.certificates({ ...STORE, poi_id: "6602" });
    const second = walk.next();
    assert.equal(walk.next(), second);
    assert.equal((await first).kind, "cancelled");
    assert.equal(listed(await second).length, 8);
    assert.equal(lin.logins, 1);
    assert.deepEqual(statuses(lin), ["POST 200", "GET 200"]);
  });

  test("that the user refuses is told without a request", async () => {
    const nobody = phone("");
    const told = problem(await nobody.client.certificates(STORE).next());
    assert.deepEqual([told.code, told.action, told.status], ["login", "login", 0]);
    assert.deepEqual(nobody.calls, []);
  });

  test("that the platform refuses is tried with a new code when asked again, never with the old one", async () => {
    const codes: string[] = [];
    const watching = answering((options, send) => {
      codes.push((options.data as { code?: string } | undefined)?.code ?? "");
      return send(options);
    });
    const lin = phone("lin", { change: watching });
    await fail({ kind: "code", call: "jscode2session", code: 40018 });
    const walk = lin.client.certificates(STORE);
    const told = problem(await walk.next());
    assert.deepEqual([told.code, told.action, told.status], ["unauthenticated", "login", 401]);
    await mend();
    assert.equal(listed(await walk.next()).length, 7);
    assert.equal(lin.logins, 2);
    assert.notEqual(codes[0], codes[1]);
  });

  test("works on a phone whose storage fails, and a refused session does not come back from it", async () => {
    const broken = () => {
      throw new Error("setStorageSync:fail exceed storage max size");
    };
    const full = phone("lin", { change: (tt) => ({ ...tt, setStorageSync: broken, getStorageSync: broken }) });
    listed(await full.client.certificates(STORE).next());
    listed(await full.client.certificates(STORE).next());
    assert.equal(full.logins, 1);

    const stale = { token: "forged", endsAt: Date.now() + 3_600_000 };
    const stuck = (tt: Platform) => ({
      ...tt,
      getStorageSync: (() => stale) as Platform["getStorageSync"],
      removeStorageSync: broken,
    });
    const lin = phone("lin", { change: stuck });
    listed(await lin.client.certificates(STORE).next());
    assert.deepEqual(statuses(lin), ["GET 401", "POST 200", "GET 200"]);
  });
});

describe("a walk", () => {
  test("shows every certificate once, the soonest to expire first, whatever came with which answer", async () => {
    const zhou = phone("zhou");
    const walk = zhou.client.certificates(STORE);
    const first = await walk.next();
    assert.equal(listed(first).length, 200);
    assert.equal((first as Outcome & { kind: "list" }).more, true);
    const second = await walk.next();
    const all = listed(second);
    assert.equal((second as Outcome & { kind: "list" }).more, false);
    assert.equal(all.length, 340);
    assert.equal(new Set(all.map((certificate) => certificate.certificate_id)).size, 340);
    const ends = all.map((certificate) => certificate.expire_time ?? Number.POSITIVE_INFINITY);
    assert.deepEqual(
      ends,
      [...ends].sort((a, b) => a - b),
    );
    assert.deepEqual(listed(await walk.next()), all);
    assert.deepEqual(statuses(zhou), ["POST 200", "GET 200", "GET 200"]);
  });

  test("goes on with a page that was lost", async () => {
    await fail({ kind: "http", call: LIST, page: 2, status: 404 });
    const zhou = phone("zhou");
    const walk = zhou.client.certificates(STORE);
    assert.equal(listed(await walk.next()).length, 50);
    const lost = problem(await walk.next());
    assert.equal(lost.status >= 500, true);
    await mend();
    let outcome = await walk.next();
    while (outcome.kind === "list" && outcome.more) {
      outcome = await walk.next();
    }
    assert.equal(listed(outcome).length, 340);
  });

  test("whose cursor the server no longer knows begins anew, and keeps what it has", async () => {
    let forging = true;
    const forger = answering((options, send) =>
      send(forging ? { ...options, url: options.url.replace(/cursor=[^&]*/, "cursor=forged") } : options),
    );
    const zhou = phone("zhou", { change: forger });
    const walk = zhou.client.certificates(STORE);
    assert.equal(listed(await walk.next()).length, 200);
    const told = problem(await walk.next());
    assert.deepEqual([told.code, told.action], ["invalid_request", "retry"]);
    forging = false;
    assert.equal(listed(await walk.next()).length, 200);
    assert.equal(listed(await walk.next()).length, 340);
  });

  test("passes the filters on", async () => {
    const zhao = phone("zhao");
    const plain = listed(await zhao.client.certificates(STORE).next());
    const open = listed(await zhao.client.certificates({ ...STORE, biz_type: 2 }).next());
    assert.equal(open.length, plain.length + 1);
    const none = listed(await zhao.client.certificates({ ...STORE, start_time: 9_000_000_000 }).next());
    assert.deepEqual(none, []);
  });

  test("that is cancelled ends at once, and its request with it", async () => {
    const lin = phone();
    listed(await lin.client.certificates(STORE).next());
    await fail({ kind: "delay", call: LIST, seconds: 5 });
    const walk = lin.client.certificates(STORE);
    const answer = walk.next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    walk.cancel();
    assert.deepEqual(await answer, { kind: "cancelled" });
    assert.deepEqual(await walk.next(), { kind: "cancelled" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual([lin.calls.at(-1)?.status, lin.calls.at(-1)?.body], [0, "abort"]);
  });

  test("is cancelled by the next one, so that a late answer never shows another store's list", async () => {
    const lin = phone();
    listed(await lin.client.certificates(STORE).next());
    await fail({ kind: "delay", call: LIST, seconds: 1, times: 1 });
    const stale = lin.client.certificates(STORE).next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const fresh = listed(await lin.client.certificates({ ...STORE, poi_id: "6602" }).next());
    assert.equal(fresh.length, 8);
    assert.deepEqual(await stale, { kind: "cancelled" });
  });
});

describe("a problem", () => {
  const coded = (code: number) => ({ kind: "code", call: LIST, code });
  const cases: [string, object, Partial<Problem>][] = [
    ["busy", coded(2100004), { code: "upstream_unavailable", status: 503, action: "retry", retryAfter: 2 }],
    ["no authorisation", coded(2119005), { code: "merchant_not_authorized", status: 403, action: "staff" }],
    ["no capability", coded(2190004), { code: "app_not_permitted", status: 503, action: "staff" }],
    ["no quota", coded(28003017), { code: "quota_exhausted", status: 503, action: "staff" }],
    ["rejected", coded(2100005), { code: "upstream_rejected", status: 502, action: "staff" }],
    ["token refused", coded(2190002), { code: "token_unavailable", status: 503, action: "retry", retryAfter: 0 }],
    ["garbled", { kind: "body", call: LIST, body: "<" }, { code: "upstream_malformed", status: 502, action: "retry" }],
    ["secret", { kind: "code", call: "jscode2session", code: 40017 }, { code: "app_misconfigured", action: "staff" }],
  ];
  for (const [name, rule, expected] of cases) {
    test(`says what the page should do: ${name}`, async () => {
      await fail(rule);
      const told = problem(await phone().client.certificates(STORE).next());
      assert.deepEqual({ ...told, ...expected }, told);
      assert.match(told.detail, /\p{Script=Han}/u);
      assert.match(told.requestId, /.+/);
    });
  }

  test("of too many requests says how long to wait", async () => {
    await fail({ kind: "code", call: LIST, code: 2119003 });
    const told = problem(await phone().client.certificates(STORE).next());
    assert.deepEqual([told.code, told.status, told.action], ["rate_limited", 429, "retry"]);
    assert.ok(told.retryAfter >= 1);
    await mend();
    // The service remembers it for a second, and the tests after this one share the service.
    await new Promise((resolve) => setTimeout(resolve, 1500));
  });

  test("of the question sends to another store, or to the staff", async () => {
    const lin = phone();
    const ask = async (question: object) => {
      const { code, action } = problem(await lin.client.certificates({ ...STORE, ...question }).next());
      return [code, action];
    };
    assert.deepEqual(await ask({ poi_id: "9999" }), ["store_not_found", "store"]);
    assert.deepEqual(await ask({ account_id: "0" }), ["merchant_not_found", "staff"]);
    assert.deepEqual(await ask({ account_id: "7296781329369139233", poi_id: "6606" }), ["wrong_app", "staff"]);
    assert.deepEqual(await ask({ poi_id: "六六零一" }), ["invalid_request", "staff"]);
  });

  test("of the network is told as one, and the same walk goes on afterwards", async () => {
    let down = true;
    const lin = phone("lin", {
      change: answering((options, send) =>
        down ? void options.fail?.({ errMsg: "request:fail net::ERR_INTERNET_DISCONNECTED" }) : send(options),
      ),
    });
    const walk = lin.client.certificates(STORE);
    const told = problem(await walk.next());
    assert.deepEqual([told.code, told.status, told.action], ["network", 0, "retry"]);
    down = false;
    assert.equal(listed(await walk.next()).length, 7);
  });

  test("that is not in the server's shape is told all the same", async (t) => {
    const strange = [
      { status: 200, body: "<html>a proxy's page</html>" },
      { status: 200, body: "{}" },
      { status: 403, body: '{"message":"Forbidden"}' },
      { status: 502, body: "" },
      // A success by its body alone, at either end.
      { status: 500, body: '{"token":"-","expires_in":7200,"certificates":[]}' },
    ];
    let next = strange[0] as (typeof strange)[0];
    const server = createServer((_, response) => {
      response.writeHead(next.status, { "retry-after": "3" }).end(next.body);
    });
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (next of strange) {
      const told = problem(await phone("lin", { baseUrl }).client.certificates(STORE).next());
      const expected = { code: "unreadable", status: next.status, action: "retry", retryAfter: 3 };
      assert.deepEqual({ ...told, ...expected }, told);
    }
  });
});
