/** State of the store selection: merchant, current store, stores, customer's position. Pure functions. */

import type { Problem, Store, StoresOutcome } from "../client/client";
import type { RequestPhase } from "./messages";
import { haveAnyPosition, onlyStore, type Position } from "./stores";

export interface StoreState {
  accountId: string;
  /** The store whose list is shown; empty if none is chosen. */
  poiId: string;
  /** The store that the customer chose last, as stored on the phone; empty if there is none. */
  lastPoiId: string;
  /**
   * When the customer chose `poiId`, or Douyin named it, in epoch seconds. 0 if that was at an earlier visit: the
   * customer may be in another store now.
   */
  chosenAt: number;
  /** Number of stores opened so far. When it changes, the visit loads a list, even if the store is the same. */
  openCount: number;
  stores: Store[];
  /** The stores are the last known ones, because the request for new ones has failed. */
  isStale: boolean;
  /** Stores are being loaded, and there are none to show yet. */
  isLoading: boolean;
  /** Number of the last request for the stores: responses and timers of earlier requests are ignored. */
  requestNumber: number;
  phase: RequestPhase;
  problem: Problem | undefined;
  /** Epoch seconds. */
  problemAt: number;
  position: Position | undefined;
  locating: "" | "running" | "failed";
}

export type StoreEvent =
  /** A visit begins. `poiId`: the store that Douyin names; may be empty. */
  | { kind: "entered"; accountId: string; poiId: string; lastPoiId: string; now: number }
  | { kind: "merchant_changed"; accountId: string; lastPoiId: string }
  /** Another user has logged in on this phone: the former user's last choice and position are dropped. */
  | { kind: "user_changed"; lastPoiId: string }
  | { kind: "requested" }
  | { kind: "late"; requestNumber: number }
  | { kind: "responded"; requestNumber: number; outcome: StoresOutcome; now: number }
  | { kind: "picked"; poiId: string; now: number }
  | { kind: "locating" }
  | { kind: "located"; position: Position | undefined };

/** What the visit must do after a change of the state: a method of `visit`. */
export type StoreTask = "saveChoice" | "requestStores" | "openList";

export const INITIAL_STORE_STATE: StoreState = {
  accountId: "",
  poiId: "",
  lastPoiId: "",
  chosenAt: 0,
  openCount: 0,
  stores: [],
  isStale: false,
  isLoading: false,
  requestNumber: 0,
  phase: "",
  problem: undefined,
  problemAt: 0,
  position: undefined,
  locating: "",
};

/** Return the state after an event; the same object if nothing changes. */
export function nextStoreState(state: StoreState, event: StoreEvent): StoreState {
  switch (event.kind) {
    case "entered": {
      const { accountId, lastPoiId } = event;
      const poiId = event.poiId || lastPoiId;
      const entered = startRequest({ ...forgotten(state), accountId, lastPoiId });
      return poiId ? open(entered, poiId, event.poiId ? event.now : 0) : entered;
    }
    case "merchant_changed": {
      const { accountId, lastPoiId } = event;
      return startRequest({ ...forgotten(state), accountId, lastPoiId });
    }
    case "user_changed":
      return { ...state, lastPoiId: event.lastPoiId, position: undefined, locating: "" };
    case "requested":
      return startRequest(state);
    case "late":
      return event.requestNumber === state.requestNumber && state.isLoading ? { ...state, phase: "late" } : state;
    case "responded":
      return event.requestNumber === state.requestNumber ? withOutcome(state, event.outcome, event.now) : state;
    case "picked":
      return open({ ...state, lastPoiId: event.poiId }, event.poiId, event.now);
    case "locating":
      return { ...state, locating: "running" };
    case "located":
      return { ...state, position: event.position || state.position, locating: event.position ? "" : "failed" };
  }
}

/** Return what the visit must do after a change of the state, in this order. */
export function storeTasks(before: StoreState, after: StoreState): StoreTask[] {
  const tasks: StoreTask[] = [];
  // Another merchant's last choice was read from the storage. Another user's was, too, but saving it changes nothing.
  if (after.accountId === before.accountId && after.lastPoiId !== before.lastPoiId) {
    tasks.push("saveChoice");
  }
  if (after.requestNumber !== before.requestNumber) {
    tasks.push("requestStores");
  }
  if (after.openCount !== before.openCount) {
    tasks.push("openList");
  }
  return tasks;
}

/** Whether there is more than one store. */
export function canChoose({ stores }: StoreState): boolean {
  return stores.length > 1;
}

/** Whether the stores can be sorted by distance. */
export function canSortByDistance(state: StoreState): boolean {
  return canChoose(state) && haveAnyPosition(state.stores);
}

function startRequest(state: StoreState): StoreState {
  const isLoading = !state.stores.length;
  return { ...state, requestNumber: state.requestNumber + 1, isLoading, phase: "", problem: undefined };
}

function open(state: StoreState, poiId: string, chosenAt: number): StoreState {
  return { ...state, poiId, chosenAt, openCount: state.openCount + 1 };
}

/**
 * Return the state without merchant, store and position. The counters stay, so that responses to earlier requests are
 * still ignored.
 */
function forgotten({ requestNumber, openCount }: StoreState): StoreState {
  return { ...INITIAL_STORE_STATE, requestNumber, openCount };
}

function withOutcome(state: StoreState, outcome: StoresOutcome, now: number): StoreState {
  const responded: StoreState = { ...state, isLoading: false, phase: "" };
  if (outcome.kind === "stores") {
    return withStores({ ...responded, stores: outcome.merchant.stores || [], isStale: outcome.stale }, now);
  }
  // If there are stores to choose from, a failed refresh needs no message.
  return state.stores.length ? responded : { ...responded, problem: outcome.problem, problemAt: now };
}

/** Return the state with its new stores. If there is only one, it is opened. */
function withStores(state: StoreState, now: number): StoreState {
  const only = onlyStore(state.stores);
  // `lastPoiId` is stored: the next visit opens this store without waiting for the stores.
  return only && !state.poiId ? open({ ...state, lastPoiId: only.poi_id }, only.poi_id, now) : state;
}
