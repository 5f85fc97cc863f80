/** The data of the pages, made from the states of the list and of the stores. Pure functions. */

import type { Certificate, Problem } from "../client/client";
import type { Config } from "../settings";
import { cardsOf } from "./cards";
import { daysBetween } from "./dates";
import { detailOf } from "./detail";
import { ageText, doubtOf } from "./doubt";
import { hasEnded } from "./expiry";
import { canLoadMore, certificateOf, isEmpty, type ListState } from "./listState";
import {
  countTexts,
  DEFAULT_HELP,
  ORDERS_PATH,
  type ProblemView,
  problemViewOf,
  SCAN_DECIDES,
  unusableText,
  waitingText,
  waitLeft,
} from "./messages";
import { canChoose, canLocate, type StoreState } from "./storeState";
import { storeHeader, storeRows } from "./stores";

/** The states that the pages share. */
interface Visited {
  list: ListState;
  stores: StoreState;
  /** Ids of the certificates for which the hook was called, without those for which it returned `false`. */
  tapped: readonly string[];
  /** The program's hook is running. */
  isSelecting: boolean;
}

const DEFAULT_SELECT_TEXT = "店长点此验券";
const TAPPED = "已点过，先请店员查记录，不要再点、再扫";

const LOCATING_TEXTS: { [locating in StoreState["locating"]]: string } = {
  "": "",
  running: "正在定位…",
  failed: "未获取到位置，您可以直接选择门店",
};

/** Return the data of the list's page without its cards. */
export function listView(list: ListState, stores: StoreState, config: Config, now: number) {
  const { activity, certificates, waiting, problem, problemBelow, unusable } = list;
  const loading = activity === "first";
  return {
    ...headerOf(stores, now),
    canChoose: canChoose(stores),
    loading,
    loadingMore: activity === "more",
    isLate: waiting === "late",
    waiting: waitingText(waiting, loading ? "正在查询可用的券…" : "正在加载更多…"),
    more: canLoadMore(list),
    empty: isEmpty(list),
    notice: list.notice,
    searched: canLoadMore(list) && !certificates.length ? "还没查完，暂时没有找到券" : "",
    unusable: loading || (problem && !certificates.length) ? "" : unusableText(unusable),
    age: certificates.length ? ageText(list, now) : "",
    problem: listProblem(list, stores, config, now),
    problemBelow,
    hasCards: certificates.length > 0,
    hasQualification: !!config.qualificationPage,
    hasOrders: !!config.openOrders,
    help: helpOf(config),
    // Further up, the page shows where Douyin has the orders.
    helpWithoutPath: helpOf(config, ""),
    ordersPath: ORDERS_PATH,
  };
}

/** Return the cards in sections with headings, in this order: without a doubt, with a doubt, tapped. */
export function cardsView(visit: Visited, now: number) {
  const { list } = visit;
  const judge = (certificate: Certificate) => {
    const fact = doubtOf(certificate, now);
    return isTapped(visit, certificate.certificate_id) ? TAPPED : fact && `${fact}，${SCAN_DECIDES}`;
  };
  const select = (fits: (doubt: string) => boolean) => {
    const certificates = list.certificates.filter((one) => fits(judge(one)));
    const cards = cardsOf(certificates, judge, now);
    return { cards, certificates: certificates.length, titles: new Set(cards.map(({ title }) => title)).size };
  };
  const plain = select((doubt) => !doubt);
  const doubted = select((doubt) => !!doubt && doubt !== TAPPED);
  const tapped = select((doubt) => doubt === TAPPED);
  const [plainText, doubtedText] = countTexts(plain, doubted.certificates, list.more);
  const sections = [
    { heading: plainText, cards: plain.cards },
    { heading: doubtedText, cards: doubted.cards },
    { heading: `${tapped.certificates} 张已点过`, cards: tapped.cards },
  ];
  return { sections: sections.filter(({ cards }) => cards.length) };
}

/**
 * Return the data of 券详情. `detail` is null if the list does not have the certificate: the list is loading, has a
 * problem, or no longer contains it.
 */
