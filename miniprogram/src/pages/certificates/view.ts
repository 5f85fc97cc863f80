/** What the page shows: its data, from the state of the list. Pure functions. */

import type { Problem } from "../../client/client";
import { clockText } from "./dates";
import type { Detail } from "./detail";
import { countText, type Notice, noticeOf, type Situation, unusableText, type Waiting, waitingText } from "./messages";
import { type Card, cardsOf } from "./rows";
import { isEmpty, isStale, type ListState } from "./state";
import type { StoreRow } from "./stores";

/** A card as it is shown; `opened`: the certificates of a group are shown too. */
export type ShownCard = Card & { opened: boolean };

export const INITIAL_VIEW = {
  store: "",
  address: "",
  phone: "",
  // Store selection
  choosing: false,
  loadingStores: false,
  storesWaiting: "" as Waiting,
  storesWaitingText: "",
  storesProblem: null as Notice | null,
  /** The stores are the last known ones: the service did not respond. */
  staleStores: false,
  stores: [] as StoreRow[],
  canChoose: false,
  /** The selection can be left without a choice. */
  canReturn: false,
  canLocate: false,
  located: false,
  locating: "",
  /** The customer has refused the position, and can allow it in the settings. */
  canOpenSettings: false,
  // List
  usable: [] as ShownCard[],
  waiting: [] as ShownCard[],
  count: "",
  /** Loading, and there is nothing to show yet. */
  loading: false,
  loadingMore: false,
  slowness: "" as Waiting,
  slownessText: "",
  more: false,
  empty: false,
  unusable: "",
  updated: "",
  problem: null as Notice | null,
  problemBelow: false,
  // Detail
  detail: null as Detail | null,
  selecting: false,
};

type View = Partial<typeof INITIAL_VIEW>;

/** Return the data that change with the list's activity. */
export function activityView(list: ListState, now: number): View {
  const { activity, waiting, more, problem, problemBelow, unusable, updatedAt } = list;
  return {
    loading: activity === "first",
    loadingMore: activity === "more",
    slowness: waiting,
    slownessText: waitingText(waiting),
    more: more && activity === "idle" && !problem,
    empty: isEmpty(list),
    unusable: more ? "" : unusableText(unusable),
    updated: isStale(list) ? `上次更新 ${clockText(updatedAt, now)}` : "",
    problemBelow,
  };
}

/** Return the cards, with the group `openedId` opened. */
export function cardsView({ certificates, more }: ListState, openedId: string, now: number): View {
  const { usable, waiting } = cardsOf(certificates, now);
  const open = (cards: Card[]) => cards.map((card) => ({ ...card, opened: card.id === openedId }));
  const waitingCount = waiting.reduce((sum, { members }) => sum + (members.length || 1), 0);
  return { usable: open(usable), waiting: open(waiting), count: countText(certificates.length - waitingCount, more) };
}

/** Return the notice of a problem; null without one. `at`: when the problem arrived. */
export function noticeView(
  problem: Problem | undefined,
  at: number,
  now: number,
  situation: Omit<Situation, "age">,
): Notice | null {
  return problem ? noticeOf(problem, { ...situation, age: now - at }) : null;
}
