/** Tests of the client and the pages from `dist` on a phone on which another user logs in. They need no sandbox. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import type * as Clients from "../src/coupons/client/client";
import type { ListOptions, Outcome } from "../src/coupons/client/client";
import { loadBuilt } from "./built";
import { codeOf, FakeTt, flush, listOf, reply, STORE, settled, thrower, tokenOf } from "./fake-tt";
import { cardsIn, openDetail, openPage, type Page, start } from "./pages";

const { createClient } = loadBuilt<typeof Clients>("coupons/client/client");

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

function newPhone(now?: () => number, tt = new FakeTt()) {
  const client = createClient({ tt, baseUrl: "https://coupons.example.com", appId: "tt1" }, now);
  const progress: string[] = [];
  const list = (options: Partial<ListOptions> = {}) =>
    client.listCertificates({ ...STORE, onProgress: (event) => progress.push(event), ...options });
  return { tt, client, progress, list };
}

function idsOf(outcome: Outcome): string[] {
  assert.equal(outcome.kind, "list", JSON.stringify(outcome));
  return (outcome as Outcome & { kind: "list" }).certificates.map(({ certificate_id }) => certificate_id);
}

describe("another user of the phone", () => {
  test("logs in, and each has an own session", async () => {
    const { tt, progress, list } = newPhone();
    for (const customer of ["lin", "wang", "lin", "wang"]) {
      tt.customer = customer;
      assert.deepEqual(idsOf(await settled(list().next(), 0)), [customer]);
    }
    const posts = [`POST ${codeOf("lin")}`, `POST ${codeOf("wang")}`];
    assert.deepEqual(tt.sent, [...posts, `GET ${tokenOf("lin")}`, `GET ${tokenOf("wang")}`]);
    assert.equal(progress.length, 3);
  });

  /** Let the storage of one customer fail from now on. */
  function breakStorage(tt: FakeTt, customer: string): void {
    const { setStorageSync } = tt;
    tt.setStorageSync = (key, data) => {
      if (tt.customer === customer) {
        throw new Error("exceed storage max size");
      }
      setStorageSync.call(tt, key, data);
    };
  }

  /** Let `wang` log in between the code of a login and its callback. */
  function changeDuringLogin(tt: FakeTt): void {
    const { onLogin } = tt;
    tt.onLogin = ({ success }) => {
      const code = codeOf(tt.customer);
      [tt.customer, tt.onLogin] = ["wang", onLogin];
      success({ code });
    };
  }

  for (const storage of ["works", "fails"]) {
    test(`may log in between the code and its callback: a new code is asked for (storage ${storage})`, async () => {
      const { tt, list } = newPhone();
      if (storage === "fails") {
        breakStorage(tt, "lin");
      }
      changeDuringLogin(tt);
      assert.deepEqual(idsOf(await settled(list().next(), 0)), ["wang"]);
      assert.deepEqual([tt.logins, tt.sent], [2, [`POST ${codeOf("wang")}`]]);
      assert.deepEqual(idsOf(await settled(list().next(), 0)), ["wang"]);
      assert.equal(tt.sent.at(-1), `GET ${tokenOf("wang")}`);
    });
  }

  test("gets nothing that was found before a second login whose session cannot be stored", async () => {
    const { tt, progress, list } = newPhone();
    tt.setStorageSync = thrower(new Error("exceed storage max size"));
    const { onRequest } = tt;
    const part = { ...listOf("lin"), next_cursor: "of-lin" };
    tt.onRequest = ({ success }) => success(reply({ token: "expired", expires_in: 0, list: part }));
    const pager = list();
    assert.deepEqual(idsOf(await settled(pager.next(), 0)), ["lin"]);
    [tt.customer, tt.onRequest] = ["wang", onRequest];
    assert.deepEqual(idsOf(await settled(pager.next(), 0)), ["wang"]);
    assert.deepEqual([tt.sent.at(-1), progress], [`GET ${tokenOf("wang")}`, ["user_changed"]]);
    assert.ok(!tt.requests.at(-1)?.url.includes("of-lin"));
  });

  test("is not assumed after a restart, and does not concern the stores", async () => {
    const { tt, list } = newPhone();
    await settled(list().next(), 0);
    const restarted = newPhone(undefined, tt);
    const { onRequest } = tt;
    let answer = () => {};
    tt.onRequest = (options) => {
      answer = () => onRequest(options);
    };
    const stores = restarted.client.listStores(STORE);
    tt.onRequest = onRequest;
    assert.deepEqual(idsOf(await settled(restarted.list().next(), 0)), ["lin"]);
    answer();
    assert.equal((await settled(stores, 0)).kind, "stores");
    assert.deepEqual(restarted.progress, []);
  });

  for (const [storage, isNewUser] of [
    ["works", true],
    ["fails", false],
  ] as const) {
    test(`is reported by checkUser, once and without a request (storage ${storage})`, async () => {
      const { tt, client, progress, list } = newPhone();
      await settled(list().next(), 0);
      client.checkUser();
      assert.deepEqual(progress, []);
      const requests = tt.requests.length;
      if (isNewUser) {
        tt.customer = "wang";
      } else {
        tt.onStorage = thrower(new Error("storage:fail"));
      }
      client.checkUser();
      client.checkUser();
      assert.deepEqual([progress, tt.requests.length, tt.logins], [["user_changed"], requests, 1]);
    });
  }

  test("is not reported to a page that has cancelled its list", async () => {
    const { tt, progress, list } = newPhone();
    const pager = list();
    await settled(pager.next(), 0);
    pager.cancel();
    tt.customer = "wang";
    assert.deepEqual(await settled(pager.next(), 0), { kind: "cancelled" });
    assert.deepEqual(progress, []);
  });

  test("is not assumed when the session of the same user was renewed or rejected", async () => {
    let now = 0;
    const { tt, progress, list } = newPhone(() => now);
    const { onRequest } = tt;
    let number = 0;
    tt.onRequest = (options) => {
      number += 1;
      const part = { ...listOf(`lin${number}`), next_cursor: `c${number}` };
      const refused = { code: "unauthenticated", detail: "登录已失效，请重新登录" };
      const session = { token: `${tokenOf("lin")}-${number}`, expires_in: 7200 };
      const { list: asked } = (options.data ?? {}) as { list?: object };
      const login = { ...session, ...(asked && { list: part }) };
      options.success(number === 3 ? reply(refused, 401) : reply(options.data ? login : part));
    };
    const pager = list();
    assert.deepEqual(idsOf(await settled(pager.next(), 0)), ["lin1"]);
    assert.deepEqual(idsOf(await settled(pager.next(), 0)), ["lin1", "lin2"]);
    // The third request is rejected, the fourth logs in.
    assert.deepEqual(idsOf(await settled(pager.next(), 0)), ["lin1", "lin2", "lin5"]);
    now = 7_200_000;
    assert.deepEqual(idsOf(await settled(pager.next(), 0)).length, 4);
    tt.onRequest = onRequest;
    assert.deepEqual([tt.logins, progress], [3, []]);
  });

  test("may be another one where the storage stores nothing: each list logs in, and clears the one before", async () => {
    const fail = thrower(new Error("storage:fail"));
    const storages: Record<string, Partial<FakeTt>> = {
      throws: { onStorage: fail },
      "is full": { setStorageSync: fail },
      "does nothing": { setStorageSync: () => {} },
      "returns something else": { getStorageSync: () => ({ token: 5 }) },
    };
    for (const [name, changed] of Object.entries(storages)) {
      const { tt, progress, list } = newPhone();
      Object.assign(tt, changed);
      assert.deepEqual(idsOf(await settled(list().next(), 0)), ["lin"], name);
      assert.deepEqual(idsOf(await settled(list().next(), 0)), ["lin"], name);
      assert.deepEqual(tt.sent, [`POST ${codeOf("lin")}`, `POST ${codeOf("lin")}`], name);
      assert.deepEqual(progress, ["user_changed"], name);
    }
  });
});

