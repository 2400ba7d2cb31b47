// Time ranges: presets, custom ones, and the period before. Days begin in the page's time zone.

import { DAY, moment, shift, startOfDay, wall } from "./zone.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const nextMinute = (ms) => (Math.floor(ms / MINUTE) + 1) * MINUTE;
const startOfMonth = (ms, months = 0) => {
  const date = new Date(wall(ms));
  return moment(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1));
};
const monthOf = (ms) => new Date(wall(ms)).getUTCMonth();
const startOfQuarter = (ms, months = 0) => startOfMonth(ms, months - (monthOf(ms) % 3));
const startOfYear = (ms, months = 0) => startOfMonth(ms, months - monthOf(ms));
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
  quarter: { name: "This quarter", span: (now) => [startOfQuarter(now), nextMinute(now), { months: 3 }] },
  lastquarter: { name: "Last quarter", span: (now) => [startOfQuarter(now, -3), startOfQuarter(now), { months: 3 }] },
  year: { name: "This year", span: (now) => [startOfYear(now), nextMinute(now), { months: 12 }] },
  lastyear: { name: "Last year", span: (now) => [startOfYear(now, -12), startOfYear(now), { months: 12 }] },
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

/** What a range may be compared with; or with the period of its length from a date on. */
export const COMPARISONS = { previous: "Previous period", week: "Same weekdays before", year: "Last year", none: "Nothing" };

/**
 * The period that a range is compared with, and what it is called; null: with none.
 * It ends where as much of it has passed as of the range.
 */
function compared(from, to, step, how) {
  if (how === "none") return null;
  const period = (move, name) => ({ from: instant(move(from)), to: instant(move(to)), name });
  if (how === "year") return period((ms) => shift(ms, { months: -12 }), "last year");
  if (how === "week") { // as few whole weeks back as it takes not to overlap
    const days = 7 * Math.max(1, Math.ceil((to - from) / (7 * DAY) - 0.01));
    return period((ms) => shift(ms, { days: -days }), days === 7 ? "the week before" : "weeks before");
  }
  if (how === "previous") return { from: instant(back(from, step)), to: instant(Math.min(back(to, step), from)), name: "previous" };
  const days = Math.floor(wall(parseTime(how)) / DAY) - Math.floor(wall(from) / DAY);
  return period((ms) => shift(ms, { days }), how);
}

/**
 * Resolves a state's range: {name, from, to, previous: {from, to, name} | null}, times as text or null.
 * @param {string} how what it is compared with: one of COMPARISONS, or a date
 */
export function resolve(range, how = "previous", now = Date.now()) {
  if (range.preset) {
    const { name, span } = PRESETS[range.preset];
    const [from, to, step] = span(now);
    if (from === null) return { name, from: null, to: null, previous: null };
    return { name, from: instant(from), to: instant(to), previous: compared(from, to, step, how) };
  }
  const from = parseTime(range.from);
  const to = parseTime(range.to);
  const days = (wall(to) - wall(from)) / DAY;
  const step = Number.isInteger(days) ? { days } : { ms: to - from };
  return { name: "Custom", from: instant(from), to: instant(to), previous: compared(from, to, step, how) };
}
