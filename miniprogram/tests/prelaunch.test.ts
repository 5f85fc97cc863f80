/** Tests of `prelaunch.ts` from `dist`: it sends what the page sends first, and the page uses the response once. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import type { Reply, RequestOptions } from "../src/client/client";
import type * as Config from "../src/config";
import { FakeTt, flush, reply, STORE, STORES, tokenOf } from "./fake-tt";

const require = createRequire(import.meta.url);
const PAGE = "pages/certificates/certificates";
const { account_id: ACCOUNT, poi_id: POI } = STORE;
const MINUTE = 60_000;

// The page's timers do not delay the end of the tests.
beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

type Query = { account_id?: string; poi_id?: string };

interface Page {
  data: { usable: { id: string }[] };
  setData: (data: object) => void;
  onLoad: (query: Query) => void;
  onShow: () => void;
  onHide: () => void;
}

/** What has to be equal for the page to receive a prefetched response. */
function compared({ url, method, header, data }: RequestOptions): object {
  return { url, method, header, data };
}

function load(path: string): unknown {
  return require(`../dist/${path}`);
}

/** Start the program on a phone as Douyin does. `prefetched`: the response that the page receives, if it asks for it. */
async function start(tt: FakeTt, query: Query, prefetched?: Reply) {
  const { onRequest } = tt;
  // Of `tt`, the page uses more than the client: such a function does nothing.
  const others: { [name: string]: unknown } = { getEnvInfoSync: () => ({ microapp: { appId: "tt1" } }) };
  const phone = new Proxy(tt, {
    get: (target, name) => Reflect.get(target, name) ?? others[String(name)] ?? (() => ({})),
  });
  let page: Page | undefined;
  Object.assign(globalThis, {
    tt: phone,
    registerOnPrelaunch: (path: string, run: (launch: object) => void) => {
      assert.equal(path, PAGE);
      run({ path, query: new URLSearchParams(query).toString() });
    },
    Page: (definition: Page) => {
      page = Object.assign(definition, { setData: (data: object) => Object.assign(definition.data, data) });
    },
  });
  for (const path of Object.keys(require.cache).filter((file) => file.includes("/dist/"))) {
    delete require.cache[path];
  }
  tt.onRequest = () => {};
  load("prelaunch.js");
  const prelaunched = tt.requests.splice(0);
  tt.onRequest = (options) => {
    const isPrefetched = prelaunched.some((sent) => isEqual(compared(sent), compared(options)));
    return prefetched && isPrefetched && options.usePrefetchCache ? options.success(prefetched) : onRequest(options);
  };
  load(`${PAGE}.js`);
  assert.ok(page);
  page.onLoad(query);
  page.onShow();
  await flush();
  return { page, prelaunched };
}

function isEqual(one: object, other: object): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Return a phone with a stored session, and whatever else is stored there. */
function newPhone(stored: { [key: string]: unknown }, expiresIn = 60 * MINUTE): FakeTt {
  const tt = new FakeTt();
  const session = { token: tokenOf(tt.customer), endsAt: Date.now() + expiresIn };
  for (const [key, value] of Object.entries({ session, ...stored })) {
    tt.stored.set(`redemption.${key}`, value);
  }
  return tt;
}

const lastStore = { [`store.${ACCOUNT}`]: "6602" };
const storesReadAt = (ago: number) => ({ [`stores.${ACCOUNT}`]: { merchant: STORES, readAt: Date.now() - ago } });

describe("prelaunch", () => {
  const LIST = `${ACCOUNT}/stores/${POI}/certificates`;
  const LAST = `${ACCOUNT}/stores/6602/certificates`;
  const cases: [string, FakeTt, Query, string | undefined][] = [
    ["the list of the last store", newPhone(lastStore), {}, LAST],
    ["the list of the store in the query", newPhone(lastStore), { poi_id: POI }, LIST],
    [
      "the list of the merchant in the query",
      newPhone({}),
      { account_id: "71", poi_id: POI },
      `71/stores/${POI}/certificates`,
    ],
    ["the list of an odd store", newPhone({}), { poi_id: "六1&" }, `${ACCOUNT}/stores/%E5%85%AD1%26/certificates`],
    ["the stores without a session", newPhone({ session: "" }), { poi_id: POI }, `${ACCOUNT}/stores`],
    ["the stores if the session ends within 30 s", newPhone({}, 29_000), { poi_id: POI }, `${ACCOUNT}/stores`],
    ["the stores without a store", newPhone({}), {}, `${ACCOUNT}/stores`],
    ["the stores of the merchant in the query", newPhone(lastStore), { account_id: "71" }, "71/stores"],
    ["the stores after 5 minutes", newPhone(storesReadAt(5 * MINUTE)), {}, `${ACCOUNT}/stores`],
    ["nothing while the stores are cached", newPhone(storesReadAt(4 * MINUTE)), {}, undefined],
  ];
  for (const [name, tt, query, expected] of cases) {
    test(`requests ${name}, as the page does`, async () => {
      const { prelaunched } = await start(tt, query);
      const { api } = (load("config.js") as typeof Config).config;
      assert.deepEqual(
        prelaunched.map(({ url }) => url),
        expected ? [`${api}/v1/merchants/${expected}`] : [],
      );
      const same = tt.requests.filter(({ usePrefetchCache }) => usePrefetchCache).map(compared);
      for (const request of prelaunched) {
        assert.ok(request.usePrefetchCache);
        assert.equal(same.filter((sent) => isEqual(sent, compared(request))).length, 1);
      }
    });
  }

  test("is named in app.json, for the page that is opened first", () => {
    const app = load("app.json") as { pages: string[]; prelaunch: { entry: string } };
    assert.deepEqual([app.pages[0], app.prelaunch.entry], [PAGE, "prelaunch.js"]);
  });
});

describe("a prefetched response", () => {
  const idsOf = ({ data }: Page) => data.usable.map(({ id }) => id);
  const listOf = (id: string) =>
    reply({ ...STORE, certificates: [{ certificate_id: id, order_id: "2", kind: "groupon" }] });

  /** Leave the program and return to it, which refreshes the list. */
  async function comeBack(page: Page): Promise<void> {
    page.onHide();
    page.onShow();
    await flush();
  }

  test("is shown, and not used again when the list is refreshed", async () => {
    const tt = newPhone({});
    const { page } = await start(tt, { poi_id: POI }, listOf("prefetched"));
    assert.deepEqual([idsOf(page), tt.logins], [["prefetched"], 0]);
    await comeBack(page);
    assert.deepEqual(idsOf(page), ["lin"]);
  });

  test("of a rejected session leads to a login", async () => {
    const tt = newPhone({});
    const rejected = reply({ code: "unauthenticated", detail: "登录已失效，请重新登录" }, 401);
    const { page } = await start(tt, { poi_id: POI }, rejected);
    assert.deepEqual([idsOf(page), tt.logins], [["lin"], 1]);
  });

  test("that cannot be read is not received again by a retry", async () => {
    const tt = newPhone({});
    const { page } = await start(tt, { poi_id: POI }, reply("<html>", 502));
    assert.deepEqual(idsOf(page), []);
    await comeBack(page);
    assert.deepEqual(idsOf(page), ["lin"]);
  });

  test("is of the user who is logged in", async () => {
    const tt = newPhone({});
    tt.customer = "wang";
    tt.stored.set("redemption.session", { token: tokenOf("wang"), endsAt: Date.now() + 60 * MINUTE });
    const { prelaunched } = await start(tt, { poi_id: POI });
    assert.deepEqual(prelaunched[0]?.header, { authorization: `Bearer ${tokenOf("wang")}` });
  });
});
