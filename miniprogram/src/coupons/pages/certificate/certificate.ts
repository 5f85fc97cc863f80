/** 券详情: one certificate, as customer and staff look at it, and where it is submitted. */

import { attempt } from "../../client/tt";
import { config } from "../../config";
import { secondsText } from "../certificates/dates";
import * as device from "../certificates/device";
import { canLoadMore, certificateOf } from "../certificates/state";
import { counterView } from "../certificates/view";
import { visit } from "../certificates/visit";

interface TapEvent {
  currentTarget: { dataset: { text?: string } };
}

/** A tap this soon after the button was shown, or a dialog was requested, was not meant for it. */
const GUARD_SECONDS = 0.8;

Page({
  data: {
    ...counterView(visit, config, "", 0),
    // Until the first `render`.
    loading: true,
    clock: "",
    textSize: device.initialTextSize(),
  },

  id: "",
  /** The number of changes of the user when the page was opened. */
  user: 0,
  /** The button that is shown and can be tapped; empty without one. */
  button: "",
  /** Number of times that taps had to be ignored for a while; and whether they are not now. */
  guards: 0,
  isReady: false,
  /** Number of dialogs: only the answer to the last one counts. */
  dialogs: 0,
  /** A certificate is shown. */
  hasClock: false,

  onLoad(query: { id?: string }) {
    const { id = "" } = query;
    this.user = visit.user;
    // Douyin does not document whether it decodes the query.
    this.id = certificateOf(visit.list, id) ? id : attempt(() => decodeURIComponent(id)) || id;
  },

  onShow() {
    this.guard();
    device.keepScreenOn(true);
    visit.show(this);
  },

  onHide() {
    this.stop();
  },

  onUnload() {
    this.stop();
  },

  stop() {
    device.keepScreenOn(false);
    visit.hide(this);
  },

  onPullDownRefresh() {
    this.retry();
  },

  render() {
    const { list, stores } = visit;
    if (this.user !== visit.user || !stores.poiId) {
      // It was another user's certificate, or that of a store which is closed.
      this.id = "";
    }
    if (canLoadMore(list) && this.id && !certificateOf(list, this.id)) {
      // After a refresh, it can be in a part that has not been loaded again.
      visit.loadMore();
      return;
    }
    const now = device.epochSeconds();
    const view = counterView(visit, config, this.id, now);
    this.hasClock = !!view.detail;
    const before = this.data.verdict?.sign;
    const after = view.verdict?.sign;
    // The clock tells the page from a picture of it.
    this.setChanged({ ...view, clock: secondsText(now) });
    const button = view.canSubmit ? view.button : "";
    if (button && button !== this.button) {
      this.guard();
    }
    this.button = button;
    if (before !== after && (before === "等" || after === "等")) {
      // A submission has begun or ended: show the band.
      device.scrollToTop();
    }
  },

  /** Set what differs from the present data: a screen reader announces what is set. */
  setChanged(view: { [name: string]: unknown }) {
    const shown: typeof view = this.data;
    const changed: typeof view = {};
    for (const name of Object.keys(view)) {
      if (JSON.stringify(view[name]) !== JSON.stringify(shown[name])) {
        changed[name] = view[name];
      }
    }
    this.setData(changed);
  },

  /** Ignore taps for a moment: they were meant for what was on the screen before. */
  guard() {
    this.guards += 1;
    const { guards } = this;
    this.isReady = false;
    device.later(GUARD_SECONDS, () => {
      this.isReady = guards === this.guards;
    });
  },

  /** Ask, then submit the certificate. */
  use() {
    if (!this.isReady || !this.data.canSubmit) {
      return;
    }
    this.guard();
    this.dialogs += 1;
    const { dialogs, id } = this;
    const { button } = this.data;
    device.confirm(this.data.dialog, () => {
      const isSame = visit.shown === this && this.id === id && this.dialogs === dialogs;
      // A submission that the dialog has not asked about needs another dialog.
      const isAsked = this.data.button === button || this.data.verdict?.sign !== "查";
      if (isSame && isAsked && this.data.canSubmit) {
        visit.select(id);
      }
    });
  },

  /** Read the list again. */
  retry() {
    visit.reads = 0;
    visit.refresh();
  },

  /** Handle the button of a problem: what needs another store is left to the list. */
  resolveProblem() {
    const action = this.data.problem?.action;
    if (action === "retry" || action === "login") {
      visit.loadMore();
    } else {
      this.leave();
    }
  },

  leave() {
    visit.uncover(this, () => {});
  },

  /** Switch to the next text size; after the largest, to the smallest. */
  changeTextSize() {
    this.setData({ textSize: device.changeTextSize(this.data.textSize) });
  },

  copyText(event: TapEvent) {
    device.copy(event.currentTarget.dataset.text || "");
  },

  callStore() {
    device.dial(this.data.phone);
  },
});
