/** Sample page: the customer's certificates in one store. It connects the pure modules with `tt` and the client. */

import { type Certificate, createClient, type Pager, type Problem, type Store } from "../../client/client";
import { config } from "../../config";
import { clockText } from "./dates";
import { type Detail, detailOf } from "./detail";
import {
  countText,
  LATE_SECONDS,
  type Notice,
  noticeOf,
  SLOW_SECONDS,
  unusableText,
  type Waiting,
  waitingText,
} from "./messages";
import { type Card, cardsOf } from "./rows";
import { INITIAL_STATE, isEmpty, isStale, type ListEvent, nextState } from "./state";
import {
  canSortByDistance,
  listedStores,
  onlyStore,
  type Position,
  type StoreRow,
  storeHeader,
  storeRows,
} from "./stores";

interface TapEvent {
  currentTarget: { dataset: { [name: string]: string } };
}

const client = createClient({ tt, baseUrl: config.api, appId: tt.getEnvInfoSync().microapp.appId });

/** Base font sizes in pixels; all text on the page is relative to them. */
const TEXT_SIZES = [16, 24, 32];
const TEXT_SIZE_KEY = "redemption.text_size";
const LOCATION_SCOPE = "scope.userLocation";

Page({
  data: {
    textSize: initialTextSize(),
    store: "",
    address: "",
    phone: "",
    // Store selection
    choosing: false,
    loadingStores: false,
    storesWaiting: "" as Waiting,
    storesWaitingText: "",
    storesProblem: null as Notice | null,
    /** The stores are the last known ones: the service did not respond. */
    staleStores: false,
    stores: [] as StoreRow[],
    canChoose: false,
    canLocate: false,
    located: false,
    locating: "",
    /** The customer has refused the position, and can allow it in the settings. */
    canOpenSettings: false,
    // List
    usable: [] as (Card & { opened: boolean })[],
    waiting: [] as (Card & { opened: boolean })[],
    /** Loading, and there is nothing to show yet. */
    loading: false,
    refreshing: false,
    loadingMore: false,
    slowness: "" as Waiting,
    slownessText: "",
    more: false,
    empty: false,
    count: "",
    unusable: "",
    updated: "",
    problem: null as Notice | null,
    problemBelow: false,
    // Detail
    detail: null as Detail | null,
    selecting: false,
  },

  accountId: "",
  poiId: "",
  /** The store was chosen at an earlier visit. */
  isRemembered: false,
  stores: [] as Store[],
  storesProblem: undefined as Problem | undefined,
  storesProblemAt: 0,
  storesRequest: 0,
  position: undefined as Position | undefined,
  list: INITIAL_STATE,
  pager: undefined as Pager | undefined,
  openedId: "",
  hidden: false,
  /** The seconds of a problem's button are being counted. */
  isTicking: false,

  onLoad(query) {
    // Douyin does not document the parameters that 去使用 appends: both ids may be missing.
    this.accountId = query.account_id || config.account_id;
    const remembered = tt.getStorageSync(this.storeKey());
    this.isRemembered = !query.poi_id && typeof remembered === "string" && remembered !== "";
    const poiId = query.poi_id || (this.isRemembered ? (remembered as string) : "");
    this.loadStores();
    if (poiId) {
      this.openStore(poiId);
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
    if (this.pager && !this.data.choosing && !this.data.detail) {
      this.refresh();
    } else {
      tt.stopPullDownRefresh({});
    }
  },

  onReachBottom() {
    const { choosing, detail, more, problem } = this.data;
    if (!choosing && !detail && more && !problem && this.list.activity === "idle") {
      this.loadMore();
    }
  },

  // Stores

  storeKey(): string {
    return `redemption.store.${this.accountId}`;
  },

  /** Load the stores: from the client's cache if they are recent. */
  loadStores() {
    const { accountId } = this;
    this.storesRequest += 1;
    const request = this.storesRequest;
    this.storesProblem = undefined;
    this.setData({ loadingStores: !this.stores.length, storesProblem: null, storesWaiting: "" });
    const wait = (storesWaiting: Waiting) => () => {
      if (this.storesRequest === request && this.data.loadingStores) {
        this.setData({ storesWaiting, storesWaitingText: waitingText(storesWaiting) });
      }
    };
    setTimeout(wait("slow"), SLOW_SECONDS * 1000);
    setTimeout(wait("late"), LATE_SECONDS * 1000);
    client.stores(accountId).then((outcome) => {
      if (request !== this.storesRequest) {
        return;
      }
      this.setData({ loadingStores: false, storesWaiting: "" });
      if (outcome.kind === "stores") {
        this.showStores(listedStores(outcome.merchant), outcome.stale);
      } else if (!this.stores.length) {
        this.storesProblem = outcome.problem;
        this.storesProblemAt = epochSeconds();
        this.showNotices();
      }
    });
  },

  showStores(stores: Store[], staleStores: boolean) {
    this.stores = stores;
    this.setData({
      canChoose: stores.length > 1,
      canLocate: stores.length > 1 && canSortByDistance(stores),
      staleStores,
    });
    this.showStoreRows();
    const only = onlyStore(stores);
    const isKnown = stores.some(({ poi_id }) => poi_id === this.poiId);
    if (this.isRemembered && stores.length && !isKnown) {
      // The store that was chosen last is closed.
      this.isRemembered = false;
      tt.removeStorageSync(this.storeKey());
      this.chooseStore();
    } else if (this.poiId) {
      this.setData(storeHeader(this.poiId, stores));
    }
    if (only && this.data.choosing) {
      this.openStore(only.poi_id);
    }
  },

  showStoreRows() {
    const last = tt.getStorageSync(this.storeKey());
    const rows = storeRows(this.stores, this.position, typeof last === "string" ? last : "");
    this.setData({ stores: rows, located: !!this.position });
  },

  chooseStore() {
    this.setData({ choosing: true });
    this.showStoreRows();
    // Sorts by distance without a question if the customer has allowed the position before.
    tt.getSetting({
      success: ({ authSetting }) => {
        if ((authSetting as { [scope: string]: boolean })[LOCATION_SCOPE]) {
          this.sortByDistance();
        }
      },
    });
  },

  pickStore(event: TapEvent) {
    const poiId = event.currentTarget.dataset.poi || "";
    tt.setStorage({ key: this.storeKey(), data: poiId });
    this.openStore(poiId);
  },

  /** Sort the stores by distance. Only this can ask for the customer's position. */
  sortByDistance() {
    this.setData({ locating: "正在定位…", canOpenSettings: false });
    tt.getLocation({
      type: "gcj02",
      success: (position: Position) => {
        this.position = position;
        this.setData({ locating: "" });
        this.showStoreRows();
      },
      fail: () => this.setData({ locating: "未获取到位置，您可以直接选择门店", canOpenSettings: true }),
    });
  },

  openSettings() {
    tt.openSetting({
      success: ({ authSetting }) => {
        if ((authSetting as { [scope: string]: boolean })[LOCATION_SCOPE]) {
          this.sortByDistance();
        }
      },
    });
  },

  openStore(poiId: string) {
    this.poiId = poiId;
    this.openedId = "";
    this.setData({ choosing: false, detail: null, ...storeHeader(poiId, this.stores) });
    this.load({ kind: "opened" });
  },

  // List

  /** Load the list from the start. The cards stay until the response arrives. */
  refresh() {
    this.load({ kind: "refreshed" });
  },

  /** Load the next part of the list. */
  loadMore() {
    this.load({ kind: "continued" });
  },

  load(event: ListEvent) {
    if (event.kind !== "continued" || !this.pager) {
      this.pager = client.certificates({ account_id: this.accountId, poi_id: this.poiId });
    }
    this.update(event);
    this.loadNext(this.pager);
  },

  loadNext(pager: Pager) {
    const { request } = this.list;
    setTimeout(() => this.update({ kind: "waited", request, waiting: "slow" }), SLOW_SECONDS * 1000);
    setTimeout(() => this.update({ kind: "waited", request, waiting: "late" }), LATE_SECONDS * 1000);
    pager.next().then((outcome) => {
      if (outcome.kind !== "cancelled") {
        tt.stopPullDownRefresh({});
        this.update({ kind: "responded", outcome, now: epochSeconds() });
        if (this.list.activity !== "idle") {
          this.loadNext(pager);
        }
      }
    });
  },

  /** Change the state and show it. */
  update(event: ListEvent) {
    const before = this.list;
    const list = nextState(before, event);
    this.list = list;
    if (list === before) {
      return;
    }
    const now = epochSeconds();
    if (list.certificates !== before.certificates) {
      this.showCards();
      this.showDetail();
    }
    this.setData({
      loading: list.activity === "first",
      refreshing: list.activity === "refresh",
      loadingMore: list.activity === "more",
      slowness: list.waiting,
      slownessText: waitingText(list.waiting),
      more: list.more && list.activity === "idle" && !list.problem,
      empty: isEmpty(list),
      unusable: list.more ? "" : unusableText(list.unusable),
      updated: isStale(list) ? `上次更新 ${clockText(list.updatedAt, now)}` : "",
      problemBelow: list.problemBelow,
    });
    this.showNotices();
  },

  showCards() {
    const { certificates, more } = this.list;
    const { usable, waiting } = cardsOf(certificates, epochSeconds());
    const open = (cards: Card[]) => cards.map((card) => ({ ...card, opened: card.id === this.openedId }));
    const waitingCount = waiting.reduce((sum, { members }) => sum + (members.length || 1), 0);
    this.setData({
      usable: open(usable),
      waiting: open(waiting),
      count: countText(certificates.length - waitingCount, more),
    });
  },

  /** Show the problems, and count the seconds until their buttons are enabled. */
  showNotices() {
    const now = epochSeconds();
    const isForeignMerchant = this.accountId !== config.account_id;
    const show = (problem: Problem | undefined, at: number, isFirst: boolean) =>
      problem ? noticeOf(problem, { isFirst, isForeignMerchant, age: now - at }) : null;
    const problem = show(this.list.problem, this.list.problemAt, this.list.updatedAt === 0);
    const storesProblem = show(this.storesProblem, this.storesProblemAt, true);
    this.setData({ problem, storesProblem });
    if ((problem?.wait || storesProblem?.wait) && !this.isTicking) {
      this.isTicking = true;
      setTimeout(() => {
        this.isTicking = false;
        this.showNotices();
      }, 1000);
    }
  },

  /** Handle the button of a problem. */
  resolveProblem() {
    const { choosing, problem, storesProblem } = this.data;
    const shown = choosing ? storesProblem : problem;
    if (shown?.action === "own_merchant") {
      this.accountId = config.account_id;
      this.poiId = "";
      this.stores = [];
      this.chooseStore();
      this.loadStores();
    } else if (choosing) {
      this.loadStores();
    } else if (shown?.action === "store") {
      this.chooseStore();
    } else {
      this.loadMore();
    }
  },

  copyText(event: TapEvent) {
    tt.setClipboardData({
      data: event.currentTarget.dataset.text || "",
      success: () => tt.showToast({ title: "已复制", icon: "none" }),
    });
  },

  // Cards and detail

  /** Open a certificate's detail; open or close a group. */
  tapCard(event: TapEvent) {
    const id = event.currentTarget.dataset.id || "";
    this.setData({ detail: this.detailOf(id) });
  },

  tapGroup(event: TapEvent) {
    const id = event.currentTarget.dataset.id || "";
    this.openedId = this.openedId === id ? "" : id;
    this.showCards();
  },

  detailOf(id: string): Detail | null {
    const certificate = this.certificate(id);
    return certificate ? detailOf(certificate, epochSeconds(), !!config.onSelect) : null;
  },

  /** Show a newer state of the certificate; close the detail if it is no longer in the list. */
  showDetail() {
    const { detail } = this.data;
    if (detail) {
      this.setData({ detail: this.detailOf(detail.id) });
    }
  },

  certificate(id: string): Certificate | undefined {
    return this.list.certificates.filter(({ certificate_id }) => certificate_id === id)[0];
  },

  closeDetail() {
    this.setData({ detail: null });
  },

  /** Call the program's hook, then read the list again: the certificate may be used up. */
  select(event: TapEvent) {
    const certificate = this.certificate(event.currentTarget.dataset.id || "");
    if (!certificate || !config.onSelect || this.data.selecting) {
      return;
    }
    this.setData({ selecting: true });
    const store = { account_id: this.accountId, poi_id: this.poiId };
    const done = () => {
      this.setData({ selecting: false, detail: null });
      this.refresh();
    };
    Promise.resolve(config.onSelect(certificate, store)).then(done, done);
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

function epochSeconds(): number {
  return Date.now() / 1000;
}

/** Return the customer's stored choice, or the phone's font size if Douyin reports it. */
function initialTextSize(): number {
  const [smallest, largest] = [TEXT_SIZES[0] as number, TEXT_SIZES[TEXT_SIZES.length - 1] as number];
  const stored = tt.getStorageSync(TEXT_SIZE_KEY);
  const { fontSizeSetting } = tt.getSystemInfoSync() as { fontSizeSetting?: number };
  const size = typeof stored === "number" ? stored : fontSizeSetting || smallest;
  return Math.min(largest, Math.max(smallest, size));
}
