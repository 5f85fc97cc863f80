/**
 * The panel beside the phone: selects the customer, the store and the platform's faults. In Chinese.
 */

interface SampleData {
  merchants: { account_id: string; name: string; stores: Record<string, string> }[];
  customers: { key: string; name: string; situation_zh: string }[];
}

const LIST = "query_user_certificates";
const LOGIN = "jscode2session";
/** Fault rules of the mock platform, by their labels in the panel. `sandbox/faults.py` has the fields of a rule. */
const FAULTS: Record<string, object> = {
  "系统繁忙 (2100004)": { kind: "code", call: LIST, code: 2100004 },
  "请求过于频繁 (2119003)": { kind: "code", call: LIST, code: 2119003 },
  "商家未授权 (2119005)": { kind: "code", call: LIST, code: 2119005 },
  "响应不是 JSON": { kind: "body", call: LIST, body: "<html>" },
  "响应慢（2.5 秒）": { kind: "delay", call: LIST, seconds: 2.5 },
  没有响应: { kind: "hang", call: LIST },
  "第二页失败 (HTTP 404)，限周多多": { kind: "http", call: LIST, page: 2, status: 404 },
  "登录 code 被拒绝 (40018)，先清除会话": { kind: "code", call: LOGIN, code: 40018 },
};

const phone = element<HTMLIFrameElement>("phone");
const customer = element<HTMLSelectElement>("customer");
const store = element<HTMLSelectElement>("store");
const textSizePercent = element<HTMLSelectElement>("text");
const notice = element<HTMLInputElement>("notice");
const redeeming = element<HTMLInputElement>("redeeming");
const situations = new Map<string, string>();
/** Pending changes of the merchant and of the faults; each starts after the one before. `loadPhone` waits for them. */
let updating: Promise<unknown> = Promise.resolve();

async function start(): Promise<void> {
  const { merchants, customers } = (await (await fetch("_sandbox/world")).json()) as SampleData;
  for (const { key, situation_zh } of customers) {
    situations.set(key, situation_zh);
  }
  customer.append(...customers.map(({ key, name }) => new Option(name, key)), new Option("未登录抖音", ""));
  for (const { account_id, name, stores } of merchants) {
    const group = document.createElement("optgroup");
    group.label = name;
    const options = Object.entries(stores).map(([id, storeName]) => new Option(storeName, storeQuery(account_id, id)));
    group.append(...options, new Option(`${name}：未指定门店`, storeQuery(account_id)));
    store.append(group);
  }
  store.append(new Option("不存在的商家", storeQuery("unknown")));
  element("faults").append(...Object.entries(FAULTS).map(([name, rule]) => faultSwitch(name, rule)));
  showSituation();
  for (const setting of [customer, store, textSizePercent]) {
    setting.addEventListener("change", loadPhone);
  }
  customer.addEventListener("change", showSituation);
  for (const setting of [notice, redeeming]) {
    setting.addEventListener("change", () => {
      updating = updating.then(updateMerchant);
      return loadPhone();
    });
  }
  element("pull").addEventListener("click", async () => {
    await updating;
    phone.contentWindow?.dispatchEvent(new Event("pull-down"));
  });
  element("reset").addEventListener("click", async () => {
    sessionStorage.clear();
    await loadPhone();
  });
  await updateFaults();
  await loadPhone();
}

function storeQuery(account_id: string, poi_id?: string): string {
  return String(new URLSearchParams(poi_id ? { account_id, poi_id } : { account_id }));
}

/** Open the page with the chosen settings, after the pending changes have taken effect. */
async function loadPhone(): Promise<void> {
  await updating;
  const settings = new URLSearchParams({
    customer: customer.value,
    text: textSizePercent.value,
    place: "31.2304,121.4737",
  });
  phone.src = `phone.html?${store.value}&${settings}`;
}

/** Write `notice` and `redeeming` into the row of the merchant. */
async function updateMerchant(): Promise<void> {
  const { account_id } = Object.fromEntries(new URLSearchParams(store.value));
  const body = JSON.stringify({ notice: notice.value, redeeming: redeeming.checked });
  await fetch(`_sandbox/merchants/${account_id}`, { method: "PATCH", body });
}

/** Say what the chosen customer has bought. */
function showSituation(): void {
  element("situation").textContent = situations.get(customer.value) ?? "需要先登录抖音";
}

function faultSwitch(name: string, rule: object): HTMLElement {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = JSON.stringify(rule);
  box.addEventListener("change", () => {
    updating = updating.then(updateFaults);
  });
  label.append(box, name);
  return label;
}

/** Replace the mock platform's fault rules by those that are switched on. */
async function updateFaults(): Promise<void> {
  await fetch("_sandbox/faults", { method: "DELETE" });
  for (const box of document.querySelectorAll<HTMLInputElement>("#faults input:checked")) {
    await fetch("_sandbox/faults", { method: "POST", body: box.value });
  }
}

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

void start();
