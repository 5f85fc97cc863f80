/**
 * The panel beside the phone: selects the customer, the store and the platform's faults. In Chinese. On a narrow screen it
 * is over the phone, and a button opens it.
 */

interface SampleData {
  merchants: { account_id: string; name: string; stores: Record<string, string> }[];
  customers: { key: string; name: string; situation_zh: string }[];
}

/** A switch of the panel: adds one fault rule to the mock platform (see `sandbox/faults.py`). */
interface Fault {
  name: string;
  /** The customer who shows it; without one, any customer with coupons does. */
  customer?: string;
  /** What to expect on the page. */
  expect: string;
  rule: object;
}

const LIST = "query_user_certificates";
const ANY_CUSTOMER = "林小满";
const FAULTS: Fault[] = [
  {
    name: "繁忙两次后恢复",
    expect: "列表正常：服务重试了两次",
    rule: { kind: "code", call: LIST, code: 2100004, times: 2 },
  },
  {
    name: "系统繁忙 (2100004)",
    expect: "503 upstream_unavailable，2 秒后可重试；旧列表保留，标注上次更新",
    rule: { kind: "code", call: LIST, code: 2100004 },
  },
  {
    name: "请求过于频繁 (2119003)",
    expect: "429 rate_limited，按钮倒计时 5 秒",
    rule: { kind: "code", call: LIST, code: 2119003 },
  },
  {
    name: "商家未授权 (2119005)",
    expect: "403 merchant_not_authorized，清空旧列表，没有按钮",
    rule: { kind: "code", call: LIST, code: 2119005 },
  },
  {
    name: "应用未开通能力 (2190004)",
    expect: "503 app_not_permitted，请联系店员",
    rule: { kind: "code", call: LIST, code: 2190004 },
  },
  {
    name: "access_token 被拒绝 (2190002)",
    expect: "503 token_unavailable，可重试",
    rule: { kind: "code", call: LIST, code: 2190002 },
  },
  {
    name: "响应不是 JSON",
    expect: "502 upstream_malformed，可重试",
    rule: { kind: "body", call: LIST, body: "<html>" },
  },
  {
    name: "响应慢（2.5 秒）",
    expect: "先显示骨架屏，2 秒后提示仍在查询",
    rule: { kind: "delay", call: LIST, seconds: 2.5 },
  },
  {
    name: "没有响应",
    expect: "6 秒后可重新查询，之后 504 upstream_timeout",
    rule: { kind: "hang", call: LIST },
  },
  {
    name: "第二页失败 (HTTP 404)",
    customer: "周多多",
    expect: "先显示 50 张券，下滑后在列表下方提示，可重试",
    rule: { kind: "http", call: LIST, page: 2, status: 404 },
  },
  {
    name: "登录 code 被拒绝 (40018)",
    expect: "先清除会话：登录失败，请重试（401 unauthenticated）",
    rule: { kind: "code", call: "jscode2session", code: 40018 },
  },
  {
    name: "应用密钥被拒绝 (40017)",
    expect: "先清除会话：503 app_misconfigured",
    rule: { kind: "code", call: "jscode2session", code: 40017 },
  },
];

/** Switches of the phone, which reads them from the storage; their labels. */
const SWITCHES = {
  offline: "断网",
  gone: "券详情里的券（在列表中：第一张）不再出现",
  fewer: "次卡少一次",
  later: "手机时间快 12 分钟",
};

const phone = element<HTMLIFrameElement>("phone");
const customer = element<HTMLSelectElement>("customer");
const store = element<HTMLSelectElement>("store");
const text = element<HTMLSelectElement>("text");
const hook = element<HTMLSelectElement>("hook");
const notice = element<HTMLInputElement>("notice");
const redeeming = element<HTMLInputElement>("redeeming");
const situations = new Map<string, string>();
/** What is being switched, one after the other: the phone is opened after it. */
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
    const options = Object.entries(stores).map(([poi_id, storeName]) => new Option(storeName, ids(account_id, poi_id)));
    group.append(...options, new Option(`${name}：未指定门店`, ids(account_id)));
    store.append(group);
  }
  store.append(new Option("不存在的商家", ids("unknown")));
  element("switches").append(...Object.entries(SWITCHES).map(([name, label]) => phoneSwitch(name, label)));
  element("faults").append(...FAULTS.map(faultSwitch));
  showSituation();
  element("open").addEventListener("click", () => element("panel").classList.add("open"));
  element("close").addEventListener("click", () => element("panel").classList.remove("open"));
  for (const setting of [customer, store, text, hook]) {
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
    for (const box of document.querySelectorAll<HTMLInputElement>("#switches input")) {
      box.checked = false;
    }
    await loadPhone();
  });
  await updateFaults();
  await loadPhone();
}

function ids(account_id: string, poi_id?: string): string {
  return String(new URLSearchParams(poi_id ? { account_id, poi_id } : { account_id }));
}

/** Open the page with the chosen settings; what is being switched has taken effect before. */
async function loadPhone(): Promise<void> {
  await updating;
  const settings = new URLSearchParams({
    customer: customer.value,
    text: text.value,
    place: "31.2304,121.4737",
    hook: hook.value,
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

function phoneSwitch(name: string, label: string): HTMLElement {
  const key = `switch.${name}`;
  const node = document.createElement("label");
  node.className = "switch";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = sessionStorage.getItem(key) !== null;
  box.addEventListener("change", () =>
    box.checked ? sessionStorage.setItem(key, "") : sessionStorage.removeItem(key),
  );
  node.append(box, textElement("span", label));
  return node;
}

function faultSwitch({ name, customer: shownBy = ANY_CUSTOMER, expect, rule }: Fault): HTMLElement {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = JSON.stringify(rule);
  box.addEventListener("change", () => {
    updating = updating.then(updateFaults);
  });
  label.append(box, textElement("span", name), textElement("small", `${shownBy}：${expect}`));
  return label;
}

/** Replace the mock platform's fault rules by those that are switched on. */
async function updateFaults(): Promise<void> {
  await fetch("_sandbox/faults", { method: "DELETE" });
  for (const box of document.querySelectorAll<HTMLInputElement>("#faults input:checked")) {
    await fetch("_sandbox/faults", { method: "POST", body: box.value });
  }
}

function textElement(tag: string, content: string): HTMLElement {
  const node = document.createElement(tag);
  node.textContent = content;
  return node;
}

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

void start();
