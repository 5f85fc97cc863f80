/** Calls of the program's hook, and what the lists that were read after them say. Pure functions. */

import type { Certificate } from "../../client/client";
import { certificateOf, isComplete, type ListState } from "./state";

/** The last call of the hook for a certificate. */
export interface Submission {
  /** Number of the call. */
  call: number;
  /** As it was submitted. */
  certificate: Certificate;
  /** The store of the list, as one text. */
  store: string;
  /**
   * `returned`: without a promise. What it began may go on: only a list without the certificate shows its end.
   * `unknown`: failed, too long, or a result that says neither yes nor no.
   */
  state: "running" | "returned" | "submitted" | "unknown";
  /** When this state began, in epoch seconds. */
  at: number;
  /** Number of its end; 0 while it runs. */
  end: number;
  /** Number of the last list that began before the hook ended: only later ones count. */
  endedIn: number;
  /** Number of the last list that is read for this submission; infinite until it begins. */
  lastRead: number;
  /** What the newest list that counts says. */
  seen: Seen | undefined;
}

export interface Seen {
  /** Number of the list. */
  read: number;
  /** Epoch seconds. */
  at: number;
  /** The certificate in this list; undefined if the complete list does not have it. */
  certificate: Certificate | undefined;
}

/** The last call of the hook for each certificate_id. */
export type Submissions = ReadonlyMap<string, Submission>;

/** After this time, a hook that still runs may have broken off. */
export const MAX_RUN_SECONDS = 60;
/** When the list is read again after a call of the hook. */
export const READ_AFTER_SECONDS = [3, 10, 30];

/** How a call ends; `cancelled`: nothing was submitted. */
export type End = Exclude<Submission["state"], "running"> | "cancelled";

export function newSubmission(call: number, certificate: Certificate, store: string, now: number): Submission {
  const unread = { end: 0, endedIn: Infinity, lastRead: Infinity, seen: undefined };
  return { call, certificate, store, state: "running", at: now, ...unread };
}

/** Return how a call ends by what its hook has returned, or by what its promise resolves to. */
export function stateOf(result: unknown, isPromise: boolean): End {
  if (result === false) {
    return "cancelled";
  }
  if (!isPromise) {
    return "returned";
  }
  return result === true || result === undefined ? "submitted" : "unknown";
}

/** Return the submission with the result of a list of its store: the certificate is still there, or it is gone. */
export function withList(submission: Submission, list: ListState): Submission {
  const certificate = certificateOf(list, submission.certificate.certificate_id);
  if (submission.state === "running" || list.shownRead <= submission.endedIn || !(certificate || isComplete(list))) {
    return submission;
  }
  const state = submission.state === "returned" && !certificate ? "submitted" : submission.state;
  return { ...submission, state, seen: { read: list.shownRead, at: list.updatedAt, certificate } };
}

/** Whether uses of a times card have been redeemed since it was submitted. */
export function isFewer({ certificate, seen }: Submission): boolean {
  const [before, after] = [certificate, seen?.certificate].map((each) => each?.times?.usable);
  return before !== undefined && after !== undefined && after < before;
}

/** Whether the hook runs, and has not run for too long. */
export function isRunning(submission: Submission | undefined): boolean {
  return submission?.state === "running";
}

/** Whether the hook runs for any certificate. */
export function isAnyRunning(submissions: Submissions): boolean {
  return Array.from(submissions.values()).some(isRunning);
}

/** Whether a certificate may have been redeemed: then it is shown also when it has left the list. */
export function isKept(submission: Submission | undefined): submission is Submission {
  return !!submission && submission.state !== "returned";
}

/** Whether a certificate may have been redeemed, so that it must not be counted as usable. */
export function isSubmitted(submission: Submission | undefined): boolean {
  return isKept(submission) && !isFewer(submission);
}
