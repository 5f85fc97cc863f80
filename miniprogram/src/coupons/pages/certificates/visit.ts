/**
 * The present visit, which the pages share: the states of the list and of the stores, connected with `tt` and the client.
 *
 * A page shows the visit while it is on the screen: `show` is its onShow, `hide` its onHide and its onUnload. After it was
 * left, it must not open another page: one of the merchant's own pages may be on the screen.
 */

import { createClient, type Outcome, type Pager, type Progress, type StoresOutcome } from "../../client/client";
import { config } from "../../config";
import * as device from "./device";
import { LATE_SECONDS, NO_CONSENT, waitLeft } from "./messages";
import { certificateOf, INITIAL_STATE, type ListEvent, nextState } from "./state";
import { INITIAL_STORE_STATE, nextStoreState, type StoreEvent, storeKeyOf, storeTasks } from "./storeState";
import { storeHeader } from "./stores";
import {
  type End,
  endOf,
  isRunning,
  MAX_RUN_SECONDS,
  newSubmission,
  READ_AFTER_SECONDS,
  restored,
  SHOW_SECONDS,
  type Submission,
  type Submissions,
  secondsLeft,
  withList,
} from "./submission";
import { FRESH_SECONDS } from "./verdict";

// Every platform has it; Douyin's types do not.
declare function clearTimeout(timer: number): void;

/** A page that shows the visit. */
interface ShownPage {
  /** Show the present state. */
  render(): void;
  /** It has a clock, and is rendered each second; other pages each minute. */
  hasClock?: boolean;
  setData(data: { textSize: number }): void;
}

export const LIST_PAGE = `${config.basePath}/pages/certificates/certificates`;
export const COUNTER_PAGE = `${config.basePath}/pages/certificate/certificate`;
export const STORES_PAGE = `${config.basePath}/pages/stores/stores`;

/** For the developer of a hook with another result. */
const HOOK_RULE = "onSelect must resolve to true (submitted) or false (not submitted), not to nothing or a response";
const CONSENT_RULE = "beforeLogin must return true (consent) or false, or a promise of it; not nothing";
/** 券详情 reads the list again by itself for ten minutes, at most. */
const MAX_READS = 10;

const appId = device.appId() || config.appId || "";
const client = createClient({ tt: device.host, baseUrl: config.api, appId });
if (!config.account_id) {
  device.warn("account_id of config.ts is empty");
}

