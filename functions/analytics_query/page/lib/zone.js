// The time zone of the page: when its days begin, and what its clocks show.

export const DAY = 86_400_000;
const { timezone } = document.documentElement.dataset;
/** The time zone of the workspace. */
export const WORKSPACE_ZONE = timezone || "UTC";

let name = WORKSPACE_ZONE;
let parts = null;

export function isZone(zone) {
  try { return Boolean(new Intl.DateTimeFormat("en", { timeZone: zone })); } catch { return false; }
}

export function useZone(zone) {
  name = zone;
  parts = zone === "UTC" ? null : new Intl.DateTimeFormat("en", {
    timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
    hour: "numeric", minute: "numeric", second: "numeric",
  });
}

export const zoneName = () => name;

/** What clocks show at a moment (ms), as ms since 1970 of a clock that is never changed. */
export function wall(ms) {
  if (parts === null) return ms;
  const shown = {};
  for (const { type, value } of parts.formatToParts(ms)) shown[type] = Number(value);
  const { year, month, day, hour, minute, second } = shown;
  return Date.UTC(year, month - 1, day, hour, minute, second) + (((ms % 1000) + 1000) % 1000);
}

/** When clocks show that: the first time where they do twice, and where never, when they are changed. */
export function moment(shown) {
  if (parts === null) return shown;
  const before = shown - (wall(shown - DAY) - (shown - DAY));
  const after = shown - (wall(shown + DAY) - (shown + DAY));
  const [first, second] = [Math.min(before, after), Math.max(before, after)];
  return [first, second].find((ms) => wall(ms) === shown) ?? before;
}

/** The start of the day of a moment, or of one so many days later. */
export const startOfDay = (ms, days = 0) => moment((Math.floor(wall(ms) / DAY) + days) * DAY);

/** The same time of day so many days, months and years later; a day that a month has not is its last. */
export function shift(ms, { days = 0, months = 0 }) {
  const shown = wall(ms) + days * DAY;
  if (!months) return moment(shown);
  const date = new Date(shown);
  const first = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1);
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months + 1, 0)).getUTCDate();
  return moment(first + (Math.min(date.getUTCDate(), last) - 1) * DAY + (((shown % DAY) + DAY) % DAY));
}

useZone(WORKSPACE_ZONE);
