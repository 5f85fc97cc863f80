/** Tests of the navigation between the pages, and of the visit that they share, from `dist`. They need no sandbox. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import type { storesView } from "../src/coupons/visit/view";
import { loadBuilt } from "./built";
import { FakeTt, flush, reply, STORE } from "./fake-tt";
import { type Page as OnePage, start } from "./pages";

const LIST = "coupons/pages/certificates/certificates";
const CERTIFICATE = "coupons/pages/certificate/certificate";
const STORES = "coupons/pages/stores/stores";
type AnyPage = OnePage & { data: ReturnType<typeof storesView> & { needsStore: boolean; textSize: number } } & {
  [name in "sortByDistance" | "chooseStore" | "toggleTextSize" | "callStore"]: () => void;
} & { [name in "pickStore" | "openCertificate"]: (event: object) => void };
type Page = AnyPage & { path: string };

const tap = (dataset: object) => ({ currentTarget: { dataset } });

interface Navigation {
  url: string;
  fail: () => void;
}

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(console, "error", () => {});
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** A phone with one mini-program and its open pages. */
class Program {
  readonly stack: Page[] = [];
  readonly toasts: string[] = [];
  /** The data of the page that was opened last, as it was before its onLoad. */
  initialData?: Page["data"];
  /** Names of navigation functions that fail: Douyin opens at most 10 pages over each other, for example. */
  readonly failing = new Set<string>();
  private readonly definitions = new Map<string, Page>();

  /** `lastStore`: the customer's choice at an earlier visit. `missing`: functions that the host does not have. */
  constructor(lastStore = "", missing: string[] = []) {
    const tt = new FakeTt();
    tt.stored.set(`redemption.store.${STORE.account_id}`, lastStore);
    const { onRequest } = tt;
    tt.onRequest = (options) => {
      const unknown = reply({ code: "merchant_not_found", detail: "暂不支持该商家" }, 404);
      return options.url.includes(STORE.account_id) || options.data ? onRequest(options) : options.success(unknown);
    };
    const goes = (name: string, fail: () => void) => !this.failing.has(name) || void fail();
    const host = {
      getLocation: ({ success }: { success: (at: object) => void }) =>
        success({ latitude: 31.197, longitude: 121.434 }),
      showToast: ({ title }: { title: string }) => this.toasts.push(title),
      makePhoneCall: () => {},
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
    start(Object.assign(tt, Object.fromEntries(Object.entries(host).filter(([name]) => !missing.includes(name)))));
    for (const path of [LIST, CERTIFICATE, STORES]) {
      Object.assign(globalThis, { Page: (definition: Page) => this.definitions.set(path, definition) });
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
    this.initialData = structuredClone(data);
    page.onLoad(Object.fromEntries(new URLSearchParams(query)));
    page.onShow();
  }

  back(): void {
    this.stack.pop()?.onUnload();
    this.top.onShow();
  }
}

async function openList(query: object, missing?: string[]): Promise<Program> {
  const program = new Program("", missing);
  program.open(`${LIST}?${new URLSearchParams({ ...query })}`);
  await flush();
  return program;
}

test("a page that begins shows nothing that is not known yet", async () => {
  const program = await openList(STORE);
  assert.equal(program.initialData?.needsStore, false);
  program.top.openCertificate(tap({ id: "lin" }));
  assert.equal(program.initialData?.isLoading, true);
  program.back();
  program.top.chooseStore();
  assert.equal(program.initialData?.isLoading, true);
});

test("two taps open one page, and the list goes on if none can be opened", async () => {
  const program = await openList(STORE);
  const [list] = program.stack as [Page];
  list.chooseStore();
  list.chooseStore();
  assert.deepEqual(program.paths, [LIST, STORES]);
  program.back();
  program.failing.add("navigateTo");
  list.chooseStore();
  program.failing.clear();
  list.openCertificate(tap({ id: "lin" }));
  assert.deepEqual(program.paths, [LIST, CERTIFICATE]);
});

test("a page whose way out fails shows its content", async () => {
  const first = new Program();
  first.failing.add("redirectTo");
  first.open(LIST);
  await flush();
  assert.deepEqual([first.paths, first.top.data.needsStore, first.top.data.isLoading], [[LIST], true, false]);
  first.top.chooseStore();
  first.failing.add("navigateBack");
  const selection = first.top;
  for (const poi of ["6602", "6601"]) {
    selection.pickStore(tap({ poi }));
    assert.deepEqual([first.top, selection.data.stores.length], [selection, 3]);
  }
  first.failing.clear();
  selection.pickStore(tap({ poi: "6602" }));
  await flush();
  assert.deepEqual([first.top.data.store, first.top.data.hasCards], ["徐家汇店", true]);

  for (const path of [CERTIFICATE, STORES]) {
    const launched = new Program("6601");
    launched.failing.add("redirectTo").add("navigateBack");
    launched.open(`${path}?id=lin`);
    await flush();
    assert.deepEqual(launched.paths, [path]);
    if (path === CERTIFICATE) {
      launched.top.leave();
    }
    assert.ok(path === CERTIFICATE ? launched.top.data.detail : launched.top.data.stores.length === 3);
  }
});

test("a number that cannot be dialled is shown", async () => {
  for (const missing of [[], ["makePhoneCall"], ["makePhoneCall", "showToast"]]) {
    const program = await openList(STORE, missing);
    program.top.callStore();
    assert.deepEqual(program.toasts, missing.length === 1 ? ["请拨打 021-5555-6601"] : []);
  }
});

test("every page has the text size that the customer has chosen", async () => {
  const program = await openList(STORE);
  program.top.toggleTextSize();
  program.top.openCertificate(tap({ id: "lin" }));
  assert.equal(program.top.data.textSize, 32);
  program.back();
  program.top.chooseStore();
  assert.equal(program.top.data.textSize, 32);
});

for (const path of [CERTIFICATE, STORES]) {
  test(`${path} leads to the list if it is launched directly`, async () => {
    const program = new Program(STORE.poi_id);
    program.open(`${path}?id=lin`);
    assert.deepEqual(program.paths, [LIST]);
    await flush();
    assert.ok(program.top.data.hasCards);
  });
}

test("an unknown merchant is no dead end: its button leads to the own one", async () => {
  const program = await openList({ account_id: "unknown" });
  assert.equal(program.top.data.problem?.button, "切换门店");
  program.top.resolveProblem();
  await flush();
  assert.deepEqual([program.top.data.stores.length, program.top.data.problem], [3, null]);
});

test("the position is asked for by a tap only", async () => {
  const program = await openList({});
  assert.ok(program.top.data.canSortByDistance && !program.top.data.isLocated);
  program.top.sortByDistance();
  await flush();
  assert.deepEqual(
    program.top.data.stores.map(({ distance }) => distance),
    ["460 米", "5.6 公里", ""],
  );
});
