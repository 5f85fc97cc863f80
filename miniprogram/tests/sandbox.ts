/** Access to the running sandbox that the client is tested against, and mock phones that use it. */

import { type Call, createMockTt, type MockTt } from "../preview/mock-tt";
import type * as Client from "../src/coupons/client/client";
import { loadBuilt } from "./built";

const { createClient } = loadBuilt<typeof Client>("coupons/client/client");

export const APP_ID = "ttsandbox00000000a1";
export const STORE = { account_id: "7100000000000000001", poi_id: "6601" };
export const API_URL = requireEnv("API_URL");
export const SANDBOX_URL = requireEnv("SANDBOX_URL");

function requireEnv(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set: these tests need a running sandbox`);
  }
  return value;
}

/** A customer's phone: its own client and storage, its requests and the number of its logins. */
export interface Phone {
  client: Client.Client;
  calls: Call[];
  logins: number;
  stored: Map<string, string>;
}

/** Create a customer's phone. `change` may replace parts of its `tt`; `stored` may be the storage of another phone. */
export function createPhone(
  customer = "lin",
  { change = (tt: MockTt) => tt, stored = new Map<string, string>(), baseUrl = API_URL, now = Date.now } = {},
): Phone {
  const state = { calls: [] as Call[], logins: 0, stored };
  const tt = createMockTt({
    sandboxUrl: SANDBOX_URL,
    appId: APP_ID,
    customer,
    storage: {
      getItem: (key) => stored.get(key) ?? null,
      setItem: (key, value) => stored.set(key, value),
      removeItem: (key) => stored.delete(key),
    },
    onCall: (call) => state.calls.push(call),
    onLogin: () => {
      state.logins += 1;
    },
  });
  return Object.assign(state, { client: createClient({ tt: change(tt), baseUrl, appId: APP_ID }, now) });
}

/** Add a fault rule to the mock platform. */
export async function addFault(rule: object): Promise<void> {
  const response = await fetch(`${SANDBOX_URL}/_sandbox/faults`, { method: "POST", body: JSON.stringify(rule) });
  if (!response.ok) {
    throw new Error(await response.text());
  }
}

/** Remove all fault rules. */
export async function clearFaults(): Promise<void> {
  await fetch(`${SANDBOX_URL}/_sandbox/faults`, { method: "DELETE" });
}
