/** State of the list: which certificates are shown, what is loading, which problem there is. Pure functions. */

import type { Certificate, Outcome, Problem, Unusable } from "../client/client";
import { isRefusal, type RequestPhase } from "./messages";

/**
 * What is being loaded. `first`: a list, while there is nothing to show. `refresh`: a new list, while the old one is
 * shown. `more`: the next part of the list that is shown.
 */
export type Activity = "idle" | "first" | "refresh" | "more";

export interface ListState {
  certificates: Certificate[];
  /** Empty until the list is complete. */
  unusable: Unusable;
  hasMore: boolean;
  /** The merchant's announcement (商家公告); empty without one. */
  notice: string;
  /** False: the merchant has switched redemption off. */
  allowsRedeeming: boolean;
  /**
   * Time of the list, in epoch seconds: when its first response with certificates arrived. Without certificates, when
   * its newest response arrived. 0 if no list of this store has arrived.
   */
  updatedAt: number;
  /** The last update has failed: the certificates are those of an earlier update. */
  isStale: boolean;
  activity: Activity;
  /** Number of the last request: timers of earlier requests are ignored. */
  requestNumber: number;
  phase: RequestPhase;
  problem: Problem | undefined;
  /** Epoch seconds. */
  problemAt: number;
  /** Show the problem below the list, where the customer is scrolling, not above it. */
  isProblemBelow: boolean;
  /** Number of certificates found by the present pager. During a refresh, `certificates` are the previous pager's. */
  found: number;
}

export type ListEvent =
  | { kind: "opened" }
  | { kind: "refreshed" }
  | { kind: "continued" }
  | { kind: "searching" }
  | { kind: "user_changed" }
  | { kind: "late"; requestNumber: number }
  | { kind: "responded"; outcome: Exclude<Outcome, { kind: "cancelled" }>; now: number };

export const INITIAL_LIST_STATE: ListState = {
  certificates: [],
  unusable: {},
  hasMore: false,
  notice: "",
  allowsRedeeming: true,
  updatedAt: 0,
  isStale: false,
  activity: "idle",
  requestNumber: 0,
  phase: "",
  problem: undefined,
  problemAt: 0,
  isProblemBelow: false,
  found: 0,
};

/** Return the state after an event. */
export function nextListState(state: ListState, event: ListEvent): ListState {
  switch (event.kind) {
    case "opened":
      return startList({ ...INITIAL_LIST_STATE, requestNumber: state.requestNumber }, "first");
    case "refreshed":
      return startList(state, state.certificates.length ? "refresh" : "first");
    case "continued":
      return startRequest(state, continuedActivity(state));
    case "searching":
      return { ...state, requestNumber: state.requestNumber + 1, phase: "searching" };
    case "user_changed": {
      const { activity, requestNumber } = state;
      return startRequest({ ...INITIAL_LIST_STATE, requestNumber }, activity === "idle" ? "idle" : "first");
    }
    case "late":
      return event.requestNumber === state.requestNumber && state.activity !== "idle"
        ? { ...state, phase: "late" }
        : state;
    case "responded":
      return event.outcome.kind === "list"
        ? withList(state, event.outcome, event.now)
        : withProblem(state, event.outcome.problem, event.now);
  }
}

/** Whether nothing was found, and there is nothing more to load. */
export function isEmpty({ activity, certificates, hasMore, problem, updatedAt }: ListState): boolean {
  return activity === "idle" && !certificates.length && !hasMore && !problem && updatedAt > 0;
}

/** Whether the customer can load more of the list now. */
export function canLoadMore({ hasMore, activity, problem }: ListState): boolean {
  return hasMore && activity === "idle" && !problem;
}

/** Return a certificate of the list; undefined if it is not in the list. */
export function certificateOf({ certificates }: ListState, id: string): Certificate | undefined {
  return certificates.filter(({ certificate_id }) => certificate_id === id)[0];
}

/** Begin a list from its first part. */
function startList(state: ListState, activity: Activity): ListState {
  return startRequest({ ...state, hasMore: false, found: 0 }, activity);
}

function startRequest(state: ListState, activity: Activity): ListState {
  return { ...state, activity, requestNumber: state.requestNumber + 1, phase: "", problem: undefined };
}

/** Return the activity after `continued`: the next part is loaded, or a refresh that has found nothing starts again. */
function continuedActivity({ certificates, found }: ListState): Activity {
  return certificates.length ? (found ? "more" : "refresh") : "first";
}

function withList(state: ListState, outcome: Extract<Outcome, { kind: "list" }>, now: number): ListState {
  const { certificates, unusable, more, notice = "", redeeming = true } = outcome;
  const found = certificates.length;
  return {
    ...state,
    certificates,
    unusable: more ? {} : unusable,
    hasMore: more,
    notice,
    allowsRedeeming: redeeming,
    // A later part does not make the first certificates newer.
    updatedAt: state.found ? state.updatedAt : now,
    isStale: false,
    activity: "idle",
    phase: "",
    problem: undefined,
    found,
  };
}

function withProblem(state: ListState, problem: Problem, now: number): ListState {
  const failed: ListState = {
    ...state,
    activity: "idle",
    phase: "",
    problem,
    problemAt: now,
    isProblemBelow: state.activity === "more",
    isStale: state.isStale || (state.activity === "refresh" && state.certificates.length > 0),
  };
  // After a refusal, the old list may be wrong: remove it, and show only the problem.
  return isRefusal(problem)
    ? { ...failed, certificates: [], unusable: {}, hasMore: false, found: 0, isProblemBelow: false, isStale: false }
    : failed;
}
