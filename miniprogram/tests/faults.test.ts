/** Tests of the client from `dist` with a `tt` and a service that misbehave. They need no sandbox. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import type * as Clients from "../src/coupons/client/client";
import { loadBuilt } from "./built";
import { codeOf, FakeTt, listOf, MERCHANT, reply, STORE, settled, thrower, tokenOf } from "./fake-tt";

type Outcome = Clients.Outcome;

const { createClient } = loadBuilt<typeof Clients>("coupons/client/client");
/** Time limit of one call of tt, in seconds. */
const LIMIT = 13;
const CERTIFICATE = { certificate_id: "1", order_id: "2", kind: "groupon" };

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

const newClient = (tt: FakeTt, now?: () => number) =>
  createClient({ tt, baseUrl: "https://coupons.example.com", appId: "tt1" }, now);

function idsOf(outcome: Outcome): string[] {
  assert.equal(outcome.kind, "list", JSON.stringify(outcome));
  return (outcome as Outcome & { kind: "list" }).certificates.map(({ certificate_id }) => certificate_id);
}

function problemOf(outcome: Outcome | Clients.StoresOutcome): Clients.Problem {
  assert.equal(outcome.kind, "problem", JSON.stringify(outcome));
  return (outcome as Outcome & { kind: "problem" }).problem;
}

describe("createClient", () => {
  test("throws an error that names what is missing", () => {
    const options = { tt: new FakeTt(), baseUrl: "https://coupons.example.com", appId: "tt1" };
    const create = (changed: object) => () => createClient(changed as typeof options);
    assert.throws(create({}), new Error("createClient: tt, baseUrl, appId missing"));
    assert.throws(create({ ...options, appId: undefined }), new Error("createClient: appId missing"));
    const withoutScheme = new Error("createClient: baseUrl must begin with https://");
    for (const baseUrl of ["coupons.example.com", "//coupons.example.com", "https://"]) {
      assert.throws(create({ ...options, baseUrl }), withoutScheme);
    }
  });

  test("accepts an address with a slash at its end", async () => {
    const tt = new FakeTt();
    const client = createClient({ tt, baseUrl: "https://coupons.example.com/", appId: "tt1" });
    await settled(client.listStores(STORE), 0);
    assert.equal(tt.requests[0]?.url, `https://coupons.example.com/v1/merchants/${STORE.account_id}/stores`);
  });
});

type Callbacks = { success: (value: never) => void; fail: (reason?: unknown) => void };

/** Ways in which a call of tt fails, and what the problem's cause says. */
const FAILURES: [string, (options: Callbacks) => unknown, RegExp][] = [
  ["throws an error", thrower(new TypeError("not a function")), /not a function/],
  ["throws a text", thrower("out of order"), /out of order/],
  ["throws nothing", thrower(undefined), /no reason/],
  ["returns a rejected promise", () => Promise.reject({ errMsg: "fail:auth deny" }), /fail:auth deny/],
  ["never calls back", () => ({ abort: () => {} }), /no callback in 13 s/],
  [
    "fails",
    ({ fail }) => fail({ errMsg: "fail url not in domain list", errNo: 21100 }),
    /fail url not in domain list \(errNo 21100\)/,
  ],
  ["fails without a reason", ({ fail }) => fail(), /no reason/],
  ["fails with something that has no text", ({ fail }) => fail(Object.create(null)), /no reason/],
  ["succeeds with nothing", ({ success }) => success(undefined as never), /undefined/],
];

