/**
 * The panel beside the phone: selects the customer, the store and the platform's faults; lists the page's requests.
 *
 * It is in Chinese and English. On a narrow screen it is over the phone, and a button opens it.
 */

import type { Call } from "./mock-tt";
import type { VisitTime } from "./visit";

interface SampleData {
  merchants: { account_id: string; name: string; stores: Record<string, string> }[];
  customers: { key: string; name: string; situation: string; situation_zh: string }[];
}

type Language = "zh" | "en";
type Texts = { [language in Language]: string };

/** A switch of the panel: adds one fault rule to the mock platform (see `sandbox/faults.py`). */
interface Fault {
  name: Texts;
  /** The customer who shows it; without one, any customer with coupons does. */
  customer?: string;
  /** What to expect on the page and in the list of requests. */
  expect: Texts;
  rule: object;
}

const LIST = "query_user_certificates";
const ANY_CUSTOMER = "林小满";
const FAULTS: Fault[] = [
  {
    name: { zh: "繁忙两次后恢复", en: "busy twice, then normal" },
    expect: {
      zh: "列表正常；请求列表中显示 retried 2×",
      en: "the list; its request shows retried 2×",
    },
    rule: { kind: "code", call: LIST, code: 2100004, times: 2 },
  },
  {
    name: { zh: "系统繁忙 (2100004)", en: "busy (2100004)" },
    expect: {
      zh: "503 upstream_unavailable，2 秒后可重试；旧列表保留，标注上次更新",
      en: "503 upstream_unavailable, a retry after 2 s; an old list stays with its time",
    },
    rule: { kind: "code", call: LIST, code: 2100004 },
  },
  {
    name: { zh: "请求过于频繁 (2119003)", en: "rate limited (2119003)" },
    expect: { zh: "429 rate_limited，按钮倒计时 5 秒", en: "429 rate_limited, the button counts 5 s" },
    rule: { kind: "code", call: LIST, code: 2119003 },
  },
  {
    name: { zh: "商家未授权 (2119005)", en: "merchant has not authorized the app (2119005)" },
    expect: {
      zh: "403 merchant_not_authorized，清空旧列表，没有按钮",
      en: "403 merchant_not_authorized, an old list is cleared, no button",
    },
    rule: { kind: "code", call: LIST, code: 2119005 },
  },
  {
    name: { zh: "应用未开通能力 (2190004)", en: "app lacks the capability (2190004)" },
    expect: { zh: "503 app_not_permitted，请联系店员", en: "503 app_not_permitted, refers to the staff" },
    rule: { kind: "code", call: LIST, code: 2190004 },
  },
  {
    name: { zh: "配额用完 (28003017)", en: "quota exhausted (28003017)" },
    expect: { zh: "503 quota_exhausted，请联系店员", en: "503 quota_exhausted, refers to the staff" },
    rule: { kind: "code", call: LIST, code: 28003017 },
  },
  {
    name: { zh: "参数被拒绝 (2100005)", en: "parameters rejected (2100005)" },
    expect: { zh: "502 upstream_rejected，请联系店员", en: "502 upstream_rejected, refers to the staff" },
    rule: { kind: "code", call: LIST, code: 2100005 },
  },
  {
    name: { zh: "access_token 被拒绝 (2190002)", en: "access token rejected (2190002)" },
    expect: { zh: "503 token_unavailable，可重试", en: "503 token_unavailable, can be retried" },
    rule: { kind: "code", call: LIST, code: 2190002 },
  },
  {
    name: { zh: "响应不是 JSON", en: "response is not JSON" },
    expect: { zh: "502 upstream_malformed，可重试", en: "502 upstream_malformed, can be retried" },
    rule: { kind: "body", call: LIST, body: "<html>" },
  },
  {
    name: { zh: "响应慢（2.5 秒）", en: "slow (2.5 s)" },
    expect: { zh: "先显示骨架屏，2 秒后提示仍在查询", en: "a skeleton, a word after 2 s, then the list" },
    rule: { kind: "delay", call: LIST, seconds: 2.5 },
  },
  {
    name: { zh: "没有响应", en: "no response" },
    expect: {
      zh: "6 秒后可重新查询，之后 504 upstream_timeout",
      en: "an offer to retry after 6 s, then 504 upstream_timeout",
    },
    rule: { kind: "hang", call: LIST },
  },
  {
    name: { zh: "第二页失败 (HTTP 404)", en: "second page fails (HTTP 404)" },
    customer: "周多多",
    expect: {
      zh: "先显示 50 张券，下滑后在列表下方提示，可重试",
      en: "50 coupons; the problem is below them after scrolling",
    },
    rule: { kind: "http", call: LIST, page: 2, status: 404 },
  },
  {
    name: { zh: "登录 code 被拒绝 (40018)", en: "login code rejected (40018)" },
    expect: {
      zh: "先清除会话：登录失败，请重试（401 unauthenticated）",
      en: "after clearing the session: 401 unauthenticated, 登录失败，请重试",
    },
    rule: { kind: "code", call: "jscode2session", code: 40018 },
  },
  {
    name: { zh: "应用密钥被拒绝 (40017)", en: "app secret rejected (40017)" },
    expect: { zh: "先清除会话：503 app_misconfigured", en: "after clearing the session: 503 app_misconfigured" },
    rule: { kind: "code", call: "jscode2session", code: 40017 },
  },
];
const MAX_CALLS = 30;
const ROUND_TRIP_4G_MS = 60;

