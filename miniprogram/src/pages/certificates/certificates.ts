/** The customer's certificates in a store: the sample page. */

import { createClient, type Outcome, type Problem, type Walk } from "../../client/client";
import { config, type Merchant } from "../../config";
import { type Row, rowOf } from "./rows";
import { type Place, type Store, type StoreRow, storeRows } from "./stores";

/** A problem as it is shown; `button` is empty where there is nothing to press. */
interface Notice {
  action: Problem["action"];
  text: string;
  button: string;
  /** Seconds until the button can be pressed. */
  wait: number;
  reference: string;
}

const client = createClient({ tt, baseUrl: config.api, appId: tt.getEnvInfoSync().microapp.appId });

/** A screen holds about as many: with fewer, reaching the bottom is not to be waited for. */
const SCREENFUL = 8;
/** Answers without anything new that are asked for by themselves; then the customer says whether to go on. */
const PATIENCE = 5;
/** Pixels of the running text; everything on the page is measured by it. */
const TEXT_SIZES = [16, 24, 32];
const TEXT_SIZE_KEY = "redemption.text_size";

const BUTTONS: { [action in Problem["action"]]: string } = {
  retry: "重试",
  login: "登录",
  store: "选择门店",
  staff: "",
};

Page({
  data: {
    textSize: textSize(),
    store: "",
    phone: "",
    /** Choosing a store. */
    choosing: false,
    stores: [] as StoreRow[],
    canChoose: false,
    canLocate: false,
    locating: "",
    /** The list. */
    rows: [] as Row[],
    /** Nothing is known yet. */
    loading: false,
    loadingMore: false,
    more: false,
    empty: false,
    count: "",
    problem: null as Notice | null,
    /** The problem is one of going on, and stands where the customer is: below the list. */
    below: false,
  },

  merchant: undefined as Merchant | undefined,
  poiId: "",
  walk: undefined as Walk | undefined,
  /** How many certificates this walk has found; what is shown may still be the one before's. */
  found: 0,
  hidden: false,

  onLoad(query) {
    // What the platform appends when a customer comes from 去使用 is published nowhere: both ids may be missing.
    const accountId = query.account_id;
    const merchants = config.merchants.filter((merchant) => !accountId || merchant.account_id === accountId);
    this.merchant = merchants[0] || { account_id: accountId || "", stores: [] };
    const { stores } = this.merchant;
    const canLocate = stores.some((store) => store.latitude !== undefined);
    this.setData({ stores: storeRows(stores), canChoose: stores.length > 1, canLocate });
    const only = stores.length === 1 ? stores[0] : undefined;
    const poiId = query.poi_id || (only ? only.poi_id : "");
    if (poiId) {
      this.open(poiId);
    } else {
      this.setData({ choosing: true });
    }
  },

  onShow() {
    // Back from somewhere, maybe from having redeemed one.
    if (this.hidden && this.walk && !this.data.choosing) {
      this.refresh();
    }
    this.hidden = false;
  },

  onHide() {
    this.hidden = true;
  },

  onUnload() {
    if (this.walk) {
      this.walk.cancel();
    }
  },

  onPullDownRefresh() {
    if (this.walk && !this.data.choosing) {
      this.refresh();
    } else {
      tt.stopPullDownRefresh({});
    }
  },

  onReachBottom() {
    if (!this.data.choosing && this.data.more && !this.data.loadingMore && !this.data.problem) {
      this.goOn();
    }
  },

  chooseStore() {
    this.setData({ choosing: true });
  },

  /** A store of the choice was tapped. */
  pickStore(event: { currentTarget: { dataset: { poi: string } } }) {
    this.open(event.currentTarget.dataset.poi);
  },

  /** The customer's place is asked for when they want the nearest store, and not before. */
  nearest() {
    this.setData({ locating: "正在定位…" });
    tt.getLocation({
      type: "gcj02",
      success: (here: Place) => {
        const stores = (this.merchant as Merchant).stores;
        this.setData({ stores: storeRows(stores, here), locating: "" });
      },
      fail: () => this.setData({ locating: "未能获取位置，请直接选择门店" }),
    });
  },

  open(poiId: string) {
    const known = ((this.merchant as Merchant).stores.filter((store) => store.poi_id === poiId)[0] ||
      {}) as Partial<Store>;
    this.poiId = poiId;
    this.setData({
      choosing: false,
      store: known.name || "当前门店",
      phone: known.phone || "",
      rows: [],
      count: "",
      loadingMore: false,
    });
    this.refresh();
  },

  /** Ask from the start; what is shown stays until the answer is there. */
  refresh() {
    const { account_id } = this.merchant as Merchant;
    this.walk = client.certificates({ account_id, poi_id: this.poiId });
    this.found = 0;
    this.setData({ loading: this.data.rows.length === 0, empty: false, more: false, problem: null });
    this.step(this.walk, PATIENCE);
  },

  /** Ask for what follows. */
  goOn() {
    if (this.walk) {
      this.setData({ loading: !this.data.rows.length, loadingMore: !!this.data.rows.length, problem: null });
      this.step(this.walk, PATIENCE);
    }
  },

  step(walk: Walk, patience: number) {
    const before = this.found;
    walk.next().then((outcome) => {
      if (outcome.kind === "cancelled") {
        return;
      }
      this.show(outcome);
      const gained = this.found > before;
      if (outcome.kind === "list" && outcome.more && (this.found < SCREENFUL || !gained) && patience > 1) {
        this.setData({ loading: !this.found, loadingMore: !!this.found });
        this.step(walk, gained ? PATIENCE : patience - 1);
      }
    });
  },

  show(outcome: Exclude<Outcome, { kind: "cancelled" }>) {
    tt.stopPullDownRefresh({});
    if (outcome.kind === "problem") {
      this.setData({ loading: false, loadingMore: false, below: this.data.loadingMore });
      this.complain(outcome.problem);
      return;
    }
    const now = Date.now() / 1000;
    const rows = outcome.certificates.map((certificate) => rowOf(certificate, now));
    const { more } = outcome;
    this.found = rows.length;
    const count = rows.length ? (more ? `已找到 ${rows.length} 张可用券` : `共 ${rows.length} 张可用券`) : "";
    this.setData({ rows, more, count, empty: !rows.length && !more, loading: false, loadingMore: false });
  },

  complain(problem: Problem) {
    const { action } = problem;
    const button = action === "store" && !this.data.canChoose ? "" : BUTTONS[action];
    const reference = problem.requestId ? `问题编号 ${problem.requestId}` : "";
    const notice = { action, text: problem.detail, button, wait: Math.ceil(problem.retryAfter), reference };
    this.setData({ problem: notice });
    this.countDown(notice);
  },

  countDown(notice: Notice) {
    if (notice.wait <= 0) {
      return;
    }
    setTimeout(() => {
      // Another problem, or none, may have taken its place.
      const shown = this.data.problem;
      if (shown && shown.reference === notice.reference && shown.wait === notice.wait) {
        const next = { ...notice, wait: notice.wait - 1 };
        this.setData({ problem: next });
        this.countDown(next);
      }
    }, 1000);
  },

  /** The button of a problem. */
  resolve() {
    const { problem } = this.data;
    if (problem && problem.action === "store") {
      this.setData({ problem: null });
      this.chooseStore();
    } else if (this.data.rows.length) {
      this.goOn();
    } else {
      this.refresh();
    }
  },

  enlarge() {
    const next = TEXT_SIZES.filter((size) => size > this.data.textSize)[0] || (TEXT_SIZES[0] as number);
    this.setData({ textSize: next });
    tt.setStorage({ key: TEXT_SIZE_KEY, data: next });
  },

  call() {
    tt.makePhoneCall({ phoneNumber: this.data.phone });
  },
});

/** The customer's own choice, else the phone's where it tells one. */
function textSize(): number {
  const [least, most] = [TEXT_SIZES[0] as number, TEXT_SIZES[TEXT_SIZES.length - 1] as number];
  const chosen = tt.getStorageSync(TEXT_SIZE_KEY);
  const { fontSizeSetting } = tt.getSystemInfoSync() as { fontSizeSetting?: number };
  const wished = typeof chosen === "number" ? chosen : fontSizeSetting || least;
  return Math.min(most, Math.max(least, wished));
}
