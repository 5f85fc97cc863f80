/** Sample page: the customer's certificates in one store. It connects the pure modules with `tt` and the client. */

import { createClient, type Pager, type Progress } from "../../client/client";
import { config } from "../../config";
import * as device from "./device";
import { resolutionOf } from "./messages";
import { canLoadMore, certificateOf, INITIAL_STATE, type ListEvent, nextState } from "./state";
import { INITIAL_STORE_STATE, nextStoreState, type StoreEvent, storeTasks } from "./storeState";
import { activityView, cardsView, detailView, INITIAL_VIEW, noticesView, storesView } from "./view";

interface TapEvent {
  currentTarget: { dataset: { [name: string]: string } };
}

const client = createClient({ tt, baseUrl: config.api, appId: tt.getEnvInfoSync().microapp.appId });

Page({
  data: { textSize: device.initialTextSize(), ...INITIAL_VIEW },

  storeState: INITIAL_STORE_STATE,
  list: INITIAL_STATE,
  pager: undefined as Pager | undefined,
  openedId: "",
  hidden: false,
  /** The seconds of a problem's button are being counted. */
  isTicking: false,

  onLoad(query) {
    // Douyin does not document the parameters that 去使用 appends: both ids may be missing.
    const accountId = query.account_id || config.account_id;
    const lastPoiId = device.readLastStore(accountId);
    this.updateStores({ kind: "entered", accountId, poiId: query.poi_id || "", lastPoiId });
  },

  onShow() {
    if (this.hidden) {
      this.loadStores();
      // While the page was hidden, the customer may have redeemed a certificate, or another user logged in.
      if (this.storeState.poiId) {
        this.refresh();
      }
    }
    this.hidden = false;
  },

  onHide() {
    this.hidden = true;
  },

  onUnload() {
    this.pager?.cancel();
  },

  onPullDownRefresh() {
    if (this.isListShown()) {
      this.refresh();
    } else {
      tt.stopPullDownRefresh({});
    }
  },

  onReachBottom() {
    if (this.isListShown() && canLoadMore(this.list)) {
      this.loadMore();
    }
  },

  isListShown(): boolean {
    return !this.storeState.choosing && !this.data.detail;
  },

  // Stores

  /** Change the state of the store selection, show it, and do what it requires. */
  updateStores(event: StoreEvent) {
    const before = this.storeState;
    const after = nextStoreState(before, event);
    this.storeState = after;
    if (after === before) {
      return;
    }
    this.setData(storesView(after));
    this.showNotices();
    for (const task of storeTasks(before, after)) {
      this[task]();
    }
  },

  loadStores() {
    this.updateStores({ kind: "requested" });
  },

  /** Request the stores: from the client's cache if they are recent. */
  requestStores() {
    const { accountId, request } = this.storeState;
    device.reportWaiting((waiting) => this.updateStores({ kind: "waited", request, waiting }));
    client.listStores({ account_id: accountId }).then((outcome) => {
      this.updateStores({ kind: "responded", request, outcome, now: device.epochSeconds() });
    });
  },

  saveChoice() {
    const { accountId, lastPoiId } = this.storeState;
    device.saveLastStore(accountId, lastPoiId);
  },

  chooseStore() {
    this.updateStores({ kind: "choosing", hasProblem: !!this.list.problem });
  },

  /** Leave the selection without a choice. */
  keepStore() {
    this.updateStores({ kind: "kept" });
  },

  pickStore(event: TapEvent) {
    this.updateStores({ kind: "picked", poiId: event.currentTarget.dataset.poi || "" });
  },

  /** Leave a merchant of the launch query for the one in `config.ts`. */
  openOwnMerchant() {
    const accountId = config.account_id;
    this.updateStores({ kind: "merchant_changed", accountId, lastPoiId: device.readLastStore(accountId) });
  },

  /** Sort by distance, without a question, if the customer has allowed the position before. */
  sortIfAllowed() {
    device.isPositionAllowed().then((allowed) => allowed && this.sortByDistance());
  },

  /** Sort the stores by distance. Only this can ask for the customer's position. */
  sortByDistance() {
    this.updateStores({ kind: "locating" });
    device.readPosition().then((position) => this.updateStores({ kind: "located", position }));
  },

  openSettings() {
    device.openSettings().then((allowed) => allowed && this.sortByDistance());
  },

  // List

  openList() {
    this.openedId = "";
    this.setData({ detail: null });
    this.load({ kind: "opened" });
  },

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
      this.pager = client.listCertificates({ ...this.store(), onProgress: (progress) => this.onProgress(progress) });
    }
    this.update(event);
    this.loadNext(this.pager);
  },

  /** The client goes on searching, or has found out that another user has logged in. */
  onProgress(progress: Progress) {
    this.update({ kind: progress });
    if (progress === "user_changed") {
      this.updateStores({ kind: progress, lastPoiId: device.readLastStore(this.storeState.accountId) });
    }
    if (this.list.activity === "idle") {
      this.refresh();
    } else {
      this.reportWaiting();
    }
  },

  /** Say so if the present request takes long. */
  reportWaiting() {
    const { request } = this.list;
    device.reportWaiting((waiting) => this.update({ kind: "waited", request, waiting }));
  },

  loadNext(pager: Pager) {
    this.reportWaiting();
    pager.next().then((outcome) => {
      if (outcome.kind !== "cancelled") {
        tt.stopPullDownRefresh({});
        this.update({ kind: "responded", outcome, now: device.epochSeconds() });
        if (this.list.activity !== "idle") {
          this.loadNext(pager);
        }
      }
    });
  },

  /** Change the state of the list and show it. */
  update(event: ListEvent) {
    const before = this.list;
    const list = nextState(before, event);
    this.list = list;
    if (list === before) {
      return;
    }
    if (list.certificates !== before.certificates) {
      this.showCards();
      // Show the newer state of an open certificate; close the detail if it is no longer in the list.
      this.showDetail(this.data.detail?.id || "");
    }
    this.setData(activityView(list, device.epochSeconds()));
    this.showNotices();
  },

  showCards() {
    this.setData(cardsView(this.list, this.openedId, device.epochSeconds()));
  },

  /** Show the problems, and count the seconds until their buttons are enabled. */
  showNotices() {
    const notices = noticesView(this.list, this.storeState, config.account_id, device.epochSeconds());
    this.setData(notices);
    if ((notices.problem?.wait || notices.storesProblem?.wait) && !this.isTicking) {
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
    this[resolutionOf((choosing ? storesProblem : problem)?.action, choosing)]();
  },

  copyText(event: TapEvent) {
    device.copy(event.currentTarget.dataset.text || "");
  },

  // Cards and detail

  tapCard(event: TapEvent) {
    this.showDetail(event.currentTarget.dataset.id || "");
  },

  tapGroup(event: TapEvent) {
    const id = event.currentTarget.dataset.id || "";
    this.openedId = this.openedId === id ? "" : id;
    this.showCards();
  },

  showDetail(id: string) {
    this.setData({ detail: detailView(this.list, id, device.epochSeconds(), !!config.onSelect) });
  },

  closeDetail() {
    this.setData({ detail: null });
  },

  /** Call the program's hook, then read the list again: the certificate may be used up. */
  select(event: TapEvent) {
    const certificate = certificateOf(this.list, event.currentTarget.dataset.id || "");
    const { onSelect } = config;
    if (!certificate || !onSelect || this.data.selecting) {
      return;
    }
    this.setData({ selecting: true });
    const done = () => {
      this.setData({ selecting: false, detail: null });
      this.refresh();
    };
    // In a promise, so that a hook that throws does not block the button.
    new Promise((resolve) => resolve(onSelect(certificate, this.store()))).then(done, done);
  },

  /** The ids of the current store, for requests and for the hook. */
  store() {
    return { account_id: this.storeState.accountId, poi_id: this.storeState.poiId };
  },

  /** Switch to the next text size; after the largest, to the smallest. */
  changeTextSize() {
    this.setData({ textSize: device.changeTextSize(this.data.textSize) });
  },

  callStore() {
    tt.makePhoneCall({ phoneNumber: this.data.phone });
  },
});
