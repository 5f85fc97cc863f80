/** Tests of the page file, which connects the pure modules with `tt` and the client, from `dist` and with the service. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { createMockTt } from "../preview/mock-tt";
import type * as Config from "../src/config";
import type { INITIAL_VIEW } from "../src/pages/certificates/view";
import { API_URL, APP_ID, SANDBOX_URL, STORE } from "./sandbox";

const require = createRequire(import.meta.url);

interface Page {
  data: typeof INITIAL_VIEW;
  setData: (data: object) => void;
  onLoad: (query: { account_id?: string; poi_id?: string }) => void;
  resolveProblem: () => void;
  sortByDistance: () => void;
  chooseStore: () => void;
  keepStore: () => void;
  callStore: () => void;
}

/** Open the page as a new visit on a phone, which keeps its storage. */
function openPage(query: Parameters<Page["onLoad"]>[0], storage = new Map<string, string>()) {
  const called: string[] = [];
  const tt = createMockTt({
    sandboxUrl: SANDBOX_URL,
    appId: APP_ID,
    customer: "lin",
    position: { latitude: 31.197, longitude: 121.434 },
    storage: {
      getItem: (key) => storage.get(key) ?? null,
      setItem: (key, value) => storage.set(key, value),
      removeItem: (key) => storage.delete(key),
    },
  });
  const makePhoneCall = ({ phoneNumber }: { phoneNumber: string }) => called.push(phoneNumber);
  let page: Page | undefined;
  const register = (registered: Page) => {
    page = registered;
  };
  Object.assign(globalThis, { tt: { ...tt, makePhoneCall }, Page: register });
  for (const path of Object.keys(require.cache).filter((file) => file.includes("/dist/"))) {
    delete require.cache[path];
  }
  (require("../dist/config.js") as typeof Config).config.api = API_URL;
  require("../dist/pages/certificates/certificates.js");
  const opened = page as unknown as Page;
  opened.setData = (data) => Object.assign(opened.data, data);
  opened.onLoad(query);
  return { page: opened, called };
}

async function until(condition: () => unknown): Promise<void> {
  for (const start = Date.now(); !condition(); ) {
    assert.ok(Date.now() - start < 5000, `waiting for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("an unknown merchant is no dead end: its button leads to the own one", async () => {
  const { page } = openPage({ account_id: "unknown" });
  await until(() => page.data.storesProblem);
  assert.equal(page.data.storesProblem?.button, "选择其他门店");
  page.resolveProblem();
  await until(() => page.data.stores.length === 3);
  assert.equal(page.data.storesProblem, null);
});

test("the position is asked for by a tap only, and used without one on the next visit", async () => {
  const storage = new Map<string, string>();
  const { page } = openPage({}, storage);
  await until(() => page.data.stores.length === 3);
  assert.ok(page.data.canLocate && !page.data.located);
  page.sortByDistance();
  await until(() => page.data.located);
  const { page: next } = openPage({}, storage);
  await until(() => next.data.located);
  assert.deepEqual(
    next.data.stores.map(({ distance }) => distance),
    ["460 m", "5.6 km", ""],
  );
});

test("the selection can be left without a choice, and the store can be called", async () => {
  const { page, called } = openPage(STORE);
  await until(() => page.data.canChoose && page.data.count);
  page.chooseStore();
  assert.ok(page.data.choosing && page.data.canReturn);
  page.keepStore();
  assert.ok(!page.data.choosing);
  page.callStore();
  assert.deepEqual(called, ["021-5555-6601"]);
});