const phone = element<HTMLIFrameElement>("phone");
const customer = element<HTMLSelectElement>("customer");
const store = element<HTMLSelectElement>("store");
const text = element<HTMLSelectElement>("text");
const slow = element<HTMLInputElement>("slow");
const hook = element<HTMLSelectElement>("hook");
const notice = element<HTMLInputElement>("notice");
const redeeming = element<HTMLInputElement>("redeeming");
const calls = element<HTMLTableSectionElement>("calls");
let logins = 0;
const situations = new Map<string, Texts>();
/** Number of the platform's calls that are known. */
let platformCalls = 0;
let language: Language = navigator.language.startsWith("zh") ? "zh" : "en";
let updatingFaults: Promise<unknown> = Promise.resolve();

async function start(): Promise<void> {
  const { merchants, customers } = (await (await fetch("_sandbox/world")).json()) as SampleData;
  for (const { key, situation, situation_zh } of customers) {
    situations.set(key, { zh: situation_zh, en: situation });
  }
  customer.append(
    ...customers.map(({ key, name }) => new Option(name, key)),
    translated(new Option("未登录抖音", ""), { zh: "未登录抖音", en: "not logged in to Douyin" }),
  );
  for (const { account_id, name, stores } of merchants) {
    const group = document.createElement("optgroup");
    group.label = name;
    const options = Object.entries(stores).map(([poi_id, storeName]) => new Option(storeName, ids(account_id, poi_id)));
    const none = { zh: `${name}：未指定门店`, en: `${name}: no store given` };
    group.append(...options, translated(new Option("", ids(account_id)), none));
    store.append(group);
  }
  store.append(translated(new Option("", ids("unknown")), { zh: "不存在的商家", en: "unknown merchant" }));
  element("faults").append(...FAULTS.map(faultSwitch));
  showSituation();
  element("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    showLanguage();
  });
  element("open").addEventListener("click", () => element("panel").classList.add("open"));
  element("close").addEventListener("click", () => element("panel").classList.remove("open"));
  for (const setting of [customer, store, text, slow, hook]) {
    setting.addEventListener("change", loadPhone);
  }
  customer.addEventListener("change", showSituation);
  for (const setting of [notice, redeeming]) {
    setting.addEventListener("change", switchMerchant);
  }
  element("pull").addEventListener("click", async () => {
    await updatingFaults;
    phone.contentWindow?.dispatchEvent(new Event("pull-down"));
  });
  element("reset").addEventListener("click", async () => {
    sessionStorage.clear();
    await loadPhone();
  });
  addEventListener("phone-call", (event) => addCall((event as CustomEvent<Call>).detail));
  addEventListener("phone-visit", (event) => showVisit((event as CustomEvent<VisitTime | null>).detail));
  addEventListener("phone-login", () => {
    logins += 1;
    element("logins").textContent = String(logins);
  });
  await updateFaults();
  await countRetries();
  await loadPhone();
}

function ids(account_id: string, poi_id?: string): string {
  return String(new URLSearchParams(poi_id ? { account_id, poi_id } : { account_id }));
}

/** Open the page with the chosen settings; faults that are being switched have taken effect before. */
async function loadPhone(): Promise<void> {
  await updatingFaults;
  const settings = new URLSearchParams({
    customer: customer.value,
    text: text.value,
    place: "31.2304,121.4737",
    round_trip: String(slow.checked ? ROUND_TRIP_4G_MS : 0),
    hook: hook.value,
  });
  phone.src = `phone.html?${store.value}&${settings}`;
}

/** Write `notice` and `redeeming` into the row of the merchant, and open the page again. */
async function switchMerchant(): Promise<void> {
  const { account_id } = Object.fromEntries(new URLSearchParams(store.value));
  const body = JSON.stringify({ notice: notice.value, redeeming: redeeming.checked });
  await fetch(`_sandbox/merchants/${account_id}`, { method: "PATCH", body });
  await loadPhone();
}

