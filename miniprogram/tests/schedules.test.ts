/**
 * Generated schedules of the pages from `dist`, with an oracle: taps, hooks of every kind, restarts, other users, storages
 * that fail, clocks that are corrected, lists that are lost. The seed of a failed run is in its message.
 *
 * - A submission is shown for two hours, with its time and store, to the user who has made it.
 * - Without 再次核销 or 再扣一次 and its dialog, nothing is submitted a second time, and never two at once.
 * - Nothing of another user is shown, stored or submitted.
 */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import type { Certificate } from "../src/coupons/client/client";
import { FakeTt, flush, reply, STORE, tokenOf } from "./fake-tt";
import { openPage, type Page, start, type Visit } from "./pages";
import { pick, type Random, seeded } from "./random";

const RUNS = 50;
const STEPS = 60;
/** 2026-12-03 10:00 in China. */
const NOW = Date.UTC(2026, 11, 3, 2) / 1000;
const TOLD_SECONDS = 7200;
const CUSTOMERS = ["lin", "wang"] as const;

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW * 1000 }));
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

interface Dialog {
  confirmText: string;
  success: (answer: unknown) => void;
}

/** A call of the hook. */
interface Tap {
  id: string;
  /** Since the start of the run, and as the phone's clock said it. */
  at: number;
  offset: number;
  time: string;
  hasEnded: boolean;
}

class Schedule {
  readonly tt = new FakeTt();
  readonly taps: Tap[] = [];
  readonly dialogs: Dialog[] = [];
  /** Uses of the times card of each customer. */
  readonly uses = new Map<string, number>();
  /** What has happened, for the message of a failed run. */
  readonly trace: string[] = [];
  visit!: Visit;
  page!: Page;
  /** Seconds since the start of the run; how much the phone's clock is wrong; number of the start of the program. */
  elapsed = 0;
  offset = 0;
  starts = 0;
  storage = "works";
  isOnline = true;
  /** It never was wrong. */
  isClockRight = true;
  /** The button of the dialog that is being confirmed. */
  confirmed = "";
  /** False after a restart with a wrong clock, or without a stored submission: then it is not known what must be told. */
  isJudged = true;

  constructor(readonly random: Random) {
    const { now } = Date;
    mock.method(Date, "now", () => now() + this.offset * 1000);
    mock.method(console, "error", () => {});
    const { onRequest } = this.tt;
    this.tt.onRequest = (options) => {
      if (options.url.endsWith("/stores")) {
        return onRequest(options);
      }
      if (!this.isOnline) {
        return options.fail({ errMsg: "request:fail" });
      }
      const { authorization = "", code = authorization } = { ...options.header, ...options.data } as {
        authorization?: string;
        code?: string;
      };
      const customer = CUSTOMERS.find((each) => code.includes(each)) as string;
      assert.ok(options.data || customer === this.tt.customer, "sent for another user");
      const list = { ...STORE, certificates: this.couponsOf(customer) };
      return options.success(reply(options.data ? { token: tokenOf(customer), expires_in: 7200, list } : list));
    };
    this.tt.onStorage = () => {
      assert.ok(this.storage === "works" || (this.storage === "sometimes" && random() < 0.7), "storage:fail");
    };
    Object.assign(this.tt, { showModal: (dialog: Dialog) => this.dialogs.push(dialog) });
  }

  couponsOf(customer: string): Certificate[] {
    const coupon = { order_id: customer, kind: "groupon", title: `券 of ${customer}` };
    const card = { kind: "times_card", times: { usable: this.uses.get(customer) ?? 30 } };
    return [1, 2].map((n) => ({ ...coupon, certificate_id: `${customer}-${n}`, ...(n === 2 && card) }));
  }

  async start(): Promise<void> {
    this.starts += 1;
    this.dialogs.length = 0;
    for (const tap of this.taps) {
      tap.hasEnded = true;
    }
    const { starts } = this;
    this.visit = start(this.tt, { onSelect: (certificate) => this.hook(certificate, starts) });
    openPage("certificates", { poi_id: STORE.poi_id }).onHide();
    await flush();
    await this.open();
  }

