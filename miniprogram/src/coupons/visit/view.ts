/** The data of the pages, made from the state of the visit. Pure functions. */

import type { Certificate } from "../client/client";
import type { Config } from "../settings";
import { cardsOf } from "./cards";
import { daysBetween } from "./dates";
import { type Detail, detailOf } from "./detail";
import { ageText, doubtOf } from "./doubt";
import { hasEnded } from "./expiry";
import { canLoadMore, certificateOf, INITIAL_LIST_STATE, isEmpty, type ListState } from "./listState";
import {
  countTexts,
  DEFAULT_HELP,
  ORDERS_PATH,
  phaseText,
  problemView,
  type Situation,
  unusableText,
} from "./messages";
import { canChoose, canSortByDistance, INITIAL_STORE_STATE, type StoreState } from "./storeState";
import { storeHeader, storeRows } from "./stores";

/** The state that the pages share. */
export interface VisitState {
  listState: ListState;
  storeState: StoreState;
  /** The detail that was shown last; the page names it when the list no longer has it. */
  lastDetail: Detail | null;
  /** `openOrders` of `config.ts` has failed: no page has its button until the program is restarted. */
  hasOpenOrdersFailed: boolean;
}

export const INITIAL_VISIT_STATE: VisitState = {
  listState: INITIAL_LIST_STATE,
  storeState: INITIAL_STORE_STATE,
  lastDetail: null,
  hasOpenOrdersFailed: false,
};

const LOCATING_TEXTS: { [locating in StoreState["locating"]]: string } = {
  "": "",
  running: "正在定位…",
  failed: "未获取到位置，您可以直接选择门店",
};

/** Return the data of the list's page without its cards. */
export function listView(visit: VisitState, config: Config, now: number) {
  const { listState, storeState } = visit;
  const { activity, certificates, phase, problem, isProblemBelow, unusable } = listState;
  const isLoading = activity === "first";
  return {
    ...headerOf(storeState, now),
    canChoose: canChoose(storeState),
    isLoading,
    isLoadingMore: activity === "more",
    isLate: phase === "late",
    loadingText: phaseText(phase, isLoading ? "正在查询可用的券…" : "正在加载更多…"),
    canLoadMore: canLoadMore(listState),
    isEmpty: isEmpty(listState),
    notice: listState.notice,
    unfinishedText: canLoadMore(listState) && !certificates.length ? "还没查全，可先打开抖音订单" : "",
    unusableText: isLoading || (problem && !certificates.length) ? "" : unusableText(unusable),
    age: certificates.length ? ageText(listState, now) : "",
    problem: problemView(listState, situationOf(visit, config), now),
    isProblemBelow,
    hasCards: certificates.length > 0,
    hasQualification: !!config.qualificationPage,
    canOpenOrders: canOpenOrders(visit, config),
    help: helpOf(visit, config),
    // Further up, the page shows where Douyin has the orders.
    shortHelp: config.help || DEFAULT_HELP,
    ordersPath: ORDERS_PATH,
  };
}

/** Return the cards in sections with headings: those without a doubt, then the doubted ones. */
export function cardsView({ listState }: VisitState, now: number) {
  const { certificates, hasMore } = listState;
  const judged = certificates.map((certificate) => ({ ...certificate, doubt: doubtOf(certificate, now) }));
  const plain = judged.filter(({ doubt }) => !doubt);
  const doubted = judged.filter(({ doubt }) => doubt);
  const plainCards = cardsOf(plain, now);
  const titles = new Set(plainCards.map(({ title }) => title)).size;
  const [plainText, doubtedText] = countTexts({ certificates: plain.length, titles }, doubted.length, hasMore);
  const sections = [
    { heading: plainText, cards: plainCards },
    { heading: doubtedText, cards: cardsOf(doubted, now) },
  ];
  return { sections: sections.filter(({ cards }) => cards.length) };
}

/**
 * Return the data of 券详情. `detail` is null if the list does not have the certificate: the list is loading, has a
 * problem, or no longer contains it.
 */
