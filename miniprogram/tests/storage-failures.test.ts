/** Tests of the pages from `dist` where the storage fails, or the user changes while a login runs. They need no sandbox. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { codeOf, FakeTt, flush, listOf, reply, STORE, thrower } from "./fake-tt";
import { cardsIn, openDetail, openPage, type Page, start } from "./pages";

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(console, "error", () => {});
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** Hold the next request of a user back. The result answers it. */
function holdNextList(tt: FakeTt): () => void {
  const { onRequest } = tt;
  let answer = () => {};
  tt.onRequest = (options) => {
    if (options.url.endsWith("/stores")) {
      return onRequest(options);
    }
    tt.onRequest = onRequest;
    answer = () => onRequest(options);
    return { abort() {} };
  };
  return () => answer();
}

const ids = (page: Page) => cardsIn(page).map(({ id }) => id);
const fullStorage = () => ({ setStorageSync: thrower(new Error("exceed")) });
const KEY = "redemption.session";

for (const back of ["detail", "same page"]) {
  test(`after a login that could not be stored or renewed, another user sees and opens nothing (${back})`, async () => {
    const opened: string[] = [];
    const navigateTo = ({ url }: { url: string }) => opened.push(url);
    const tt = Object.assign(new FakeTt(), fullStorage(), { navigateTo });
    start(tt, { redeemPage: { url: "/redeem", text: "r" } });
    const { onRequest } = tt;
    tt.onRequest = (options) =>
      options.url.endsWith("/stores")
        ? onRequest(options)
        : options.success(reply({ token: "t", expires_in: 0, list: { ...listOf("lin"), next_cursor: "c" } }));
    const page = openPage("certificates", { poi_id: STORE.poi_id });
    await flush();
    assert.deepEqual(ids(page), ["lin"]);
    tt.onLogin = ({ fail }) => fail({ errMsg: "login:fail network unavailable" });
    page.loadMore();
    await flush();
    page.onHide();
    tt.customer = "wang";
    let shown: unknown;
    if (back === "detail") {
      const detail = openPage("certificate", { id: "lin" });
      shown = detail.data.detail?.id;
      detail.openRedeemPage();
      await flush();
    } else {
      page.onShow();
      shown = ids(page)[0];
      await flush();
    }
    assert.deepEqual([shown, opened, back === "detail" ? [] : ids(page)], [undefined, [], []]);
  });
}

for (const old of ["full, old token", "one failed write"]) {
  for (const asks of [true, false])
    test(`the same user keeps the list, and is not asked again (${old}, asks: ${asks})`, async () => {
      const tt = new FakeTt();
      if (old === "full, old token") {
        tt.stored.set(KEY, { token: "old", endsAt: 0 });
        Object.assign(tt, fullStorage());
      } else {
        const set = tt.setStorageSync;
        tt.setStorageSync = (key, data) => {
          if (key === KEY && (data as { endsAt: number }).endsAt > 0) {
            tt.setStorageSync = set;
            throw new Error("once");
          }
          set.call(tt, key, data);
        };
      }
      const beforeLogin = mock.fn(() => true);
      start(tt, asks ? { beforeLogin } : {});
      const page = openPage("certificates", { poi_id: STORE.poi_id });
      await flush();
      const first = ids(page);
      const detail = openDetail(page, "lin");
      const shown = detail.data.detail?.id;
      await flush();
      detail.onUnload();
      page.onShow();
      await flush();
      assert.deepEqual([first, shown, beforeLogin.mock.callCount(), tt.logins], [["lin"], "lin", asks ? 1 : 0, 1]);
    });
}

for (const stored of [false, true])
  test(`a user who logs in between a code and its callback is asked first (session stored: ${stored})`, async () => {
    const tt = new FakeTt();
    if (stored) tt.stored.set(KEY, { token: "old", endsAt: 0 });
    const answers: ((answer: unknown) => void)[] = [];
    start(tt, { beforeLogin: () => new Promise((resolve) => answers.push(resolve)) });
    const { onLogin } = tt;
    tt.onLogin = ({ success }) => {
      tt.onLogin = onLogin;
      tt.customer = "wang";
      success({ code: codeOf("lin") });
    };
    openPage("certificates", { poi_id: STORE.poi_id });
    await flush();
    answers[0]?.(true);
    await flush();
    assert.deepEqual([answers.length, tt.sent], [2, []]);
  });

test("a user who comes while a login runs, where nothing can be stored, is asked first", async () => {
  const tt = Object.assign(new FakeTt(), fullStorage());
  const answers: ((answer: unknown) => void)[] = [];
  start(tt, { beforeLogin: () => new Promise((resolve) => answers.push(resolve)) });
  const answer = holdNextList(tt);
  const page = openPage("certificates", { poi_id: STORE.poi_id });
  await flush();
  answers[0]?.(true);
  await flush();
  page.onHide();
  tt.customer = "wang";
  page.onShow();
  await flush();
  answer();
  await flush();
  assert.deepEqual([answers.length, tt.sent, ids(page)], [2, [`POST ${codeOf("lin")}`], []]);
});

test("a user who comes behind 券详情 while a login runs, where nothing can be stored, gets no former list", async () => {
  const tt = Object.assign(new FakeTt(), fullStorage(), { navigateTo: () => {} });
  start(tt, {});
  const page = openPage("certificates", { poi_id: STORE.poi_id });
  await flush();
  const detail = openDetail(page, "lin");
  await flush();
  const answer = holdNextList(tt);
  detail.onPullDownRefresh();
  await flush();
  detail.onHide();
  tt.customer = "wang";
  page.onShow();
  answer();
  await flush();
  assert.notDeepEqual(ids(page), ["lin"]);
});
