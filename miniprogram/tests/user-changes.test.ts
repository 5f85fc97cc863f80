/**
 * Tests of the client from `dist` in generated runs: users change at any callback, and storages fail. No user may get
 * data of another user. The tests need no sandbox. The message of a failed run has its seed.
 */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import type * as Clients from "../src/coupons/client/client";
import { loadBuilt } from "./built";
import { FakeTt, flush, reply, STORE, settled, tokenOf } from "./fake-tt";
import { pick, type Random, seeded } from "./random";

const { createClient } = loadBuilt<typeof Clients>("coupons/client/client");

const RUNS = 2000;
/** Time limit of one call of tt, in seconds. */
const LIMIT = 13;

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

const CUSTOMERS = ["lin", "wang", "zhao"] as const;

/**
 * Let other users log in before callbacks, let the service reject sessions, and let the storage of some users fail. The
 * returned `isKnown` tells whether the client can know the user of the phone: since `restart`, no other user has logged
 * in, or the storage of each user of the phone has worked.
 */
function shareByUsers(tt: FakeTt, random: Random) {
  const failing: readonly string[] = CUSTOMERS.filter(() => random() < 0.2);
  const present = new Set<string>();
  const { onLogin, onRequest, setStorageSync } = tt;
  let areQuiet = false;
  const change = () => {
    tt.customer = !areQuiet && random() < 0.3 ? pick(random, CUSTOMERS) : tt.customer;
    present.add(tt.customer);
  };
  const later = (callBack: () => void) => (random() < 0.5 ? callBack() : setTimeout(callBack, random() * 9000));
  tt.onLogin = (options) =>
    onLogin({
      ...options,
      success: (login) =>
        later(() => {
          change();
          options.success(login);
        }),
    });
  tt.onRequest = (options) => {
    const success = (answer: Clients.Reply) =>
      later(() => {
        change();
        options.success(random() < 0.1 ? reply({ code: "unauthenticated", detail: "登录已失效" }, 401) : answer);
      });
    return onRequest({ ...options, success });
  };
  tt.setStorageSync = (key, data) => {
    if (failing.includes(tt.customer)) {
      throw new Error("exceed storage max size");
    }
    setStorageSync.call(tt, key, data);
  };
  return {
    /** `quiet`: nobody else logs in until the next restart. */
    restart(quiet: boolean) {
      areQuiet = quiet;
      present.clear();
      present.add(tt.customer);
    },
    isKnown: () => present.size === 1 || !failing.some((customer) => present.has(customer)),
  };
}

async function run(seed: number): Promise<void> {
  const random = seeded(seed);
  const tt = new FakeTt();
  const users = shareByUsers(tt, random);
  const wrong: string[] = [];
  const { onRequest } = tt;
  /** Return the first or second part of a customer's list. Certificate and cursor contain the customer's name. */
  const withParts = (list: Clients.Certificate[] | undefined, isSecond: boolean) => {
    const [{ certificate_id = "" } = {}] = list ?? [];
    const certificates = list?.map((each) => ({ ...each, certificate_id: `${certificate_id}${isSecond ? 2 : 1}` }));
    return { ...STORE, certificates, ...(!isSecond && { next_cursor: certificate_id }) };
  };
  tt.onRequest = (options) => {
    const token = (options.header as { authorization?: string }).authorization;
    const cursor = /cursor=(\w+)/.exec(options.url)?.[1];
    const sender = CUSTOMERS.find((customer) => token?.includes(tokenOf(customer)));
    if (sender && (sender !== tt.customer || (cursor && cursor !== sender)) && users.isKnown()) {
      // Do not throw here: the client would take it for an error of tt.
      wrong.push(`${sender} for ${tt.customer}, ${cursor}`);
    }
    const success = (answer: Clients.Reply) => {
      const data = answer.data as {
        certificates?: Clients.Certificate[];
        list?: { certificates: Clients.Certificate[] };
      };
      const parts = data.list
        ? { ...data, list: withParts(data.list.certificates, false) }
        : data.certificates
          ? withParts(data.certificates, !!cursor)
          : data;
      options.success({ ...answer, data: parts });
    };
    return onRequest({ ...options, success });
  };
  const client = createClient({ tt, baseUrl: "https://coupons.example.com", appId: "tt1" });
  let isReplaced = false;
  for (let number = 0; number < 6; number += 1) {
    const pager = client.listCertificates(STORE);
    const isQuiet = isReplaced;
    users.restart(isQuiet);
    isReplaced = false;
    for (let part = 0; part < 2; part += 1) {
      const loading = pager.next().then((outcome) => ({ outcome, customer: tt.customer, isKnown: users.isKnown() }));
      if (random() < 0.2) {
        // The next list begins while the login of this one may be under way.
        await flush();
        isReplaced = true;
        break;
      }
      const { outcome, customer, isKnown } = await settled(loading, 8 * LIMIT);
      if (outcome.kind === "list" && isKnown) {
        const ids = outcome.certificates.map(({ certificate_id }) => certificate_id);
        assert.ok(ids[0] === `${customer}1` && ids.every((id) => id.startsWith(customer)), `${ids} for ${customer}`);
      }
    }
    assert.deepEqual(wrong, [], "sent for another user");
    if (isQuiet) {
      await settled(new Promise((resolve) => setTimeout(resolve, 3 * LIMIT * 1000)), 3 * LIMIT);
    }
    for (const [customer, stored] of tt.all) {
      const others = CUSTOMERS.filter((other) => other !== customer);
      const text = JSON.stringify([...stored]);
      assert.ok(!others.some((other) => text.includes(tokenOf(other))), "stored for another user");
    }
    tt.customer = pick(random, CUSTOMERS);
  }
}

test(`a user who logs in at any callback gets nothing of another user (${RUNS} runs)`, async () => {
  for (let seed = 1; seed <= RUNS; seed += 1) {
    await run(seed).catch((error) => {
      throw new Error(`seed ${seed}: ${error.stack}`, { cause: error });
    });
  }
});
