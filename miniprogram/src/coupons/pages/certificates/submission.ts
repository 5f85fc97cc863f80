/** Calls of the program's hook, and what the lists that were read after them say. Pure functions. */

import type { Certificate } from "../../client/client";
import { certificateOf, isComplete, type ListState } from "./state";

/** What is stored of a submission, for a restart of the program. */
export interface Tap {
  /** The certificate_id. */
  id: string;
  /** Uses of a times card before it. */
  uses?: number | undefined;
  /** The store, as one text, and its name. */
  store: string;
  storeName: string;
  /** Epoch seconds. */
  at: number;
}

/** The last call of the hook for a certificate. */
export interface Submission extends Tap {
  /** Number of the call. */
  call: number;
  /** As it was submitted; undefined after a restart or a change of the user: then it is shown only from the present list. */
  certificate: Certificate | undefined;
  /** `unknown`: failed, too long, or a result other than yes and no. */
  state: "running" | "submitted" | "unknown";
  /** Number of its last end; 0 while it runs. */
  end: number;
  /** Number of the last list that began before the hook ended: only later ones count. Infinite until then. */
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

/** The last call of the hook for each certificate. */
export type Submissions = readonly Submission[];

/** After this time, a hook that still runs may have broken off. */
export const MAX_RUN_SECONDS = 60;
/** When the list is read again after a call of the hook. */
export const READ_AFTER_SECONDS = [3, 10, 30];
/** A submission is shown until this time after the tap, whatever the list has. */
export const SHOW_SECONDS = 7200;

/** How a call ends; `cancelled`: nothing was submitted. */
export type End = Exclude<Submission["state"], "running"> | "cancelled";

const UNREAD = { end: 0, endedIn: Infinity, lastRead: Infinity, seen: undefined };

export function newSubmission(call: number, certificate: Certificate, tap: Omit<Tap, "id" | "uses">): Submission {
  const { certificate_id: id, times } = certificate;
  return { ...UNREAD, ...tap, id, uses: times?.usable, call, certificate, state: "running" };
}

/** Return a submission of a former start of the program: how its call has ended is not known. */
export function restored(tap: Tap): Submission {
  return { ...UNREAD, ...tap, call: 0, certificate: undefined, state: "unknown", endedIn: 0 };
}

/** Read what was stored, at `now`. Throws an error if it is something else. */
export function readTaps(stored: unknown, now: number): Tap[] {
  return (stored as Tap[]).filter(({ id, at }) => typeof id === "string" && now < at + SHOW_SECONDS);
}

/** Return how a call ends by what the promise of its hook resolves to. */
export function endOf(result: unknown): End {
  return result === true ? "submitted" : result === false ? "cancelled" : "unknown";
}

/** Return the submission with the result of a list of its store: the certificate is still there, or it is gone. */
export function withList(submission: Submission, list: ListState): Submission {
  const certificate = certificateOf(list, submission.id);
  return list.shownRead <= submission.endedIn || !(certificate || isComplete(list))
    ? submission
    : { ...submission, seen: { read: list.shownRead, at: list.updatedAt, certificate } };
}

/** Return the uses of a times card that have been redeemed since it was submitted; 0 if none is known. */
export function usedSince({ uses = 0, seen }: Submission): number {
  return Math.max(0, uses - (seen?.certificate?.times?.usable ?? uses));
}

/** Whether the last list that is read for it has the certificate. */
export function isStillListed({ seen, lastRead }: Submission): boolean {
  return !!seen?.certificate && seen.read >= lastRead;
}

/** Whether the hook runs, and has not run for too long. */
export function isRunning({ state }: Submission): boolean {
  return state === "running";
}

/** Return the last submission of a certificate. */
export function submissionOf(submissions: Submissions, id: string): Submission | undefined {
  return submissions.filter((submission) => submission.id === id)[0];
}

/** Return the submission of a certificate that is shown at `now`. */
export function shownSubmission(submissions: Submissions, id: string, now: number): Submission | undefined {
  const isShown = (submission: Submission) => isRunning(submission) || now < submission.at + SHOW_SECONDS;
  return submissions.filter((submission) => submission.id === id && isShown(submission))[0];
}
