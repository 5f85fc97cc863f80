/** What the page needs of the phone: storage, text size, position. */

import type { Position } from "./stores";

/** Base font sizes in pixels; all text on the page is relative to them. */
const TEXT_SIZES = [16, 24, 32];
const TEXT_SIZE_KEY = "redemption.text_size";
const LOCATION_SCOPE = "scope.userLocation";

/** Read a text from the phone's storage; empty if there is none, or the storage is broken. */
export function readText(key: string): string {
  const stored = read(key);
  return typeof stored === "string" ? stored : "";
}

export function storeText(key: string, text: string): void {
  tt.setStorage({ key, data: text });
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
