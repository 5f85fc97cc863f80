/**
 * A phone with Douyin. It loads the files of the built mini-program (JavaScript, TTML, TTSS, JSON) unchanged, and opens
 * the first page. Vue renders the pages. Of Douyin's runtime, this module has only what the pages need. The browser's
 * back button is the phone's.
 *
 * URL query:
 *
 * - `account_id`, `poi_id`: the page's own parameters
 * - `customer`; `text`: the phone's font size in per cent; `place`: "latitude,longitude"
 * - `host=bare`: `tt` has only login, request, storage and navigation
 * - settings of config.ts: `help`; `redeem`, the `url` of `redeemPage`; `orders` for `openOrders`
 */

import { createApp, reactive } from "vue";
import type { Config } from "../src/coupons/settings";
import { createMockTt, type MockTt, type ModalOptions } from "./mock-tt";
import { stylesOf, templateOf } from "./ttml";

interface Program {
  /** Ids of the sample data, which replace those of the program. */
  app_id: string;
  account_id: string;
  /** Contents of the files, by path. */
  files: Record<string, string>;
}

// biome-ignore lint/suspicious/noExplicitAny: a page may have members of any type
type Page = Record<string, any>;

interface AppSettings {
  pages: string[];
  subPackages?: { root: string; pages: string[] }[];
  /** Douyin takes both spellings. */
  subpackages?: { root: string; pages: string[] }[];
}

interface NavigateOptions {
  url: string;
  success?: (result: object) => void;
  fail?: (reason: object) => void;
}

const TOAST_MS = 1500;

let toastTimer: ReturnType<typeof setTimeout> | undefined;

const query = new URLSearchParams(location.search);

/** The open pages. The last one is shown. */
const stack: OpenPage[] = [];

interface OpenPage {
  /** Its path in the program. */
  path: string;
  page: Page;
  /** The page on the screen, with its styles. Only the shown page is part of the document. */
  element: HTMLElement;
  settings: Record<string, unknown>;
  /** Where the page was scrolled to when it was covered. */
  scrollTop: number;
}

async function start(): Promise<void> {
  const program = (await (await fetch("program.json")).json()) as Program;
  // Another program may have the folder `coupons` at another path.
  const file = Object.keys(program.files).find((path) => /(^|\/)coupons\/config\.js$/.test(path)) as string;
  const folder = file.replace("config.js", "");
  const app = JSON.parse(readFile(program, "app.json"));
  const pages = pagesOf(app);
  const definitions = new Map<string, Page>();
  const appObject: Page = {};
  let loadingPath = "";
  const open = (path: string, search = "") => {
    loadingPath = path;
    require(`${path}.js`);
    const definition = definitions.get(path);
    if (!definition) {
      throw new Error(`${path} does not call Page()`);
    }
    const settings = { ...app.window, ...JSON.parse(program.files[`${path}.json`] || "{}") };
    // An unsupported part is an error in the folder's own pages, and a warning in other pages of the program.
    const reportUnsupported = (what: string) => {
      const message = `${path}: the preview does not support ${what}`;
      if (path.startsWith(folder)) {
        throw new Error(message);
      }
      // biome-ignore lint/suspicious/noConsole: for the developer of the other program
      console.warn(message);
    };
    openPage(definition, path, program, reportUnsupported, settings, Object.fromEntries(new URLSearchParams(search)));
  };
  /**
   * Return a navigation function of tt, which calls `leave` and then opens the page. As in Douyin, a path without a
   * leading slash is relative to the page that is shown.
   */
  const navigate = (name: string, leave: () => void) => (options: NavigateOptions) => {
    const [relative = "", search] = options.url.split("?");
    const path = resolve(relative, shownPage().path);
    if (!pages.includes(path)) {
      const errMsg = `${name}:fail ${path} is not in app.json (pages, subPackages)`;
      logError(errMsg);
      options.fail?.({ errMsg });
      return;
    }
    leave();
    open(path, search);
    options.success?.({ errMsg: `${name}:ok` });
  };
  const navigation = {
    navigateTo: navigate("navigateTo", () => {
      cover(shownPage());
      history.pushState(stack.length + 1, "");
    }),
    redirectTo: navigate("redirectTo", close),
    navigateBack: () => history.back(),
  };
  Object.assign(globalThis, {
    tt: { ...hostOf(mockTt(program.app_id)), ...navigation },
    App: (own: object) => Object.assign(appObject, own),
    getApp: () => appObject,
    Page: (page: Page) => definitions.set(loadingPath, page),
  });
  const require = moduleLoader(program);
  const { config } = require(file) as { config: Config };
  config.api = `${location.origin}/api`;
  config.appId = program.app_id;
  config.account_id = program.account_id;
  if (query.has("help")) {
    config.help = query.get("help") as string;
  }
  if (query.has("redeem")) {
    config.redeemPage = { url: query.get("redeem") as string, text: "核销这张券" };
  }
  if (query.has("orders")) {
    config.openOrders = async () => showToast("这里会打开抖音「我的订单」");
  }
  require("app.js");
  try {
    appObject.onLaunch?.({ path: app.pages[0], query: Object.fromEntries(query) });
  } catch (error) {
    // `onLaunch` may use a part of Douyin's runtime that the preview lacks. The pages can be shown without it.
    reportError(error);
  }
  document.head.append(styleOf(program, "app.ttss"));
  listen();
  history.replaceState(1, "");
  open(app.pages[0], `${query}`);
}

