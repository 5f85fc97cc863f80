/** 券详情: one certificate, and how it is used. */

import { attempt } from "../../client/tt";
import { config } from "../../config";
import type { Detail } from "../../visit/detail";
import * as device from "../../visit/device";
import { canLoadMore, certificateOf } from "../../visit/listState";
import { pageMethods } from "../../visit/pageMethods";
import { certificateView } from "../../visit/view";
import { visit } from "../../visit/visit";

/** A tap this soon after the button was shown was not meant for it. */
const GUARD_SECONDS = 0.8;

Page({
  ...pageMethods,

  data: {
    ...certificateView(visit, config, "", 0),
    // Until the first `render`.
    loading: true,
    /** What was shown of a coupon that has left the list. */
    former: null as Detail | null,
    textSize: device.initialTextSize(),
  },

  id: "",
  /** Number of times that taps had to be ignored for a while; and whether they are not now. */
  guards: 0,
  isReady: false,

  onLoad(query: { id?: string }) {
    const { id = "" } = query;
    // Douyin does not document whether it decodes the query.
    this.id = certificateOf(visit.list, id) ? id : attempt(() => decodeURIComponent(id)) || id;
  },

  onShow() {
    this.guard();
    visit.show(this);
  },

  render() {
    const { list, stores } = visit;
    if (stores.poiId && canLoadMore(list) && this.id && !certificateOf(list, this.id)) {
      // After a refresh, it can be in a part that has not been loaded again.
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
});
