/** What the pages show: their data, from the states of the list and of the stores. Pure functions. */

import type { Certificate, Problem } from "../../client/client";
import type { Config } from "../../settings";
import { daysBetween } from "./dates";
import { detailOf } from "./detail";
import {
  countText,
  DEFAULT_HELP,
  dialogOf,
  type Notice,
  noticeOf,
  searchedText,
  stepsOf,
  UNKNOWN_HELP,
  unusableText,
  waitingText,
  waitLeft,
} from "./messages";
import { cardsOf, titleOf } from "./rows";
import { canLoadMore, isEmpty, type ListState, orderText, shownCertificate } from "./state";
import { canChoose, canLocate, type StoreState } from "./storeState";
import { storeHeader, storeRows } from "./stores";
import { isAnyRunning, isKept, isSubmitted, type Submissions } from "./submission";
import { ANY_AGE, isValid, staleText, type Use, type Verdict, verdictOf } from "./verdict";

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
    ...headerOf(stores, now),
    canChoose: canChoose(stores),
    loading,
    loadingMore: activity === "more",
    slowness: waiting,
    slownessText: waitingText(waiting),
    more: canLoadMore(list),
    empty,
    notice: list.notice,
    searched: canLoadMore(list) && !certificates.length ? searchedText(list.parts) : "",
    unusable: (more && certificates.length) || loading || problem ? "" : unusableText(unusable),
    stale: list.isStale ? `! ${staleText(list, now)}` : "",
    problem: listNotice(list, stores, config, now),
    problemBelow,
    // Under a problem, it would invite refunds at the counter.
    refundable: certificates.length > 0 && !problem,
    help: helpOf(config),
  };
}

/** Return the cards, with the group `openedId` opened, and until when they hold (epoch seconds). */
export function cardsView(list: ListState, submissions: Submissions, config: Config, openedId: string, now: number) {
  const ageless = { ...list, isStale: false, updatedAt: ANY_AGE };
  const marksOf = (certificate: Certificate) => ({
    verdict: verdictOf(certificate, ageless, submissions, now),
    order: orderText(list, certificate),
  });
  const cards = (certificates: Certificate[]) =>
    cardsOf(certificates.map(shownOf(config)), marksOf, canRedeem(list, config), openedId, now);
  const usable = list.certificates.filter((certificate) => isValid(certificate, now));
  const others = list.certificates.filter((certificate) => !isValid(certificate, now));
  const unused = usable.filter(({ certificate_id }) => !isSubmitted(submissions.get(certificate_id)));
  return {
    cards: { usable: cards(usable), others: cards(others), count: countText(unused.length, list.more) },
    until: Math.min(...list.certificates.map((certificate) => marksOf(certificate).verdict.until)),
  };
}

/** The button of 券详情 that submits the certificate. */
const SUBMIT_LABELS: { [use in Use]?: string } = {
  yes: "立即核销",
  outlined: "立即核销",
  disabled: "立即核销",
  again: "再次核销",
};

/**
 * Return the data of 券详情, and until when it holds (epoch seconds). Without a certificate in the list or in a submission,
 * the list is loading, has a problem, or no longer has it.
 */
export function counterView(
  list: ListState,
  stores: StoreState,
  submissions: Submissions,
  config: Config,
  id: string,
  now: number,
) {
  const submission = submissions.get(id);
  const certificate = shownCertificate(list, id) || (isKept(submission) ? submission.certificate : undefined);
  const verdict = certificate ? verdictOf(certificate, list, submissions, now) : null;
  const action = actionOf(verdict, submissions, canRedeem(list, config));
  const title = certificate ? titleOf(certificate) : "";
  return {
    view: {
      ...headerOf(stores, now),
      verdict,
      detail: certificate ? detailOf(shownOf(config)(certificate), orderText(list, certificate), now) : null,
      ...action,
      steps: stepsOf(title, config.counterText),
      dialog: dialogOf(title, config.question, verdict?.use === "again") || null,
      notice: list.notice,
      // After a submission, the certificate may be used. A usable one has one way: the button, or the steps.
      help: isSubmitted(submission)
        ? UNKNOWN_HELP
        : verdict?.kind === "usable" || verdict?.kind === "done" || action.hasSteps
          ? config.help || ""
          : helpOf(config),
      loading: !certificate && list.activity !== "idle",
      slowness: list.waiting,
      slownessText: waitingText(list.waiting),
      problem: listNotice(list, stores, config, now),
      // After another user has logged in, nothing is said of the former user's certificate.
      goneTitle: id ? "这张券已不在可用列表中" : "请在列表中重新选择券",
      goneHint: id ? "可能已使用、已退款或已过期" : "",
    },
    until: verdict ? verdict.until : Infinity,
  };
}

/** Return the action of 券详情. `redeems`: it can submit certificates; a hook that runs goes on in any case. */
function actionOf(verdict: Verdict | null, submissions: Submissions, redeems: boolean) {
  const use = verdict ? verdict.use : "no";
  const label = SUBMIT_LABELS[use];
  const isWaiting = isAnyRunning(submissions);
  const hasButton = !!label && (redeems || verdict?.kind === "busy");
  return {
    /** Submits the certificate; empty without a button. */
    button: hasButton ? (isWaiting ? "处理中…" : label) : "",
    canSubmit: hasButton && !isWaiting && use !== "disabled",
    isProminent: use === "yes",
    /** 查看其他券 */
    canLeave: use === "leave" || (use === "again" && !redeems),
    /** The way without this page. */
    hasSteps: !!label && !hasButton && use !== "again",
  };
}

/** Whether 券详情 can submit certificates. */
function canRedeem({ redeeming }: ListState, { onSelect }: Config): boolean {
  return !!onSelect && redeeming;
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
    help: helpOf(config),
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
  return problem ? noticeOf(problem, { ...situation, help: helpOf(config), wait: waitLeft(problem, at, now) }) : null;
}

function helpOf({ help }: Config): string {
  return help || DEFAULT_HELP;
}

/** `remembered`: nobody has chosen the store today. */
function headerOf({ poiId, stores, chosenAt }: StoreState, now: number) {
  return { ...storeHeader(poiId, stores), remembered: !!poiId && daysBetween(chosenAt, now) !== 0 };
}

/** Return how certificates are shown: with or without prices. */
function shownOf({ showPrices = true }: Config): (certificate: Certificate) => Certificate {
  return (certificate) => {
    const { pay_amount: _, market_price: __, ...shown } = certificate;
    return showPrices ? certificate : shown;
  };
}
