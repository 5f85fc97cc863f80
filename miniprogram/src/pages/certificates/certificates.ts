/** Sample page: the customer's certificates in one store. */

import {
  createClient,
  type Outcome,
  type Pager,
  type Problem,
  type Store,
  type StoresOutcome,
} from "../../client/client";
import { config } from "../../config";
import { countText, type Row, rowOf } from "./rows";
import {
  canSortByDistance,
  listedStores,
  onlyStore,
  type Position,
  type StoreRow,
  storeHeader,
  storeRows,
} from "./stores";

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
    loadingStores: false,
    storesProblem: null as Notice | null,
    /** The stores are the last known ones: the service did not respond. */
    staleStores: false,
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

  accountId: "",
  stores: [] as Store[],
  poiId: "",
  pager: undefined as Pager | undefined,
  position: undefined as Position | undefined,
  /** Certificates found by this pager. During a refresh, `rows` still shows the previous pager's. */
  found: 0,
  hidden: false,

  onLoad(query) {
    // Douyin does not document the parameters that 去使用 appends: both ids may be missing.
    this.accountId = query.account_id || config.account_id;
    this.loadStores();
    if (query.poi_id) {
      this.openStore(query.poi_id);
    } else {
      this.chooseStore();
    }
  },

  onShow() {
    if (this.hidden) {
      this.loadStores();
      // The customer may have redeemed a certificate while the page was hidden.
      if (this.pager && !this.data.choosing) {
        this.refresh();
      }
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

  /** Load the stores: from the client's cache if they are recent. */
  loadStores() {
    this.setData({ loadingStores: !this.stores.length, storesProblem: null });
    client.stores(this.accountId).then((outcome) => this.showStores(outcome));
  },

  showStores(outcome: StoresOutcome) {
    this.setData({ loadingStores: false });
    if (outcome.kind === "problem") {
      // The stores that are shown stay.
      this.setData({ storesProblem: this.stores.length ? null : noticeOf(outcome.problem) });
      this.countDown("storesProblem");
      return;
    }
    const stores = listedStores(outcome.merchant);
    this.stores = stores;
    this.setData({
      stores: storeRows(stores, this.position),
      canChoose: stores.length > 1,
      canLocate: canSortByDistance(stores),
      staleStores: outcome.stale,
    });
    const only = onlyStore(stores);
    if (this.poiId) {
      this.setData(storeHeader(this.poiId, stores));
    } else if (only) {
      this.openStore(only.poi_id);
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
        this.position = position;
        this.setData({ stores: storeRows(this.stores, position), locating: "" });
      },
      fail: () => this.setData({ locating: "未能获取位置，请直接选择门店" }),
    });
  },

  openStore(poiId: string) {
    this.poiId = poiId;
    this.setData({
      choosing: false,
      ...storeHeader(poiId, this.stores),
      rows: [],
      count: "",
      loadingMore: false,
    });
    this.refresh();
  },

  /** Load the list from the start. The rows stay until the response arrives. */
  refresh() {
    this.pager = client.certificates({ account_id: this.accountId, poi_id: this.poiId });
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
      const problem = noticeOf(outcome.problem);
      this.setData({ loading: false, loadingMore: false, problemBelow: this.data.loadingMore, problem });
      this.countDown("problem");
      return;
    }
    const now = Date.now() / 1000;
    const rows = outcome.certificates.map((certificate) => rowOf(certificate, now));
    const { more } = outcome;
    this.found = rows.length;
    const count = countText(rows.length, more);
    this.setData({ rows, more, count, empty: !rows.length && !more, loading: false, loadingMore: false });
  },

  /** Count the seconds until the button of a problem is enabled. */
  countDown(name: "problem" | "storesProblem") {
    const notice = this.data[name];
    if (!notice || notice.wait <= 0) {
      return;
    }
    setTimeout(() => {
      // The problem may be gone or replaced by now.
      const shown = this.data[name];
      if (shown && shown.reference === notice.reference && shown.wait === notice.wait) {
        const next = { ...notice, wait: notice.wait - 1 };
        this.setData(name === "problem" ? { problem: next } : { storesProblem: next });
        this.countDown(name);
      }
    }, 1000);
  },

  /** Handle the button of a problem. */
  resolveProblem() {
    const { problem } = this.data;
    if (this.data.choosing) {
      this.loadStores();
    } else if (problem && problem.action === "store") {
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

function noticeOf({ action, detail, retryAfter, requestId }: Problem): Notice {
  const reference = requestId ? `问题编号 ${requestId}` : "";
  return { action, text: detail, button: BUTTONS[action], wait: Math.ceil(retryAfter), reference };
}

/** Return the customer's stored choice, or the phone's font size if Douyin reports it. */
function initialTextSize(): number {
  const [smallest, largest] = [TEXT_SIZES[0] as number, TEXT_SIZES[TEXT_SIZES.length - 1] as number];
  const stored = tt.getStorageSync(TEXT_SIZE_KEY);
  const { fontSizeSetting } = tt.getSystemInfoSync() as { fontSizeSetting?: number };
  const size = typeof stored === "number" ? stored : fontSizeSetting || smallest;
  return Math.min(largest, Math.max(smallest, size));
}
