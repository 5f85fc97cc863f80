/** 券详情: one certificate, as the customer shows it to the staff. */

import { config } from "../../config";
import * as device from "../certificates/device";
import { canLoadMore } from "../certificates/state";
import { counterView } from "../certificates/view";
import { visit } from "../certificates/visit";

interface TapEvent {
  currentTarget: { dataset: { [name: string]: string } };
}

Page({
  data: {
    ...counterView(visit.list, visit.stores, config, "", 0),
    // Until the first `render`.
    loading: true,
    selecting: false,
    textSize: device.initialTextSize(),
  },

  id: "",

  onLoad(query) {
    this.id = query.id || "";
    visit.submission = undefined;
  },

  onShow() {
    visit.show(this);
  },

  onHide() {
    visit.hide(this);
  },

  onUnload() {
    visit.hide(this);
  },

  render() {
    const { list, stores, selecting, submission } = visit;
    const view = counterView(list, stores, config, this.id, device.epochSeconds(), submission);
    if (canLoadMore(list) && !view.detail && !view.submitted) {
      // After a refresh, it can be in a part that has not been loaded again.
      visit.loadMore();
      return;
    }
    this.setData({ ...view, selecting });
  },

  use() {
    visit.select(this.id);
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
