/**
 * What Douyin puts around a mini-program, as far as this one calls it: `tt` over fetch and the stand-in platform.
 * It runs in the preview and under the client's tests. Where the platform is odd, so is this: `success` for every
 * status, a body that is parsed where it can be and text where it cannot, a storage that hands out copies.
 */

import type * as tt from "@douyin-microapp/typings/types/api";

/** One tt.request that has ended. */
export interface Call {
  method: string;
  url: string;
  /** 0 where no answer came. */
  status: number;
  milliseconds: number;
  body: unknown;
  requestId: string;
}

export interface World {
  /** The stand-in's origin, or where it is passed on to. */
  sandboxUrl: string;
  appId: string;
  /** Whose phone it is: a key of the stand-in's customers; empty: nobody is logged in to Douyin. */
  customer: string;
  storage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  /** What the phone's font setting is, in pixels. */
  fontSize?: number;
  /** Where the phone is; without it the user refuses to tell. */
  place?: { latitude: number; longitude: number };
  onCall?: (call: Call) => void;
  onLogin?: () => void;
  onStopPullDownRefresh?: () => void;
  onPhoneCall?: (phoneNumber: string) => void;
}

type Implemented =
  | "login"
  | "request"
  | "getStorageSync"
  | "setStorageSync"
  | "setStorage"
  | "removeStorageSync"
  | "getSystemInfoSync"
  | "getEnvInfoSync"
  | "getLocation"
  | "makePhoneCall"
  | "stopPullDownRefresh";

export type Platform = Pick<typeof tt, Implemented>;

/** Make a `tt` for one phone. */
export function createPlatform(world: World): Platform {
  const { storage } = world;
  const getStorageSync = (key: string): unknown => JSON.parse(storage.getItem(key) ?? '""');
  const setStorageSync = (key: string, data: unknown): void => storage.setItem(key, JSON.stringify(data));
  const made = {
    login: (options: Parameters<typeof tt.login>[0]) => {
      world.onLogin?.();
      codeFor(world).then(
        (code) => options.success?.({ errMsg: "login:ok", code, anonymousCode: "anonymous", isLogin: true }),
        () => options.fail?.({ errMsg: "login:fail auth deny" }),
      );
    },
    request: (options: Parameters<typeof tt.request>[0]) => request(options, world),
    getStorageSync,
    setStorageSync,
    setStorage: ({ key, data, success }: Parameters<typeof tt.setStorage>[0]) => {
      setStorageSync(key, data);
      success?.({ errMsg: "setStorage:ok" });
    },
    removeStorageSync: (key: string) => storage.removeItem(key),
    getSystemInfoSync: () => ({ appName: "Douyin", platform: "android", fontSizeSetting: world.fontSize ?? 16 }),
    getEnvInfoSync: () => ({ microapp: { mpVersion: "", envType: "development", appId: world.appId } }),
    getLocation: ({ success, fail }: Parameters<typeof tt.getLocation>[0]) => {
      if (world.place) {
        success?.({ errMsg: "getLocation:ok", ...world.place } as Parameters<NonNullable<typeof success>>[0]);
      } else {
        fail?.({ errMsg: "getLocation:fail auth deny" });
      }
    },
    makePhoneCall: ({ phoneNumber, success }: Parameters<typeof tt.makePhoneCall>[0]) => {
      world.onPhoneCall?.(phoneNumber);
      success?.({ errMsg: "makePhoneCall:ok" });
    },
    stopPullDownRefresh: ({ success }: Parameters<typeof tt.stopPullDownRefresh>[0]) => {
      world.onStopPullDownRefresh?.();
      success?.({ errMsg: "stopPullDownRefresh:ok" });
    },
  };
  // What nothing here reads of the phone's own description is left out.
  return made as unknown as Platform;
}

async function codeFor(world: World): Promise<string> {
  const body = JSON.stringify({ app_id: world.appId, customer: world.customer });
  const answer = await fetch(`${world.sandboxUrl}/_sandbox/codes`, { method: "POST", body });
  if (!answer.ok) {
    throw new Error("not logged in to Douyin");
  }
  return ((await answer.json()) as { code: string }).code;
}

function request(options: Parameters<typeof tt.request>[0], world: World): { abort: () => void } {
  const { url, method = "GET", header = {}, data, success, fail } = options;
  const { timeout = 60_000 } = options as { timeout?: number };
  const controller = new AbortController();
  const late = setTimeout(() => controller.abort(new Error("timeout")), timeout);
  const begun = performance.now();
  const end = (status: number, body: unknown, requestId: string) =>
    world.onCall?.({ method, url, status, milliseconds: performance.now() - begun, body, requestId });

  async function exchange(): Promise<void> {
    let answer: Response;
    let text: string;
    try {
      const init: RequestInit = { method, headers: header as Record<string, string>, signal: controller.signal };
      answer = await fetch(url, data === undefined ? init : { ...init, body: JSON.stringify(data) });
      text = await answer.text();
    } catch (error) {
      const why = controller.signal.aborted ? String((controller.signal.reason as Error).message) : String(error);
      end(0, why, "");
      fail?.({ errMsg: `request:fail ${why}` });
      return;
    } finally {
      clearTimeout(late);
    }
    const body = parsed(text);
    end(answer.status, body, answer.headers.get("x-request-id") ?? "");
    // Spelled otherwise than fetch spells them, as a phone may.
    const headers: Record<string, string> = {};
    answer.headers.forEach((value, name) => {
      headers[name.replace(/(^|-)([a-z])/g, (_, dash, letter) => dash + letter.toUpperCase())] = value;
    });
    success?.({ errMsg: "request:ok", statusCode: answer.status, header: headers, data: body as object | string });
  }

  void exchange();
  return { abort: () => controller.abort(new Error("abort")) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