export function certificateView(visit: Visited, config: Config, id: string, now: number) {
  const { list, stores } = visit;
  const header = headerOf(stores, now);
  const certificate = listed(visit, id);
  const doubt = certificate && !isTapped(visit, id) ? doubtOf(certificate, now) : "";
  const age = ageText(list, now);
  const tail = certificate?.code_tail || "";
  // As in the list, the tapped ones of identical certificates are counted separately.
  const alike = list.certificates.filter((one) => isTapped(visit, one.certificate_id) === isTapped(visit, id));
  return {
    ...header,
    detail: certificate ? detailOf(certificate, header.store, alike, now) : null,
    doubt,
    decision: `仍可请店员扫，${SCAN_DECIDES}`,
    hasEnded: !!certificate && hasEnded(certificate, now),
    age: doubt || !age ? "" : `${age}，${SCAN_DECIDES}`,
    ordersPath: ORDERS_PATH,
    hasOrders: !!config.openOrders,
    /** Text of the button that calls the hook; empty without a button. */
    button: canSelect(visit, config, id, now) ? config.selectText || DEFAULT_SELECT_TEXT : "",
    tapped: isTapped(visit, id) ? TAPPED : "",
    checkRecord: `先别出餐，叫店长查核销记录${tail && `（尾号\u00a0${tail}）`}；有、没出过餐才出；没有，听店长的`,
    isSelecting: visit.isSelecting && visit.tapped[visit.tapped.length - 1] === id,
    notice: list.notice,
    loading: !certificate && list.activity !== "idle",
    waiting: waitingText(list.waiting, "正在查询这张券…"),
    problem: listProblem(list, stores, config, now),
  };
}

/**
 * Whether the hook can be called for a certificate: a recent list has it, it has no doubt and was not tapped, the
 * merchant has redemption on, and the hook is not running.
 */
export function canSelect(visit: Visited, config: Config, id: string, now: number): boolean {
  const { list, isSelecting } = visit;
  const certificate = listed(visit, id);
  const isPlain = !!certificate && !doubtOf(certificate, now) && !ageText(list, now);
  return isPlain && !!config.onSelect && list.redeeming && !isSelecting && !isTapped(visit, id);
}

function isTapped({ tapped }: Visited, id: string): boolean {
  return tapped.indexOf(id) >= 0;
}

/** Return a certificate of the list; undefined while no store is chosen. */
function listed({ list, stores }: Visited, id: string): Certificate | undefined {
  return stores.poiId ? certificateOf(list, id) : undefined;
}

/** Return what a customer can do in any case. `path`: where Douyin has the orders; added to the default text only. */
function helpOf({ help, openOrders }: Config, path = openOrders ? "" : `；它${ORDERS_PATH}`): string {
  return help || DEFAULT_HELP + path;
}

/** Return the data of the store selection. */
export function storesView(state: StoreState, config: Config, now: number) {
  const { stores, stale, loading, waiting, position, locating, problem, problemAt } = state;
  const situation = { isFirst: true, isForeignMerchant: state.accountId !== config.account_id };
  return {
    stores: storeRows(stores, state),
    staleStores: stale,
    loading,
    isLate: waiting === "late",
    waiting: waitingText(waiting, "正在加载门店…"),
    canLocate: canLocate(state),
    located: !!position,
    locating: LOCATING_TEXTS[locating],
    problem: problemView(problem, problemAt, now, situation, config),
    help: helpOf(config),
    hasOrders: !!config.openOrders,
  };
}

function listProblem(list: ListState, stores: StoreState, config: Config, now: number): ProblemView | null {
  const situation = { isFirst: list.updatedAt === 0, isForeignMerchant: stores.accountId !== config.account_id };
  return problemView(list.problem, list.problemAt, now, situation, config);
}

/** Return how a problem is shown; null without one. `at`: when the problem arrived. */
function problemView(
  problem: Problem | undefined,
  at: number,
  now: number,
  situation: { isFirst: boolean; isForeignMerchant: boolean },
  config: Config,
): ProblemView | null {
  return problem
    ? problemViewOf(problem, { ...situation, help: helpOf(config), wait: waitLeft(problem, at, now) })
    : null;
}

/** Return the header of a page. `remembered`: the store was chosen at an earlier visit, or before today. */
function headerOf({ poiId, stores, chosenAt }: StoreState, now: number) {
  return { ...storeHeader(poiId, stores), remembered: !!poiId && daysBetween(chosenAt, now) !== 0 };
}
