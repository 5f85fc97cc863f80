/** What the pages show: their data, from the states of the list and of the stores. Pure functions. */

import type { Certificate, Problem } from "../../client/client";
import type { Config } from "../../config";
import { clockText } from "./dates";
import { detailOf } from "./detail";
import {
  countText,
  DEFAULT_COUNTER_TEXT,
  DEFAULT_HELP,
  type Notice,
  noticeOf,
  unusableText,
  waitingText,
} from "./messages";
import { cardsOf, stateOf } from "./rows";
import { canLoadMore, certificateOf, isEmpty, isGone, isStale, type ListState } from "./state";
import { canChoose, canLocate, type StoreState } from "./storeState";
import { storeHeader, storeRows } from "./stores";

/** With more stores than fill a screen, the customer can search. */
const SEARCH_FROM = 9;

const LOCATING_TEXTS: { [locating in StoreState["locating"]]: string } = {
  "": "",
  running: "正在定位…",
  failed: "未获取到位置，您可以直接选择门店",
};

/** Return the data of the list's page without its cards. */
export function listView(list: ListState, stores: StoreState, config: Config, now: number) {
  const { activity, certificates, waiting, more, problem, problemBelow, unusable } = list;
  const empty = isEmpty(list);
  const loading = activity === "first";
  return {
    ...storeHeader(stores.poiId, stores.stores),
    canChoose: canChoose(stores),
    /** The store was chosen at an earlier visit. */
    remembered: stores.isRemembered,
    loading,
    loadingMore: activity === "more",
    slowness: waiting,
    slownessText: waitingText(waiting),
    more: canLoadMore(list),
    empty,
    unusable: more || loading || problem ? "" : unusableText(unusable),
    updated: updatedText(list, now),
    problem: listNotice(list, stores, config, now),
    problemBelow,
    // Under a problem, it would invite refunds at the counter.
    refundable: certificates.length > 0 && !problem,
  };
}

/** Return the cards, with the group `openedId` opened. */
export function cardsView({ certificates, more }: ListState, openedId: string, now: number) {
  const usable = certificates.filter((certificate) => stateOf(certificate, now) === "usable");
  return { ...cardsOf(certificates, openedId, now), count: countText(usable.length, certificates.length, more) };
}

/** A call of the program's hook. */
export interface Submission {
  certificate: Certificate;
  /** The hook has ended without an error or `false`. */
  isEnded: boolean;
  /** The hook returned a promise. Otherwise what it began may go on: only a list without the certificate shows its end. */
  isAwaited: boolean;
}

/**
 * Return the data of 券详情. Without its certificate, the list is loading, has a problem, or no longer has it. `submission`:
 * the last one, of any certificate.
 */
export function counterView(
  list: ListState,
  stores: StoreState,
  config: Config,
  id: string,
  now: number,
  submission?: Submission,
) {
  const certificate = certificateOf(list, id);
  const isSubmitted =
    submission?.isEnded && submission.certificate.certificate_id === id && (submission.isAwaited || isGone(list, id));
  const detail = certificate ? detailOf(certificate, now) : null;
  return {
    ...storeHeader(stores.poiId, stores.stores),
    submitted: isSubmitted ? detailOf(submission.certificate, now) : null,
    detail,
    hasHook: !!config.onSelect,
    counterText: config.counterText || DEFAULT_COUNTER_TEXT,
    help: helpOf(config),
    /** The default of `help` repeats that of `counterText`. */
    showsHelp: !!(config.help || config.counterText || config.onSelect || detail?.refusal),
    updated: updatedText(list, now),
    loading: !certificate && list.activity !== "idle",
    slownessText: waitingText(list.waiting),
    problem: certificate ? null : listNotice(list, stores, config, now),
  };
}

/** Return the data of the store selection. `search`: what the customer has typed. */
export function storesView(state: StoreState, config: Config, search: string, now: number) {
  const { stores, stale, loading, waiting, position, locating, problem, problemAt } = state;
  const situation = { isFirst: true, isForeignMerchant: state.accountId !== config.account_id };
  return {
    stores: storeRows(stores, { ...state, search }),
    hasStores: stores.length > 0,
    searchable: stores.length >= SEARCH_FROM,
    staleStores: stale,
    loading,
    slowness: waiting,
    slownessText: waitingText(waiting),
    canLocate: canLocate(state),
    located: !!position,
    locating: LOCATING_TEXTS[locating],
    /** The customer has refused the position, and can allow it in the settings. */
    canOpenSettings: locating === "failed",
    problem: noticeView(problem, problemAt, now, situation, config),
  };
}

function listNotice(list: ListState, stores: StoreState, config: Config, now: number): Notice | null {
  const situation = { isFirst: list.updatedAt === 0, isForeignMerchant: stores.accountId !== config.account_id };
  return noticeView(list.problem, list.problemAt, now, situation, config);
}

/** Return the notice of a problem; null without one. `at`: when the problem arrived. */
function noticeView(
  problem: Problem | undefined,
  at: number,
  now: number,
  situation: { isFirst: boolean; isForeignMerchant: boolean },
  config: Config,
): Notice | null {
  return problem ? noticeOf(problem, { ...situation, help: helpOf(config), age: now - at }) : null;
}

function helpOf({ help }: Config): string {
  return help || DEFAULT_HELP;
}

function updatedText(list: ListState, now: number): string {
  return isStale(list) ? `上次更新 ${clockText(list.updatedAt, now)}` : "";
}
