/**
 * A phone with Douyin: loads the built mini-program as it is (its JavaScript, TTML, TTSS and JSON) and runs its first
 * page. Vue does the drawing; everything else of a mini-program's runtime that this page needs stands here.
 *
 * The query is what the page is opened with (account_id, poi_id), and beside it `customer`, `text` (the phone's font
 * setting in per cent) and `place` ("latitude,longitude").
 */

import { createApp, reactive } from "vue";
import { type Call, createPlatform } from "./platform";
import { stylesOf, templateOf } from "./ttml";

interface Program {
  app_id: string;
  /** The files of the built mini-program by their paths. */
  files: Record<string, string>;
}

// biome-ignore lint/suspicious/noExplicitAny: a page may have members of every sort
type Page = Record<string, any>;

const REFRESH_PULL_PX = 60;
const REACH_BOTTOM_PX = 50;

const query = new URLSearchParams(location.search);

async function start(): Promise<void> {
  const program = (await (await fetch("program.json")).json()) as Program;
  const app = JSON.parse(file(program, "app.json"));
  const path: string = app.pages[0];
  const settings = { ...app.window, ...JSON.parse(file(program, `${path}.json`)) };
  let registered: Page | undefined;
  Object.assign(globalThis, {
    tt: platform(program.app_id),
    App: () => {},
    Page: (page: Page) => {
      registered = page;
    },
  });
  const require = loader(program);
  require("app.js");
  require(`${path}.js`);
  if (!registered) {
    throw new Error(`${path} registers no page`);
  }
  document.title = settings.navigationBarTitleText;
  (document.getElementById("title") as HTMLElement).textContent = settings.navigationBarTitleText;
  for (const name of ["app.ttss", `${path}.ttss`]) {
    const style = document.createElement("style");
    style.textContent = stylesOf(program.files[name] ?? "");
    document.head.append(style);
  }
  open(registered, file(program, `${path}.ttml`), settings);
}

function platform(appId: string) {
  const customer = query.get("customer") ?? "";
  const [latitude, longitude] = (query.get("place") ?? "").split(",").map(Number);
  return createPlatform({
    sandboxUrl: location.origin,
    appId,
    customer,
    storage: keptFor(customer),
    fontSize: (16 * Number(query.get("text") ?? 100)) / 100,
    ...(latitude && longitude ? { place: { latitude, longitude } } : {}),
    onCall: (call) => tell("call", call),
    onLogin: () => tell("login", null),
    onStopPullDownRefresh: () => document.body.classList.remove("refreshing"),
    onPhoneCall: (phoneNumber) => tell("phone", phoneNumber),
  });
}

/** A user's own part of the storage: on one phone, one user's is not another's. */
function keptFor(customer: string): Pick<Storage, "getItem" | "setItem" | "removeItem"> {
  const own = (key: string) => `${customer}/${key}`;
  return {
    getItem: (key) => sessionStorage.getItem(own(key)),
    setItem: (key, value) => sessionStorage.setItem(own(key), value),
    removeItem: (key) => sessionStorage.removeItem(own(key)),
  };
}

/** Tell whoever shows this phone. */
function tell(type: string, detail: Call | string | null): void {
  parent.dispatchEvent(new CustomEvent(`phone-${type}`, { detail }));
}

/** CommonJS, as the mini-program's modules call each other. */
function loader(program: Program): (path: string) => unknown {
  const loaded = new Map<string, { exports: unknown }>();
  const load = (path: string): unknown => {
    const known = loaded.get(path);
    if (known) {
      return known.exports;
    }
    const module = { exports: {} };
    loaded.set(path, module);
    const near = (name: string) => load(`${new URL(name, `http://program/${path}`).pathname.slice(1)}.js`);
    // On a phone a module sees neither window nor document.
    const run = new Function("require", "module", "exports", "window", "document", "globalThis", file(program, path));
    run(near, module, module.exports);
    return module.exports;
  };
  return load;
}

function open(definition: Page, ttml: string, settings: Record<string, unknown>): void {
  const data = reactive(structuredClone(definition.data ?? {}));
  const page: Page = {
    ...definition,
    data,
    // What crosses to the view is JSON, on a phone as well.
    setData: (part: object) => Object.assign(data, JSON.parse(JSON.stringify(part))),
  };
  const fire = (name: string, event: Event) => {
    const { dataset } = event.currentTarget as HTMLElement;
    page[name]({ type: "tap", currentTarget: { dataset: { ...dataset } } });
  };
  const view = createApp({ template: `<page>${templateOf(ttml)}</page>`, setup: () => data });
  view.config.compilerOptions.isCustomElement = (tag) => ["page", "view", "text"].includes(tag);
  view.config.globalProperties.$fire = fire;
  page.onLoad?.(Object.fromEntries(query));
  page.onShow?.();
  view.mount("#page");
  page.onReady?.();
  document.addEventListener("visibilitychange", () => (document.hidden ? page.onHide?.() : page.onShow?.()));
  addEventListener("pagehide", () => page.onUnload?.());
  whenBottomIsReached(Number(settings.onReachBottomDistance ?? REACH_BOTTOM_PX), () => page.onReachBottom?.());
  if (settings.enablePullDownRefresh) {
    whenPulledDown(() => page.onPullDownRefresh?.());
  }
}

/** Once for every time that the bottom comes within reach. */
function whenBottomIsReached(distance: number, reached: () => void): void {
  let near = false;
  addEventListener("scroll", () => {
    const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
    const now = scrollHeight - clientHeight - scrollTop <= distance;
    if (now && !near) {
      reached();
    }
    near = now;
  });
}

/** Pulling down at the top, with a finger or a mouse; or as tt.startPullDownRefresh would, by `pull-down`. */
function whenPulledDown(pulled: () => void): void {
  let from: number | undefined;
  const refresh = () => {
    document.body.classList.add("refreshing");
    pulled();
  };
  const begin = (y: number) => {
    from = document.documentElement.scrollTop === 0 ? y : undefined;
  };
  const end = (y: number) => {
    if (from !== undefined && y - from > REFRESH_PULL_PX) {
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

function file(program: Program, path: string): string {
  const text = program.files[path];
  if (text === undefined) {
    throw new Error(`the mini-program has no ${path}`);
  }
  return text;
}

void start();
