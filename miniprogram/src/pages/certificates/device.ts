/** What the page needs of the phone: clock, storage, text size, position. */

import { LATE_SECONDS, SLOW_SECONDS, type Waiting } from "./messages";
import type { Position } from "./stores";

/** Base font sizes in pixels; all text on the page is relative to them. */
const TEXT_SIZES = [16, 24, 32];
const TEXT_SIZE_KEY = "redemption.text_size";
const LOCATION_SCOPE = "scope.userLocation";

export function epochSeconds(): number {
  return Date.now() / 1000;
}

/** Report that a request takes long. The receiver ignores the report if the request has ended. */
export function reportWaiting(report: (waiting: Waiting) => void): void {
  setTimeout(() => report("slow"), SLOW_SECONDS * 1000);
  setTimeout(() => report("late"), LATE_SECONDS * 1000);
}

/** Return the merchant's store that the customer chose last; empty if there is none, or the storage is broken. */
export function readLastStore(accountId: string): string {
  const stored = read(storeKey(accountId));
  return typeof stored === "string" ? stored : "";
}

export function saveLastStore(accountId: string, poiId: string): void {
  tt.setStorage({ key: storeKey(accountId), data: poiId });
}

/** Return the customer's stored choice, or the phone's font size if Douyin reports it. */
export function initialTextSize(): number {
  const [smallest, largest] = [TEXT_SIZES[0] as number, TEXT_SIZES[TEXT_SIZES.length - 1] as number];
  const stored = read(TEXT_SIZE_KEY);
  const { fontSizeSetting } = tt.getSystemInfoSync() as { fontSizeSetting?: number };
  const size = typeof stored === "number" ? stored : fontSizeSetting || smallest;
  return Math.min(largest, Math.max(smallest, size));
}

/** Store and return the next text size; after the largest, the smallest. */
export function changeTextSize(size: number): number {
  const next = TEXT_SIZES.filter((larger) => larger > size)[0] || (TEXT_SIZES[0] as number);
  tt.setStorage({ key: TEXT_SIZE_KEY, data: next });
  return next;
}

/** Ask for the position. Douyin asks the customer the first time only. Undefined if it is refused. */
export function readPosition(): Promise<Position | undefined> {
  return new Promise((resolve) => {
    tt.getLocation({ type: "gcj02", success: resolve, fail: () => resolve(undefined) });
  });
}

/** Whether the customer has allowed the position before. Asks nothing. */
export function isPositionAllowed(): Promise<boolean> {
  return new Promise((resolve) => {
    tt.getSetting({ success: (settings) => resolve(allowsPosition(settings)), fail: () => resolve(false) });
  });
}

/** Open Douyin's settings of this mini-program. Resolves to whether they allow the position. */
export function openSettings(): Promise<boolean> {
  return new Promise((resolve) => {
    tt.openSetting({ success: (settings) => resolve(allowsPosition(settings)), fail: () => resolve(false) });
  });
}

/** Copy a text, and say so. */
export function copy(text: string): void {
  tt.setClipboardData({ data: text, success: () => tt.showToast({ title: "已复制", icon: "none" }) });
}

function storeKey(accountId: string): string {
  return `redemption.store.${accountId}`;
}

function allowsPosition({ authSetting }: { authSetting: object }): boolean {
  return !!(authSetting as { [scope: string]: boolean })[LOCATION_SCOPE];
}

function read(key: string): unknown {
  try {
    return tt.getStorageSync(key);
  } catch (_) {
    return undefined;
  }
}
