/** Tests of the pages and the visit that they share, from `dist` and with the service: what leads where. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { createMockTt } from "../preview/mock-tt";
import type * as Config from "../src/coupons/config";
import type { counterView, listView, storesView } from "../src/coupons/pages/certificates/view";
import { loadBuilt, unloadBuilt } from "./built";
import { API_URL, APP_ID, SANDBOX_URL, STORE } from "./sandbox";

const LIST = "coupons/pages/certificates/certificates";
const COUNTER = "coupons/pages/certificate/certificate";
const STORES = "coupons/pages/stores/stores";

interface Page {
  path: string;
  data: { selecting: boolean; textSize: number } & ReturnType<typeof counterView> &
    ReturnType<typeof listView> &
    ReturnType<typeof storesView>;
  setData: (data: object) => void;
  onLoad: (query: object) => void;
  onShow: () => void;
  onHide: () => void;
  onUnload: () => void;
  resolveProblem: () => void;
  sortByDistance: () => void;
  chooseStore: () => void;
  changeTextSize: () => void;
  pickStore: (event: object) => void;
  openCertificate: (event: object) => void;
  callStore: () => void;
  use: (event: object) => void;
}

const tap = (dataset: object) => ({ currentTarget: { dataset } });

/** A phone with one mini-program and its open pages. It keeps its storage for a next visit. */
class Program {
  readonly stack: Page[] = [];
  readonly called: string[] = [];
  readonly requests: string[] = [];
  /** Douyin opens no more pages than 10 over each other. */
  isFull = false;
  readonly config: Config.Config;
  private readonly definitions = new Map<string, Page>();
  private readonly phone;

  constructor(readonly storage = new Map<string, string>()) {
    this.phone = {
      sandboxUrl: SANDBOX_URL,
      appId: APP_ID,
      customer: "lin",
      position: { latitude: 31.197, longitude: 121.434 },
      storage: {
        getItem: (key: string) => storage.get(key) ?? null,
        setItem: (key: string, value: string) => storage.set(key, value),
        removeItem: (key: string) => storage.delete(key),
      },
      onCall: ({ method, url }: { method: string; url: string }) => this.requests.push(`${method} ${url}`),
    };
    const navigation = {
      makePhoneCall: ({ phoneNumber }: { phoneNumber: string }) => this.called.push(phoneNumber),
      navigateTo: ({ url, fail }: { url: string; fail: () => void }) => {
        if (this.isFull) {
          fail();
          return;
        }
        this.top.onHide();
        this.open(url);
      },
      redirectTo: ({ url }: { url: string }) => {
        this.stack.pop()?.onUnload();
        this.open(url);
      },
      navigateBack: () => this.back(),
    };
    let path = "";
    const Page = (definition: Page) => this.definitions.set(path, definition);
    Object.assign(globalThis, { tt: { ...createMockTt(this.phone), ...navigation }, Page });
    unloadBuilt();
    this.config = loadBuilt<typeof Config>("coupons/config").config;
    this.config.api = API_URL;
    for (path of [LIST, COUNTER, STORES]) {
      loadBuilt(path);
    }
  }

  get top(): Page {
    return this.stack[this.stack.length - 1] as Page;
  }

  /** The paths of the open pages. */
  get paths(): string[] {
    return this.stack.map(({ path }) => path);
  }