describe("a call of tt that", () => {
  for (const [name, misbehave, cause] of FAILURES) {
    test(`${name} becomes a problem in time, with its cause, and the next call starts afresh`, async () => {
      for (const which of ["login", "request"] as const) {
        const tt = new FakeTt();
        const { onLogin, onRequest } = tt;
        const pager = newClient(tt).listCertificates(STORE);
        Object.assign(tt, { [which === "login" ? "onLogin" : "onRequest"]: misbehave });
        const problem = problemOf(await settled(pager.next(), LIMIT));
        assert.equal(problem.code, which === "login" ? "login" : "network");
        assert.match(problem.cause ?? "", new RegExp(`^tt.${which}: `));
        assert.match(problem.cause ?? "", cause);
        Object.assign(tt, { onLogin, onRequest });
        assert.deepEqual(idsOf(await settled(pager.next(), 0)), ["lin"]);
        assert.equal(tt.logins, 2);
      }
    });
  }

  test("logs in says whether the network or the login failed", async () => {
    const cases = [
      ["network unavailable", "network", "retry"],
      ["service error:busy,errCode=5", "network", "retry"],
      ["host login fail", "login", "login"],
      ["auth deny", "login", "login"],
    ];
    for (const [reason, ...expected] of cases) {
      const tt = new FakeTt();
      tt.onLogin = ({ fail }) => fail({ errMsg: `login:fail ${reason}`, errorCode: 113001 });
      const { code, action, cause } = problemOf(await settled(newClient(tt).listCertificates(STORE).next(), 0));
      assert.deepEqual([code, action], expected);
      assert.equal(cause, `tt.login: login:fail ${reason} (errorCode 113001)`);
    }
  });

  test("leaves no timer behind", async () => {
    mock.timers.reset();
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timers();
    assert.deepEqual(idsOf(await newClient(new FakeTt()).listCertificates(STORE).next()), ["lin"]);
    assert.equal(timers(), before);
  });

  test("quotes the token or the code is not quoted in the cause", async () => {
    const tt = new FakeTt();
    const client = newClient(tt);
    const { onRequest } = tt;
    tt.onRequest = (options) => options.fail({ errMsg: `${"x".repeat(180)}${JSON.stringify(options)}` });
    const login = problemOf(await settled(client.listCertificates(STORE).next(), 0)).cause ?? "";
    tt.onRequest = onRequest;
    await settled(client.listCertificates(STORE).next(), 0);
    tt.onRequest = ({ header }) => {
      throw new Error(`invalid header ${JSON.stringify(header)}`);
    };
    const list = problemOf(await settled(client.listCertificates(STORE).next(), 0)).cause ?? "";
    assert.match(list, /invalid header/);
    assert.ok(!list.includes(tokenOf("lin").slice(0, 8)) && !login.includes(codeOf("lin").slice(0, 8)), login + list);
  });

  test("has an id that cannot be in an address is a problem too", async () => {
    const tt = new FakeTt();
    const client = newClient(tt);
    await settled(client.listCertificates(STORE).next(), 0);
    assert.equal(
      problemOf(await settled(client.listCertificates({ ...STORE, poi_id: "\ud800" }).next(), 0)).code,
      "network",
    );
    assert.equal(problemOf(await settled(client.listStores({ account_id: "\ud800" }), 0)).code, "network");
  });
});

