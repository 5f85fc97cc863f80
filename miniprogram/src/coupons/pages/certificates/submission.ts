/** Submissions of certificates to the hook `onSelect`, and what later lists say of them. Pure functions. */

import type { Certificate } from "../../client/client";
import { certificateOf, isComplete, type ListState } from "./state";

/** What is stored of a submission, for a restart of the program. */
export interface StoredSubmission {
  /** The certificate_id. */
  id: string;
  /** Uses of a times card before it. */
  uses?: number | undefined;
  /** The store, as one text, and its name. */
  store: string;
  storeName: string;
  /** Epoch seconds. Only its text is shown: a timer ends the submission, because the phone's clock may be corrected. */
  at: number;
}

/** A certificate that was given to the hook `onSelect`. */
export interface Submission extends StoredSubmission {
  /** Its number since the program was started. */
  key: number;
  /** Number of the user who has made it. */
  user: number;
  /** As it was listed last; undefined after a restart, until a list has it. */
  certificate: Certificate | undefined;
  /** `unknown`: failed, too long, or a result other than yes and no. */
  state: "running" | "submitted" | "unknown";
  /** Number of the last list that began before the hook ended: only later ones count. Infinite until then. */
  endedIn: number;
  /** The same for the last of `READ_AFTER_SECONDS`: only a later list can offer another submission. */
  waitedIn: number;
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

/** In the order of the taps: the last one of a certificate counts. */
export type Submissions = readonly Submission[];

/** After this time, a hook that still runs may have broken off. */
export const MAX_RUN_SECONDS = 60;
/** When the list is read again after a submission. */
export const READ_AFTER_SECONDS = [3, 15, 60];
/** A submission is shown until this time after the tap, whatever the list has. */
export const SHOW_SECONDS = 7200;

/** How a submission ends; `cancelled`: nothing was submitted. */
export type End = Exclude<Submission["state"], "running"> | "cancelled";

const RUNNING = { state: "running", endedIn: Infinity, waitedIn: Infinity, seen: undefined } as const;

export function newSubmission(
  key: number,
  user: number,
  certificate: Certificate,
  tap: Omit<StoredSubmission, "id" | "uses">,
): Submission {
  const { certificate_id: id, times } = certificate;
  return { ...tap, id, uses: times?.usable, key, user, certificate, ...RUNNING };
}

/** Return a submission of a former start of the program: how it has ended is not known. */
export function restored(key: number, user: number, stored: StoredSubmission): Submission {
  return {
    ...stored,
    key,
    user,
    certificate: undefined,
    state: "unknown",
    endedIn: 0,
    waitedIn: Infinity,
    seen: undefined,
  };
}

/** Read what was stored, and is still shown at `now`. */
export function readStored(stored: unknown, now: number): StoredSubmission[] {
  const isTap = ({ id, store, storeName, at }: StoredSubmission) =>
    [id, store, storeName].every((text) => typeof text === "string") && now < at + SHOW_SECONDS;
  return Array.isArray(stored) ? stored.filter((tap) => isTap(Object(tap))) : [];
}

/** Return how long a submission is shown that was stored: not longer than a new one if the clock was set back. */
export function secondsLeft({ at }: StoredSubmission, now: number): number {
  return Math.min(SHOW_SECONDS, at + SHOW_SECONDS - now);
}

/** Return how a submission ends by what the promise of its hook resolves to. */
export function endOf(result: unknown): End {
  return result === true ? "submitted" : result === false ? "cancelled" : "unknown";
}

/**
 * Return the submission with the result of the list of this user and store: the certificate is still there, or it is gone.
 * A submission belongs to the user whose list has its certificate.
 */
export function withList(submission: Submission, list: ListState, store: string, user: number): Submission {
  const certificate = certificateOf(list, submission.id);
  const own = certificate ? { ...submission, user, certificate } : submission;
  const isSeen = certificate || (own.user === user && isComplete(list));
  return isSeen && own.store === store && list.shownRead > own.endedIn
    ? { ...own, seen: { read: list.shownRead, at: list.updatedAt, certificate } }
    : own;
}

/** Return the uses of a times card that have been redeemed since it was submitted; 0 if none is known. */
export function usedSince({ uses = 0, seen }: Submission): number {
  return Math.max(0, uses - (seen?.certificate?.times?.usable ?? uses));
}

/** Whether a list that began long enough after the submission has the certificate. */
export function isStillListed({ seen, waitedIn }: Submission): boolean {
  return !!seen?.certificate && seen.read > waitedIn;
}

/** Whether the hook runs, and has not run for too long. */
export function isRunning({ state }: Submission): boolean {
  return state === "running";
}

/** Return the last submission of a certificate. */
export function submissionOf(submissions: Submissions, id: string): Submission | undefined {
  return submissions.filter((submission) => submission.id === id).pop();
}
