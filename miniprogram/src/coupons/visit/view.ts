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
  SCAN_DECIDES,
  type Situation,
  unusableText,
} from "./messages";
import { canChoose, canSortByDistance, INITIAL_STORE_STATE, type StoreState } from "./storeState";
import { storeHeader, storeRows } from "./stores";

/** The state that the pages share. */
export interface VisitState {
  listState: ListState;
  storeState: StoreState;
  /** Ids of the certificates that the hook may have submitted: it was called for them, and did not return `false`. */
  submittedIds: readonly string[];
  /** The hook is running: it is not called again. */
  isHookRunning: boolean;
  /** The detail that was shown last; the page names it when the list no longer has it. */
  lastDetail: Detail | null;
  /** `openOrders` of `config.ts` has failed: no page has its button until the program is restarted. */
  hasOpenOrdersFailed: boolean;
}

export const INITIAL_VISIT_STATE: VisitState = {
  listState: INITIAL_LIST_STATE,
  storeState: INITIAL_STORE_STATE,
  submittedIds: [],
  isHookRunning: false,
  lastDetail: null,
  hasOpenOrdersFailed: false,
};

const DEFAULT_SELECT_TEXT = "店长点此验券";
const TAPPED = "已点过，先请店员查记录，不要再点、再扫";

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
    unfinishedText: canLoadMore(listState) && !certificates.length ? "还没查完，暂时没有找到券" : "",
    unusableText: isLoading || (problem && !certificates.length) ? "" : unusableText(unusable),
    age: certificates.length ? ageText(listState, now) : "",
    problem: problemView(listState, situationOf(visit, config), now),
    isProblemBelow,
    hasCards: certificates.length > 0,
    hasQualification: !!config.qualificationPage,
    canOpenOrders: canOpenOrders(visit, config),
    help: helpOf(visit, config),
    // Further up, the page shows where Douyin has the orders.
    helpWithoutPath: config.help || DEFAULT_HELP,
    ordersPath: ORDERS_PATH,
  };
}

/** Return the cards in sections with headings, in this order: without a remark, with a doubt, submitted. */
export function cardsView(visit: VisitState, now: number) {
  const { certificates, hasMore } = visit.listState;
  const remarked = certificates.map((certificate) => ({ ...certificate, remark: remarkOf(visit, certificate, now) }));
  const cardsWhere = (fits: (remark: string) => boolean) => {
    const selected = remarked.filter(({ remark }) => fits(remark));
    const cards = cardsOf(selected, now);
    return { cards, certificates: selected.length, titles: new Set(cards.map(({ title }) => title)).size };
  };
  const plain = cardsWhere((remark) => !remark);
  const doubted = cardsWhere((remark) => !!remark && remark !== TAPPED);
  const submitted = cardsWhere((remark) => remark === TAPPED);
  const [plainText, doubtedText] = countTexts(plain, doubted.certificates, hasMore);
  const sections = [
    { heading: plainText, cards: plain.cards },
    { heading: doubtedText, cards: doubted.cards },
    { heading: `${submitted.certificates} 张已点过`, cards: submitted.cards },
  ];
  return { sections: sections.filter(({ cards }) => cards.length) };
}

/** Return the remark under a certificate's card: that it was tapped, or its doubt; empty without one. */
function remarkOf(visit: VisitState, certificate: Certificate, now: number): string {
  const doubt = doubtOf(certificate, now);
  return isSubmitted(visit, certificate.certificate_id) ? TAPPED : doubt && `${doubt}，${SCAN_DECIDES}`;
}

/**
 * Return the data of 券详情. `detail` is null if the list does not have the certificate: the list is loading, has a
 * problem, or no longer contains it.
 */
export function certificateView(visit: VisitState, config: Config, id: string, now: number) {
  const { listState, storeState, submittedIds } = visit;
  const header = headerOf(storeState, now);
  const certificate = findCertificate(visit, id);
  const doubt = certificate && !isSubmitted(visit, id) ? doubtOf(certificate, now) : "";
  const age = ageText(listState, now);
  const codeTail = certificate?.code_tail || "";
  // As in the list, the submitted ones of identical certificates are counted separately.
  const isCounted = (other: string) => isSubmitted(visit, other) === isSubmitted(visit, id);
  const counted = listState.certificates.filter(({ certificate_id }) => isCounted(certificate_id));
  const detail = certificate ? detailOf(certificate, header.store, counted, now) : null;
  return {
    ...header,
    detail,
    lastDetail: detail || (visit.lastDetail?.id === id ? visit.lastDetail : null),
    doubt,
    adviceText: `仍可请店员扫，${SCAN_DECIDES}`,
    hasEnded: !!certificate && hasEnded(certificate, now),
    age: doubt || !age ? "" : `${age}，${SCAN_DECIDES}`,
    ordersPath: ORDERS_PATH,
    canOpenOrders: canOpenOrders(visit, config),
    /** Text of the button that calls the hook; empty without a button. */
    button: canRedeem(visit, config, id, now) ? config.selectText || DEFAULT_SELECT_TEXT : "",
    tappedText: isSubmitted(visit, id) ? TAPPED : "",
    staffText: `先别出餐，叫店长查核销记录${codeTail && `（尾号\u00a0${codeTail}）`}；有、没出过餐才出；没有，听店长的`,
    isHookRunning: visit.isHookRunning && submittedIds[submittedIds.length - 1] === id,
    notice: listState.notice,
    isLoading: !certificate && listState.activity !== "idle",
    loadingText: phaseText(listState.phase, "正在查询这张券…"),
    problem: problemView(listState, situationOf(visit, config), now),
  };
}

/**
 * Whether the hook can be called for a certificate: a recent list has it, it has no doubt and was not submitted, the
 * merchant has redemption on, and the hook is not running.
 */
export function canRedeem(visit: VisitState, config: Config, id: string, now: number): boolean {
  const { listState, isHookRunning } = visit;
  const certificate = findCertificate(visit, id);
  const isPlain = !!certificate && !doubtOf(certificate, now) && !ageText(listState, now);
  return isPlain && !!config.onSelect && listState.allowsRedeeming && !isHookRunning && !isSubmitted(visit, id);
}

function isSubmitted({ submittedIds }: VisitState, id: string): boolean {
  return submittedIds.indexOf(id) >= 0;
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
  return config.help || DEFAULT_HELP + (canOpenOrders(visit, config) ? "" : `；它${ORDERS_PATH}`);
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
