// The intervals of figures over time, as the API chooses them by itself.

const MINUTE = 60_000;
export const LENGTH = { minute: MINUTE, hour: 60 * MINUTE, day: 1440 * MINUTE };

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

/** When each interval ends, in ms. */
export function endsOf(times, interval) {
  return times.map((time, index) => Date.parse(times[index + 1] ?? time) + (index + 1 < times.length ? 0 : LENGTH[interval]));
}

/** How many intervals are over; those after them are not, and their figures will grow. */
export const overBy = (ends, now = Date.now()) => ends.findLastIndex((end) => end <= now) + 1;
