/**
 * Reads the bodies of responses, and the values in the phone's storage.
 *
 * A member whose type is not the documented one is removed. Unknown members are kept. An element of a list is removed
 * if it lacks a required member. If the rest cannot be used, a reader throws; `readServerProblem` returns undefined.
 */

import type { components } from "./api";

type Schemas = components["schemas"];
/** One of the known values, or a text that a newer service sends. */
export type OrNewer<Known extends string> = Known | (string & {});

/** The kinds of certificates that this client knows. */
export type Kind = Schemas["Certificate"]["kind"];
/** One certificate of the list. Amounts are in 分, times in epoch seconds, ids are strings. */
export interface Certificate extends Omit<Schemas["Certificate"], "kind"> {
  kind: OrNewer<Kind>;
}
/** The list of one response. A cursor leads to the next part. */
export interface ListPart extends Omit<Schemas["List"], "certificates"> {
  certificates: Certificate[];
}
/** A merchant, and where it can be visited. Without `stores`, every store of the merchant is served. */
export type Merchant = Schemas["Stores"];
/** A store. The position is in GCJ-02; use it only if both coordinates are there. */
export type Store = Schemas["Store"];
export type ServerProblem = Schemas["Problem"];
export type SessionResponse = Schemas["Session"];

export interface Session {
  token: string;
  /** Epoch milliseconds. */
  endsAt: number;
}

export interface StoredMerchant {
  merchant: Merchant;
  /** Epoch milliseconds. */
  readAt: number;
}

/**
 * A value with every member of `T`: `keepTyped` takes the types from it. A sample that lacks a member of `T`, or has
 * another one, does not compile.
 */
type Sample<T> = T extends object ? { [name in keyof T]-?: Sample<NonNullable<T[name]>> } : T;

const CERTIFICATE: Sample<Certificate> = {
  certificate_id: "",
  order_id: "",
  sku_id: "",
  title: "",
  kind: "other",
  pay_amount: 0,
  original_amount: 0,
  market_price: 0,
  start_time: 0,
  expire_time: 0,
  code_tail: "",
  is_transfer_asset: true,
  times: { usable: 0, total: 0, use_amount: 0, type: 0, usable_serials: [0] },
  voucher: { description: "", min_amount: 0, max_amount: 0 },
  lock: { status: 0, scene: 0 },
  off_peak: { limit_type: 0, start_time: 0, end_time: 0, weekdays: [0], hours: [[""]] },
};
const PART: Sample<Omit<ListPart, "certificates">> = {
  account_id: "",
  poi_id: "",
  unusable: { not_started: 0, expired: 0, other: 0 },
  next_cursor: "",
  notice: "",
  redeeming: false,
};
const STORE: Sample<Store> = { poi_id: "", name: "", address: "", phone: "", latitude: 0, longitude: 0 };
const MERCHANT: Sample<Omit<Merchant, "stores">> = { account_id: "", name: "" };
const SESSION: Sample<Omit<SessionResponse, "list" | "list_problem">> = { token: "", expires_in: 0 };
const PROBLEM: Sample<Omit<ServerProblem, "type" | "upstream">> = {
  code: "internal_error",
  detail: "",
  title: "",
  status: 0,
  retryable: true,
  retry_after: 0,
  request_id: "",
  errors: [{ field: "", detail: "" }],
};

export function readPart(body: unknown): ListPart {
  const list = need<ListPart>("list", keepTyped(body, PART));
  // A malformed cursor has been removed. Throw, because without a cursor the list would seem to end here.
  need("next_cursor", list.next_cursor || !(body as ListPart).next_cursor);
  list.certificates = elements<Certificate>("certificates", list.certificates, CERTIFICATE, [
    "certificate_id",
    "order_id",
  ]).map((certificate) => Object.assign({ kind: "other" }, certificate));
  return list;
}

export function readMerchant(body: unknown): Merchant {
  const merchant = need<Merchant>("merchant", keepTyped(body, MERCHANT, ["account_id"]));
  if (merchant.stores !== undefined) {
    merchant.stores = elements("stores", merchant.stores, STORE, ["poi_id", "name"]);
  }
  return merchant;
}

/** Read the response to a login, except for its list. */
export function readSessionResponse(body: unknown): SessionResponse {
  return need("session", keepTyped(body, SESSION, ["token", "expires_in"]));
}

/** Read a problem; undefined if the body is not one. */
export function readServerProblem(body: unknown): ServerProblem | undefined {
  return keepTyped(body, PROBLEM, ["code", "detail"]) as ServerProblem | undefined;
}

export function readStoredSession(stored: unknown): Session {
  return need("session", keepTyped(stored, { token: "", endsAt: 0 }, ["token", "endsAt"]));
}

export function readStoredMerchant(stored: unknown): StoredMerchant {
  const { merchant, readAt } = need<StoredMerchant>("stores", keepTyped(stored, { readAt: 0 }, ["readAt"]));
  return { merchant: readMerchant(merchant), readAt };
}

function need<T>(name: string, value: unknown): T {
  if (!value) {
    throw new Error(`malformed ${name}`);
  }
  return value as T;
}

/** Return the elements that can be used. Throw if there are elements, but none of them can be used. */
function elements<T>(name: string, values: unknown, sample: Sample<T>, required: string[]): T[] {
  const all = need<unknown[]>(name, Array.isArray(values) && values);
  const usable = all.map((value) => keepTyped(value, sample, required)).filter((value) => value);
  need(name, usable.length || !all.length);
  return usable as T[];
}

/**
 * Return `value` if it has the type of the sample; otherwise undefined.
 *
 * Members of a wrong type are removed from an object. The result is undefined if a required member is missing or empty,
 * or if one element of an array has a wrong type.
 */
function keepTyped(value: unknown, sample: unknown, required: string[] = []): unknown {
  if (Array.isArray(sample)) {
    const kept = Array.isArray(value) ? value.map((element) => keepTyped(element, sample[0])) : [undefined];
    return kept.indexOf(undefined) < 0 ? kept : undefined;
  }
  if (typeof value !== typeof sample || value === null || Array.isArray(value)) {
    return undefined;
  }
  if (typeof value !== "object") {
    return typeof value === "number" && !Number.isFinite(value) ? undefined : value;
  }
  const members = Object.assign({}, value) as { [name: string]: unknown };
  for (const name of Object.keys(sample as object)) {
    const member = keepTyped(members[name], (sample as typeof members)[name]);
    if (member === undefined) {
      delete members[name];
    } else {
      members[name] = member;
    }
  }
  return required.every((name) => members[name] !== undefined && members[name] !== "") ? members : undefined;
}
