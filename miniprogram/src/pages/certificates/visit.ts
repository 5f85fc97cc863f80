/**
 * The present visit, which the pages share: the states of the list and of the stores, connected with `tt` and the client.
 *
 * A page shows the visit while it is on the screen: `show` is its onShow, `hide` its onHide and its onUnload. After it was
 * left, it must not open another page: one of the merchant's own pages may be on the screen.
 */

import { createClient, type Pager, type Progress } from "../../client/client";
import { config } from "../../config";
import * as device from "./device";
import { certificateOf, INITIAL_STATE, type ListEvent, nextState } from "./state";
import { INITIAL_STORE_STATE, nextStoreState, type StoreEvent, storeTasks } from "./storeState";

/** A page that shows the visit. `render` updates it to the present state. */
interface ShownPage {
  render(): void;
  setData(data: { textSize: number }): void;
}

export const LIST_PAGE = "/pages/certificates/certificates";
export const COUNTER_PAGE = "/pages/certificate/certificate";
export const STORES_PAGE = "/pages/stores/stores";

const client = createClient({ tt, baseUrl: config.api, appId: tt.getEnvInfoSync().microapp.appId });

export const visit = {
  stores: INITIAL_STORE_STATE,
  list: INITIAL_STATE,
  pager: undefined as Pager | undefined,
  /** The hook is running. */
  selecting: false,
  shown: undefined as ShownPage | undefined,
  hidden: undefined as ShownPage | undefined,
  /** The seconds of a problem's button are being counted. */
  isTicking: false,

  // Pages

  /** Begin a visit. */
  enter(query: { account_id?: string; poi_id?: string }) {
    // Douyin does not document the parameters that 去使用 appends: both ids may be missing.
    const accountId = query.account_id || config.account_id;
    const lastPoiId = device.readLastStore(accountId);
    this.updateStores({ kind: "entered", accountId, poiId: query.poi_id || "", lastPoiId });
  },

  /** Whether a visit has begun: not if a page other than the list was launched directly. */
  isEntered(): boolean {
    return this.stores.request > 0;
  },

  show(page: ShownPage) {
    if (!this.isEntered()) {
      this.redirect(LIST_PAGE);
      return;
    }
    // The page that was hidden last is shown again: it was covered by Douyin or another program, not by another page.
    const isBack = page === this.hidden;
    this.hidden = undefined;
    this.shown = page;
    // The customer may have changed it since the program was started.
    page.setData({ textSize: device.initialTextSize() });
    this.render();
    if (isBack) {
      this.loadStores();
      // Meanwhile, the customer may have redeemed a certificate, or another user logged in.
      this.refresh();
    }
  },

  hide(page: ShownPage) {
    // Not if the page that covers it is shown already.
    if (this.shown === page) {
      this.hidden = page;
      this.shown = undefined;
    }
  },

  /** Open a page over the one that is shown. A second tap opens no second one. */
  cover(page: ShownPage, url: string) {
    if (this.shown === page) {
      this.shown = undefined;
      tt.navigateTo({ url, fail: () => this.show(page) });
    }
  },

  /** Return to the page under the one that is shown. */
  uncover() {
    this.shown = undefined;
    tt.navigateBack({});
  },

  /** Replace the page that is shown. */
  redirect(url: string) {
    this.shown = undefined;
    tt.redirectTo({ url });
  },

  /** Update the page that is shown: now, and each second while a problem's button is disabled. */
  render() {
    this.shown?.render();
    const isWaiting = [this.list, this.stores].some(
      ({ problem, problemAt }) => problem && problemAt + problem.retryAfter > device.epochSeconds(),
    );
    if (isWaiting && !this.isTicking) {
      this.isTicking = true;
      setTimeout(() => {
        this.isTicking = false;
        this.render();
      }, 1000);
    }
  },

  // Stores

  /** Change the state of the stores, show it, and do what it requires. */
  updateStores(event: StoreEvent) {
    const before = this.stores;
    const after = nextStoreState(before, event);
    this.stores = after;
    if (after === before) {
      return;
    }
    for (const task of storeTasks(before, after)) {
      this[task]();
    }
    this.render();
  },

  loadStores() {
    this.updateStores({ kind: "requested" });
  },

  /** Request the stores: from the client's cache if they are recent. */
  requestStores() {
    const { accountId, request } = this.stores;
    device.reportWaiting((waiting) => this.updateStores({ kind: "waited", request, waiting }));
    client.listStores({ account_id: accountId }).then((outcome) => {
      this.updateStores({ kind: "responded", request, outcome, now: device.epochSeconds() });
    });
  },

  saveChoice() {
    const { accountId, lastPoiId } = this.stores;
    device.saveLastStore(accountId, lastPoiId);
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

  // List

  openList() {
    this.load({ kind: "opened" });
  },

  /** Load the list from the start, if a store is open. The cards stay until the response arrives. */
  refresh() {
    if (this.stores.poiId) {
      this.load({ kind: "refreshed" });
    }
  },

  /** Load the next part of the list, or the part that has failed. */
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
      this.updateStores({ kind: progress, lastPoiId: device.readLastStore(this.stores.accountId) });
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
    this.list = nextState(before, event);
    if (this.list !== before) {
      this.render();
    }
  },

  /** Call the program's hook, then read the list again: the certificate may be used up. */
  select(id: string) {
    const certificate = certificateOf(this.list, id);
    const { onSelect } = config;
    if (!certificate || !onSelect || this.selecting) {
      return;
    }
    this.selecting = true;
    this.render();
    const done = () => {
      this.selecting = false;
      this.refresh();
    };
    // In a promise, so that a hook that throws does not block the button.
    new Promise((resolve) => resolve(onSelect(certificate, this.store()))).then(done, done);
  },

  /** The ids of the current store, for requests and for the hook. */
  store() {
    return { account_id: this.stores.accountId, poi_id: this.stores.poiId };
  },
};