/** Return the paths of all pages of the program. */
function pagesOf(app: AppSettings): string[] {
  const packages = app.subPackages ?? app.subpackages ?? [];
  return [
    ...app.pages,
    ...packages.flatMap(({ root, pages }) => pages.map((page) => `${root.replace(/\/$/, "")}/${page}`)),
  ];
}

function mockTt(appId: string) {
  const customer = query.get("customer") ?? "";
  const [latitude, longitude] = (query.get("place") ?? "").split(",").map(Number);
  return createMockTt({
    sandboxUrl: location.origin,
    appId,
    customer,
    storage: storageOf(customer),
    fontSize: (16 * Number(query.get("text") ?? 100)) / 100,
    ...(latitude && longitude ? { position: { latitude, longitude } } : {}),
    onToast: showToast,
    onModal: showDialog,
    onStopPullDownRefresh: () => document.body.classList.remove("refreshing"),
  });
}

function logError(text: string): void {
  // biome-ignore lint/suspicious/noConsole: for the developer of the other program
  console.error(`preview: ${text}`);
}

/** Return the functions of `tt` that the chosen host has. */
function hostOf(tt: MockTt): Partial<MockTt> {
  const { login, request, getStorageSync, setStorageSync, removeStorageSync } = tt;
  return query.get("host") === "bare" ? { login, request, getStorageSync, setStorageSync, removeStorageSync } : tt;
}

/** Return the customer's own part of the storage: Douyin isolates storage by user. */
function storageOf(customer: string): Pick<Storage, "getItem" | "setItem" | "removeItem"> {
  const keyOf = (key: string) => `${customer}/${key}`;
  return {
    getItem: (key) => sessionStorage.getItem(keyOf(key)),
    setItem: (key, value) => sessionStorage.setItem(keyOf(key), value),
    removeItem: (key) => sessionStorage.removeItem(keyOf(key)),
  };
}

function showToast(text: string): void {
  const toast = document.getElementById("toast") as HTMLElement;
  toast.textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toast.textContent = "";
  }, TOAST_MS);
}

/** Show tt's dialog, with Douyin's default texts. Resolve to whether it was confirmed. */
function showDialog({ title, content, confirmText, cancelText, showCancel }: ModalOptions): Promise<boolean> {
  const dialog = document.getElementById("dialog") as HTMLDialogElement;
  const texts = { title, content, cancel: cancelText || "取消", confirm: confirmText || "确定" };
  for (const [part, text] of Object.entries(texts)) {
    (dialog.querySelector(`.${part}`) as HTMLElement).textContent = text ?? "";
  }
  (dialog.querySelector(".cancel") as HTMLElement).hidden = showCancel === false;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "confirm");
  });
}

