// Time ranges: presets, custom ones, and the period before. All of it in UTC.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const startOfDay = (ms) => Math.floor(ms / DAY) * DAY;
const nextMinute = (ms) => (Math.floor(ms / MINUTE) + 1) * MINUTE;
const startOfMonth = (ms, months = 0) => {
  const date = new Date(ms);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1);
};
// weeks start on Monday
const startOfWeek = (ms) => startOfDay(ms) - ((new Date(ms).getUTCDay() + 6) % 7) * DAY;

/**
 * The presets in the order they are offered. Each takes the present (ms) and returns
 * [from, to, step back to the period before] in ms; from and to null: everything.
 */
export const PRESETS = {
  "1h": { name: "Last hour", span: (now) => [nextMinute(now) - HOUR, nextMinute(now), HOUR] },
  "24h": { name: "Last 24 hours", span: (now) => [nextMinute(now) - DAY, nextMinute(now), DAY] },
  today: { name: "Today", span: (now) => [startOfDay(now), nextMinute(now), DAY] },
  yesterday: { name: "Yesterday", span: (now) => [startOfDay(now) - DAY, startOfDay(now), DAY] },
  "7d": { name: "Last 7 days", span: (now) => [startOfDay(now) - 6 * DAY, nextMinute(now), 7 * DAY] },
  "30d": { name: "Last 30 days", span: (now) => [startOfDay(now) - 29 * DAY, nextMinute(now), 30 * DAY] },
  "90d": { name: "Last 90 days", span: (now) => [startOfDay(now) - 89 * DAY, nextMinute(now), 90 * DAY] },
  week: { name: "This week", span: (now) => [startOfWeek(now), nextMinute(now), 7 * DAY] },
  lastweek: {
    name: "Last week",
    span: (now) => [startOfWeek(now) - 7 * DAY, startOfWeek(now), 7 * DAY],
  },
  month: {
    name: "This month",
    span: (now) => [startOfMonth(now), nextMinute(now), startOfMonth(now) - startOfMonth(now, -1)],
  },
  lastmonth: {
    name: "Last month",
    span: (now) => [
      startOfMonth(now, -1),
      startOfMonth(now),
      startOfMonth(now, -1) - startOfMonth(now, -2),
    ],
  },
  all: { name: "All time", span: () => [null, null, null] },
};

export const DEFAULT_PRESET = "7d";

/** Writes ms as the API takes it, without needless zeros. */
export const instant = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

/** Resolves a state's range: {name, from, to, previous: {from, to} | null}, times as text or null. */
export function resolve(range, now = Date.now()) {
  if (range.preset) {
    const { name, span } = PRESETS[range.preset];
    const [from, to, step] = span(now);
    if (from === null) return { name, from: null, to: null, previous: null };
    return {
      name,
      from: instant(from),
      to: instant(to),
      previous: { from: instant(from - step), to: instant(Math.min(to - step, from)) },
    };
  }
  const from = Date.parse(range.from);
  const to = Date.parse(range.to);
  return {
    name: "Custom",
    from: instant(from),
    to: instant(to),
    previous: { from: instant(from - (to - from)), to: instant(from) },
  };
}
