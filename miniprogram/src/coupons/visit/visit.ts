/**
 * The present visit, which the pages share. It connects the states of the list and of the stores with `tt` and the
 * client.
 *
 * A page shows the visit while it is on the screen: its onShow calls `show`, its onHide and onUnload call `hide`. A
 * page that was left must not open another page, because one of the merchant's own pages may be on the screen.
 */

import { createClient, type Outcome, type Pager, type Progress, type StoresOutcome } from "../client/client";
import { config } from "../config";
import * as device from "./device";
import { type ListEvent, nextListState } from "./listState";
import { LATE_SECONDS, NO_CONSENT, secondsLeft } from "./messages";
import { nextStoreState, type StoreEvent, storeTasks } from "./storeState";
import { INITIAL_VISIT_STATE } from "./view";

// Every JavaScript runtime has this function; Douyin's types lack it.
declare function clearTimeout(timer: number): void;

/** A page that shows the visit. */
export interface VisitPage {
  /** Show the present state. */
  render(): void;
  setData(data: { textSize: number }): void;
}

export const LIST_PAGE = `${config.basePath}/pages/certificates/certificates`;
export const CERTIFICATE_PAGE = `${config.basePath}/pages/certificate/certificate`;
export const STORES_PAGE = `${config.basePath}/pages/stores/stores`;

const CONSENT_RULE = "beforeLogin must return true (consent) or false, or a promise of it; not nothing";

const appId = device.appId() || config.appId || "";
const client = createClient({ tt: device.host, baseUrl: config.api, appId });
if (!config.account_id) {
  device.logOnce("account_id of config.ts is empty");
}

