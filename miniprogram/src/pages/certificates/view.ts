/** What the page shows: its data, from the states of the list and of the store selection. Pure functions. */

import type { Problem } from "../../client/client";
import { clockText } from "./dates";
import { type Detail, detailOf } from "./detail";
import { countText, type Notice, noticeOf, type Situation, unusableText, type Waiting, waitingText } from "./messages";
import { type Card, cardsOf } from "./rows";
import { canLoadMore, certificateOf, isEmpty, isStale, type ListState } from "./state";
import { canChoose, canLocate, type StoreState } from "./storeState";
import { type StoreRow, storeHeader, storeRows } from "./stores";

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

const LOCATING_TEXTS: { [locating in StoreState["locating"]]: string } = {
  "": "",
  running: "正在定位…",
  failed: "未获取到位置，您可以直接选择门店",
};

/** Return the data of the store selection, and the header of the current store. */
export function storesView(state: StoreState): View {
  const { poiId, lastPoiId, choosing, stores, position, loading, waiting, locating } = state;
  const tags = { [lastPoiId]: "上次选择", [poiId]: "当前门店" };
  return {
    ...storeHeader(poiId, stores),
    choosing,
    canReturn: state.canReturn,
    canChoose: canChoose(state),
    // Hidden rows are not sent to the view.
    stores: choosing ? storeRows(stores, position, tags) : [],
    staleStores: state.stale,
    loadingStores: loading,
    storesWaiting: waiting,
    storesWaitingText: waitingText(waiting),
    canLocate: canLocate(state),
    located: !!position,
    locating: LOCATING_TEXTS[locating],
    canOpenSettings: locating === "failed",
  };
}

/** Return the data that change with the list's activity. */
export function activityView(list: ListState, now: number): View {
  const { activity, waiting, more, problemBelow, unusable, updatedAt } = list;
  return {
    loading: activity === "first",
    loadingMore: activity === "more",
    slowness: waiting,
    slownessText: waitingText(waiting),
    more: canLoadMore(list),
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

/** Return the detail of a certificate; null if it is not in the list. */
export function detailView(list: ListState, id: string, now: number, hasHook: boolean): Detail | null {
  const certificate = certificateOf(list, id);
  return certificate ? detailOf(certificate, now, hasHook) : null;
}

/** Return the notices of the list and of the store selection. `ownAccountId`: the merchant of `config.ts`. */
export function noticesView(list: ListState, stores: StoreState, ownAccountId: string, now: number) {
  const isForeignMerchant = stores.accountId !== ownAccountId;
  return {
    problem: noticeView(list.problem, list.problemAt, now, { isFirst: list.updatedAt === 0, isForeignMerchant }),
    storesProblem: noticeView(stores.problem, stores.problemAt, now, { isFirst: true, isForeignMerchant }),
  };
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
