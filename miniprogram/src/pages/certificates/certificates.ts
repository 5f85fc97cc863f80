/** Sample page: the customer's certificates in one store. It connects the pure modules with `tt` and the client. */

import { type Certificate, createClient, type Pager, type Problem, type Store } from "../../client/client";
import { config } from "../../config";
import { detailOf } from "./detail";
import * as device from "./device";
import { LATE_SECONDS, SLOW_SECONDS, type Waiting, waitingText } from "./messages";
import { INITIAL_STATE, type ListEvent, nextState } from "./state";
import { canSortByDistance, listedStores, onlyStore, type Position, storeHeader, storeRows } from "./stores";
import { activityView, cardsView, INITIAL_VIEW, noticeView } from "./view";

interface TapEvent {
  currentTarget: { dataset: { [name: string]: string } };
}

const client = createClient({ tt, baseUrl: config.api, appId: tt.getEnvInfoSync().microapp.appId });

Page({
  data: { textSize: device.initialTextSize(), ...INITIAL_VIEW },

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
    const poiId = query.poi_id || this.lastPoiId();
    this.isRemembered = !query.poi_id && !!poiId;
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

  /** Return the store that the customer chose last; empty if there is none. */
  lastPoiId(): string {
    return device.readText(this.storeKey());
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
      this.poiId = "";
      device.storeText(this.storeKey(), "");
      this.setData({ choosing: true, canReturn: false });
    } else if (this.poiId) {
      this.setData(storeHeader(this.poiId, stores));
    }
    if (this.data.choosing) {
      if (only) {
        this.openStore(only.poi_id);
      } else {
        this.sortIfAllowed();
      }
    }
  },

  showStoreRows() {
    const tags = { [this.lastPoiId()]: "上次选择", [this.poiId]: "当前门店" };
    const rows = storeRows(this.stores, this.position, tags);
    this.setData({ stores: rows, located: !!this.position });
  },

  chooseStore() {
    this.setData({ choosing: true, canReturn: !!this.poiId && !this.list.problem });
    this.showStoreRows();
    this.sortIfAllowed();
  },

  /** Sort by distance, without a question, if the customer has allowed the position before. */
  sortIfAllowed() {
    if (this.data.canLocate) {
      device.isPositionAllowed().then((allowed) => allowed && this.sortByDistance());
    }
  },

  /** Leave the selection without a choice. */
  keepStore() {
    this.setData({ choosing: false });
  },

  pickStore(event: TapEvent) {
    const poiId = event.currentTarget.dataset.poi || "";
    this.isRemembered = false;
    device.storeText(this.storeKey(), poiId);
    this.openStore(poiId);
  },

  /** Sort the stores by distance. Only this can ask for the customer's position. */
  sortByDistance() {
    this.setData({ locating: "正在定位…", canOpenSettings: false });
    device.readPosition().then((position) => {
      this.position = position || this.position;
      this.setData({ locating: position ? "" : "未获取到位置，您可以直接选择门店", canOpenSettings: !position });
      this.showStoreRows();
    });
  },

  openSettings() {
    device.openSettings().then((allowed) => allowed && this.sortByDistance());
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
    this.setData(activityView(list, now));
    this.showNotices();
  },

  showCards() {
    this.setData(cardsView(this.list, this.openedId, epochSeconds()));
  },

  /** Show the problems, and count the seconds until their buttons are enabled. */
  showNotices() {
    const now = epochSeconds();
    const isForeignMerchant = this.accountId !== config.account_id;
    const { list } = this;
    const problem = noticeView(list.problem, list.problemAt, now, { isFirst: list.updatedAt === 0, isForeignMerchant });
    const stores = { isFirst: true, isForeignMerchant };
    const storesProblem = noticeView(this.storesProblem, this.storesProblemAt, now, stores);
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
    device.copy(event.currentTarget.dataset.text || "");
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

  detailOf(id: string) {
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
    const { onSelect } = config;
    if (!certificate || !onSelect || this.data.selecting) {
      return;
    }
    this.setData({ selecting: true });
    const store = { account_id: this.accountId, poi_id: this.poiId };
    const done = () => {
      this.setData({ selecting: false, detail: null });
      this.refresh();
    };
    // In a promise, so that a hook that throws does not block the button.
    new Promise((resolve) => resolve(onSelect(certificate, store))).then(done, done);
  },

  /** Switch to the next text size; after the largest, to the smallest. */
  changeTextSize() {
    this.setData({ textSize: device.changeTextSize(this.data.textSize) });
  },

  callStore() {
    tt.makePhoneCall({ phoneNumber: this.data.phone });
  },
});

function epochSeconds(): number {
  return Date.now() / 1000;
}
