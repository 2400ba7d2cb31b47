// The intervals of figures over time, as the API chooses them by itself.

import { shift } from "./zone.js";

const MINUTE = 60_000;
export const LENGTH = { minute: MINUTE, hour: 60 * MINUTE, day: 1440 * MINUTE };

/** How far it is to the next interval of the calendar. */
export const CALENDAR = { day: { days: 1 }, week: { days: 7 }, month: { months: 1 }, quarter: { months: 3 }, year: { months: 12 } };

/** The interval of a range, times as text; null: the API knows the range, and chooses. */
export function intervalOf({ from, to }) {
  if (from === null || to === null) return null;
  const length = Date.parse(to) - Date.parse(from);
  return length <= 6 * LENGTH.hour ? "minute" : length <= 8 * LENGTH.day ? "hour" : "day";
}

/** The interval of money: by the hour there are too many bars to read. */
export function intervalOfMoney(range) {
  const interval = intervalOf(range);
  if (interval !== "hour") return interval;
  return Date.parse(range.to) - Date.parse(range.from) > 3 * LENGTH.day ? "day" : "hour";
}

/** The interval that was chosen, as far as it can be: no hours of a time without an end. */
export const chosenInterval = (chosen, range, usual) => (chosen && (chosen !== "hour" || range.from) ? chosen : usual);

/** When each interval ends, in ms. */
export function endsOf(times, interval) {
  const end = (time) => (CALENDAR[interval] ? shift(Date.parse(time), CALENDAR[interval]) : Date.parse(time) + LENGTH[interval]);
  return times.map((time, index) => (index + 1 < times.length ? Date.parse(times[index + 1]) : end(time)));
}

/** How many intervals are over; those after them are not, and their figures will grow. */
export const overBy = (ends, now = Date.now()) => ends.findLastIndex((end) => end <= now) + 1;
