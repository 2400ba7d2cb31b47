// People and events of the last minutes, asked for every few seconds while somebody looks.

import { fetchReport } from "../lib/api.js";
import { byId, element, svg } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { zoneName } from "../lib/zone.js";
import { bounds } from "./totals.js";

const EVERY_MS = 5000;
/** After errors it is asked less and less often, up to this. */
const MAX_PAUSE_MS = 60_000;
const MINUTES = 5;
/** The curve reaches further back, and is asked for less often. */
const CURVE_MINUTES = 30;
const CURVE_EVERY_MS = 30_000;

let filters = null;
let last = null;
let timer = null;
let asking = null;
let failures = 0;
let askedAt = -Infinity;
let curve = { of: null, at: -Infinity, minutes: [] };

/**
 * Shows what happens now, of some filters, from now on.
 * @param {() => object} chosen the filters as they are when it is asked
 * @param {(from: string, to: string) => void} open told the range that was shown, by a click
 */
export function watch(chosen, open) {
  const first = filters === null;
  filters = chosen;
  if (first) {
    byId("now").addEventListener("click", () => open(last.from, last.to));
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (document.hidden) asking?.abort();
      else timer = setTimeout(ask, Math.max(0, askedAt + pause() - performance.now()));
    });
  }
  ask();
}

const pause = () => Math.min(MAX_PAUSE_MS, EVERY_MS * 2 ** failures);

async function ask() {
  clearTimeout(timer);
  asking?.abort();
  if (document.hidden) return;
  const attempt = new AbortController();
  asking = attempt;
  askedAt = performance.now();
  const given = filters();
  try {
    const now = await fetchReport("live", { ...given, minutes: MINUTES }, attempt.signal);
    if (curve.of !== JSON.stringify(given) || askedAt - curve.at > CURVE_EVERY_MS) {
      const { byMinute } = await fetchReport("live", { ...given, minutes: CURVE_MINUTES }, attempt.signal);
      curve = { of: JSON.stringify(given), at: askedAt, minutes: byMinute };
    }
    if (attempt.signal.aborted) return;
    failures = 0;
    show(now);
  } catch (error) {
    if (attempt.signal.aborted) return;
    failures = Math.min(failures + 1, 4);
    byId("now").classList.add("old"); // what is there stays, with its time on hover
  }
  if (!document.hidden) timer = setTimeout(ask, pause());
}

const plural = (number, one, many) => `${format.compact(number)} ${number === 1 ? one : many}`;

function show({ totals, bySource, from, to }) {
  const root = byId("now");
  last = { from, to };
  const { users, usersAccuracy, events, revenue, purchases } = totals;
  const words = [
    `Happened in the ${MINUTES} minutes before ${format.timeOfDay(Date.parse(to))} ${zoneName()}.`,
    bounds(usersAccuracy, format.count),
    ...bySource.map((one) => `${format.name(one.source)}: ${format.counted(one.events, "event")}`),
    `${plural(purchases, "purchase", "purchases")}, ${format.money(revenue)}`,
    "Show these events and people.",
  ];
  root.title = words.filter(Boolean).join("\n");
  root.dataset.events = events;
  root.dataset.users = users;
  root.classList.remove("old");
  root.classList.toggle("quiet", events === 0);
  root.replaceChildren(
    element("span", { class: "dot", "aria-hidden": "true" }),
    element("strong", {}, `${usersAccuracy.exact ? "" : "≈ "}${plural(users, "person", "people")}`),
    ` · ${plural(events, "event", "events")}`,
    Number(revenue) ? ` · ${format.compactMoney(revenue)}` : "",
    element("span", { class: "now-when" }, ` in the last ${MINUTES} minutes`), bars(curve.minutes));
  root.hidden = false;
}

/** Events of each of the last minutes, in small. */
function bars(minutes) {
  const most = Math.max(...minutes.map((one) => one.events), 1);
  const bar = ({ events }, place) => {
    const height = events ? Math.max(1, (events / most) * 16) : 0;
    return svg("rect", { x: place * 3, y: 16 - height, width: 2, height });
  };
  return svg("svg", { class: "now-curve", viewBox: `0 0 ${minutes.length * 3} 16`, role: "img", "aria-label": `Events of the last ${minutes.length} minutes, by the minute` }, ...minutes.map(bar));
}