  open(url: string): void {
    const [path = "", query] = url.replace(/^\//, "").split("?");
    const definition = this.definitions.get(path) as Page;
    const data = structuredClone(definition.data);
    const page: Page = { ...definition, path, data, setData: (part) => Object.assign(data, part) };
    this.stack.push(page);
    page.onLoad(Object.fromEntries(new URLSearchParams(query)));
    page.onShow();
  }

  back(): void {
    this.stack.pop()?.onUnload();
    this.top.onShow();
  }
}

function openList(query: object, storage?: Map<string, string>): Program {
  const program = new Program(storage);
  program.open(`${LIST}?${new URLSearchParams({ ...query })}`);
  return program;
}

async function until(condition: () => unknown): Promise<void> {
  for (const start = Date.now(); !condition(); ) {
    assert.ok(Date.now() - start < 5000, `waiting for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("on a first visit, the selection takes the place of the list, and the list that of the selection", async () => {
  const program = openList({});
  assert.deepEqual(program.paths, [STORES]);
  await until(() => program.top.data.stores.length === 3);
  program.top.pickStore(tap({ poi: STORE.poi_id }));
  assert.deepEqual(program.paths, [LIST]);
  await until(() => program.top.data.refundable);
  assert.deepEqual(
    program.requests.map((request) => request.replace(API_URL, "")),
    [`GET /v1/merchants/${STORE.account_id}/stores`, "POST /v1/sessions"],
  );
  assert.deepEqual(openList({}, program.storage).paths, [LIST], "the next visit opens the last store");
});

test("the selection over a list leads back to it, with a choice or without one", async () => {
  const program = openList(STORE);
  await until(() => program.top.data.canChoose && program.top.data.refundable);
  program.top.chooseStore();
  assert.deepEqual(program.paths, [LIST, STORES]);
  program.back();
  program.top.callStore();
  assert.deepEqual(program.called, ["02155556601"]);
  program.top.chooseStore();
  await until(() => program.top.data.stores.length === 3);
  program.top.pickStore(tap({ poi: "6602" }));
  assert.deepEqual(program.paths, [LIST]);
  await until(() => program.top.data.store === "四季小馆·徐家汇店" && program.top.data.refundable);
});

test("a step back from 券详情 asks nothing; a return to the program reads the list again", async () => {
  const program = openList(STORE);
  await until(() => program.top.data.canChoose && program.top.data.refundable);
  const before = program.requests.length;
  program.top.openCertificate(tap({ id: "7200000000000000001" }));
  assert.deepEqual(program.top.data.detail?.digits, ["7001"]);
  program.back();
  program.top.openCertificate(tap({ id: "7200000000000000001" }));
  assert.equal(program.requests.length, before);
  program.top.onHide();
  program.top.onShow();
  await until(() => program.requests.length === before + 1);
  assert.deepEqual(program.top.data.detail?.digits, ["7001"]);
});

test("two taps open one page, and the list goes on if none can be opened", async () => {
  const program = openList(STORE);
  await until(() => program.top.data.canChoose && program.top.data.refundable);
  const [list] = program.stack as [Page];
  list.chooseStore();
  list.chooseStore();
  assert.deepEqual(program.paths, [LIST, STORES]);
  program.back();
  program.isFull = true;
  list.chooseStore();
  program.isFull = false;
  list.openCertificate(tap({ id: "7200000000000000001" }));
  assert.deepEqual(program.paths, [LIST, COUNTER]);
});

test("the hook runs once at a time, and the list is read after it, also if it fails", async () => {
  const program = openList(STORE);
  await until(() => program.top.data.canChoose && program.top.data.refundable);
  const before = program.requests.length;
  const used: string[] = [];
  let fail = (_: Error) => {};
  program.config.onSelect = ({ certificate_id }) => {
    used.push(certificate_id);
    return new Promise((_, reject) => {
      fail = reject;
    });
  };
  const [list] = program.stack as [Page];
  list.use(tap({ id: "7200000000000000001" }));
  list.use(tap({ id: "7200000000000000003" }));
  assert.deepEqual([used, list.data.selecting, program.requests.length], [["7200000000000000001"], true, before]);
  fail(new Error("not redeemed"));
  await until(() => program.requests.length === before + 1);
  assert.equal(list.data.selecting, false);
  list.use(tap({ id: "7200000000000000003" }));
  assert.equal(used.length, 2);
});

test("every page has the text size that the customer has chosen", async () => {
  const program = openList(STORE);
  await until(() => program.top.data.canChoose && program.top.data.refundable);
  program.top.changeTextSize();
  program.top.openCertificate(tap({ id: "7200000000000000001" }));
  assert.equal(program.top.data.textSize, 20);
  program.top.changeTextSize();
  program.back();
  program.top.chooseStore();
  assert.equal(program.top.data.textSize, 24);
});

for (const path of [COUNTER, STORES]) {
  test(`${path} leads to the list if it is launched directly`, async () => {
    const program = new Program(new Map([[`redemption.store.${STORE.account_id}`, JSON.stringify(STORE.poi_id)]]));
    program.open(`${path}?id=7200000000000000001`);
    assert.deepEqual(program.paths, [LIST]);
    await until(() => program.top.data.refundable);
  });
}

test("a remembered store that is closed is no dead end", async () => {
  const program = new Program(new Map([[`redemption.store.${STORE.account_id}`, '"9999"']]));
  program.open(LIST);
  assert.deepEqual(program.paths, [LIST]);
  await until(() => program.paths[0] === STORES && program.top.data.stores.length === 3);
});

test("a page that has been left does not replace the page under it", async () => {
  const program = new Program(new Map([[`redemption.store.${STORE.account_id}`, '"9999"']]));
  program.open(LIST);
  program.stack.pop()?.onUnload();
  await until(() => program.requests.length === 2);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(program.paths, []);
});

test("an unknown merchant is no dead end: its button leads to the own one", async () => {
  const program = openList({ account_id: "unknown" });
  await until(() => program.top.data.problem);
  assert.equal(program.top.data.problem?.button, "切换门店");
  program.top.resolveProblem();
  await until(() => program.top.data.stores.length === 3);
  assert.equal(program.top.data.problem, null);
});

test("the position is asked for by a tap only, and used without one on the next visit", async () => {
  const program = openList({});
  await until(() => program.top.data.stores.length === 3);
  assert.ok(program.top.data.canLocate && !program.top.data.located);
  program.top.sortByDistance();
  await until(() => program.top.data.located);
  const next = openList({}, program.storage);
  await until(() => next.top.data.located);
  assert.deepEqual(
    next.top.data.stores.map(({ distance }) => distance),
    ["460 m", "5.6 km", ""],
  );
});
