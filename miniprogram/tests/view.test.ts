/** Tests of what the sample page shows in each state of its list, from `dist`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Certificate, Problem } from "../src/client/client";
import type * as States from "../src/pages/certificates/state";
import type * as Views from "../src/pages/certificates/view";
import { loadBuilt } from "./built";

const { INITIAL_STATE } = loadBuilt<typeof States>("pages/certificates/state");
const { activityView, cardsView, noticeView } = loadBuilt<typeof Views>("pages/certificates/view");

/** 2026-11-24 23:30 in China. */
const NOW = Date.UTC(2026, 10, 24, 15, 30) / 1000;
const PROBLEM: Problem = {
  code: "network",
  status: 0,
  detail: "网络不给力，请检查网络后重试",
  action: "retry",
  retryAfter: 0,
  requestId: "",
};
const COUPON: Certificate = { certificate_id: "1", order_id: "2", kind: "groupon", sku_id: "3" };

test("a list that is loading shows nothing else", () => {
  const view = activityView({ ...INITIAL_STATE, activity: "first", waiting: "late" }, NOW);
  assert.deepEqual(
    [view.loading, view.loadingMore, view.empty, view.slownessText],
    [true, false, false, "网络较慢，还没有收到结果"],
  );
});

test("an old list has its time, and offers no more of it", () => {
  const list = { ...INITIAL_STATE, certificates: [COUPON], more: true, updatedAt: NOW, problem: PROBLEM };
  const view = activityView(list, NOW + 60);
  assert.deepEqual([view.updated, view.more, view.empty], ["上次更新 23:30", false, false]);
});

test("coupons that cannot be used are explained only when the list is complete", () => {
  const list = { ...INITIAL_STATE, updatedAt: NOW, unusable: { expired: 1 } };
  assert.equal(activityView(list, NOW).unusable, "另有 1 张券不能在本店使用：1 张已过期");
  assert.equal(activityView({ ...list, more: true }, NOW).unusable, "");
});

test("the number above the list is that of the coupons that can be used now, and one group is open", () => {
  const twin = { ...COUPON, certificate_id: "2" };
  const locked = { ...COUPON, certificate_id: "3", lock: { status: 1 } };
  const list = { ...INITIAL_STATE, certificates: [COUPON, twin, locked] };
  const { count, usable, waiting } = cardsView(list, "1", NOW);
  assert.equal(count, "共 2 张可用券");
  assert.deepEqual([usable?.length, usable?.[0]?.opened, waiting?.length, waiting?.[0]?.opened], [1, true, 1, false]);
});

test("a problem is shown as long as there is one", () => {
  const situation = { isFirst: true, isForeignMerchant: false };
  assert.equal(noticeView(undefined, 0, NOW, situation), null);
  assert.equal(noticeView({ ...PROBLEM, retryAfter: 3 }, NOW, NOW + 1, situation)?.wait, 2);
});
