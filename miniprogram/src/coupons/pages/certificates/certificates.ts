/** The page with the customer's certificates in one store. */

import { config } from "../../config";
import * as device from "./device";
import { SUBMITTED_TEXT } from "./messages";
import { canLoadMore, INITIAL_STATE } from "./state";
import { cardsView, listView } from "./view";
import { COUNTER_PAGE, STORES_PAGE, visit } from "./visit";

interface TapEvent {
  currentTarget: { dataset: { [name: string]: string } };
}

Page({
  data: {
    ...listView(visit.list, visit.stores, config, 0),
    ...cardsView(INITIAL_STATE, "", 0),
    isUnchosen: false,
    selecting: false,
    textSize: device.initialTextSize(),
  },

  /** The group that shows its certificates. */
  openedId: "",
  /** What the cards show now. */
  shownCertificates: INITIAL_STATE.certificates,
  shownGroup: "",
  /** The selection could not take the place of this page. */
  isStuck: false,

  onLoad(query) {
    // The store selection leads here too, with the list of the chosen store.
    if (!query.chosen || !visit.isEntered()) {
      visit.enter(query);
    }
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

  onPullDownRefresh() {
    visit.refresh();
  },

  onReachBottom() {
    if (canLoadMore(visit.list)) {
      visit.loadMore();
    }
  },

  render() {
    const { list, stores, selecting } = visit;
    if (!stores.poiId && !this.isStuck) {
      // Nothing to list: the selection takes the place of this page, so that a step back does not lead here.
      visit.replace(this, STORES_PAGE, () => {
        this.isStuck = true;
      });
      return;
    }
    const now = device.epochSeconds();
    if (list.certificates !== this.shownCertificates || this.openedId !== this.shownGroup) {
      this.shownCertificates = list.certificates;
      this.shownGroup = this.openedId;
      this.setData(cardsView(list, this.openedId, now));
    }
    this.setData({ ...listView(list, stores, config, now), isUnchosen: !stores.poiId, selecting });
  },

  refresh() {
    visit.refresh();
  },

  loadMore() {
    visit.loadMore();
  },

  /** Handle the button of a problem. */
  resolveProblem() {
    const action = this.data.problem?.action;
    if (action === "own_merchant") {
      visit.openOwnMerchant();
    } else if (action === "store") {
      visit.replace(this, STORES_PAGE, () => {});
    } else {
      visit.loadMore();
    }
  },

  chooseStore() {
    visit.cover(this, `${STORES_PAGE}?over=list`);
  },

  openCertificate(event: TapEvent) {
    visit.cover(this, `${COUNTER_PAGE}?id=${event.currentTarget.dataset.id}`);
  },

  toggleGroup(event: TapEvent) {
    const id = event.currentTarget.dataset.id || "";
    this.openedId = this.openedId === id ? "" : id;
    this.render();
  },

  use(event: TapEvent) {
    if (config.onSelect) {
      visit.select(event.currentTarget.dataset.id || "", () => device.toast(SUBMITTED_TEXT));
    } else {
      this.openCertificate(event);
    }
  },

  copyText(event: TapEvent) {
    device.copy(event.currentTarget.dataset.text || "");
  },

  /** Switch to the next text size; after the largest, to the smallest. */
  changeTextSize() {
    this.setData({ textSize: device.changeTextSize(this.data.textSize) });
  },

  callStore() {
    device.dial(this.data.phone);
  },
});
