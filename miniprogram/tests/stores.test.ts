/** Tests of the sample page's store selection: its state after each event, and what it shows. From `dist`. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Store, StoresOutcome } from "../src/coupons/client/client";
import type * as States from "../src/coupons/visit/listState";
import type * as StoreStates from "../src/coupons/visit/storeState";
import type * as Views from "../src/coupons/visit/view";
import { loadBuilt } from "./built";
import { MERCHANT, PROBLEM } from "./fake-tt";

type StoreState = StoreStates.StoreState;
type StoreEvent = StoreStates.StoreEvent;

const { INITIAL_STORE_STATE, nextStoreState, storeTasks } = loadBuilt<typeof StoreStates>("coupons/visit/storeState");
const { canLoadMore, INITIAL_LIST_STATE } = loadBuilt<typeof States>("coupons/visit/listState");
const { INITIAL_VISIT_STATE, ...views } = loadBuilt<typeof Views>("coupons/visit/view");

const NOW = Date.UTC(2026, 10, 24, 15, 30) / 1000;
const HERE = { latitude: 31.197, longitude: 121.434 };
const STORES: Store[] = MERCHANT.stores.slice(0, 2);

const entered = (poiId = "", lastPoiId = ""): StoreEvent => {
  return { kind: "entered", accountId: "1", poiId, lastPoiId, now: NOW };
};
const picked = (poiId: string): StoreEvent => ({ kind: "picked", poiId, now: NOW });
const requested: StoreEvent = { kind: "requested" };
const listed = (stores = STORES, requestNumber = 1, stale = false): StoreEvent => ({
  kind: "responded",
  requestNumber,
  outcome: { kind: "stores", merchant: { account_id: "1", stores }, stale },
  now: NOW,
});
const failed = (requestNumber = 1, problem = PROBLEM): StoreEvent => {
  const outcome: StoresOutcome = { kind: "problem", problem };
  return { kind: "responded", requestNumber, outcome, now: NOW };
};
const after = (...events: StoreEvent[]) => events.reduce(nextStoreState, INITIAL_STORE_STATE);
const CONFIG = { api: "", account_id: "1", basePath: "" };
const storesView = (storeState: StoreState) =>
  views.storesView({ ...INITIAL_VISIT_STATE, storeState }, CONFIG, true, NOW);
const tasks = (state: StoreState, event: StoreEvent) => storeTasks(state, nextStoreState(state, event));

describe("a visit", () => {
  test("loads the stores, and opens the store that Douyin names, else the last one", () => {
    for (const [poiId, lastPoiId, chosenAt] of [
      ["6601", "6602", NOW],
      ["", "6601", 0],
    ] as const) {
      const state = after(entered(poiId, lastPoiId));
      assert.deepEqual([state.poiId, state.chosenAt, state.isLoading], ["6601", chosenAt, true]);
      assert.deepEqual(tasks(INITIAL_STORE_STATE, entered(poiId, lastPoiId)), ["requestStores", "openList"]);
    }
  });

  test("keeps the named store if it is unknown", () => {
    const named = after(entered("9999", "6602"), listed());
    assert.deepEqual([named.poiId, named.lastPoiId], ["9999", "6602"]);
  });

  test("moves to another merchant without a store, and keeps the last choice there", () => {
    const event: StoreEvent = { kind: "merchant_changed", accountId: "2", lastPoiId: "6602" };
    const before = after(entered("", "1"), failed());
    const state = nextStoreState(before, event);
    assert.deepEqual(
      [state.accountId, state.poiId, state.isLoading, state.problem, state.openCount],
      ["2", "", true, undefined, before.openCount],
    );
    assert.deepEqual(storeTasks(before, state), ["requestStores"]);
    const loaded = nextStoreState(state, listed(STORES, 2));
    assert.equal(loaded.lastPoiId, "6602");
    assert.deepEqual(
      storesView(loaded).stores.map(({ tag }) => tag),
      ["上次选择", ""],
    );
  });

  test("that follows another one knows nothing of it but its numbers", () => {
    const before = after(entered("6601"), listed(), { kind: "located", position: HERE });
    const { stores, position, requestNumber, openCount } = nextStoreState(before, entered("6602"));
    assert.deepEqual(
      [stores, position, requestNumber, openCount],
      [[], undefined, before.requestNumber + 1, before.openCount + 1],
    );
  });
});

describe("another user", () => {
  test("has an own last store, and must allow the position again", () => {
    const located: StoreEvent = { kind: "located", position: HERE };
    const state = after(entered("6601"), listed(), picked("6602"), located);
    const { lastPoiId, position, poiId } = nextStoreState(state, { kind: "user_changed", lastPoiId: "6601" });
    assert.deepEqual([lastPoiId, position, poiId], ["6601", undefined, "6602"]);
  });
});

describe("a choice", () => {
  test("is stored, and opens the list, also of the same store", () => {
    const state = after(entered("6601"), listed());
    const { poiId, lastPoiId } = nextStoreState(state, picked("6602"));
    assert.deepEqual([poiId, lastPoiId], ["6602", "6602"]);
    assert.deepEqual(tasks(state, picked("6602")), ["saveChoice", "openList"]);
    assert.deepEqual(tasks(nextStoreState(state, picked("6602")), picked("6602")), ["openList"]);
  });

  test("of an earlier visit is no longer checked after a new one", () => {
    assert.equal(after(entered("", "6601"), picked("6602"), listed(STORES.slice(0, 1))).poiId, "6602");
  });

  test("is not needed if there is only one store, which the next visit opens at once", () => {
    const only = STORES.slice(0, 1);
    assert.deepEqual(tasks(after(entered()), listed(only)), ["saveChoice", "openList"]);
    const { poiId, lastPoiId } = after(entered(), listed(only));
    assert.deepEqual([poiId, lastPoiId], ["6601", "6601"]);
    assert.deepEqual(tasks(after(entered("6602")), listed(only)), []);
  });
});

describe("the stores", () => {
  test("are waited for; timers and responses of earlier requests are ignored", () => {
    const late = (requestNumber: number): StoreEvent => ({ kind: "late", requestNumber });
    const state = after(entered(), requested);
    assert.equal(state.requestNumber, 2);
    for (const event of [late(1), listed(STORES, 1), failed(1)]) {
      assert.equal(nextStoreState(state, event), state);
    }
    const lateState = nextStoreState(state, late(2));
    assert.deepEqual(
      [storesView(state).loadingText, storesView(lateState).loadingText],
      ["正在加载门店…", "查得有点慢，先打开抖音订单也能用"],
    );
    assert.deepEqual(
      [nextStoreState(lateState, requested).phase, tasks(lateState, requested)],
      ["", ["requestStores"]],
    );
    const loaded = nextStoreState(lateState, listed(STORES, 2));
    assert.deepEqual([loaded.phase, loaded.isLoading, nextStoreState(loaded, late(2))], ["", false, loaded]);
  });

  test("show a problem only if there are none to show, until they are requested again", () => {
    const state = after(entered(), failed());
    assert.deepEqual([state.problem, state.problemAt, state.isLoading], [PROBLEM, NOW, false]);
    assert.deepEqual(
      [nextStoreState(state, requested).problem, nextStoreState(state, requested).isLoading],
      [undefined, true],
    );
    const loaded = after(entered(), listed(), requested);
    assert.equal(loaded.isLoading, false);
    const kept = nextStoreState(loaded, failed(2));
    assert.deepEqual([kept.problem, kept.stores.length], [undefined, 2]);
  });

  test("are none if the merchant does not list them", () => {
    const outcome: StoresOutcome = { kind: "stores", merchant: { account_id: "1" }, stale: false };
    assert.deepEqual(after(entered("6601"), { kind: "responded", requestNumber: 1, outcome, now: NOW }).stores, []);
  });

  test("are marked if they are the last known ones", () => {
    assert.equal(storesView(after(entered(), listed(STORES, 1, true))).areStoresStale, true);
    assert.equal(
      storesView(after(entered(), listed(STORES, 1, true), requested, listed(STORES, 2))).areStoresStale,
      false,
    );
  });

  test("can be sorted by distance if there are several, and one has a position", () => {
    const unplaced = STORES.map(({ poi_id, name }) => ({ poi_id, name, latitude: 31 }));
    assert.deepEqual(
      [STORES, STORES.slice(0, 1), unplaced].map(
        (stores) => storesView(after(entered("6601"), listed(stores))).canSortByDistance,
      ),
      [true, false, false],
    );
  });

  test("are sorted by distance from the customer; a failed attempt keeps the last position", () => {
    const locating: StoreEvent = { kind: "locating" };
    const running = after(entered("6601", "6601"), listed(), locating);
    assert.deepEqual([storesView(running).locatingText, storesView(running).isLocated], ["正在定位…", false]);
    const located = nextStoreState(running, { kind: "located", position: HERE });
    const view = storesView(located);
    assert.deepEqual([view.locatingText, view.isLocated], ["", true]);
    assert.deepEqual(
      view.stores.map(({ label }) => label),
      ["徐家汇店，离您最近，460 米", "人民广场店，已选，5.6 公里，西藏中路180号"],
    );
    const refused = nextStoreState(nextStoreState(located, locating), { kind: "located", position: undefined });
    assert.deepEqual([refused.position, storesView(refused).locatingText], [HERE, "未获取到位置，您可以直接选择门店"]);
  });

  test("start with the last choice; the header is that of the current store", () => {
    const state = after(entered("6601", "6602"), listed());
    assert.deepEqual(
      storesView(state).stores.map(({ tag }) => tag),
      ["上次选择", "已选"],
    );
    const header = (storeState: StoreState, now = NOW) =>
      views.listView({ ...INITIAL_VISIT_STATE, storeState }, CONFIG, now);
    const { store, address, phone, canChoose } = header(state);
    assert.deepEqual([store, address, phone, canChoose], ["人民广场店", "西藏中路180号", "021-5555-6601", true]);
    assert.deepEqual([header(after(entered("6601"))).store, header(state).isRemembered], ["", false]);
    const remembered = after(entered("", "6601"), listed());
    assert.ok(header(remembered).isRemembered);
    const chosen = nextStoreState(remembered, picked("6601"));
    assert.deepEqual([header(chosen).isRemembered, header(chosen, NOW + 86_400).isRemembered], [false, true]);
    assert.equal(header(after(entered(), listed(STORES.slice(0, 1)))).canChoose, false);
  });
});

test("more is loaded only if there is more, nothing is being loaded, and nothing has failed", () => {
  const list = { ...INITIAL_LIST_STATE, hasMore: true };
  assert.ok(canLoadMore(list));
  assert.ok(!canLoadMore({ ...list, hasMore: false }));
  assert.ok(!canLoadMore({ ...list, activity: "more" }));
  assert.ok(!canLoadMore({ ...list, problem: PROBLEM }));
});