export const visit = {
  ...INITIAL_VISIT_STATE,
  pager: undefined as Pager | undefined,
  /** What the present user has answered to `beforeLogin` since the program was started. */
  consent: "unasked" as "unasked" | "asked" | "given" | "refused",
  shown: undefined as VisitPage | undefined,
  /** Something other than these pages is over them: Douyin, another program, or one of the merchant's own pages. */
  isCovered: false,
  timer: 0,

  // Pages

  /** Begin a visit. */
  enter(query: { account_id?: string; poi_id?: string }) {
    // Douyin does not document the parameters that 去使用 appends: both ids may be missing.
    const accountId = query.account_id || config.account_id;
    const lastPoiId = device.readLastStore(accountId);
    this.isCovered = false;
    this.updateStores({ kind: "entered", accountId, poiId: query.poi_id || "", lastPoiId, now: device.epochSeconds() });
  },

  /** Whether a visit has begun. It has not if a page other than the list was launched directly. */
  isEntered(): boolean {
    return this.storeState.requestNumber > 0;
  },

  show(page: VisitPage) {
    if (!this.isEntered()) {
      // The list page begins the visit. If it cannot be opened, this page begins the visit.
      this.shown = page;
      this.replace(page, LIST_PAGE, () => this.enter({}));
      return;
    }
    const { requestNumber, activity } = this.listState;
    client.checkUser();
    // Only a report of another user changes the state of the list here.
    const isOtherUser = this.listState.requestNumber !== requestNumber;
    // Meanwhile, the customer may have used a certificate, so load the list again.
    const isBack = this.isCovered;
    this.isCovered = false;
    this.shown = page;
    // The customer may have changed the text size since the program was started.
    page.setData({ textSize: device.readTextSize() });
    if (isBack) {
      this.loadStores();
    }
    // If a list was loading, `onProgress` has not begun another one: its login may be the former user's.
    if (isOtherUser ? activity !== "idle" : isBack) {
      this.refresh();
    }
    this.render();
  },

  hide(page: VisitPage) {
    // If the page that covers this one is shown already, there is nothing to hide.
    if (this.shown === page) {
      this.shown = undefined;
      clearTimeout(this.timer);
    }
  },

  /** Hide the shown page, because something other than these pages covers it. */
  cover(page: VisitPage) {
    this.isCovered = this.isCovered || this.shown === page;
    this.hide(page);
  },

  /** Open a page over the one that is shown. */
  openOver(page: VisitPage, url: string) {
    this.leave(
      page,
      () => {},
      (fail) => device.openPage(url, fail),
    );
  },

  /** Open one of the merchant's own pages over the one that is shown. */
  openOwn(page: VisitPage, url: string) {
    this.isCovered = true;
    this.openOver(page, url);
  },

  /** Return to the page under the one that is shown. If that fails, `onFailed` is called, and the page is shown again. */
  close(page: VisitPage, onFailed: () => void) {
    this.leave(page, onFailed, device.closePage);
  },

  /** Replace the page that is shown. If that fails, `onFailed` is called, and the page is shown again. */
  replace(page: VisitPage, url: string, onFailed: () => void) {
    this.leave(page, onFailed, (fail) => device.replacePage(url, fail));
  },

  /** Leave the page that is shown, once: a second tap does nothing. */
  leave(page: VisitPage, onFailed: () => void, navigate: (fail: () => void) => void) {
    if (this.shown === page) {
      this.hide(page);
      navigate(() => {
        onFailed();
        this.isCovered = false;
        this.show(page);
      });
    }
  },

  /** Render the shown page now, and then every minute (every second while a button waits), because its texts age. */
  render() {
    this.shown?.render();
    // `render` of the page may begin a request, which calls this function again. Clear the timer of that call.
    clearTimeout(this.timer);
    if (this.shown) {
      const now = device.epochSeconds();
      const states = [this.listState, this.storeState];
      const isCountingDown = states.some(({ problem, problemAt }) => secondsLeft(problem, problemAt, now));
      const seconds = isCountingDown ? 1 : 60;
      // Rounded up: a timer that ends too early would show the texts of the minute before.
      this.timer = setTimeout(() => this.render(), Math.ceil((seconds - (now % seconds)) * 1000));
    }
  },

  // Stores

  /** Change the state of the stores, do the tasks that the change requires, and show the state. */
  updateStores(event: StoreEvent) {
    const before = this.storeState;
    const after = nextStoreState(before, event);
    this.storeState = after;
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
    const { accountId, requestNumber } = this.storeState;
    device.later(LATE_SECONDS, () => this.updateStores({ kind: "late", requestNumber }));
    client.listStores({ account_id: accountId }).then((outcome) => {
      logCause(outcome);
      this.updateStores({ kind: "responded", requestNumber, outcome, now: device.epochSeconds() });
    });
  },

  saveChoice() {
    const { accountId, lastPoiId } = this.storeState;
    device.saveLastStore(accountId, lastPoiId);
  },

  /** Switch from the merchant of the launch query to the one in `config.ts`. */
  openOwnMerchant() {
    const accountId = config.account_id;
    this.updateStores({ kind: "merchant_changed", accountId, lastPoiId: device.readLastStore(accountId) });
  },

  /** Sort the stores by distance. Only this function asks for the customer's position. */
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
    if (this.storeState.poiId) {
      this.load({ kind: "refreshed" });
    } else {
      device.stopPullDownRefresh();
    }
  },

  /** Load the next part of the list, or the part that has failed. */
  loadMore() {
    this.load({ kind: "continued" });
  },

  load(event: ListEvent) {
    if (config.beforeLogin && this.consent !== "given") {
      this.updateList(event);
      this.askConsent(event.kind === "continued");
      return;
    }
    if (event.kind !== "continued" || !this.pager) {
      this.pager = client.listCertificates({ ...this.storeIds(), onProgress: (progress) => this.onProgress(progress) });
    }
    this.updateList(event);
    this.loadNext(this.pager);
  },

  /** Call `beforeLogin` once. After a refusal, call it again only if the customer retries. It has no time limit. */
  askConsent(isRetry: boolean) {
    device.stopPullDownRefresh();
    this.startLateTimer();
    if (this.consent === "asked") {
      return;
    }
    if (this.consent === "refused" && !isRetry) {
      this.showNoConsent();
      return;
    }
    this.consent = "asked";
    new Promise((resolve) => resolve(config.beforeLogin?.()))
      .catch((error) => {
        device.logError("beforeLogin", error);
        return false;
      })
      .then((result) => {
        if (typeof result !== "boolean") {
          device.logOnce(CONSENT_RULE);
        }
        this.consent = result === true ? "given" : "refused";
        if (result === true) {
          this.refresh();
        } else {
          this.showNoConsent();
        }
      });
  },

  /** Show, as a problem, that no list is requested without the customer's consent. */
  showNoConsent() {
    const outcome = { kind: "problem" as const, problem: NO_CONSENT };
    this.updateList({ kind: "responded", outcome, now: device.epochSeconds() });
  },

  /** Handle a report of the client: it searches on, or another user has logged in. */
  onProgress(progress: Progress) {
    if (progress === "user_changed") {
      this.forgetUser();
    } else {
      this.updateList({ kind: progress });
    }
    if (this.listState.activity === "idle" || !this.pager) {
      this.refresh();
    } else {
      this.startLateTimer();
    }
  },

  /** Clear what another user must not see. If the former user has given a consent, stop requests, and ask again. */
  forgetUser() {
    // First, because the updates render the page.
    this.lastDetail = null;
    if (config.beforeLogin && this.consent !== "asked") {
      this.consent = "unasked";
      this.pager?.cancel();
      this.pager = undefined;
    }
    this.updateList({ kind: "user_changed" });
    this.updateStores({ kind: "user_changed", lastPoiId: device.readLastStore(this.storeState.accountId) });
  },

  /** Show that the present request takes long, if it is still in flight after `LATE_SECONDS`. */
  startLateTimer() {
    const { requestNumber } = this.listState;
    device.later(LATE_SECONDS, () => this.updateList({ kind: "late", requestNumber }));
  },

  loadNext(pager: Pager) {
    this.startLateTimer();
    pager.next().then((outcome) => {
      if (outcome.kind !== "cancelled") {
        device.stopPullDownRefresh();
        logCause(outcome);
        this.updateList({ kind: "responded", outcome, now: device.epochSeconds() });
      }
    });
  },

  /** Change the state of the list and show it. */
  updateList(event: ListEvent) {
    const before = this.listState;
    this.listState = nextListState(before, event);
    if (this.listState !== before) {
      this.render();
    }
  },

  /** Open the user's orders with `openOrders` of `config.ts`. If it fails, the pages show the way to them instead. */
  openOrders() {
    new Promise((resolve) => resolve(config.openOrders?.())).catch((error) => {
      device.logError("openOrders", error);
      device.toast("打不开，请自己打开抖音「我的订单」");
      this.hasOpenOrdersFailed = true;
      this.render();
    });
  },

  /** The ids of the current store, for requests. */
  storeIds() {
    return { account_id: this.storeState.accountId, poi_id: this.storeState.poiId };
  },
};

/** Log the cause of a problem for the developer. */
function logCause(outcome: Outcome | StoresOutcome): void {
  if (outcome.kind === "problem" && outcome.problem.cause) {
    device.logOnce(outcome.problem.cause);
  }
}