  async open(): Promise<void> {
    this.page = openPage("certificate", { id: `${this.tt.customer}-${pick(this.random, [1, 2])}` });
    await this.wait(1);
  }

  async wait(seconds: number): Promise<void> {
    for (let left = seconds; left > 0; left -= Math.min(left, 20)) {
      const step = Math.min(left, 20);
      mock.timers.tick(step * 1000);
      this.elapsed += step;
      await flush();
    }
  }

  /** The last submission of a coupon that must be told. */
  lastTap(id: string): Tap | undefined {
    return this.taps.filter((tap) => tap.id === id && this.elapsed < tap.at + TOLD_SECONDS - 30).pop();
  }

  /** Whether the phone still knows a submission after a restart, if it has to. */
  isStored({ id, at, offset }: Tap): boolean {
    const [customer = ""] = id.split("-");
    const stored = (this.tt.all.get(customer)?.get("redemption.submissions") ?? []) as { id: string; at: number }[];
    const isOld = this.elapsed >= at + TOLD_SECONDS - 30;
    return isOld || stored.some((tap) => tap.id === id && Math.abs(tap.at - NOW - at - offset) < 30);
  }

  hook(certificate: Certificate, starts: number): unknown {
    const { certificate_id: id } = certificate;
    // It may use its argument for a request of its own.
    certificate.certificate_id = "changed";
    const before = this.lastTap(id);
    assert.ok(id.startsWith(this.tt.customer), "submitted for another user");
    assert.ok(
      !this.isJudged || !before || /^再/.test(this.confirmed),
      `${id} is submitted again after ${this.confirmed}`,
    );
    assert.ok(this.confirmed, "submitted without a dialog");
    const isRunning = this.taps.some((tap) => !tap.hasEnded && this.elapsed < tap.at + 60);
    assert.ok(!isRunning, "two submissions at once");
    const time = new Date((NOW + this.elapsed + this.offset + 8 * 3600) * 1000).toISOString().slice(11, 16);
    const tap = { id, at: this.elapsed, offset: this.offset, time, hasEnded: false };
    this.taps.push(tap);
    this.trace.push(`the hook is called for ${id} at ${time}`);
    const end = (result: unknown) => {
      if (starts === this.starts) {
        tap.hasEnded = true;
        if (result === false) {
          this.taps.splice(this.taps.indexOf(tap), 1);
        } else if (id.endsWith("2") && result === true) {
          const [customer = ""] = id.split("-");
          this.uses.set(customer, (this.uses.get(customer) ?? 30) - 1);
        }
      }
      return result;
    };
    const seconds = pick(this.random, [0, 5, 50, 90]);
    const result = pick(this.random, [true, true, false, undefined, { statusCode: 404 }]);
    switch (pick(this.random, ["late", "late", "never", "throws", "no promise"])) {
      case "late":
        return new Promise((resolve) => setTimeout(() => resolve(end(result)), seconds * 1000));
      case "never":
        return new Promise(() => {});
      case "no promise":
        end(undefined);
        return undefined;
      default:
        end(undefined);
        throw new Error("hook");
    }
  }

  /** Tap the button, and answer its dialog, or an older one, at once or later. */
  async use(): Promise<void> {
    this.page.use();
    if (this.random() < 0.3) {
      await this.wait(pick(this.random, [1, 20]));
    }
    const dialog = this.random() < 0.9 ? this.dialogs.pop() : this.dialogs[0];
    this.confirmed = dialog?.confirmText ?? "";
    dialog?.success(pick(this.random, [{ confirm: true }, { confirm: true }, { confirm: false }, undefined, {}]));
    // A second callback.
    dialog?.success({ confirm: false });
    this.confirmed = "";
    await flush();
  }

