/** 券详情: one certificate, as the customer shows it to the staff. */

import { attempt } from "../../client/tt";
import { settings } from "../../settings";
import * as device from "../certificates/device";
import { canLoadMore, certificateOf } from "../certificates/state";
import { counterView } from "../certificates/view";
import { visit } from "../certificates/visit";

interface TapEvent {
  currentTarget: { dataset: { text?: string } };
}

Page({
  data: {
    ...counterView(visit.list, visit.stores, visit.submissions, settings, "", 0).view,
    // Until the first `render`.
    loading: true,
    textSize: device.initialTextSize(),
  },

  id: "",
  /** The number of changes of the user when the page was opened. */
  user: 0,

  onLoad(query: { id?: string }) {
    const { id = "" } = query;
    this.user = visit.user;
    // Douyin does not document whether it decodes the query.
    this.id = certificateOf(visit.list, id) ? id : attempt(() => decodeURIComponent(id)) || id;
    visit.openedId = this.id;
  },

  onShow() {
    visit.show(this);
  },

  onHide() {
    visit.hide(this);
  },

  onUnload() {
    visit.hide(this);
    visit.closeCounter();
  },

  render() {
    const { list, stores, submissions } = visit;
    if (this.user !== visit.user) {
      // It was another user's certificate.
      this.id = "";
    }
    const { view, until } = counterView(list, stores, submissions, settings, this.id, device.epochSeconds());
    if (canLoadMore(list) && this.id && !view.detail) {
      // After a refresh, it can be in a part that has not been loaded again.
      visit.loadMore();
      return 0;
    }
    const before = this.data.verdict?.kind;
    const after = view.verdict?.kind;
    this.setData(view);
    if (before !== after && [before, after].some((kind) => kind === "busy" || kind === "done")) {
      // A submission has begun or ended: show the band.
      device.scrollToTop();
    }
    return until;
  },

  use() {
    visit.select(this.id);
  },

  retry() {
    visit.loadMore();
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
