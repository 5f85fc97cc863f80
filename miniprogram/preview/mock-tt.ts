/**
 * Mock of Douyin's `tt` API, built on fetch and the mock platform. The preview and the client's tests use it.
 *
 * It has the functions that this mini-program calls, except for navigation, which phone.ts adds; and tt.showModal for
 * `beforeLogin`. Like Douyin's `tt`, it calls `success` for every HTTP status, passes a body that is not JSON as text, and
 * returns copies from the storage.
 */

import type * as tt from "@douyin-microapp/typings/types/api";

/** One finished tt.request. */
export interface Call {
  method: string;
  url: string;
  /** HTTP status; 0 without a response. */
  status: number;
  body: unknown;
}

export interface PhoneOptions {
  /** Base URL of the mock platform, or of a proxy to it. */
  sandboxUrl: string;
  appId: string;
  /** Key of a customer of the mock platform; empty if nobody is logged in to Douyin. */
  customer: string;
  storage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  /** Font size setting of the phone, in pixels. */
  fontSize?: number;
  /** Position of the phone. Without it, the user refuses tt.getLocation. */
  position?: { latitude: number; longitude: number };
  onCall?: (call: Call) => void;
  onLogin?: () => void;
  onToast?: (text: string) => void;
  /** Show tt.showModal's dialog, and resolve to whether it was confirmed. Default: every dialog is confirmed. */
  onModal?: (options: ModalOptions) => Promise<boolean>;
  onStopPullDownRefresh?: () => void;
}

export type ModalOptions = Parameters<typeof tt.showModal>[0];

/** The type of the real `tt`. A mock has only the functions that `createMockTt` returns. */
export type MockTt = typeof tt;

type Callbacks = { success?: (result: never) => void; complete?: (result: never) => void } | undefined;

/** Call `success` and `complete`, as a function of tt does when it succeeds. */
function succeed(name: string, options: Callbacks, result: object = {}): void {
  const answer = { errMsg: `${name}:ok`, ...result } as never;
  options?.success?.(answer);
  options?.complete?.(answer);
}

/** Create the `tt` of one phone. */
export function createMockTt(phone: PhoneOptions): MockTt {
  const { storage } = phone;
  const getStorageSync = (key: string): unknown => JSON.parse(storage.getItem(key) ?? '""');
  const setStorageSync = (key: string, data: unknown): void => storage.setItem(key, JSON.stringify(data));
  const functions = {
    login: (options: Parameters<typeof tt.login>[0]) => {
      phone.onLogin?.();
      issueCode(phone).then(
        (code) => options.success?.({ errMsg: "login:ok", code, anonymousCode: "anonymous", isLogin: true }),
        () => options.fail?.({ errMsg: "login:fail auth deny" }),
      );
    },
    request: (options: Parameters<typeof tt.request>[0]) => request(options, phone),
    getStorageSync,
    setStorageSync,
    removeStorageSync: (key: string) => storage.removeItem(key),
    getSystemInfoSync: () => ({ appName: "Douyin", platform: "android", fontSizeSetting: phone.fontSize ?? 16 }),
    getEnvInfoSync: () => ({ microapp: { mpVersion: "", envType: "development", appId: phone.appId } }),
    getLocation: ({ success, fail }: Parameters<typeof tt.getLocation>[0]) => {
      if (phone.position) {
        success?.({ errMsg: "getLocation:ok", ...phone.position } as Parameters<NonNullable<typeof success>>[0]);
      } else {
        fail?.({ errMsg: "getLocation:fail auth deny" });
      }
    },
    showToast: (options: Parameters<typeof tt.showToast>[0]) => {
      phone.onToast?.(options.title);
      succeed("showToast", options);
    },
    showModal: (options: ModalOptions) => {
      const answer = phone.onModal ? phone.onModal(options) : Promise.resolve(true);
      answer.then((confirm) => options.success?.({ errMsg: "showModal:ok", confirm, cancel: !confirm }));
    },
    makePhoneCall: (options: Callbacks) => succeed("makePhoneCall", options),
    stopPullDownRefresh: (options: Callbacks) => {
      phone.onStopPullDownRefresh?.();
      succeed("stopPullDownRefresh", options);
    },
  };
  // The results have only the fields that the mini-program reads, so the types do not match in full.
  return functions as unknown as MockTt;
}

async function issueCode(phone: PhoneOptions): Promise<string> {
  const body = JSON.stringify({ app_id: phone.appId, customer: phone.customer });
  const response = await fetch(`${phone.sandboxUrl}/_sandbox/codes`, { method: "POST", body });
  if (!response.ok) {
    throw new Error("not logged in to Douyin");
  }
  return ((await response.json()) as { code: string }).code;
}

function request(options: Parameters<typeof tt.request>[0], phone: PhoneOptions): { abort: () => void } {
  const { url, method = "GET", header = {}, data, success, fail } = options;
  const { timeout = 60_000 } = options as { timeout?: number };
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new Error("timeout")), timeout);
  const report = (status: number, body: unknown) => phone.onCall?.({ method, url, status, body });

  async function send(): Promise<void> {
    let response: Response;
    let text: string;
    try {
      const init: RequestInit = { method, headers: header as Record<string, string>, signal: controller.signal };
      response = await fetch(url, data === undefined ? init : { ...init, body: JSON.stringify(data) });
      text = await response.text();
    } catch (error) {
      const reason = controller.signal.aborted ? (controller.signal.reason as Error).message : String(error);
      report(0, reason);
      fail?.({ errMsg: `request:fail ${reason}` });
      return;
    } finally {
      clearTimeout(timer);
    }
    const body = parseBody(text);
    report(response.status, body);
    success?.({ errMsg: "request:ok", statusCode: response.status, header: {}, data: body as object | string });
  }

  void send();
  return { abort: () => controller.abort(new Error("abort")) };
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
