/** The running sandbox that the client is tested against, and phones in front of it. */

import { type Call, createPlatform, type Platform, type World } from "../preview/platform";
import type * as Client from "../src/client/client";
import { built } from "./built";

const { createClient } = built<typeof Client>("client/client");

export const APP = "ttsandbox00000000a1";
export const STORE = { account_id: "7296781329369139211", poi_id: "6601" };
export const API_URL = given("API_URL");
export const SANDBOX_URL = given("SANDBOX_URL");

function given(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} says where the sandbox is; make test sets it`);
  }
  return value;
}

/** A phone: what it asked, how often it logged in, and a client of its own. */
export interface Phone {
  client: Client.Client;
  tt: Platform;
  calls: Call[];
  logins: number;
  stored: Map<string, string>;
}

/** A customer's phone; `change` may replace parts of its `tt`, `stored` be what another one kept. */
export function phone(
  customer = "lin",
  { change = (tt: Platform) => tt, stored = new Map<string, string>(), baseUrl = API_URL, now = Date.now } = {},
): Phone {
  const made = { calls: [] as Call[], logins: 0, stored };
  const world: World = {
    sandboxUrl: SANDBOX_URL,
    appId: APP,
    customer,
    storage: {
      getItem: (key) => stored.get(key) ?? null,
      setItem: (key, value) => stored.set(key, value),
      removeItem: (key) => stored.delete(key),
    },
    onCall: (call) => made.calls.push(call),
    onLogin: () => {
      made.logins += 1;
    },
  };
  const tt = change(createPlatform(world));
  return Object.assign(made, { tt, client: createClient({ tt, baseUrl, appId: APP }, now) });
}

/** Switch a fault of the stand-in on. */
export async function fail(rule: object): Promise<void> {
  const answer = await fetch(`${SANDBOX_URL}/_sandbox/faults`, { method: "POST", body: JSON.stringify(rule) });
  if (!answer.ok) {
    throw new Error(await answer.text());
  }
}

/** Switch all of them off. */
export async function mend(): Promise<void> {
  await fetch(`${SANDBOX_URL}/_sandbox/faults`, { method: "DELETE" });
}
