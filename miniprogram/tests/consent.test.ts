/** Tests of `beforeLogin` and `qualificationPage`, from `dist`. They need no sandbox. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import { FakeTt, flush, STORE, thrower } from "./fake-tt";
import { cardsIn, openPage, type Page, type Settings, start } from "./pages";

let logged: ReturnType<typeof mock.method<Console, "error">>;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  logged = mock.method(console, "error", () => {});
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** Start a phone, and open the list. */
async function open(settings: Settings) {
  const urls: string[] = [];
  const tt = Object.assign(new FakeTt(), { navigateTo: ({ url }: { url: string }) => urls.push(url) });
  const visit = start(tt, { help: "请到前台", ...settings });
  const page = openPage("certificates", { poi_id: STORE.poi_id }) as Page & { openQualification(): void };
  await flush();
  return { tt, visit, page, urls };
}

describe("a program that asks before the login", () => {
  test("asks again where nothing can be stored, because users cannot be told apart", async () => {
    const beforeLogin = mock.fn(() => true);
    const { tt, page } = await open({ beforeLogin });
    tt.onStorage = thrower(new Error("exceed storage max size"));
    page.onHide();
    page.onShow();
    await flush();
    assert.deepEqual([cardsIn(page)[0]?.id, beforeLogin.mock.callCount()], ["lin", 2]);
  });

  test("asks another user again, also if the first user's list has never arrived", async () => {
    const answers: ((answer: unknown) => void)[] = [];
    const { tt, page } = await open({ beforeLogin: () => new Promise((resolve) => answers.push(resolve)) });
    const { onRequest } = tt;
    tt.onRequest = ({ fail }) => fail({ errMsg: "request:fail" });
    answers[0]?.(true);
    await flush();
    assert.deepEqual([tt.sent.length, page.data.problem?.action], [1, "retry"]);
    tt.onRequest = onRequest;
    tt.customer = "wang";
    page.resolveProblem();
    await flush();
    assert.deepEqual([tt.sent.length, answers.length, cardsIn(page)], [1, 2, []]);
    answers[1]?.(true);
    await flush();
    assert.deepEqual([cardsIn(page)[0]?.id, answers.length], ["wang", 2]);
  });

  test("asks another user again, and requests nothing before that user's yes", async () => {
    const answers: ((answer: unknown) => void)[] = [];
    const { tt, visit, page } = await open({ beforeLogin: () => new Promise((resolve) => answers.push(resolve)) });
    answers[0]?.(true);
    await flush();
    const ways: [customer: string, enter: () => void][] = [
      ["wang", () => page.onShow()],
      ["lin", () => page.onPullDownRefresh()],
      ["wang", () => visit.updateStores({ kind: "picked", poiId: STORE.poi_id, now: 0 })],
    ];
    for (const [customer, enter] of ways) {
      const [requests, asked] = [tt.sent.length, answers.length];
      if (enter === ways[0]?.[1]) {
        page.onHide();
      }
      tt.customer = customer;
      enter();
      await flush();
      assert.deepEqual([cardsIn(page), answers.length], [[], asked + 1]);
      answers[asked]?.(true);
      await flush();
      assert.deepEqual([cardsIn(page)[0]?.id, tt.sent.length], [customer, requests + 1]);
    }
  });

  test("requests no list, whatever happens meanwhile, until it has the customer's yes; then it does not ask again", async () => {
    const answers: ((answer: unknown) => void)[] = [];
    const { tt, visit, page } = await open({
      beforeLogin: () => new Promise((resolve) => answers.push(resolve)),
    });
    page.onPullDownRefresh();
    page.onHide();
    page.onShow();
    page.loadMore();
    visit.updateStores({ kind: "picked", poiId: "6602", now: 0 });
    await flush();
    assert.deepEqual([answers.length, tt.logins, tt.sent, page.data.isLoading], [1, 0, [], true]);
    mock.timers.tick(6000);
    assert.deepEqual([page.data.isLate, page.data.help], [true, "请到前台"]);
    mock.timers.tick(3_600_000);
    assert.deepEqual([page.data.problem, page.data.isLoading], [null, true]);
    answers[0]?.(true);
    await flush();
    assert.deepEqual(tt.sent.length, 1);
    assert.equal(cardsIn(page)[0]?.id, "lin");
    page.onPullDownRefresh();
    await flush();
    assert.deepEqual([tt.sent.length, answers.length], [2, 1]);
  });

  const RULE = "coupons: beforeLogin must return true (consent) or false, or a promise of it; not nothing";
  const refusals: [name: string, answer: () => unknown, message?: string][] = [
    ["false", () => false],
    ["nothing", () => undefined, RULE],
    ["another value", async () => ({ confirm: true }), RULE],
    ["a rejection", () => Promise.reject(new Error("no")), "coupons: beforeLogin: Error: no"],
    ["an error", thrower(new Error("no")), "coupons: beforeLogin: Error: no"],
  ];
  for (const [name, answer, message] of refusals) {
    test(`takes ${name} for a no, says why on the console, and asks again only after 重试`, async () => {
      let calls = 0;
      const { tt, visit, page } = await open({
        beforeLogin: () => {
          calls += 1;
          return calls === 2 || answer();
        },
      });
      const { problem } = page.data;
      const texts = [problem?.text, problem?.button, problem?.help];
      assert.deepEqual(texts, ["需要您同意后，才能查询您的券", "重试", "请到前台"]);
      page.onPullDownRefresh();
      visit.updateStores({ kind: "picked", poiId: "6602", now: 0 });
      await flush();
      assert.deepEqual([calls, tt.logins, tt.sent, page.data.problem?.button], [1, 0, [], "重试"]);
      page.resolveProblem();
      await flush();
      assert.deepEqual([calls, tt.sent.length, page.data.problem], [2, 1, null]);
      const lines = logged.mock.calls.map((call) => call.arguments.join(" "));
      assert.deepEqual(lines, message ? [message] : []);
    });
  }
});

test("the list links the page with the program's licences, if it has one", async () => {
  assert.equal((await open({})).page.data.hasQualification, false);
  const { page, urls } = await open({ qualificationPage: "/pages/licences/licences" });
  assert.equal(page.data.hasQualification, true);
  page.openQualification();
  assert.deepEqual(urls, ["/pages/licences/licences"]);
});
