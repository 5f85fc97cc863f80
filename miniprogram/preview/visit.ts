/** Measures the time from a tap until the list is shown. A tap is anything that can make the page ask for a list. */

import type { Call } from "./mock-tt";

/** Time from the tap to the list in milliseconds, and the number of requests; those for stores are not counted. */
export interface VisitTime {
  milliseconds: number;
  requests: number;
}

/** One tap and its requests. `report` gets null at a tap, and the time when the list is on the screen. */
export class Visit {
  private tappedAt: number | undefined;
  private requests = 0;

  constructor(private readonly report: (time: VisitTime | null) => void) {}

  /** The customer has tapped. */
  start(): void {
    this.tappedAt = performance.now();
    this.requests = 0;
    this.report(null);
  }

  /** A request has ended. */
  onCall(call: Call): void {
    if (call.url.endsWith("/stores")) {
      return;
    }
    this.requests += 1;
    const { tappedAt, requests } = this;
    if (tappedAt === undefined || !hasList(call.body)) {
      return;
    }
    this.tappedAt = undefined;
    // The page and Vue handle the response in microtasks; the next but one frame is after they are on the screen.
    requestAnimationFrame(() =>
      requestAnimationFrame(() => this.report({ milliseconds: performance.now() - tappedAt, requests })),
    );
  }
}

function hasList(body: unknown): boolean {
  const { certificates, list } = (body || {}) as { certificates?: unknown; list?: unknown };
  return !!certificates || !!list;
}
