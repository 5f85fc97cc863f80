/**
 * The present visit, which the pages share: the states of the list and of the stores, connected with `tt` and the client.
 *
 * A page shows the visit while it is on the screen: `show` is its onShow, `hide` its onHide and its onUnload. After it was
 * left, it must not open another page: one of the merchant's own pages may be on the screen.
 */

import { createClient, type Pager, type Progress } from "../../client/client";
import { config } from "../../config";
import * as device from "./device";
import { waitOf } from "./messages";
import { certificateOf, INITIAL_STATE, type ListEvent, nextState } from "./state";
import { INITIAL_STORE_STATE, nextStoreState, type StoreEvent, storeTasks } from "./storeState";
import type { Submission } from "./view";

/** A page that shows the visit. `render` updates it to the present state. */
interface ShownPage {
  render(): void;
  setData(data: { textSize: number }): void;
}

export const LIST_PAGE = `${config.basePath}/pages/certificates/certificates`;
export const COUNTER_PAGE = `${config.basePath}/pages/certificate/certificate`;
export const STORES_PAGE = `${config.basePath}/pages/stores/stores`;

const appId = device.appId() || config.appId || "";
const client = createClient({ tt: device.host, baseUrl: config.api, appId });

export const visit = {
  stores: INITIAL_STORE_STATE,
  list: INITIAL_STATE,
  pager: undefined as Pager | undefined,
  /** The hook is running. */
  selecting: false,
  /** The last call of the hook, until 券详情 is opened again or another user logs in. */
  submission: undefined as Submission | undefined,
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
      // The list begins the visit; if it cannot be opened, this page does.
      this.replace(page, LIST_PAGE, () => this.enter({}));
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
      device.openPage(url, () => this.show(page));
    }
  },

  /** Return to the page under the one that is shown. If that fails, `stay` prepares the page to be shown again. */
  uncover(page: ShownPage, stay: () => void) {
    this.shown = undefined;
    device.closePage(() => {
      stay();
      this.show(page);
    });
  },

  /** Replace the page that is shown. If that fails, `stay` prepares the page to be shown again. */
  replace(page: ShownPage, url: string, stay: () => void) {
    this.shown = undefined;
    device.replacePage(url, () => {
      stay();
      this.show(page);
    });
  },

  /** Update the page that is shown: now, and each second while a problem's button is disabled. */
  render() {
    this.shown?.render();
    const isWaiting = [this.list, this.stores].some(
      ({ problem, problemAt }) => problem && problemAt + waitOf(problem) > device.epochSeconds(),
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
      this.submission = undefined;
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
        device.stopPullDownRefresh();
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
  select(id: string, onSubmitted = () => {}) {
    const certificate = certificateOf(this.list, id);
    const { onSelect } = config;
    if (!certificate || !onSelect || this.selecting) {
      return;
    }
    this.selecting = true;
    this.render();
    const submission: Submission = { certificate, isEnded: false, isAwaited: false };
    this.submission = submission;
    // In a promise, so that a hook that throws does not block the button.
    new Promise((resolve) => {
      const returned = onSelect(certificate, this.store());
      submission.isAwaited = typeof Object(returned).then === "function";
      resolve(returned);
    })
      .then((result) => {
        submission.isEnded = result !== false;
        if (submission.isEnded && submission.isAwaited && this.submission === submission) {
          onSubmitted();
        }
      }, device.logError)
      .then(() => {
        this.selecting = false;
        this.refresh();
      });
  },

  /** The ids of the current store, for requests and for the hook. */
  store() {
    return { account_id: this.stores.accountId, poi_id: this.stores.poiId };
  },
};
