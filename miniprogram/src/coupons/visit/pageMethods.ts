/** Methods that the pages share: they show and hide the visit, and handle the buttons that several pages have. */

import * as device from "./device";
import { type VisitPage, visit } from "./visit";

/** A tap event, with the `data-` values of the tapped element. */
export interface TapEvent {
  currentTarget: { dataset: { id?: string; poi?: string } };
}

export const pageMethods = {
  onShow(this: VisitPage) {
    visit.show(this);
  },

  onHide(this: VisitPage) {
    visit.cover(this);
  },

  onUnload(this: VisitPage) {
    visit.hide(this);
  },

  onPullDownRefresh() {
    visit.refresh();
  },

  refresh() {
    visit.refresh();
  },

  openOrders() {
    visit.openOrders();
  },

  callStore(this: { data: { phone: string } }) {
    device.dial(this.data.phone);
  },

  toggleTextSize(this: VisitPage & { data: { textSize: number } }) {
    this.setData({ textSize: device.toggleTextSize(this.data.textSize) });
  },
};
