/** 券详情: one certificate, and how it is used. */

import { attempt } from "../../client/tt";
import { config } from "../../config";
import * as device from "../../visit/device";
import { canLoadMore, certificateOf } from "../../visit/listState";
import { pageMethods } from "../../visit/pageMethods";
import { certificateView, redeemUrl } from "../../visit/view";
import { visit } from "../../visit/visit";

Page({
  ...pageMethods,

  data: {
    ...certificateView(visit, config, "", 0),
    // The page shows that it is loading until the first `render`.
    isLoading: true,
    textSize: device.readTextSize(),
  },

  id: "",

  onLoad(query: { id?: string }) {
    const { id = "" } = query;
    // Douyin does not document whether it decodes the query: try the id unchanged, then decoded.
    this.id = certificateOf(visit.listState, id) ? id : attempt(() => decodeURIComponent(id)) || id;
  },

  render() {
    const { listState, storeState } = visit;
    if (storeState.poiId && canLoadMore(listState) && this.id && !certificateOf(listState, this.id)) {
      // After a refresh, the certificate can be in a later part, which has not been loaded again.
      visit.loadMore();
      return;
    }
    const view = certificateView(visit, config, this.id, device.epochSeconds());
    visit.lastDetail = view.lastDetail;
    this.setData(view);
  },

  openRedeemPage() {
    const url = redeemUrl(visit, config, this.id, device.epochSeconds());
    if (url) {
      visit.openOwn(this, url);
    } else {
      // Since the page was rendered, the list has changed or grown old: remove the button.
      this.render();
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
