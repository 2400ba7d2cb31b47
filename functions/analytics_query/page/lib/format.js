// How figures, times and names are written. Times are those of the page's time zone.

import { DAY, wall, zoneName } from "./zone.js";

/** Formats numbers; made when it is first used, which takes milliseconds. */
function numbers(style) {
  let made = null;
  return { format: (number) => (made ??= new Intl.NumberFormat("en", style)).format(number) };
}
const whole = numbers({ maximumFractionDigits: 0 });
const short = numbers({ notation: "compact", maximumFractionDigits: 1 });
/** Amounts have the currency of the workspace, where it has one. */
const { currency } = document.documentElement.dataset;
const inCurrency = currency ? { style: "currency", currency, currencyDisplay: "narrowSymbol" } : null;
const two = numbers(inCurrency ?? { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const shortMoney = numbers({ ...inCurrency, notation: "compact", maximumFractionDigits: 1 });
const parts = numbers({ maximumFractionDigits: 2 });
const percentage = numbers({ style: "percent", maximumFractionDigits: 1 });
let regions = null;
const STYLES = {
  day: { day: "numeric", month: "short" },
  dayYear: { day: "numeric", month: "short", year: "numeric" },
  dayTime: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  dayTimeYear: { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" },
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  clockShort: { hour: "2-digit", minute: "2-digit" },
  month: { month: "long", year: "numeric" },
  weekday: { weekday: "short", day: "numeric", month: "short", year: "numeric" },
};
const made = new Map();
/** The format of a style in the page's time zone. */
function dates(style) {
  const key = `${style} ${zoneName()}`;
  if (!made.has(key)) made.set(key, new Intl.DateTimeFormat("en", { timeZone: zoneName(), hourCycle: "h23", ...STYLES[style] }));
  return made.get(key);
}

/** Makes what totals are written with, while they are awaited. */
export function prepare() {
  for (const each of [whole, short, two, percentage]) each.format(0);
}

export const count = (number) => whole.format(number);
export const compact = (number) => (Math.abs(number) < 10_000 ? whole : short).format(number);
/** A number with what is counted. */
export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
/** A number of which parts count, as exact decimal text. */
export const fraction = (text) => parts.format(text);
/** Amounts come as exact decimal text, which Intl takes as it is. */
export const money = (text) => (text === null ? "–" : two.format(text));
export const compactMoney = (text) =>
  text === null ? "–" : (Math.abs(Number(text)) < 100_000 ? two : shortMoney).format(text);
export const percent = (rate) => (rate === null ? "–" : percentage.format(rate));
/** A change without its sign; beyond tenfold the figure says little. */
export const change = (rate) => (rate > 9.99 ? "over 999%" : percentage.format(Math.abs(rate)));
/** The change of a rate without its sign, in percentage points. */
export const points = (change) => `${(Math.abs(change) * 100).toFixed(1)} pp`;
/** A value of an axis. */
export const axis = (value) => (value < 10 ? parts : short).format(value);
export const time = (text) => dates("dayTime").format(new Date(text));
export const dateTime = (text) => dates("dayTimeYear").format(new Date(text));
export const timeOfDay = (ms) => dates("clock").format(new Date(ms));

/** A day below an axis; of a long range with its year. */
export const dayOf = (text, long) => dates(long ? "dayYear" : "day").format(new Date(text));
export const clockOf = (text) => dates("clockShort").format(new Date(text));
/** Milliseconds since the day of a time began. */
export const sinceMidnight = (text) => wall(Date.parse(text)) % DAY;
/** An interval by its start. */
export const interval = (text, unit) =>
  unit === "week" ? `Week of ${dates("dayYear").format(new Date(text))}` : unit === "month" ? dates("month").format(new Date(text)) : dates(unit === "day" ? "weekday" : "dayTime").format(new Date(text));

/** A range in a few words: its last moment is shown, not the one after. */
export function range(from, to) {
  if (from === null || to === null) return "";
  const start = new Date(from);
  const end = new Date(Date.parse(to) - 1);
  if (sinceMidnight(from) !== 0) return dates("dayTime").formatRange(start, end);
  const yearOf = (date) => new Date(wall(date.getTime())).getUTCFullYear();
  const years = [start, end].some((date) => yearOf(date) !== yearOf(new Date()));
  return dates(years ? "dayYear" : "day").formatRange(start, end);
}

/** The same with its years, for paper. */
export function exactRange(from, to) {
  const [start, end] = [new Date(from), new Date(Date.parse(to) - 1)];
  const whole = sinceMidnight(from) === 0 && sinceMidnight(to) === 0;
  return dates(whole ? "dayYear" : "dayTimeYear").formatRange(start, end);
}

/** A country's name, where its code is one; else the text that was sent. */
export function country(code) {
  if (code === null) return "Unknown";
  if (!/^[A-Z]{2}$/.test(code)) return code;
  try { return (regions ??= new Intl.DisplayNames("en", { type: "region" })).of(code) ?? code; } catch { return code; }
}

/** A short mark beside a country's name; flags are missing in many fonts. */
export const mark = (code) => (code !== null && /^[A-Z]{2}$/.test(code) ? code : "··");

const NAMES = {
  facebook: "Facebook", tiktok: "TikTok", top: "Top", bottom: "Bottom", all: "All events",
  ageGroup: "Age", gender: "Gender", country: "Country", city: "City",
  followerBand: "Followers", device: "Device",
};
const PROPERTIES = {
  campaignId: "Campaign", eventType: "Event", funnelStage: "Stage", userId: "User", clickPosition: "Click position", adId: "Ad",
  videoId: "Video", profileId: "Profile", age: "Age in years", followers: "Number of followers",
};
/** A name for people: of a source, a stage, a dimension. */
export const name = (key) => (key === null ? "Unknown" : NAMES[key] ?? capital(key));
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
/** A property for people; one that has no name is its path. */
export const property = (by) => (by.includes(".") ? by.replace(/^data\./, "") : PROPERTIES[by] ?? name(by));
/** The value of a property for people. */
export const value = (by, text) => {
  if (by === "country") return country(text);
  if (by === "eventType") return eventType(text);
  return ["source", "funnelStage", "gender"].includes(by) ? name(text) : text;
};
/** An event type for people: "ad.click" is "Ad click". */
export const eventType = (type) => capital(type.replaceAll(/[._-]/g, " "));
