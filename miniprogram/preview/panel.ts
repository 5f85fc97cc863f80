/** What stands beside the phone: who holds it and where, what the platform does wrong, and what was asked and answered. */

import type { Call } from "./platform";

interface World {
  merchants: { account_id: string; name: string; stores: Record<string, string> }[];
  customers: { key: string; name: string }[];
}

/** A switch, and the rules that it puts into the stand-in (see `sandbox/faults.py`). */
const LIST = "query_user_certificates";
const FAULTS: Record<string, { text: string; rule: object }> = {
  passing: { text: "busy twice, then well", rule: { kind: "code", call: LIST, code: 2100004, times: 2 } },
  busy: { text: "busy (2100004)", rule: { kind: "code", call: LIST, code: 2100004 } },
  often: { text: "too often (2119003)", rule: { kind: "code", call: LIST, code: 2119003 } },
  merchant: { text: "merchant has not authorised (2119005)", rule: { kind: "code", call: LIST, code: 2119005 } },
  permission: { text: "app lacks the capability (2190004)", rule: { kind: "code", call: LIST, code: 2190004 } },
  quota: { text: "quota used up (28003017)", rule: { kind: "code", call: LIST, code: 28003017 } },
  rejected: { text: "parameters rejected (2100005)", rule: { kind: "code", call: LIST, code: 2100005 } },
  token: { text: "access token refused (2190002)", rule: { kind: "code", call: LIST, code: 2190002 } },
  garbled: { text: "answers with no JSON", rule: { kind: "body", call: LIST, body: "<html>" } },
  slow: { text: "slow (1.5 s)", rule: { kind: "delay", call: LIST, seconds: 1.5 } },
  hang: { text: "never answers", rule: { kind: "hang", call: LIST } },
  page: { text: "second page lost", rule: { kind: "http", call: LIST, page: 2, status: 404 } },
  login: { text: "login code refused (40018)", rule: { kind: "code", call: "jscode2session", code: 40018 } },
  secret: { text: "app secret refused (40017)", rule: { kind: "code", call: "jscode2session", code: 40017 } },
};
const SHOWN_CALLS = 30;

const phone = element<HTMLIFrameElement>("phone");
const customer = element<HTMLSelectElement>("customer");
const store = element<HTMLSelectElement>("store");
const text = element<HTMLSelectElement>("text");
const calls = element<HTMLTableSectionElement>("calls");
let logins = 0;
let switching: Promise<unknown> = Promise.resolve();

async function start(): Promise<void> {
  const world = (await (await fetch("_sandbox/world")).json()) as World;
  customer.append(...world.customers.map(({ key, name }) => new Option(name, key)), new Option("not logged in", ""));
  for (const { account_id, name, stores } of world.merchants) {
    const group = document.createElement("optgroup");
    group.label = name;
    const options = Object.entries(stores).map(([poi_id, told]) => new Option(told, ids(account_id, poi_id)));
    group.append(...options, new Option(`${name}: no store given`, ids(account_id)));
    store.append(group);
  }
  element("faults").append(...Object.entries(FAULTS).map(([key, { text }]) => faultSwitch(key, text)));
  for (const choice of [customer, store, text]) {
    choice.addEventListener("change", load);
  }
  element("pull").addEventListener("click", () => phone.contentWindow?.dispatchEvent(new Event("pull-down")));
  element("fresh").addEventListener("click", () => {
    sessionStorage.clear();
    load();
  });
  addEventListener("phone-call", (event) => show((event as CustomEvent<Call>).detail));
  addEventListener("phone-login", () => {
    logins += 1;
    element("logins").textContent = String(logins);
  });
  await switchFaults();
  load();
}

function ids(account_id: string, poi_id?: string): string {
  return String(new URLSearchParams(poi_id ? { account_id, poi_id } : { account_id }));
}

function load(): void {
  const own = new URLSearchParams({ customer: customer.value, text: text.value, place: "31.2304,121.4737" });
  phone.src = `phone.html?${store.value}&${own}`;
}

function faultSwitch(key: string, text: string): HTMLElement {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.name = key;
  box.addEventListener("change", () => {
    switching = switching.then(switchFaults);
  });
  label.append(box, text);
  return label;
}

/** The stand-in's rules are those that are switched on, and no others. */
async function switchFaults(): Promise<void> {
  await fetch("_sandbox/faults", { method: "DELETE" });
  for (const box of document.querySelectorAll<HTMLInputElement>("#faults input:checked")) {
    await fetch("_sandbox/faults", { method: "POST", body: JSON.stringify(FAULTS[box.name]?.rule) });
  }
}

function show({ method, url, status, milliseconds, body, requestId }: Call): void {
  const row = calls.insertRow(0);
  row.className = status === 200 ? "" : "problem";
  const request = row.insertCell();
  request.textContent = `${method} ${new URL(url).pathname.replace(/^\/api/, "")}${url.includes("cursor=") ? " (cursor)" : ""}`;
  request.append(small(requestId));
  row.insertCell().textContent = status === 0 ? "–" : String(status);
  const time = row.insertCell();
  time.className = "number";
  time.textContent = `${Math.round(milliseconds)} ms`;
  const [outcome, more] = told(body);
  const cell = row.insertCell();
  cell.textContent = outcome;
  cell.append(small(more));
  while (calls.rows.length > SHOWN_CALLS) {
    calls.deleteRow(-1);
  }
}

/** What an answer says, and what else an engineer wants to know of it. */
function told(body: unknown): [string, string] {
  if (typeof body !== "object" || body === null) {
    return [String(body), ""];
  }
  const { certificates, next_cursor, code, title, upstream } = body as {
    certificates?: unknown[];
    next_cursor?: string;
    code?: string;
    title?: string;
    upstream?: { error_code: number; sub_error_code: number; logid?: string };
  };
  if (certificates) {
    return [`${certificates.length} certificates`, next_cursor ? "there is more" : ""];
  }
  if (code) {
    return [
      code,
      upstream ? `${title}; ${upstream.error_code}/${upstream.sub_error_code} ${upstream.logid ?? ""}` : (title ?? ""),
    ];
  }
  return ["session", ""];
}

function small(text: string): HTMLElement {
  const made = document.createElement("small");
  made.textContent = text;
  return made;
}

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

void start();
