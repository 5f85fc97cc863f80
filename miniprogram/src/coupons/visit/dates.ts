/** Dates and times of day in China's time zone, whatever the phone's time zone is. Pure functions of epoch seconds. */

const CHINA_OFFSET_SECONDS = 8 * 3600;
export const DAY_SECONDS = 86400;

/** Format a date as 2028.06.11: without spaces or characters at which a line could wrap. */
export function dateText(seconds: number): string {
  const date = chinaDate(seconds);
  return `${date.getUTCFullYear()}.${twoDigits(date.getUTCMonth() + 1)}.${twoDigits(date.getUTCDate())}`;
}

/** Format the time of day as 14:32. */
export function timeText(seconds: number): string {
  const date = chinaDate(seconds);
  return `${twoDigits(date.getUTCHours())}:${twoDigits(date.getUTCMinutes())}`;
}

/** Return the number of calendar days from one moment to another. */
export function daysBetween(from: number, to: number): number {
  return chinaDay(to) - chinaDay(from);
}

/** Return the seconds since midnight. */
export function secondsOfDay(seconds: number): number {
  return seconds + CHINA_OFFSET_SECONDS - chinaDay(seconds) * DAY_SECONDS;
}

function chinaDay(seconds: number): number {
  return Math.floor((seconds + CHINA_OFFSET_SECONDS) / DAY_SECONDS);
}

/** Return a Date whose UTC fields are those of China. */
function chinaDate(seconds: number): Date {
  return new Date((seconds + CHINA_OFFSET_SECONDS) * 1000);
}

function twoDigits(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