describe("a body", () => {
  /** Return the outcome of a list with this body, for a customer with a session. */
  async function outcomeOf(data: unknown, statusCode = 200): Promise<Outcome> {
    const tt = new FakeTt();
    const client = newClient(tt);
    await settled(client.listCertificates(STORE).next(), 0);
    tt.onRequest = ({ success }) => success(reply(data, statusCode));
    return settled(client.listCertificates(STORE).next(), 0);
  }

  const UNREADABLE: [unknown, RegExp][] = [
    ["<html>", /not JSON/],
    [undefined, /malformed list/],
    [null, /malformed list/],
    [[], /malformed list/],
    [5, /malformed list/],
    ["5", /malformed list/],
    [{}, /malformed certificates/],
    [{ certificates: {} }, /malformed certificates/],
    [{ certificates: [null] }, /malformed certificates/],
    [{ certificates: ["x", 1, [CERTIFICATE]] }, /malformed certificates/],
    [{ certificates: [{ ...CERTIFICATE, certificate_id: 72 }] }, /malformed certificates/],
    [{ certificates: [{ certificate_id: "", order_id: "2" }] }, /malformed certificates/],
    [{ certificates: [CERTIFICATE], next_cursor: 5 }, /malformed next_cursor/],
  ];
  for (const [body, cause] of UNREADABLE) {
    test(`is unreadable: ${JSON.stringify(body)}`, async () => {
      const problem = problemOf(await outcomeOf(body));
      assert.deepEqual([problem.code, problem.status, problem.action], ["unreadable", 200, "retry"]);
      assert.match(problem.cause ?? "", cause);
    });
  }

  test("loses only what cannot be used", async () => {
    const odd = {
      ...CERTIFICATE,
      kind: 3,
      title: null,
      pay_amount: "4499",
      expire_time: Number.POSITIVE_INFINITY,
      color: "red",
      times: { usable: "7", total: 10, usable_serials: [4, "5"] },
      voucher: [],
      lock: "1",
      off_peak: { weekdays: [1, 2], hours: [["14:00", "17:00"], "18:00"] },
    };
    const certificates = [null, odd, { certificate_id: "9" }, { ...CERTIFICATE, certificate_id: "0" }];
    const unusable = { expired: "1", other: {}, recalled: 2 };
    const outcome = await outcomeOf({ certificates, unusable, next_cursor: null, notice: 7, redeeming: "false" });
    assert.deepEqual(outcome, {
      kind: "list",
      certificates: [
        { certificate_id: "0", order_id: "2", kind: "groupon" },
        {
          certificate_id: "1",
          order_id: "2",
          kind: "other",
          color: "red",
          times: { total: 10 },
          off_peak: { weekdays: [1, 2] },
        },
      ],
      unusable: { recalled: 2 },
      more: false,
    });
  });

  test("of another status is a problem of the service, or unreadable", async () => {
    const body = { code: "toString", detail: "请稍后再试", retry_after: "5" };
    const problem = problemOf(await outcomeOf(body, 503));
    assert.deepEqual([problem.code, problem.action, problem.retryAfter], ["toString", "staff", 0]);
    assert.match(problemOf(await outcomeOf({ code: 5 }, 502)).cause ?? "", /^status 502/);
    assert.equal(problemOf(await outcomeOf({ certificates: [] }, 500)).code, "unreadable");
    assert.match(
      problemOf(await outcomeOf({ code: "x", detail: "x", title: "Not found" }, 404)).cause ?? "",
      /Not found/,
    );
    const errors = [{ field: "list.biz_type", detail: "must be 1 or 2" }];
    const invalid = problemOf(await outcomeOf({ code: "invalid_request", detail: "x", title: "Invalid", errors }, 400));
    assert.equal(invalid.cause, "Invalid; list.biz_type must be 1 or 2");
  });

  test("of a login is checked, and its list is requested if it cannot be read", async () => {
    const tt = new FakeTt();
    const { onRequest } = tt;
    const pager = newClient(tt).listCertificates(STORE);
    for (const data of ["", { token: 5, expires_in: 7200 }, { token: "t", expires_in: "7200" }, { token: "" }]) {
      tt.onRequest = ({ success }) => success(reply(data));
      assert.equal(problemOf(await settled(pager.next(), 0)).code, "unreadable");
    }
    const data = { token: tokenOf("lin"), expires_in: 7200, list: { certificates: [null] }, list_problem: "x" };
    tt.onRequest = (options) => (options.data ? options.success(reply(data)) : onRequest(options));
    assert.deepEqual(idsOf(await settled(pager.next(), 0)), ["lin"]);
  });

  test("of the stores has stores, or the last known ones are shown", async () => {
    const tt = new FakeTt();
    let now = 1_000_000;
    const client = newClient(tt, () => now);
    const respond = async (data: unknown) => {
      now += 3_600_000;
      tt.onRequest = ({ success }) => success(reply(data));
      return settled(client.listStores(STORE), 0);
    };
    assert.match(problemOf(await respond({ ...MERCHANT, stores: ["x"] })).cause ?? "", /malformed stores/);
    const [first, second, third] = MERCHANT.stores;
    const stores = [
      null,
      { poi_id: "1" },
      first,
      { name: "无编号店" },
      second,
      { ...third, latitude: "31.2", phone: 5 },
    ];
    const known = { kind: "stores", merchant: MERCHANT, stale: false };
    assert.deepEqual(await respond({ ...MERCHANT, stores }), known);
    for (const malformed of [{ ...MERCHANT, stores: ["x"] }, { ...MERCHANT, stores: null }, { stores: [] }, "<html>"]) {
      assert.deepEqual(await respond(malformed), { ...known, stale: true });
    }
    assert.deepEqual(await respond({ ...MERCHANT, stores: undefined }), {
      ...known,
      merchant: { account_id: MERCHANT.account_id, name: MERCHANT.name, stores: undefined },
    });
  });
});