/** Return `require` for the program's CommonJS modules. */
function moduleLoader(program: Program): (path: string) => unknown {
  const loaded = new Map<string, { exports: unknown }>();
  const load = (path: string): unknown => {
    const known = loaded.get(path);
    if (known) {
      return known.exports;
    }
    const module = { exports: {} };
    loaded.set(path, module);
    const require = (name: string) => load(`${resolve(name, path).replace(/\.js$/, "")}.js`);
    // The parameters hide window, document and globalThis: a mini-program has none of them.
    const source = readFile(program, path);
    const run = new Function("require", "module", "exports", "window", "document", "globalThis", source);
    run(require, module, module.exports);
    return module.exports;
  };
  return load;
}

function openPage(
  definition: Page,
  path: string,
  program: Program,
  reportUnsupported: (what: string) => void,
  settings: OpenPage["settings"],
  query: Record<string, string>,
): void {
  const data = reactive(structuredClone(definition.data ?? {}));
  const page: Page = {
    ...definition,
    data,
    // Douyin passes data to the view as JSON.
    setData: (part: object) => Object.assign(data, JSON.parse(JSON.stringify(part))),
  };
  const fire = (name: string, event: Event) => {
    const { dataset, value } = event.currentTarget as HTMLInputElement;
    page[name]({ type: "tap", currentTarget: { dataset: { ...dataset } }, detail: { value } });
  };
  const read = (file: string) => readFile(program, resolve(file, path));
  const template = templateOf(readFile(program, `${path}.ttml`), read, reportUnsupported);
  const view = createApp({ template: `<page>${template}</page>`, setup: () => data });
  view.config.compilerOptions.isCustomElement = (tag) => ["page", "view", "text"].includes(tag);
  view.config.globalProperties.$fire = fire;
  const element = document.createElement("div");
  view.mount(element);
  element.append(styleOf(program, `${path}.ttss`));
  stack.push({ path, page, element, settings, scrollTop: 0 });
  page.onLoad?.(query);
  if (stack.at(-1)?.page === page) {
    show(stack.at(-1) as OpenPage);
    page.onReady?.();
  }
}

function shownPage(): OpenPage {
  return stack[stack.length - 1] as OpenPage;
}

function show({ page, element, settings, scrollTop }: OpenPage): void {
  document.title = String(settings.navigationBarTitleText ?? "");
  (document.getElementById("title") as HTMLElement).textContent = document.title;
  (document.getElementById("back") as HTMLElement).hidden = stack.length === 1;
  document.getElementById("page")?.replaceChildren(element);
  page.onShow?.();
  document.documentElement.scrollTop = scrollTop;
}

function cover(covered: OpenPage): void {
  covered.scrollTop = document.documentElement.scrollTop;
  covered.page.onHide?.();
}

/** Close the shown page. */
function close(): void {
  const { page, element } = stack.pop() as OpenPage;
  page.onUnload?.();
  element.remove();
}

/** Pass the phone's events (back, hidden, pull-down) on to the page that is shown. */
function listen(): void {
  addEventListener("popstate", ({ state }) => {
    if (stack.length > state) {
      while (stack.length > state) {
        close();
      }
      show(shownPage());
    }
  });
  document.getElementById("back")?.addEventListener("click", () => history.back());
  document.addEventListener("visibilitychange", () => {
    const { page } = shownPage();
    document.hidden ? page.onHide?.() : page.onShow?.();
  });
  addEventListener("pagehide", () => shownPage().page.onUnload?.());
  addEventListener("pull-down", () => {
    const { page, settings } = shownPage();
    if (settings.enablePullDownRefresh) {
      document.body.classList.add("refreshing");
      page.onPullDownRefresh?.();
    }
  });
}

function styleOf({ files }: Program, path: string): HTMLStyleElement {
  const style = document.createElement("style");
  style.textContent = stylesOf(files[path] ?? "", (imported) => files[resolve(imported, path)] ?? "");
  return style;
}

/** Convert a relative path in the file at `path` to a path in the program. */
function resolve(relative: string, path: string): string {
  return new URL(relative, `http://program/${path}`).pathname.slice(1);
}

function readFile(program: Program, path: string): string {
  const text = program.files[path];
  if (text === undefined) {
    throw new Error(`the mini-program has no file ${path}`);
  }
  return text;
}

start().catch((error) => {
  (document.getElementById("page") as HTMLElement).textContent = String(error);
  throw error;
});
