/** Sample page: the customer's certificates in one store. */

import { createClient, type Outcome, type Pager, type Problem } from "../../client/client";
import { config, type Merchant } from "../../config";
import { type Row, rowOf } from "./rows";
import { type Position, type Store, type StoreRow, storeRows } from "./stores";

/** A problem as the page shows it. */
interface Notice {
  action: Problem["action"];
  text: string;
  /** Button text; empty for no button. */
  button: string;
  /** Seconds until the button is enabled. */
  wait: number;
  reference: string;
}

const client = createClient({ tt, baseUrl: config.api, appId: tt.getEnvInfoSync().microapp.appId });

/** Rows that fill about one screen. With fewer, the customer cannot scroll, so onReachBottom never fires. */
const SCREEN_ROWS = 8;
/** After this many responses without a new certificate, stop and show a button. */
const MAX_EMPTY_RESPONSES = 5;
/** Base font sizes in pixels; all text on the page is relative to them. */
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
    textSize: initialTextSize(),
    store: "",
    phone: "",
    // Store selection
    choosing: false,
    stores: [] as StoreRow[],
    canChoose: false,
    canLocate: false,
    locating: "",
    // List
    rows: [] as Row[],
    /** Loading, and there are no rows to show yet. */
    loading: false,
    /** Loading more rows. */
    loadingMore: false,
    more: false,
    empty: false,
    count: "",
    problem: null as Notice | null,
    /** Show the problem below the list, where the customer is scrolling, not above it. */
    problemBelow: false,
  },

  merchant: undefined as Merchant | undefined,
  poiId: "",
  pager: undefined as Pager | undefined,
  /** Certificates found by this pager. During a refresh, `rows` still shows the previous pager's. */
  found: 0,
  hidden: false,

  onLoad(query) {
    // Douyin does not document the parameters that 去使用 appends: both ids may be missing.
    const accountId = query.account_id;
    const merchants = config.merchants.filter((merchant) => !accountId || merchant.account_id === accountId);
    this.merchant = merchants[0] || { account_id: accountId || "", stores: [] };
    const { stores } = this.merchant;
    const canLocate = stores.some((store) => store.latitude !== undefined);
    this.setData({ stores: storeRows(stores), canChoose: stores.length > 1, canLocate });
    const onlyStore = stores.length === 1 ? stores[0] : undefined;
    const poiId = query.poi_id || (onlyStore ? onlyStore.poi_id : "");
    if (poiId) {
      this.openStore(poiId);
    } else {
      this.chooseStore();
    }
  },

  onShow() {
    // The customer may have redeemed a certificate while the page was hidden.
    if (this.hidden && this.pager && !this.data.choosing) {
      this.refresh();
    }
    this.hidden = false;
  },

  onHide() {
    this.hidden = true;
  },

  onUnload() {
    if (this.pager) {
      this.pager.cancel();
    }
  },

  onPullDownRefresh() {
    if (this.pager && !this.data.choosing) {
      this.refresh();
    } else {
      tt.stopPullDownRefresh({});
    }
  },

  onReachBottom() {
    if (!this.data.choosing && this.data.more && !this.data.loadingMore && !this.data.problem) {
      this.loadMore();
    }
  },

  chooseStore() {
    this.setData({ choosing: true });
  },

  pickStore(event: { currentTarget: { dataset: { poi: string } } }) {
    this.openStore(event.currentTarget.dataset.poi);
  },

  /** Sort the stores by distance. Only this asks for the customer's position. */
  sortByDistance() {
    this.setData({ locating: "正在定位…" });
    tt.getLocation({
      type: "gcj02",
      success: (position: Position) => {
        const { stores } = this.merchant as Merchant;
        this.setData({ stores: storeRows(stores, position), locating: "" });
      },
      fail: () => this.setData({ locating: "未能获取位置，请直接选择门店" }),
    });
  },

  openStore(poiId: string) {
    const { stores } = this.merchant as Merchant;
    const known: Partial<Store> = stores.filter((store) => store.poi_id === poiId)[0] || {};
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

  /** Load the list from the start. The rows stay until the response arrives. */
  refresh() {
    const { account_id } = this.merchant as Merchant;
    this.pager = client.certificates({ account_id, poi_id: this.poiId });
    this.found = 0;
    this.setData({ loading: this.data.rows.length === 0, empty: false, more: false, problem: null });
    this.loadNext(this.pager, MAX_EMPTY_RESPONSES);
  },

  /** Load the next part of the list. */
  loadMore() {
    if (this.pager) {
      this.setData({ loading: !this.data.rows.length, loadingMore: !!this.data.rows.length, problem: null });
      this.loadNext(this.pager, MAX_EMPTY_RESPONSES);
    }
  },

  /**
   * Load the next part. Continue while the screen is not filled or nothing new was found, for at most `attempts`
   * responses without a new certificate.
   */
  loadNext(pager: Pager, attempts: number) {
    const before = this.found;
    pager.next().then((outcome) => {
      if (outcome.kind === "cancelled") {
        return;
      }
      this.showOutcome(outcome);
      const gained = this.found > before;
      if (outcome.kind === "list" && outcome.more && (this.found < SCREEN_ROWS || !gained) && attempts > 1) {
        this.setData({ loading: !this.found, loadingMore: !!this.found });
        this.loadNext(pager, gained ? MAX_EMPTY_RESPONSES : attempts - 1);
      }
    });
  },

  showOutcome(outcome: Exclude<Outcome, { kind: "cancelled" }>) {
    tt.stopPullDownRefresh({});
    if (outcome.kind === "problem") {
      this.setData({ loading: false, loadingMore: false, problemBelow: this.data.loadingMore });
      this.showProblem(outcome.problem);
      return;
    }
    const now = Date.now() / 1000;
    const rows = outcome.certificates.map((certificate) => rowOf(certificate, now));
    const { more } = outcome;
    this.found = rows.length;
    const count = rows.length ? (more ? `已找到 ${rows.length} 张可用券` : `共 ${rows.length} 张可用券`) : "";
    this.setData({ rows, more, count, empty: !rows.length && !more, loading: false, loadingMore: false });
  },

  showProblem(problem: Problem) {
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
      // The problem may be gone or replaced by now.
      const shown = this.data.problem;
      if (shown && shown.reference === notice.reference && shown.wait === notice.wait) {
        const next = { ...notice, wait: notice.wait - 1 };
        this.setData({ problem: next });
        this.countDown(next);
      }
    }, 1000);
  },

  /** Handle the button of a problem. */
  resolveProblem() {
    const { problem } = this.data;
    if (problem && problem.action === "store") {
      this.setData({ problem: null });
      this.chooseStore();
    } else if (this.data.rows.length) {
      this.loadMore();
    } else {
      this.refresh();
    }
  },

  /** Switch to the next text size; after the largest, to the smallest. */
  changeTextSize() {
    const next = TEXT_SIZES.filter((size) => size > this.data.textSize)[0] || (TEXT_SIZES[0] as number);
    this.setData({ textSize: next });
    tt.setStorage({ key: TEXT_SIZE_KEY, data: next });
  },

  callStore() {
    tt.makePhoneCall({ phoneNumber: this.data.phone });
  },
});

/** Return the customer's stored choice, or the phone's font size if Douyin reports it. */
function initialTextSize(): number {
  const [smallest, largest] = [TEXT_SIZES[0] as number, TEXT_SIZES[TEXT_SIZES.length - 1] as number];
  const stored = tt.getStorageSync(TEXT_SIZE_KEY);
  const { fontSizeSetting } = tt.getSystemInfoSync() as { fontSizeSetting?: number };
  const size = typeof stored === "number" ? stored : fontSizeSetting || smallest;
  return Math.min(largest, Math.max(smallest, size));
}
