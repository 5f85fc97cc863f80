/**
 * A phone with Douyin: loads the files of the built mini-program (JavaScript, TTML, TTSS, JSON) unchanged and runs the
 * first page. Vue renders it. The other parts of Douyin's runtime that this page needs are here.
 *
 * URL query: the page's own parameters (account_id, poi_id), and `customer`, `text` (the phone's font size in per cent),
 * `place` ("latitude,longitude"), `round_trip` (milliseconds) and `hook` (`1`: config.ts has an `onSelect`).
 */

import { createApp, reactive } from "vue";
import type { Certificate } from "../src/client/client";
import { createMockTt } from "./mock-tt";
import { stylesOf, templateOf } from "./ttml";
import { Visit } from "./visit";

interface Program {
  app_id: string;
  /** Path to content. */
  files: Record<string, string>;
}

// biome-ignore lint/suspicious/noExplicitAny: a page may have members of any type
type Page = Record<string, any>;

const PULL_DISTANCE_PX = 60;
/** Douyin's default for `onReachBottomDistance`. */
const REACH_BOTTOM_PX = 50;

const TOAST_MS = 1500;

let toastTimer: ReturnType<typeof setTimeout> | undefined;

const query = new URLSearchParams(location.search);
const visit = new Visit((time) => notifyPanel("visit", time));

async function start(): Promise<void> {
  const program = (await (await fetch("program.json")).json()) as Program;
  const app = JSON.parse(readFile(program, "app.json"));
  const path: string = app.pages[0];
  const settings = { ...app.window, ...JSON.parse(readFile(program, `${path}.json`)) };
  let registered: Page | undefined;
  Object.assign(globalThis, {
    tt: mockTt(program.app_id),
    App: () => {},
    Page: (page: Page) => {
      registered = page;
    },
  });
  const require = moduleLoader(program);
  require("app.js");
  if (query.get("hook") === "1") {
    const { config } = require("config.js") as { config: { onSelect?: (certificate: Certificate) => unknown } };
    config.onSelect = ({ certificate_id }) => {
      notifyPanel("select", certificate_id);
      showToast(`onSelect: ${certificate_id}`);
    };
  }
  require(`${path}.js`);
  if (!registered) {
    throw new Error(`${path} does not call Page()`);
  }
  document.title = settings.navigationBarTitleText;
  (document.getElementById("title") as HTMLElement).textContent = settings.navigationBarTitleText;
  for (const name of ["app.ttss", `${path}.ttss`]) {
    const style = document.createElement("style");
    style.textContent = stylesOf(program.files[name] ?? "");
    document.head.append(style);
  }
  openPage(registered, readFile(program, `${path}.ttml`), settings);
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
    roundTrip: Number(query.get("round_trip") ?? 0),
    onCall: (call) => {
      notifyPanel("call", call);
      visit.onCall(call);
    },
    onLogin: () => notifyPanel("login", null),
    onCopy: (text) => notifyPanel("copy", text),
    onToast: showToast,
    onStopPullDownRefresh: () => document.body.classList.remove("refreshing"),
  });
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

function notifyPanel(type: string, detail: unknown): void {
  parent.dispatchEvent(new CustomEvent(`phone-${type}`, { detail }));
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
    const require = (name: string) => load(`${new URL(name, `http://program/${path}`).pathname.slice(1)}.js`);
    // The parameters hide window, document and globalThis: a mini-program has none of them.
    const source = readFile(program, path);
    const run = new Function("require", "module", "exports", "window", "document", "globalThis", source);
    run(require, module, module.exports);
    return module.exports;
  };
  return load;
}

function openPage(definition: Page, ttml: string, settings: Record<string, unknown>): void {
  const data = reactive(structuredClone(definition.data ?? {}));
  const page: Page = {
    ...definition,
    data,
    // Douyin passes data to the view as JSON.
    setData: (part: object) => Object.assign(data, JSON.parse(JSON.stringify(part))),
  };
  const fire = (name: string, event: Event) => {
    visit.start();
    const { dataset } = event.currentTarget as HTMLElement;
    page[name]({ type: "tap", currentTarget: { dataset: { ...dataset } } });
  };
  const view = createApp({ template: `<page>${templateOf(ttml)}</page>`, setup: () => data });
  view.config.compilerOptions.isCustomElement = (tag) => ["page", "view", "text"].includes(tag);
  view.config.globalProperties.$fire = fire;
  visit.start();
  page.onLoad?.(Object.fromEntries(query));
  page.onShow?.();
  view.mount("#page");
  page.onReady?.();
  document.addEventListener("visibilitychange", () => {
    visit.start();
    document.hidden ? page.onHide?.() : page.onShow?.();
  });
  addEventListener("pagehide", () => page.onUnload?.());
  watchBottom(Number(settings.onReachBottomDistance ?? REACH_BOTTOM_PX), () => page.onReachBottom?.());
  if (settings.enablePullDownRefresh) {
    watchPullDown(() => {
      visit.start();
      page.onPullDownRefresh?.();
    });
  }
}

/** Call `onReached` once each time the bottom comes within `distance` pixels. */
function watchBottom(distance: number, onReached: () => void): void {
  let near = false;
  addEventListener("scroll", () => {
    const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
    const now = scrollHeight - clientHeight - scrollTop <= distance;
    if (now && !near) {
      onReached();
    }
    near = now;
  });
}

/** Call `onPulled` when the page is pulled down at its top by finger or mouse, or on the panel's `pull-down` event. */
function watchPullDown(onPulled: () => void): void {
  let from: number | undefined;
  const refresh = () => {
    document.body.classList.add("refreshing");
    onPulled();
  };
  const begin = (y: number) => {
    from = document.documentElement.scrollTop === 0 ? y : undefined;
  };
  const end = (y: number) => {
    if (from !== undefined && y - from > PULL_DISTANCE_PX) {
      refresh();
    }
    from = undefined;
  };
  addEventListener("touchstart", (event) => begin(event.touches[0]?.clientY ?? 0), { passive: true });
  addEventListener("touchend", (event) => end(event.changedTouches[0]?.clientY ?? 0));
  addEventListener("mousedown", (event) => begin(event.clientY));
  addEventListener("mouseup", (event) => end(event.clientY));
  addEventListener("pull-down", refresh);
}

function readFile(program: Program, path: string): string {
  const text = program.files[path];
  if (text === undefined) {
    throw new Error(`the mini-program has no file ${path}`);
  }
  return text;
}

void start();
