/**
 * The functions of the phone that the pages use. Only this module of the pages calls `tt`. It needs login, request,
 * storage and navigation. Every other function may be missing, in an old base library or another host.
 */

import { attempt } from "../client/tt";
import { type Position, phoneDigits } from "./stores";

declare const console: { error(...values: unknown[]): void };

type Tt = typeof tt;
type Needed =
  | "login"
  | "request"
  | `${"get" | "set" | "remove"}StorageSync`
  | "navigateTo"
  | "redirectTo"
  | "navigateBack";

export const host: Pick<Tt, Needed> & Partial<Tt> = tt;

/** Base font sizes in pixels: all text is relative to them. templates.ttml compares with 16, too: keep them equal. */
const STANDARD_TEXT = 16;
const LARGE_TEXT = 32;
const TEXT_SIZE_KEY = "redemption.text_size";

/** Return the app_id of this mini-program; empty if the host does not name it. */
export function appId(): string {
  return attempt(() => host.getEnvInfoSync?.().microapp.appId) || "";
}

export function epochSeconds(): number {
  return Date.now() / 1000;
}

/** Call a function after some seconds. A change of the phone's clock does not matter, because a timer counts them. */
export function later(seconds: number, callback: () => void): void {
  setTimeout(callback, seconds * 1000);
}

// Navigation. `fail` is called if the page stays on the screen.

export function openPage(url: string, fail: () => void): void {
  call(host.navigateTo, { url, fail: (reason?: unknown) => navigationFailed(url, reason, fail) });
}

export function replacePage(url: string, fail: () => void): void {
  call(host.redirectTo, { url, fail: (reason?: unknown) => navigationFailed(url, reason, fail) });
}

export function closePage(fail: () => void): void {
  call(host.navigateBack, { fail });
}

function navigationFailed(url: string, reason: unknown, fail: () => void): void {
  const { errMsg = "" } = Object(reason) as { errMsg?: string };
  logOnce(`cannot open ${url.split("?")[0]} (basePath, qualificationPage, redeemPage of config.ts?) ${errMsg}`);
  fail();
}

export function stopPullDownRefresh(): void {
  call(host.stopPullDownRefresh, {});
}

/** Return the merchant's store that the customer chose last; empty if there is none, or the storage is broken. */
export function readLastStore(accountId: string): string {
  const stored = attempt(() => host.getStorageSync(storeKey(accountId)));
  return typeof stored === "string" ? stored : "";
}

export function saveLastStore(accountId: string, poiId: string): void {
  attempt(() => host.setStorageSync(storeKey(accountId), poiId));
}

/** Return the customer's stored choice, or the phone's font size if Douyin reports it. */
export function readTextSize(): number {
  const stored = attempt(() => host.getStorageSync(TEXT_SIZE_KEY) as unknown);
  const { fontSizeSetting } = (attempt(() => host.getSystemInfoSync?.()) || {}) as { fontSizeSetting?: number };
  const size = typeof stored === "number" ? stored : fontSizeSetting || STANDARD_TEXT;
  return Math.min(LARGE_TEXT, Math.max(STANDARD_TEXT, size));
}

/** Store and return the other text size: 大字, or 标准字. */
export function toggleTextSize(size: number): number {
  const next = size > STANDARD_TEXT ? STANDARD_TEXT : LARGE_TEXT;
  attempt(() => host.setStorageSync(TEXT_SIZE_KEY, next));
  return next;
}

/** Whether the host can report a position. */
export const canReadPosition = !!host.getLocation;

/** Ask for the position; undefined if it is refused. Douyin asks the customer only the first time. */
export function readPosition(): Promise<Position | undefined> {
  return new Promise((resolve) => {
    call(host.getLocation, { type: "gcj02", success: resolve, fail: () => resolve(undefined) });
  });
}

/** Dial a store's number: tt.makePhoneCall takes digits only. */
export function dial(phone: string): void {
  call(host.makePhoneCall, { phoneNumber: phoneDigits(phone), fail: () => toast(`请拨打 ${phone}`) });
}

export function toast(title: string): void {
  call(host.showToast, { title, icon: "none" });
}

/** Log an error of a function in `config.ts` for its developer. */
export function logError(name: string, error: unknown): void {
  console.error(`coupons: ${name}:`, error);
}

const warned = new Set<string>();

/** Log, once, what may help the developer: a wrong setting, or the cause of a problem. */
export function logOnce(text: string): void {
  if (!warned.has(text)) {
    warned.add(text);
    console.error("coupons:", text);
  }
}

/** Call a function of the host. If it is missing or throws, call `fail`. */
function call<O extends object>(method: ((options: O) => unknown) | undefined, options: O): void {
  try {
    (method as (options: O) => unknown).call(host, options);
  } catch (_) {
    (options as { fail?: () => void }).fail?.();
  }
}

function storeKey(accountId: string): string {
  return `redemption.store.${accountId}`;
}