export function certificateView(visit: VisitState, config: Config, id: string, now: number) {
  const { listState, storeState } = visit;
  const header = headerOf(storeState, now);
  const certificate = findCertificate(visit, id);
  const doubt = certificate ? doubtOf(certificate, now) : "";
  const age = doubt ? "" : ageText(listState, now);
  const detail = certificate ? detailOf(certificate, header.store, listState.certificates, now) : null;
  return {
    ...header,
    detail,
    lastDetail: detail || (visit.lastDetail?.id === id ? visit.lastDetail : null),
    doubt,
    hasEnded: !!certificate && hasEnded(certificate, now),
    age,
    ordersPath: ORDERS_PATH,
    canOpenOrders: canOpenOrders(visit, config),
    /** Text of the button that opens `redeemPage`; empty without a button. */
    redeemText: (redeemUrl(visit, config, id, now) && config.redeemPage?.text) || "",
    notice: listState.notice,
    isLoading: !certificate && listState.activity !== "idle",
    loadingText: phaseText(listState.phase, "正在查询这张券…"),
    problem: problemView(listState, situationOf(visit, config), now),
  };
}

/**
 * Return the address of `redeemPage` for a certificate. It is empty unless a recent list has the certificate, it has no
 * doubt, and the merchant has redemption on.
 */
export function redeemUrl(visit: VisitState, { redeemPage }: Config, id: string, now: number): string {
  const { listState, storeState } = visit;
  const certificate = findCertificate(visit, id);
  const isPlain = certificate && !doubtOf(certificate, now) && !ageText(listState, now);
  if (!redeemPage || !certificate || !isPlain || !listState.allowsRedeeming) {
    return "";
  }
  const { certificate_id, order_id } = certificate;
  const ids = { certificate_id, order_id, account_id: storeState.accountId, poi_id: storeState.poiId };
  const names = Object.keys(ids) as (keyof typeof ids)[];
  const query = names.map((name) => `${name}=${encodeURIComponent(ids[name])}`).join("&");
  const { url } = redeemPage;
  return `${url}${url.indexOf("?") < 0 ? "?" : "&"}${query}`;
}

/** Return a certificate of the list; undefined while no store is chosen. */
function findCertificate({ listState, storeState }: VisitState, id: string): Certificate | undefined {
  return storeState.poiId ? certificateOf(listState, id) : undefined;
}

/** Whether the pages have the button that opens the customer's orders. */
function canOpenOrders({ hasOpenOrdersFailed }: VisitState, { openOrders }: Config): boolean {
  return !!openOrders && !hasOpenOrdersFailed;
}

/** Return what a customer can do in any case. Without a button for the orders, it says where Douyin has them. */
function helpOf(visit: VisitState, config: Config): string {
  return config.help || DEFAULT_HELP + (canOpenOrders(visit, config) ? "" : `：${ORDERS_PATH}`);
}

/** Return the data of the store selection. */
export function storesView(visit: VisitState, config: Config, canReadPosition: boolean, now: number) {
  const { storeState } = visit;
  const { stores, isStale, isLoading, phase, position, locating } = storeState;
  return {
    stores: storeRows(stores, storeState),
    areStoresStale: isStale,
    isLoading,
    isLate: phase === "late",
    loadingText: phaseText(phase, "正在加载门店…"),
    canSortByDistance: canReadPosition && canSortByDistance(storeState),
    isLocated: !!position,
    locatingText: LOCATING_TEXTS[locating],
    problem: problemView(storeState, situationOf(visit, config), now),
    help: helpOf(visit, config),
    canOpenOrders: canOpenOrders(visit, config),
  };
}

function situationOf(visit: VisitState, config: Config): Situation {
  const isForeignMerchant = visit.storeState.accountId !== config.account_id;
  return { help: helpOf(visit, config), hasList: visit.listState.updatedAt > 0, isForeignMerchant };
}

/** Return the header of a page. `isRemembered`: the store was chosen at an earlier visit, or before today. */
function headerOf({ poiId, stores, chosenAt }: StoreState, now: number) {
  return { ...storeHeader(poiId, stores), isRemembered: !!poiId && daysBetween(chosenAt, now) !== 0 };
}