describe("parts without certificates", () => {
  /** Return a pager whose service sends these parts, the cursors of its requests, and its progress reports. */
  function serve(part: (number: number) => object) {
    const tt = new FakeTt();
    const cursors: string[] = [];
    tt.onRequest = (options) => {
      cursors.push(/cursor=(\w+)/.exec(options.url)?.[1] ?? "");
      const list = part(cursors.length);
      options.success(reply(options.data ? { token: tokenOf("lin"), expires_in: 7200, list } : list));
      return { abort: () => {} };
    };
    const progress: string[] = [];
    const pager = newClient(tt).listCertificates({ ...STORE, onProgress: (event) => progress.push(event) });
    return { cursors, progress, pager };
  }
  const empty = (number: number) => ({ certificates: [], unusable: { other: 50 }, next_cursor: `c${number}` });

  test("are followed by the next one, and the page is told", async () => {
    const { cursors, progress, pager } = serve((number) => (number < 4 ? empty(number) : listOf("lin")));
    const outcome = await settled(pager.next(), 0);
    assert.deepEqual(idsOf(outcome), ["lin"]);
    assert.deepEqual(outcome, { ...outcome, unusable: { other: 150 }, more: false });
    assert.deepEqual(cursors, ["", "c1", "c2", "c3"]);
    assert.deepEqual(progress, ["searching", "searching", "searching"]);
  });

  test("have the merchant's notice and switch, of which the newest count", async () => {
    const { pager } = serve((number) =>
      number < 2
        ? { certificates: [CERTIFICATE], next_cursor: "c1", notice: "a", redeeming: false }
        : { certificates: [], notice: "b" },
    );
    const found = { kind: "list", certificates: [CERTIFICATE], unusable: {} };
    assert.deepEqual(await settled(pager.next(), 0), { ...found, more: true, notice: "a", redeeming: false });
    assert.deepEqual(await settled(pager.next(), 0), { ...found, more: false, notice: "b" });
  });

  test("are followed by at most 10, and the next call goes on", async () => {
    const { cursors, progress, pager } = serve(empty);
    const outcome = await settled(pager.next(), 0);
    assert.deepEqual(outcome, { kind: "list", certificates: [], unusable: { other: 550 }, more: true });
    assert.deepEqual([cursors.length, progress.length], [11, 10]);
    await settled(pager.next(), 0);
    assert.deepEqual([cursors.length, cursors[11]], [22, "c11"]);
  });

  test("are not followed after certificates, at the end, or after the list was replaced", async () => {
    const found = serve((number) => ({ ...listOf("lin"), next_cursor: `c${number}` }));
    assert.deepEqual(idsOf(await settled(found.pager.next(), 0)), ["lin"]);
    assert.equal(found.cursors.length, 1);
    const none = serve(() => ({ certificates: [] }));
    assert.deepEqual(idsOf(await settled(none.pager.next(), 0)), []);
    assert.equal(none.cursors.length, 1);
    const replaced = serve((number) => {
      if (number === 3) {
        replaced.pager.cancel();
      }
      return empty(number);
    });
    assert.deepEqual(await settled(replaced.pager.next(), 0), { kind: "cancelled" });
    assert.equal(replaced.cursors.length, 3);
  });

  test("are not read again after a problem", async () => {
    const { cursors, pager } = serve((number) => (number === 3 ? { certificates: [null] } : empty(number)));
    problemOf(await settled(pager.next(), 0));
    await settled(pager.next(), 0);
    assert.deepEqual(cursors.slice(0, 5), ["", "c1", "c2", "c2", "c4"]);
  });

  test("do not depend on a page that throws", async () => {
    const tt = new FakeTt();
    tt.onRequest = ({ success }) => success(reply({ token: "t", expires_in: 7200, list: empty(1), ...empty(1) }));
    const pager = newClient(tt).listCertificates({ ...STORE, onProgress: thrower(new Error("setData")) });
    assert.deepEqual(idsOf(await settled(pager.next(), 0)), []);
  });
});

test("a certificate that comes again is not listed again", async () => {
  const tt = new FakeTt();
  const one = (id: string) => ({ ...CERTIFICATE, certificate_id: id });
  const parts = [
    { certificates: [one("1"), one("2"), one("1")], next_cursor: "c" },
    { certificates: [one("2"), one("3")] },
  ];
  const pager = newClient(tt).listCertificates(STORE);
  tt.onRequest = ({ success, data }) => {
    const list = parts.shift();
    success(reply(data ? { token: tokenOf("lin"), expires_in: 7200, list } : list));
  };
  assert.deepEqual(idsOf(await settled(pager.next(), 0)), ["1", "2"]);
  assert.deepEqual(idsOf(await settled(pager.next(), 0)), ["1", "2", "3"]);
});