/** Say what the chosen customer has bought. */
function showSituation(): void {
  const none = { zh: "需要先登录抖音", en: "must log in to Douyin first" };
  translated(element("situation"), situations.get(customer.value) ?? none);
  showLanguage();
}

function faultSwitch({ name, customer: shownBy, expect, rule }: Fault): HTMLElement {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = JSON.stringify(rule);
  box.addEventListener("change", () => {
    updatingFaults = updatingFaults.then(updateFaults);
  });
  const who = shownBy ?? ANY_CUSTOMER;
  const hint = { zh: `${who}：${expect.zh}`, en: `${who}: ${expect.en}` };
  label.append(box, translated(document.createElement("span"), name), translated(small(""), hint));
  return label;
}

/** Let `showLanguage` set the text of an element. */
function translated<T extends HTMLElement>(node: T, { zh, en }: Texts): T {
  node.dataset.zh = zh;
  node.dataset.en = en;
  return node;
}

/** Show the panel's texts in the chosen language. */
function showLanguage(): void {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll<HTMLElement>("[data-en]")) {
    node.dataset.zh ??= node.textContent ?? "";
    node.textContent = node.dataset[language] ?? "";
  }
  element("language").textContent = language === "zh" ? "English" : "中文";
}

/** Replace the mock platform's fault rules by those that are switched on. */
async function updateFaults(): Promise<void> {
  await fetch("_sandbox/faults", { method: "DELETE" });
  for (const box of document.querySelectorAll<HTMLInputElement>("#faults input:checked")) {
    await fetch("_sandbox/faults", { method: "POST", body: box.value });
  }
}

function showVisit(time: VisitTime | null): void {
  element("visit").textContent = time
    ? `${Math.round(time.milliseconds)} ms, ${time.requests} ${time.requests === 1 ? "request" : "requests"}`
    : "…";
}

function addCall({ method, url, status, milliseconds, body, requestId }: Call): void {
  const row = calls.insertRow(0);
  row.className = status === 200 && !hasProblem(body) ? "" : "problem";
  const request = row.insertCell();
  request.textContent = `${method} ${new URL(url).pathname.replace(/^\/api/, "")}${url.includes("cursor=") ? " (cursor)" : ""}`;
  request.append(small(requestId));
  row.insertCell().textContent = status === 0 ? "–" : String(status);
  const time = row.insertCell();
  time.className = "number";
  time.textContent = `${Math.round(milliseconds)} ms`;
  const [outcome, details] = describe(body);
  const cell = row.insertCell();
  cell.textContent = outcome;
  cell.append(small(details));
  if (!url.endsWith("/stores")) {
    countRetries().then((retries) => {
      if (retries) {
        cell.append(small(`retried ${retries}×`));
      }
    });
  }
  while (calls.rows.length > MAX_CALLS) {
    calls.deleteRow(-1);
  }
}

/** Return how many calls of the platform since the last request were retries: further calls for the same page. */
async function countRetries(): Promise<number> {
  const all = (await (await fetch("_sandbox/calls")).json()) as { call: string; page: number | null }[];
  const pages = all.slice(platformCalls).filter(({ call }) => call === LIST);
  platformCalls = all.length;
  return pages.length - new Set(pages.map(({ page }) => page)).size;
}

/** The members of all responses that the panel shows. */
interface Body {
  token?: string;
  list?: Body;
  list_problem?: Body;
  certificates?: unknown[];
  next_cursor?: string;
  account_id?: string;
  stores?: unknown[];
  code?: string;
  title?: string;
  upstream?: { error_code: number; sub_error_code: number; logid?: string };
}

function hasProblem(body: unknown): boolean {
  return !!(body as Body | null)?.list_problem;
}

/** Return the outcome of a response, and details for an engineer. */
function describe(body: unknown): [string, string] {
  if (typeof body !== "object" || body === null) {
    return [String(body), ""];
  }
  const { token, list, list_problem, certificates, next_cursor, account_id, stores, code, title, upstream } =
    body as Body;
  if (token) {
    const [outcome, details] = describe(list ?? list_problem ?? "no list");
    return [`session, ${outcome}`, details];
  }
  if (certificates) {
    return [`${certificates.length} certificates`, next_cursor ? "more available" : ""];
  }
  if (code) {
    const codes = upstream ? `; ${upstream.error_code}/${upstream.sub_error_code} ${upstream.logid ?? ""}` : "";
    return [code, `${title ?? ""}${codes}`];
  }
  return [account_id ? `${stores?.length ?? "all"} stores` : "", ""];
}

function small(text: string): HTMLElement {
  const node = document.createElement("small");
  node.textContent = text;
  return node;
}

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

void start();
