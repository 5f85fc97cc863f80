/** 券详情: one certificate, as the customer shows it to the staff. */

import { config } from "../../config";
import * as device from "../certificates/device";
import { canLoadMore, certificateOf } from "../certificates/state";
import { counterView } from "../certificates/view";
import { visit } from "../certificates/visit";

interface TapEvent {
  currentTarget: { dataset: { [name: string]: string } };
}

Page({
  data: {
    ...counterView(visit.list, visit.stores, config, "", 0),
    selecting: false,
    textSize: device.initialTextSize(),
  },

  id: "",

  onLoad(query) {
    this.id = query.id || "";
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
    if (canLoadMore(visit.list) && !certificateOf(visit.list, this.id)) {
      // After a refresh, it can be in a part that has not been loaded again.
      visit.loadMore();
      return;
    }
    const { list, stores, selecting } = visit;
    this.setData({ ...counterView(list, stores, config, this.id, device.epochSeconds()), selecting });
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
    visit.uncover();
  },

  copyText(event: TapEvent) {
    device.copy(event.currentTarget.dataset.text || "");
  },

  callStore() {
    tt.makePhoneCall({ phoneNumber: this.data.phone });
  },
});
