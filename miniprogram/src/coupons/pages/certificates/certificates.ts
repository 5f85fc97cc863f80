/** The page with the customer's certificates in one store. */

import { config } from "../../config";
import * as device from "../../visit/device";
import { INITIAL_LIST_STATE } from "../../visit/listState";
import { pageMethods, type TapEvent } from "../../visit/pageMethods";
import { cardsView, listView } from "../../visit/view";
import { CERTIFICATE_PAGE, STORES_PAGE, visit } from "../../visit/visit";

Page({
  ...pageMethods,

  data: {
    ...listView(visit, config, 0),
    ...cardsView({ ...visit, listState: INITIAL_LIST_STATE }, 0),
    needsStore: false,
    textSize: device.readTextSize(),
  },

  /** The cards that are shown, as JSON. */
  shownCards: "",
  /** The store selection could not replace this page. */
  isStuck: false,

  onLoad(query: { account_id?: string; poi_id?: string; chosen?: string }) {
    // The store selection opens this page, too. Then the visit has begun, and already has the chosen store's list.
    if (!query.chosen || !visit.isEntered()) {
      visit.enter(query);
    }
  },

  render() {
    const needsStore = !visit.storeState.poiId;
    if (needsStore && !this.isStuck) {
      // Without a store, there is nothing to list. The selection replaces this page, so that back does not lead here.
      visit.replace(this, STORES_PAGE, () => {
        this.isStuck = true;
      });
      return;
    }
    const now = device.epochSeconds();
    const cards = cardsView(visit, now);
    const text = JSON.stringify(cards);
    if (text !== this.shownCards) {
      this.shownCards = text;
      this.setData(cards);
    }
    this.setData({ ...listView(visit, config, now), needsStore });
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
    visit.openOver(this, `${STORES_PAGE}?over=list`);
  },

  openQualification() {
    visit.openOwn(this, config.qualificationPage || "");
  },

  openCertificate(event: TapEvent) {
    visit.openOver(this, `${CERTIFICATE_PAGE}?id=${encodeURIComponent(event.currentTarget.dataset.id || "")}`);
  },
});