test("a storage that cannot be read any more, after a session was stored, does not prevent a login", async () => {
  for (const method of ["getStorageSync", "onStorage"] as const) {
    const { tt, list } = newPhone();
    await settled(list().next(), 0);
    tt[method] = thrower(new Error("storage:fail"));
    for (const _ of [1, 2]) {
      assert.deepEqual(idsOf(await settled(list().next(), 0)), ["lin"]);
    }
  }
});

describe("the page", () => {
  function open(tt: FakeTt): Page {
    start(tt);
    return openPage("certificates", { poi_id: STORE.poi_id });
  }

  const idsIn = (page: Page) => cardsIn(page).map(({ id }) => id);

  test("clears everything of the former user as soon as it is shown to another", async () => {
    for (const isCovered of [false, true]) {
      const tt = new FakeTt();
      const visit = start(tt);
      const list = openPage("certificates", { poi_id: STORE.poi_id });
      await flush();
      assert.deepEqual(idsIn(list), ["lin"]);
      let shown = list;
      if (isCovered) {
        shown = openDetail(list, "lin");
        assert.ok(shown.data.detail);
      }
      shown.onHide();
      tt.customer = "wang";
      tt.stored.set(`redemption.store.${STORE.account_id}`, "6602");
      const { onRequest } = tt;
      tt.onRequest = ({ fail }) => fail({ errMsg: "request:fail" });
      shown.onShow();
      const { isLoading, detail = null } = shown.data;
      assert.deepEqual([isLoading, detail, visit.listState.certificates], [true, null, []]);
      assert.equal(visit.storeState.lastPoiId, "6602");
      await flush();
      assert.ok(shown.data.problem);
      tt.onRequest = onRequest;
      shown.onHide();
      shown.onShow();
      await flush();
      list.onShow();
      assert.deepEqual([shown.data.detail ?? null, idsIn(list)], [null, ["wang"]]);
    }
  });

  /** Open the list, and then one of the program's own pages over it. */
  async function covered(tt: FakeTt): Promise<Page & { openQualification(): void }> {
    start(Object.assign(tt, { navigateTo: () => {} }), { qualificationPage: "/pages/licences/licences" });
    const list = openPage("certificates", { poi_id: STORE.poi_id }) as Page & { openQualification(): void };
    await flush();
    list.openQualification();
    list.onHide();
    return list;
  }

  test("is read again after one of the program's own pages, and cleared before if another user has logged in there", async () => {
    for (const customer of ["lin", "wang"]) {
      const tt = new FakeTt();
      const list = await covered(tt);
      tt.customer = customer;
      const { length } = tt.sent;
      list.onShow();
      const shown = [idsIn(list), list.data.isLoading];
      assert.deepEqual(shown, customer === "lin" ? [["lin"], false] : [[], true]);
      await flush();
      assert.deepEqual([idsIn(list), tt.sent.length], [[customer], length + 1]);
    }
  });

  test("compares the user on the way between its own pages, without a request", async () => {
    const tt = new FakeTt();
    const list = open(tt);
    await flush();
    const detail = openDetail(list, "lin");
    detail.onUnload();
    list.onShow();
    assert.deepEqual([idsIn(list), tt.sent.length], [["lin"], 1]);
    tt.customer = "wang";
    const other = openDetail(list, "lin");
    assert.deepEqual([other.data.detail, other.data.isLoading], [null, true]);
    await flush();
    assert.deepEqual([other.data.detail, other.data.isLoading, tt.sent.length], [null, false, 2]);
    other.onUnload();
    list.onShow();
    assert.deepEqual(idsIn(list), ["wang"]);
  });

  test("is cleared on each way where the storage cannot tell the users apart, and can be used", async () => {
    const tt = Object.assign(new FakeTt(), { setStorageSync: () => {} });
    const list = open(tt);
    await flush();
    const detail = openDetail(list, "lin");
    const seen = [detail.data.detail?.id];
    await flush();
    assert.deepEqual([...seen, detail.data.detail?.id], [undefined, "lin"]);
  });

  test("is loaded again if the change is noticed while it is idle", async () => {
    const tt = new FakeTt();
    const { onRequest } = tt;
    const page = open(tt);
    await flush();
    let answerLate = () => {};
    tt.onRequest = (options) => {
      answerLate = () => options.success(reply({}));
    };
    page.onHide();
    page.onShow();
    tt.onRequest = onRequest;
    page.onHide();
    page.onShow();
    await flush();
    tt.customer = "wang";
    answerLate();
    await flush();
    assert.deepEqual(idsIn(page), ["wang"]);
  });

  test("says that it is still looking, and after a while that it takes long", async () => {
    const tt = new FakeTt();
    const page = open(tt);
    await flush();
    let number = 0;
    tt.onRequest = ({ url, success }) => {
      number += url.endsWith("/stores") ? 0 : 1;
      if (number < 3) {
        success(reply({ certificates: [], next_cursor: `c${number}` }));
      }
    };
    page.onHide();
    page.onShow();
    await flush();
    assert.equal(page.data.loadingText, "正在继续查找可用的券…");
    mock.timers.tick(6000);
    assert.equal(page.data.loadingText, "查得有点慢，先打开抖音订单也能用");
  });
});
