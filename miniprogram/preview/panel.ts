/** The panel beside the phone: selects the customer, the store and the platform's faults; lists the page's requests. */

import type { Call } from "./mock-tt";
import type { VisitTime } from "./visit";

interface SampleData {
  merchants: { account_id: string; name: string; stores: Record<string, string> }[];
  customers: { key: string; name: string }[];
}

const LIST = "query_user_certificates";
/** Switches of the panel; each adds one fault rule to the mock platform (see `sandbox/faults.py`). */
const FAULTS: { label: string; rule: object }[] = [
  { label: "busy twice, then normal", rule: { kind: "code", call: LIST, code: 2100004, times: 2 } },
  { label: "busy (2100004)", rule: { kind: "code", call: LIST, code: 2100004 } },
  { label: "rate limited (2119003)", rule: { kind: "code", call: LIST, code: 2119003 } },
  { label: "merchant has not authorized the app (2119005)", rule: { kind: "code", call: LIST, code: 2119005 } },
  { label: "app lacks the capability (2190004)", rule: { kind: "code", call: LIST, code: 2190004 } },
  { label: "quota exhausted (28003017)", rule: { kind: "code", call: LIST, code: 28003017 } },
  { label: "parameters rejected (2100005)", rule: { kind: "code", call: LIST, code: 2100005 } },
  { label: "access token rejected (2190002)", rule: { kind: "code", call: LIST, code: 2190002 } },
  { label: "response is not JSON", rule: { kind: "body", call: LIST, body: "<html>" } },
  { label: "slow (1.5 s)", rule: { kind: "delay", call: LIST, seconds: 1.5 } },
  { label: "no response", rule: { kind: "hang", call: LIST } },
  { label: "second page fails (HTTP 404)", rule: { kind: "http", call: LIST, page: 2, status: 404 } },
  { label: "login code rejected (40018)", rule: { kind: "code", call: "jscode2session", code: 40018 } },
  { label: "app secret rejected (40017)", rule: { kind: "code", call: "jscode2session", code: 40017 } },
];
const MAX_CALLS = 30;
const ROUND_TRIP_4G_MS = 60;

const phone = element<HTMLIFrameElement>("phone");
const customer = element<HTMLSelectElement>("customer");
const store = element<HTMLSelectElement>("store");
const text = element<HTMLSelectElement>("text");
const slow = element<HTMLInputElement>("slow");
const calls = element<HTMLTableSectionElement>("calls");
let logins = 0;
let updatingFaults: Promise<unknown> = Promise.resolve();

async function start(): Promise<void> {
  const { merchants, customers } = (await (await fetch("_sandbox/world")).json()) as SampleData;
  customer.append(...customers.map(({ key, name }) => new Option(name, key)), new Option("not logged in", ""));
  for (const { account_id, name, stores } of merchants) {
    const group = document.createElement("optgroup");
    group.label = name;
    const options = Object.entries(stores).map(([poi_id, storeName]) => new Option(storeName, ids(account_id, poi_id)));
    group.append(...options, new Option(`${name}: no store given`, ids(account_id)));
    store.append(group);
  }
  element("faults").append(...FAULTS.map(({ label, rule }) => faultSwitch(label, rule)));
  for (const setting of [customer, store, text, slow]) {
    setting.addEventListener("change", loadPhone);
  }
  element("pull").addEventListener("click", () => phone.contentWindow?.dispatchEvent(new Event("pull-down")));
  element("reset").addEventListener("click", () => {
    sessionStorage.clear();
    loadPhone();
  });
  addEventListener("phone-call", (event) => addCall((event as CustomEvent<Call>).detail));
  addEventListener("phone-visit", (event) => showVisit((event as CustomEvent<VisitTime | null>).detail));
  addEventListener("phone-login", () => {
    logins += 1;
    element("logins").textContent = String(logins);
  });
  await updateFaults();
  loadPhone();
}

function ids(account_id: string, poi_id?: string): string {
  return String(new URLSearchParams(poi_id ? { account_id, poi_id } : { account_id }));
}

function loadPhone(): void {
  const settings = new URLSearchParams({
    customer: customer.value,
    text: text.value,
    place: "31.2304,121.4737",
    round_trip: String(slow.checked ? ROUND_TRIP_4G_MS : 0),
  });
  phone.src = `phone.html?${store.value}&${settings}`;
}

function faultSwitch(text: string, rule: object): HTMLElement {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = JSON.stringify(rule);
  box.addEventListener("change", () => {
    updatingFaults = updatingFaults.then(updateFaults);
  });
  label.append(box, text);
  return label;
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
  while (calls.rows.length > MAX_CALLS) {
    calls.deleteRow(-1);
  }
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
