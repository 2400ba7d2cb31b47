// Time ranges: presets, custom ones, and the period before. Days begin in the page's time zone.

import { DAY, moment, shift, startOfDay, wall } from "./zone.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const nextMinute = (ms) => (Math.floor(ms / MINUTE) + 1) * MINUTE;
const startOfMonth = (ms, months = 0) => {
  const date = new Date(wall(ms));
  return moment(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1));
};
// weeks start on Monday
const startOfWeek = (ms, weeks = 0) => startOfDay(ms, 7 * weeks - ((new Date(wall(ms)).getUTCDay() + 6) % 7));
const lastDays = (days) => (now) => [startOfDay(now, 1 - days), nextMinute(now), { days }];

/**
 * The presets in the order they are offered. Each takes the present (ms) and returns
 * [from, to, step back to the period before], from and to in ms; from and to null: everything.
 * A step is so many days or months of the calendar.
 */
export const PRESETS = {
  "1h": { name: "Last hour", span: (now) => [nextMinute(now) - HOUR, nextMinute(now), { ms: HOUR }] },
  "24h": { name: "Last 24 hours", span: (now) => [nextMinute(now) - DAY, nextMinute(now), { ms: DAY }] },
  today: { name: "Today", span: (now) => [startOfDay(now), nextMinute(now), { days: 1 }] },
  yesterday: { name: "Yesterday", span: (now) => [startOfDay(now, -1), startOfDay(now), { days: 1 }] },
  "7d": { name: "Last 7 days", span: lastDays(7) },
  "30d": { name: "Last 30 days", span: lastDays(30) },
  "90d": { name: "Last 90 days", span: lastDays(90) },
  week: { name: "This week", span: (now) => [startOfWeek(now), nextMinute(now), { days: 7 }] },
  lastweek: { name: "Last week", span: (now) => [startOfWeek(now, -1), startOfWeek(now), { days: 7 }] },
  month: { name: "This month", span: (now) => [startOfMonth(now), nextMinute(now), { months: 1 }] },
  lastmonth: { name: "Last month", span: (now) => [startOfMonth(now, -1), startOfMonth(now), { months: 1 }] },
  all: { name: "All time", span: () => [null, null, null] },
};

export const DEFAULT_PRESET = "7d";

/** Writes ms as the API takes it, without needless zeros. */
export const instant = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

/** Reads a time; a date is its midnight. NaN where it is neither. */
export const parseTime = (text) =>
  (/^\d{4}-\d\d-\d\d$/.test(text) ? moment(Date.parse(`${text}T00:00:00Z`)) : Date.parse(text));

const back = (ms, { ms: length = 0, days = 0, months = 0 }) =>
  (length ? ms - length : shift(ms, { days: -days, months: -months }));

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
      previous: { from: instant(back(from, step)), to: instant(Math.min(back(to, step), from)) },
    };
  }
  const from = parseTime(range.from);
  const to = parseTime(range.to);
  const days = (wall(to) - wall(from)) / DAY;
  const step = Number.isInteger(days) ? { days } : { ms: to - from };
  return {
    name: "Custom",
    from: instant(from),
    to: instant(to),
    previous: { from: instant(back(from, step)), to: instant(from) },
  };
}
