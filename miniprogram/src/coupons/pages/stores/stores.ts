/** 选择门店: the stores of the merchant. */

import { config } from "../../config";
import * as device from "../../visit/device";
import { pageMethods, type TapEvent } from "../../visit/pageMethods";
import { storesView } from "../../visit/view";
import { LIST_PAGE, visit } from "../../visit/visit";

Page({
  ...pageMethods,

  data: {
    ...storesView(visit, config, device.canReadPosition, 0),
    // The page shows that it is loading until the first `render`.
    isLoading: true,
    textSize: device.readTextSize(),
  },

  /** This page was opened over a list page. */
  isOverList: false,
  /** The visit's `openCount` when this page was opened. When it has changed, a store was chosen: close the page. */
  openCount: 0,

  onLoad(query: { over?: string }) {
    this.isOverList = !!query.over;
    this.openCount = visit.storeState.openCount;
  },

  render() {
    if (visit.storeState.openCount !== this.openCount) {
      this.leave();
      return;
    }
    this.setData(storesView(visit, config, device.canReadPosition, device.epochSeconds()));
  },

  leave() {
    const onFailed = () => {
      this.openCount = visit.storeState.openCount;
    };
    if (this.isOverList) {
      visit.close(this, onFailed);
    } else {
      visit.replace(this, `${LIST_PAGE}?chosen=1`, onFailed);
    }
  },

  pickStore(event: TapEvent) {
    const poiId = event.currentTarget.dataset.poi || "";
    visit.updateStores({ kind: "picked", poiId, now: device.epochSeconds() });
  },

  sortByDistance() {
    visit.sortByDistance();
  },

  loadStores() {
    visit.loadStores();
  },

  /** Handle the button of a problem. */
  resolveProblem() {
    if (this.data.problem?.action === "own_merchant") {
      visit.openOwnMerchant();
    } else {
      visit.loadStores();
    }
  },
});
