/** 券详情: one certificate, and how it is used. */

import { attempt } from "../../client/tt";
import { config } from "../../config";
import type { Detail } from "../../visit/detail";
import * as device from "../../visit/device";
import { canLoadMore, certificateOf } from "../../visit/listState";
import { pageMethods } from "../../visit/pageMethods";
import { certificateView } from "../../visit/view";
import { visit } from "../../visit/visit";

/** Taps are ignored for this long after the button was shown: they were not meant for it. */
const GUARD_SECONDS = 0.8;

Page({
  ...pageMethods,

  data: {
    ...certificateView(visit, config, "", 0),
    // The page shows that it is loading until the first `render`.
    loading: true,
    /** The detail that was shown last of a coupon that is no longer in the list. */
    former: null as Detail | null,
    textSize: device.initialTextSize(),
  },

  id: "",
  /** Number of calls of `guard`: only the timer of the last call sets `isReady`. Taps count while `isReady` is true. */
  guards: 0,
  isReady: false,

  onLoad(query: { id?: string }) {
    const { id = "" } = query;
    // Douyin does not document whether it decodes the query: try the id unchanged, then decoded.
    this.id = certificateOf(visit.list, id) ? id : attempt(() => decodeURIComponent(id)) || id;
  },

  onShow() {
    this.guard();
    visit.show(this);
  },

  render() {
    const { list, stores } = visit;
    if (stores.poiId && canLoadMore(list) && this.id && !certificateOf(list, this.id)) {
      // After a refresh, the coupon can be in a later part, which has not been loaded again.
      visit.loadMore();
      return;
    }
    const view = certificateView(visit, config, this.id, device.epochSeconds());
    if (view.button && !this.data.button) {
      this.guard();
    }
    const former = view.detail || (visit.isSameUser() ? this.data.former : null);
    this.setData({ ...view, former });
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

  /** Call the program's hook. */
  select() {
    if (this.isReady && this.data.button) {
      visit.select(this.id);
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
    visit.uncover(this, () => {});
  },
});
