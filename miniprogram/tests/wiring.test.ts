/** Tests of the pages and the visit that they share, from `dist` and with the service: what leads where. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { createMockTt } from "../preview/mock-tt";
import type { cardsView, counterView, listView, storesView } from "../src/coupons/pages/certificates/view";
import type { Config } from "../src/coupons/settings";
import { loadBuilt, unloadBuilt } from "./built";
import { API_URL, APP_ID, SANDBOX_URL, STORE } from "./sandbox";

const LIST = "coupons/pages/certificates/certificates";
const COUNTER = "coupons/pages/certificate/certificate";
const STORES = "coupons/pages/stores/stores";

interface Page {
  path: string;
  data: { isUnchosen: boolean; textSize: number } & ReturnType<typeof counterView> &
    ReturnType<typeof cardsView> &
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
  use: () => void;
  isReady: boolean;
  copyText: (event: object) => void;
  leave: () => void;
}

const { setTimeout: wait } = globalThis;
// The pages' own timers must not keep this process running: that of a call of the hook has a minute.
globalThis.setTimeout = ((...all: Parameters<typeof wait>) => wait(...all).unref()) as typeof wait;

const tap = (dataset: object) => ({ currentTarget: { dataset } });

interface Navigation {
  url: string;
  fail: () => void;
}

/** A phone with one mini-program and its open pages. It keeps its storage for a next visit. */
class Program {
  readonly stack: Page[] = [];
  readonly called: string[] = [];
  readonly requests: string[] = [];
  readonly toasts: string[] = [];
  /** What the last page showed before its onLoad. */
  first?: Page["data"];
  /** The navigation that fails: Douyin opens no more pages than 10 over each other, for example. */
  readonly failing = new Set<string>();
  readonly config: Config;
  private readonly definitions = new Map<string, Page>();
  private readonly phone;

  /** `missing`: functions that the host does not have. */
  constructor(
    readonly storage = new Map<string, string>(),
    missing: string[] = [],
  ) {
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
      onToast: (text: string) => this.toasts.push(text),
    };
    const goes = (name: string, fail: () => void) => !this.failing.has(name) || void fail();
    const navigation = {
      makePhoneCall: ({ phoneNumber }: { phoneNumber: string }) => this.called.push(phoneNumber),
      navigateTo: ({ url, fail }: Navigation) => {
        if (goes("navigateTo", fail)) {
          this.top.onHide();
          this.open(url);
        }
      },
      redirectTo: ({ url, fail }: Navigation) => {
        if (goes("redirectTo", fail)) {
          this.stack.pop()?.onUnload();
          this.open(url);
        }
      },
      navigateBack: ({ fail }: Navigation) => goes("navigateBack", fail) && this.back(),
    };
    let path = "";
    const Page = (definition: Page) => this.definitions.set(path, definition);
    const tt = { ...createMockTt(this.phone), ...navigation };
    const names = Object.keys(tt).filter((name) => !missing.includes(name));
    Object.assign(globalThis, {
      tt: Object.fromEntries(names.map((name) => [name, tt[name as keyof typeof tt]])),
      Page,
    });
    unloadBuilt();
    this.config = loadBuilt<{ config: Config }>("coupons/config").config;
    this.config.api = API_URL;
    for (path of [LIST, COUNTER, STORES]) {
      loadBuilt(path);
    }
    programs.push(this);
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
    this.first = structuredClone(data);
    page.onLoad(Object.fromEntries(new URLSearchParams(query)));
    page.onShow();
  }

  back(): void {
    this.stack.pop()?.onUnload();
    this.top.onShow();
  }

  /** End the program. */
  close(): void {
    this.stack[this.stack.length - 1]?.onUnload();
  }
}

const programs: Program[] = [];
afterEach(() => {
  for (const program of programs.splice(0)) {
    program.close();
  }
});

function openList(query: object, storage?: Map<string, string>): Program {
  const program = new Program(storage);
  program.open(`${LIST}?${new URLSearchParams({ ...query })}`);
  return program;
}

async function until(condition: () => unknown): Promise<void> {
  for (const start = Date.now(); !condition(); ) {
    assert.ok(Date.now() - start < 60_000, `waiting for ${condition}`);
    await new Promise((resolve) => wait(resolve, 10));
  }
}

test("a page that begins shows nothing that is not known yet", async () => {
  const program = openList(STORE);
  assert.equal(program.first?.isUnchosen, false);
  await until(() => program.top.data.refundable);
  program.top.openCertificate(tap({ id: "7200000000000000001" }));
  assert.equal(program.first?.loading, true);
  program.back();
  program.top.chooseStore();
  assert.equal(program.first?.loading, true);
});

test("two taps open one page, and the list goes on if none can be opened", async () => {
  const program = openList(STORE);
  await until(() => program.top.data.canChoose && program.top.data.refundable);
  const [list] = program.stack as [Page];
  list.chooseStore();
  list.chooseStore();
  assert.deepEqual(program.paths, [LIST, STORES]);
  program.back();
  program.failing.add("navigateTo");
  list.chooseStore();
  program.failing.clear();
  list.openCertificate(tap({ id: "7200000000000000001" }));
  assert.deepEqual(program.paths, [LIST, COUNTER]);
});

test("a page whose way out fails shows its content", async () => {
  const first = new Program();
  first.failing.add("redirectTo");
  first.open(LIST);
  await until(() => first.top.data.canChoose);
  assert.deepEqual([first.paths, first.top.data.isUnchosen, first.top.data.loading], [[LIST], true, false]);
  first.top.chooseStore();
  first.failing.add("navigateBack");
  const selection = first.top;
  for (const poi of ["6602", "6601"]) {
    selection.pickStore(tap({ poi }));
    assert.deepEqual([first.top, selection.data.stores.length], [selection, 3]);
  }
  first.failing.clear();
  selection.pickStore(tap({ poi: "6602" }));
  await until(() => first.top.data.store === "四季小馆·徐家汇店" && first.top.data.refundable);

  for (const path of [COUNTER, STORES]) {
    const launched = new Program(first.storage);
    launched.failing.add("redirectTo").add("navigateBack");
    launched.open(`${path}?id=7200000000000000001`);
    await until(() => (path === COUNTER ? launched.top.data.detail : launched.top.data.stores.length === 3));
    assert.deepEqual(launched.paths, [path]);
    if (path === COUNTER) {
      launched.top.leave();
      assert.ok(launched.top.data.detail);
    }
  }
});

test("what cannot be copied or dialled is shown", async () => {
  for (const missing of [
    [],
    ["setClipboardData", "makePhoneCall"],
    ["setClipboardData", "makePhoneCall", "showToast"],
  ]) {
    const program = new Program(new Map(), missing);
    program.open(`${LIST}?${new URLSearchParams(STORE)}`);
    await until(() => program.top.data.phone);
    program.top.copyText(tap({ text: "8a6b51c0" }));
    program.top.callStore();
    const shown = ["无法复制：8a6b51c0", "请拨打 021-5555-6601"];
    assert.deepEqual(program.toasts, [["已复制"], [], shown, []][missing.length]);
  }
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
  await new Promise((resolve) => wait(resolve, 10));
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

test("the position is asked for by a tap only", async () => {
  const program = openList({});
  await until(() => program.top.data.stores.length === 3);
  assert.ok(program.top.data.canLocate && !program.top.data.located);
  program.top.sortByDistance();
  await until(() => program.top.data.located);
  assert.deepEqual(
    program.top.data.stores.map(({ distance }) => distance),
    ["460 m", "5.6 km", ""],
  );
});