export const visit = {
  stores: INITIAL_STORE_STATE,
  list: INITIAL_STATE,
  pager: undefined as Pager | undefined,
  submissions: [] as Submissions,
  /** The submissions that are stored for the present user could be read: without them, nothing can be submitted. */
  isRestored: false,
  /** Until then: the storage has submissions, or cannot be read. */
  hasStored: false,
  /** Number of submissions since the program was started. */
  lastKey: 0,
  /** How often the list was read again without a tap, and when last, in epoch seconds. */
  reads: 0,
  readAt: 0,
  /** Number of changes of the user. */
  user: 0,
  /** What `beforeLogin` has said since the program was started. */
  consent: "unasked" as "unasked" | "asked" | "given" | "refused",
  shown: undefined as ShownPage | undefined,
  hidden: undefined as ShownPage | undefined,
  timer: 0,

  // Pages

  /** Begin a visit. */
  enter(query: { account_id?: string; poi_id?: string }) {
    // Douyin does not document the parameters that 去使用 appends: both ids may be missing.
    const accountId = query.account_id || config.account_id;
    const lastPoiId = device.readLastStore(accountId);
    this.hasStored = device.readSubmissions()?.length !== 0;
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
    this.reads = 0;
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

  /** Update the page that is shown: now, and when its texts may have changed. */
  render() {
    this.shown?.render();
    // The page may have begun another request, and so have been rendered again.
    clearTimeout(this.timer);
    if (this.shown) {
      const now = device.epochSeconds();
      const isWaiting = [this.list, this.stores].some(({ problem, problemAt }) => waitLeft(problem, problemAt, now));
      const seconds = this.shown.hasClock || isWaiting ? 1 : 60;
      this.timer = setTimeout(() => this.tick(), (seconds - (now % seconds)) * 1000);
    }
  },

  tick() {
    if (!this.isRestored && this.list.updatedAt) {
      // The storage has failed when the list arrived.
      this.restore();
    }
    if (this.shown?.hasClock) {
      this.keepFresh();
    }
    this.render();
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
    device.later(LATE_SECONDS, () => this.updateStores({ kind: "waited", request }));
    client.listStores({ account_id: accountId }).then((outcome) => {
      warnOf(outcome);
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
    } else {
      device.stopPullDownRefresh();
    }
  },

  /** Read the list again if it is too old for a verdict. */
  keepFresh() {
    const now = device.epochSeconds();
    // A clock that was changed makes a list old, too.
    const isDue = [this.list.updatedAt, this.readAt].every((moment) => Math.abs(now - moment) >= FRESH_SECONDS);
    if (isDue && this.reads < MAX_READS && this.canRead()) {
      this.reads += 1;
      this.readAt = now;
      this.refresh();
    }
  },

  /** Whether the list can be read without a tap: no request is running, and none is refused for now. */
  canRead(): boolean {
    const { activity, problem, problemAt } = this.list;
    return activity === "idle" && !waitLeft(problem, problemAt, device.epochSeconds());
  },

  /** Load the next part of the list, or the part that has failed. */
  loadMore() {
    this.load({ kind: "continued" });
  },

  load(event: ListEvent) {
    if (config.beforeLogin && this.consent !== "given") {
      this.update(event);
      this.askConsent(event.kind === "continued");
      return;
    }
    if (event.kind !== "continued" || !this.pager) {
      this.pager = client.listCertificates({ ...this.store(), onProgress: (progress) => this.onProgress(progress) });
    }
    this.update(event);
    this.loadNext(this.pager);
  },

  /** Call `beforeLogin`, once; after a refusal only if the customer retries. There is no time limit. */
  askConsent(isRetry: boolean) {
    this.reportLate();
    if (this.consent === "asked") {
      return;
    }
    if (this.consent === "refused" && !isRetry) {
      this.refuse();
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
          device.warn(CONSENT_RULE);
        }
        this.consent = result === true ? "given" : "refused";
        if (result === true) {
          this.refresh();
        } else {
          this.refuse();
        }
      });
  },

  /** Say that the list is not requested without a consent. */
  refuse() {
    device.stopPullDownRefresh();
    this.update({ kind: "responded", outcome: { kind: "problem", problem: NO_CONSENT }, now: device.epochSeconds() });
  },

  /** The client goes on searching, or has found out that another user has logged in. */
  onProgress(progress: Progress) {
    this.update({ kind: progress });
    if (progress === "user_changed") {
      // The storage may have failed instead: keep all submissions.
      this.user += 1;
      this.isRestored = false;
      this.hasStored = device.readSubmissions()?.length !== 0;
      this.updateStores({ kind: progress, lastPoiId: device.readLastStore(this.stores.accountId) });
    }
    if (this.list.activity === "idle") {
      this.refresh();
    } else {
      this.reportLate();
    }
  },

  /** Say so if the present request takes long. */
  reportLate() {
    const { request } = this.list;
    device.later(LATE_SECONDS, () => this.update({ kind: "waited", request }));
  },

  loadNext(pager: Pager) {
    this.reportLate();
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
      const isListed = event.kind === "responded" && event.outcome.kind === "list";
      if (isListed && !this.isRestored) {
        this.restore();
      }
      const store = storeKeyOf(this.stores);
      this.submissions = this.submissions.map((submission) => withList(submission, this.list, store, this.user));
      if (isListed) {
        this.save();
      }
      this.render();
    }
  },

  // Redemption

  /** Call the program's hook for a certificate. */
  select(id: string) {
    const { onSelect } = config;
    const certificate = certificateOf(this.list, id);
    if (!certificate || !onSelect || !this.isRestored || this.submissions.some(isRunning)) {
      return;
    }
    this.lastKey += 1;
    const { lastKey: key } = this;
    const { store: storeName } = storeHeader(this.stores.poiId, this.stores.stores);
    const tap = { store: storeKeyOf(this.stores), storeName, at: device.epochSeconds() };
    const submission = newSubmission(key, this.user, certificate, tap);
    this.submissions = this.submissions.concat(submission);
    this.forgetAfter(SHOW_SECONDS, key);
    this.save();
    this.render();
    device.later(MAX_RUN_SECONDS, () => {
      if (this.submissions.some((each) => each.key === key && isRunning(each))) {
        device.warn("onSelect has run for a minute");
        this.endSubmission(key, "unknown");
      }
    });
    // A copy, because the hook may change it. In a promise, so that a hook that throws does not block the button.
    const copy = JSON.parse(JSON.stringify(certificate)) as typeof certificate;
    new Promise((resolve) => resolve(onSelect(copy, this.store())))
      .then(
        (result) => {
          const end = endOf(result);
          if (end === "unknown") {
            device.warn(HOOK_RULE);
          }
          return end;
        },
        (error): End => {
          device.logError("onSelect", error);
          return "unknown";
        },
      )
      .then((end) => this.endSubmission(key, end));
  },

  /** End a submission. `unknown` after a minute: its result can still come. */
  endSubmission(key: number, end: End) {
    if (end === "cancelled") {
      this.forget(key);
      this.refresh();
    } else {
      const unread = { endedIn: this.list.reads, waitedIn: Infinity, seen: undefined };
      this.change(key, (submission) => ({ ...submission, state: end, ...unread }));
      this.readLater(key);
    }
    if (this.shown) {
      // Behind another program, another user may have logged in.
      this.save();
    }
    this.render();
  },

  /** Read the list again for a submission. */
  readLater(key: number) {
    READ_AFTER_SECONDS.forEach((seconds, index, all) => {
      device.later(seconds, () => {
        if (index === all.length - 1) {
          this.change(key, (submission) => ({ ...submission, waitedIn: this.list.reads }));
        }
        this.readAgain();
      });
    });
  },

  /** A timer, because the phone's clock may be corrected meanwhile. */
  forgetAfter(seconds: number, key: number) {
    device.later(seconds, () => {
      this.forget(key);
      this.render();
    });
  },

  /** Read the list again without a tap, unless a list is being read. */
  readAgain() {
    if (this.shown && this.stores.poiId && this.canRead()) {
      this.refresh();
    } else {
      this.render();
    }
  },

  change(key: number, next: (submission: Submission) => Submission) {
    this.submissions = this.submissions.map((submission) => (submission.key === key ? next(submission) : submission));
  },

  forget(key: number) {
    this.submissions = this.submissions.filter((submission) => submission.key !== key);
  },

  /** Read the submissions that were stored before a restart of the program or a change of the user. */
  restore() {
    const stored = device.readSubmissions();
    const now = device.epochSeconds();
    this.isRestored = !!stored;
    const former: Submission[] = [];
    for (const tap of stored || []) {
      const [known] = this.submissions.filter(({ id, at }) => id === tap.id && at === tap.at);
      if (known) {
        this.change(known.key, (submission) => ({ ...submission, user: this.user }));
      } else {
        this.lastKey += 1;
        former.push(restored(this.lastKey, this.user, tap));
        this.forgetAfter(secondsLeft(tap, now), this.lastKey);
        this.readLater(this.lastKey);
      }
    }
    this.submissions = former.concat(this.submissions);
  },

  /** Store all submissions of the user: at each change and with each list, so that a storage that has failed has them later. */
  save() {
    if (this.isRestored) {
      device.saveSubmissions(this.submissions.filter(({ user }) => user === this.user));
    }
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
