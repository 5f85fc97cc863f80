/** 券详情: one certificate, and how it is used. */

import { attempt } from "../../client/tt";
import { config } from "../../config";
import * as device from "../../visit/device";
import { canLoadMore, certificateOf } from "../../visit/listState";
import { pageMethods } from "../../visit/pageMethods";
import { certificateView } from "../../visit/view";
import { visit } from "../../visit/visit";

/** For this long after it was shown, taps on the button that redeems are ignored: they were meant for something else. */
const GUARD_SECONDS = 0.8;

Page({
  ...pageMethods,

  data: {
    ...certificateView(visit, config, "", 0),
    // The page shows that it is loading until the first `render`.
    isLoading: true,
    textSize: device.readTextSize(),
  },

  id: "",
  /** Number of the last call of `guard`: only the timer of this call sets `acceptsRedeemTaps`. */
  guardNumber: 0,
  acceptsRedeemTaps: false,

  onLoad(query: { id?: string }) {
    const { id = "" } = query;
    // Douyin does not document whether it decodes the query: try the id unchanged, then decoded.
    this.id = certificateOf(visit.listState, id) ? id : attempt(() => decodeURIComponent(id)) || id;
  },

  onShow() {
    this.guard();
    visit.show(this);
  },

  render() {
    const { listState, storeState } = visit;
    if (storeState.poiId && canLoadMore(listState) && this.id && !certificateOf(listState, this.id)) {
      // After a refresh, the certificate can be in a later part, which has not been loaded again.
      visit.loadMore();
      return;
    }
    const view = certificateView(visit, config, this.id, device.epochSeconds());
    if (view.button && !this.data.button) {
      this.guard();
    }
    visit.lastDetail = view.lastDetail;
    this.setData(view);
  },

  /** Ignore taps on the button that redeems for `GUARD_SECONDS`. */
  guard() {
    this.guardNumber += 1;
    const { guardNumber } = this;
    this.acceptsRedeemTaps = false;
    device.later(GUARD_SECONDS, () => {
      this.acceptsRedeemTaps = guardNumber === this.guardNumber;
    });
  },

  /** Call the program's hook. */
  redeem() {
    if (this.acceptsRedeemTaps && this.data.button) {
      visit.redeem(this.id);
    }
  },

  /** Handle the button of a problem. If it needs another store or merchant, go back: the list page handles that. */
  resolveProblem() {
    const action = this.data.problem?.action;
    if (action === "retry" || action === "login") {
      visit.loadMore();
    } else {
      this.leave();
    }
  },

  leave() {
    visit.close(this, () => {});
  },
});
