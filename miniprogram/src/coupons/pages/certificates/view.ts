/** What the pages show: their data, from the states of the list and of the stores. Pure functions. */

import type { Certificate, Problem } from "../../client/client";
import type { Config } from "../../settings";
import { daysBetween } from "./dates";
import { detailOf } from "./detail";
import {
  adviceOf,
  countText,
  DEFAULT_HELP,
  dialogOf,
  LABELS,
  type Notice,
  noticeOf,
  SUBMITTED_HELP,
  unusableText,
  waitingText,
  waitLeft,
} from "./messages";
import { cardsOf, titleOf } from "./rows";
import { canLoadMore, certificateOf, isEmpty, type ListState, shownCertificate } from "./state";
import { canChoose, canLocate, type StoreState, storeKeyOf } from "./storeState";
import { storeHeader, storeRows } from "./stores";
import { type Submission, type Submissions, submissionOf } from "./submission";
import { ANY_AGE, type Shop, staleText, verdictOf } from "./verdict";

/** The states that the pages share. */
interface Visited {
  list: ListState;
  stores: StoreState;
  submissions: Submissions;
  isRestored: boolean;
  hasStored: boolean;
  user: number;
}

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
    slownessText: waitingText(waiting, helpOf(config)),
    more: canLoadMore(list),
    empty,
    notice: list.notice,
    searched: canLoadMore(list) && !certificates.length ? "还没查完，暂无可用的券" : "",
    unusable: (more && certificates.length) || loading || problem ? "" : unusableText(unusable),
    stale: list.isStale ? staleText(list, now) : "",
    problem: listNotice(list, stores, config, now),
    problemBelow,
    // Under a problem, it would invite refunds at the counter.
    refundable: certificates.length > 0 && !problem,
    hasQualification: !!config.qualificationPage,
    help: helpOf(config),
  };
}

/** Return the cards, with the group `openedId` opened. */
export function cardsView(visit: Visited, config: Config, openedId: string, now: number) {
  const { list } = visit;
  const shop = shopOf({ ...visit, list: { ...list, isStale: false, updatedAt: ANY_AGE } }, config);
  const judge = (certificate: Certificate) => verdictOf(certificate, shop, now);
  const cards = (certificates: Certificate[]) => cardsOf(certificates.map(shownOf(config)), judge, openedId, now);
  const usable: Certificate[] = [];
  const others: Certificate[] = [];
  let plain = 0;
  for (const certificate of list.certificates) {
    const { sign, why } = judge(certificate);
    // What was submitted is not moved away from where the customer tapped it.
    const isDoubted = why && (sign === "扫" || sign === "点");
    (isDoubted ? others : usable).push(certificate);
    plain += why ? 0 : 1;
  }
  return { usable: cards(usable), others: cards(others), count: countText(plain, others.length, list.more) };
}

/**
 * Return the data of 券详情. Without a certificate in the list or in a submission, the list is loading, has a problem, or
 * no longer has it.
 */
export function counterView(visit: Visited, config: Config, id: string, now: number) {
  const { list, stores, submissions, user } = visit;
  const submission = submissionOf(submissions, id);
  const certificate = shownCertificate(list, id) || (submission?.user === user ? submission.certificate : undefined);
  const shop = shopOf(visit, config);
  const verdict = certificate ? verdictOf(certificate, shop, now) : null;
  const { sign = "", use = "no", why = "" } = verdict || {};
  const title = certificate ? titleOf(certificate) : "";
  const header = headerOf(stores, now);
  const isElsewhere = submission && submission.store !== shop.store;
  // Beside another store's record, no number of this one.
  const contact = isElsewhere ? contactOf(submission, stores) : { phone: header.phone, contact: "门店" };
  const helped = withHelp(visit, config);
  const { help } = helped;
  const problem = listNotice(list, stores, helped, now);
  const loading = !certificate && list.activity !== "idle";
  return {
    ...header,
    ...contact,
    verdict,
    reasons: verdict ? verdict.reason.replace(/。/g, "。\n").split("\n") : [],
    /** No scan and no tap before the record was looked up. */
    isStop: sign === "等" || sign === "查",
    detail: certificate ? detailOf(shownOf(config)(certificate), now) : null,
    /** Submits the certificate; empty without a button. During an update, its list may not have it yet. */
    button: LABELS[use],
    canSubmit: use !== "no" && !!certificateOf(list, id),
    /** 查看其他券 */
    canLeave: sign === "查",
    advice: adviceOf(sign, why),
    dialog: dialogOf(title, header.store, config.question, why, use),
    notice: list.notice,
    help: sign ? (sign === "扫" && config.help) || "" : help,
    loading,
    slownessText: waitingText(list.waiting, help),
    problem,
    /** Seconds until the list can be read again. */
    wait: problem ? problem.wait : 0,
    // After another user has logged in, nothing is said of the former user's certificate.
    goneTitle: id ? "这里看不到这张券" : "请在列表中重新选择券",
  };
}

/** Return the number and the name of the store of a submission; empty if this merchant does not list it. */
function contactOf({ store }: Submission, stores: StoreState) {
  const [there] = stores.stores.filter(({ poi_id }) => storeKeyOf({ ...stores, poiId: poi_id }) === store);
  return { phone: there?.phone || "", contact: there ? `「${there.name}」` : "" };
}

/** Return the settings with what to do on a page that cannot help: never that nothing was paid after a submission. */
export function withHelp({ submissions, isRestored, hasStored, user }: Visited, config: Config) {
  const isStored = !!config.onSelect && !isRestored && hasStored;
  const isOpen = isStored || submissions.some((each) => each.user === user);
  return { ...config, help: isOpen ? SUBMITTED_HELP : helpOf(config) };
}

function helpOf({ help }: Config): string {
  return help || DEFAULT_HELP;
}

function shopOf({ list, stores, submissions, isRestored, user }: Visited, config: Config): Shop {
  return {
    list,
    submissions,
    user,
    redeems: !!config.onSelect && list.redeeming && isRestored,
    store: storeKeyOf(stores),
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
    slownessText: waitingText(waiting, helpOf(config)),
    canLocate: canLocate(state),
    located: !!position,
    locating: LOCATING_TEXTS[locating],
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