  async step(): Promise<void> {
    const words = "use use use wait wait open pull back user start network clock storage again again";
    const kind = pick(this.random, words.split(" "));
    this.trace.push(`${this.elapsed} ${kind} ${this.tt.customer} ${this.storage} ${this.isOnline} ${this.offset}`);
    switch (kind) {
      case "use":
        return this.use();
      case "wait":
        return this.wait(pick(this.random, [0.5, 1, 5, 20, 65, 70, 400, 3600]));
      case "open":
        this.page.onUnload();
        return this.open();
      case "pull": {
        this.page.onPullDownRefresh();
        await flush();
        const own = this.taps.filter(({ id }) => id.startsWith(this.tt.customer));
        const isJudged = this.isJudged && this.isOnline && this.storage === "works" && this.visit.isRestored;
        assert.ok(!isJudged || own.every((tap) => this.isStored(tap)), "not stored with a list");
        return undefined;
      }
      case "back":
        this.page.onHide();
        this.page.onShow();
        return flush();
      case "user": {
        this.page.onHide();
        this.tt.customer = pick(this.random, CUSTOMERS);
        this.page.onShow();
        await flush();
        assert.ok(
          !this.page.data.detail || this.page.data.detail.id.startsWith(this.tt.customer),
          "another user's coupon",
        );
        this.page.onUnload();
        return this.open();
      }
      case "start":
        this.page.onUnload();
        // A program that is started again knows what was stored, and only the phone's clock.
        this.isJudged &&= this.isClockRight && this.taps.every((tap) => this.isStored(tap));
        return this.start();
      case "network":
        this.isOnline = this.random() < 0.7;
        return undefined;
      case "clock":
        this.offset = pick(this.random, [0, 0, -86_400, -100, 100, 10_800]);
        this.isClockRight &&= this.offset === 0;
        // What was stored before a restart, by another user too, is judged by the phone's clock alone.
        this.isJudged &&= this.isClockRight || (this.visit.isRestored && this.starts === 1);
        return undefined;
      case "again":
        await this.wait(70);
        return this.use();
      default:
        this.storage = pick(this.random, ["works", "works", "sometimes", "fails"]);
        return this.use();
    }
  }

  check(): void {
    const { detail, verdict, canSubmit } = this.page.data;
    for (const [customer, stored] of this.tt.all) {
      const others = CUSTOMERS.filter((other) => other !== customer);
      assert.ok(!others.some((other) => JSON.stringify([...stored]).includes(other)), "stored for another user");
    }
    if (!detail || !verdict) {
      return;
    }
    assert.ok(detail.id.startsWith(this.tt.customer), "another user's coupon");
    const isAnyRunning = this.taps.some((tap) => !tap.hasEnded && this.elapsed <= tap.at + 60);
    assert.ok(verdict.sign !== "等" || (isAnyRunning && !canSubmit), "waits for nothing");
    const tap = this.lastTap(detail.id);
    if (tap && this.isJudged) {
      const isUnread = !this.visit.isRestored && !canSubmit;
      assert.ok(["等", "查"].includes(verdict.sign) || isUnread, `${verdict.sign} after a tap at ${tap.time}`);
      if (verdict.sign === "查") {
        assert.ok(
          verdict.reason.includes(`${tap.time} 在「人民广场店」点过核销`),
          `${verdict.reason}, but ${tap.time}`,
        );
      }
    }
  }
}

test(`whatever happens, a submission is shown and not repeated, to its user alone (${RUNS} runs)`, async () => {
  for (let seed = 1; seed <= RUNS; seed += 1) {
    mock.timers.setTime(NOW * 1000);
    const schedule = new Schedule(seeded(seed));
    try {
      await schedule.start();
      for (let step = 0; step < STEPS; step += 1) {
        await schedule.step();
        schedule.check();
      }
      schedule.page.onUnload();
    } catch (error) {
      throw new Error(`seed ${seed}: ${schedule.trace.slice(-20).join("\n")}\n${(error as Error).stack}`, {
        cause: error,
      });
    }
    mock.timers.reset();
    mock.restoreAll();
    mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW * 1000 });
  }
});
