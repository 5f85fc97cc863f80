/**
 * The present visit, which the pages share: the states of the list and of the stores, connected with `tt` and the client.
 *
 * A page shows the visit while it is on the screen: `show` is its onShow, `hide` its onHide and its onUnload. After it was
 * left, it must not open another page: one of the merchant's own pages may be on the screen.
 */

import { createClient, type Outcome, type Pager, type Progress, type StoresOutcome } from "../../client/client";
import { settings } from "../../settings";
import * as device from "./device";
import { waitOf } from "./messages";
import { certificateOf, INITIAL_STATE, isGone, type ListEvent, nextState } from "./state";
import { INITIAL_STORE_STATE, nextStoreState, type StoreEvent, storeTasks } from "./storeState";
import { isAnyRunning, type Submission } from "./verdict";

// Every platform has it; Douyin's types do not.
declare function clearTimeout(timer: number): void;

/** A page that shows the visit. */
interface ShownPage {
  /** Show the present state. Return until when that is right, in epoch seconds. */
  render(): number;
  setData(data: { textSize: number }): void;
}

export const LIST_PAGE = `${settings.basePath}/pages/certificates/certificates`;
export const COUNTER_PAGE = `${settings.basePath}/pages/certificate/certificate`;
export const STORES_PAGE = `${settings.basePath}/pages/stores/stores`;

/** A timer with more than 24.8 days fires at once. */
const MAX_SLEEP_SECONDS = 3600;

const appId = device.appId() || settings.appId || "";
const client = createClient({ tt: device.host, baseUrl: settings.api, appId });
if (!settings.account_id) {
  device.warn("account_id of config.ts is empty");
}

export const visit = {
  stores: INITIAL_STORE_STATE,
  list: INITIAL_STATE,
  pager: undefined as Pager | undefined,
  submissions: new Map<string, Submission>(),
  /** Number of changes of the user. */
  user: 0,
  /** The certificate of 券详情, while it is open. */
  openedId: "",
  shown: undefined as ShownPage | undefined,
  hidden: undefined as ShownPage | undefined,
  timer: 0,

  // Pages

  /** Begin a visit. */
  enter(query: { account_id?: string; poi_id?: string }) {
    // Douyin does not document the parameters that 去使用 appends: both ids may be missing.
    const accountId = query.account_id || settings.account_id;
    const lastPoiId = device.readLastStore(accountId);
    this.updateStores({ kind: "entered", accountId, poiId: query.poi_id || "", lastPoiId, now: device.epochSeconds() });
  },

  /** Whether a visit has begun: not if a page other than the list was launched directly. */
  isEntered(): boolean {
    return this.stores.request > 0;
  },

  show(page: ShownPage) {
    this.shown = page;
    if (!this.isEntered()) {
      // The list begins the visit; if it cannot be opened, this page does.
      this.replace(page, LIST_PAGE, () => this.enter({}));
      return;
    }
    // The page that was hidden last is shown again: it was covered by Douyin or another program, not by another page.
    const isBack = page === this.hidden;
    this.hidden = undefined;
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
      clearTimeout(this.timer);
    }
  },

  /** Open a page over the one that is shown. */
  cover(page: ShownPage, url: string) {
    this.leave(
      page,
      () => {},
      (fail) => device.openPage(url, fail),
    );
  },

  /** Return to the page under the one that is shown. If that fails, `stay` prepares the page to be shown again. */
  uncover(page: ShownPage, stay: () => void) {
    this.leave(page, stay, device.closePage);
  },

  /** Replace the page that is shown. If that fails, `stay` prepares the page to be shown again. */
  replace(page: ShownPage, url: string, stay: () => void) {
    this.leave(page, stay, (fail) => device.replacePage(url, fail));
  },

  /** Leave the page that is shown, once: a second tap does nothing. */
  leave(page: ShownPage, stay: () => void, navigate: (fail: () => void) => void) {
    if (this.shown === page) {
      this.shown = undefined;
      navigate(() => {
        stay();
        this.show(page);
      });
    }
  },

  /** Update the page that is shown: now, when its verdicts change, and each second while a problem's button is disabled. */
  render() {
    const until = this.shown?.render();
    clearTimeout(this.timer);
    if (this.shown && until) {
      const now = device.epochSeconds();
      const isWaiting = [this.list, this.stores].some(
        ({ problem, problemAt }) => problem && problemAt + waitOf(problem) > now,
      );
      const seconds = Math.min(until - now, isWaiting ? 1 : MAX_SLEEP_SECONDS);
      this.timer = setTimeout(() => this.render(), seconds * 1000);
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
      warnOf(outcome);
      this.updateStores({ kind: "responded", request, outcome, now: device.epochSeconds() });
    });
  },

  saveChoice() {
    const { accountId, lastPoiId } = this.stores;
    device.saveLastStore(accountId, lastPoiId);
  },

  /** Leave a merchant of the launch query for the one in `settings.ts`. */
  openOwnMerchant() {
    const accountId = settings.account_id;
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
      this.submissions = new Map();
      this.user += 1;
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
        warnOf(outcome);
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
      this.submissions.forEach((submission, id) => {
        if (submission.state === "returned" && isGone(this.list, id)) {
          submission.state = "submitted";
        }
      });
      this.render();
    }
  },

  // Redemption

  /** 券详情 is left: what was submitted there was submitted before. */
  closeCounter() {
    const submission = this.submissions.get(this.openedId);
    if (submission) {
      submission.isOpen = false;
    }
    this.openedId = "";
  },

  /** Call the program's hook, then read the list again: the certificate may be used up. */
  select(id: string) {
    const { submissions } = this;
    const { onSelect } = settings;
    const certificate = certificateOf(this.list, id);
    if (!certificate || !onSelect || isAnyRunning(submissions, device.epochSeconds())) {
      return;
    }
    const before = submissions.get(id);
    const call: Submission = { certificate, state: "running", at: device.epochSeconds(), isOpen: true };
    submissions.set(id, call);
    this.render();
    let ended: Submission["state"] = "returned";
    // In a promise, so that a hook that throws does not block the button.
    new Promise((resolve) => {
      const returned = onSelect(certificate, this.store());
      if (typeof Object(returned).then === "function") {
        ended = "submitted";
      }
      resolve(returned);
    })
      .then(
        (result) => (result === false ? "cancelled" : ended),
        (error): Submission["state"] => {
          device.logError(error);
          return "failed";
        },
      )
      .then((state) => {
        Object.assign(call, { state, at: device.epochSeconds(), isOpen: this.openedId === id });
        if (state === "cancelled" && submissions.get(id) === call) {
          before ? submissions.set(id, before) : submissions.delete(id);
        }
        this.render();
        this.refresh();
      });
  },

  /** The ids of the current store, for requests and for the hook. */
  store() {
    return { account_id: this.stores.accountId, poi_id: this.stores.poiId };
  },
};

/** Tell the developer what is behind a problem. */
function warnOf(outcome: Outcome | StoresOutcome): void {
  if (outcome.kind === "problem" && outcome.problem.cause) {
    device.warn(outcome.problem.cause);
  }
}
