/** The hours of an off-peak deal, in China's time zone. Pure functions. */

import type { Certificate } from "../client/client";
import { DAY_SECONDS, secondsOfDay } from "./dates";

export type OffPeak = NonNullable<Certificate["off_peak"]>;

/** Start and end in seconds since midnight. If a range ends on the next day, its end is more than `DAY_SECONDS`. */
interface Range {
  start: number;
  end: number;
}

/** Whether the hours contain `now`; undefined if there are no hours, or if some of them cannot be read. */
export function isWithinHours({ hours = [] }: OffPeak, now: number): boolean | undefined {
  const ranges = hours.map(rangeOf);
  const time = secondsOfDay(now);
  const isIn = (range: Range | undefined, second: number) => !!range && range.start <= second && second < range.end;
  return !hours.length || ranges.indexOf(undefined) >= 0
    ? undefined
    : ranges.some((range) => isIn(range, time) || isIn(range, time + DAY_SECONDS));
}

/** Return the next start of the hours today, in epoch seconds; undefined if there is none. */
export function nextStartToday(offPeak: OffPeak, now: number): number | undefined {
  const midnight = now - secondsOfDay(now);
  const starts = rangesOf(offPeak).map(({ start }) => midnight + start);
  return starts.filter((start) => now < start && start < midnight + DAY_SECONDS).sort((a, b) => a - b)[0];
}

/** Format the hours as 14:00~17:00, with 次日 where the end is on the next day; empty if there are none. */
export function hoursText({ hours = [] }: OffPeak): string {
  const texts = hours.map((pair) => {
    const [from = "", to = ""] = pair;
    const range = rangeOf(pair);
    return `${from}~${range && range.end > DAY_SECONDS ? "次日" : ""}${to}`;
  });
  return texts.join("、");
}

/** Return the ranges that can be read. */
function rangesOf({ hours = [] }: OffPeak): Range[] {
  return hours.map(rangeOf).filter((range): range is Range => !!range);
}

/** Read a pair of start and end; undefined if it cannot be read. */
function rangeOf([from = "", to = ""]: string[]): Range | undefined {
  const [start, end] = [secondOf(from), secondOf(to)];
  return start === undefined || end === undefined ? undefined : { start, end: end > start ? end : end + DAY_SECONDS };
}

function secondOf(time: string): number | undefined {
  const [, hours, minutes, seconds = "0"] = /^(\d{1,2}):([0-5]\d)(?::([0-5]\d))?$/.exec(time) || [];
  const second = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return second <= DAY_SECONDS ? second : undefined;
}
