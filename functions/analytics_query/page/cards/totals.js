// The row of totals: a figure, its change against the period before, its course.

import { meaning, title } from "../lib/definitions.js";
import { element, svg } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { endsOf, overBy } from "../lib/intervals.js";

const FIGURES = [
  { key: "events", show: format.compact, exact: format.count, course: "events" },
  { key: "uniqueUsers", show: format.compact, exact: format.count, accuracy: "uniqueUsersAccuracy", bound: format.count },
  { key: "conversionRate", show: format.percent, rate: true, accuracy: "conversionRateAccuracy", bound: format.percent },
  { key: "purchases", show: format.compact, exact: format.count },
  { key: "revenue", show: format.compactMoney, exact: format.money, course: "revenue" },
  { key: "averageOrderValue", show: format.money },
];

/** How good a figure is, in words; nothing of one that is always exact. */
export function bounds(accuracy, write) {
  if (!accuracy) return null;
  if (accuracy.exact) return "Counted exactly.";
  return `Estimated: between ${write(accuracy.lower)} and ${write(accuracy.upper)} (${format.percent(accuracy.confidence)} confidence).`;
}

/** What a conversion is made of. */
const parts = ({ buyers, buyersAccuracy, uniqueUsers, uniqueUsersAccuracy }) =>
  `${buyersAccuracy.exact ? "" : "About "}${format.count(buyers)} of ${uniqueUsersAccuracy.exact ? "" : "about "}${format.counted(uniqueUsers, "person", "people")}.`;

/** The change relative to the value before; of a rate the difference. */
export function delta(now, before, rate) {
  if (before === null || before === undefined || now === null) return null;
  const [a, b] = [Number(now), Number(before)];
  if (rate) return a - b;
  if (b === 0) return a === 0 ? 0 : null;
  return (a - b) / b;
}

function changeTag(change, previous, write, name) {
  if (!previous) return element("span", { class: "change none" }, "\u00a0");
  if (change === null) return element("span", { class: "change none" }, "no data before");
  const direction = Math.abs(change) < 0.0005 ? "flat" : change > 0 ? "up" : "down";
  const arrow = { up: "↑", down: "↓", flat: "→" }[direction];
  const words = { up: "up", down: "down", flat: "unchanged" }[direction];
  return element("span", { class: `change ${direction}` },
    element("span", { "aria-hidden": "true" }, `${arrow} `),
    element("span", { class: "hidden" }, `${words} `),
    write(change),
    element("span", { class: "change-note" }, ` vs ${name}`));
}

/** The course of a figure in small; the interval that is not over is dashed. */
function course(values, over) {
  if (values.length < 3) return null;
  const most = Math.max(...values);
  const least = Math.min(...values);
  const height = (value) => (most === least ? 0.5 : 0.1 + 0.9 * ((value - least) / (most - least)));
  const at = (value, index) =>
    `${((index / (values.length - 1)) * 100).toFixed(2)},${(29 - height(value) * 22).toFixed(2)}`;
  const places = values.map(at);
  const whole = places.slice(0, Math.max(over, 1));
  const open = places.slice(whole.length - 1);
  return svg("svg", { class: "course", viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "course-area", d: `M0,30 L${whole.join(" L")} L${whole.at(-1).split(",")[0]},30 Z` }),
    svg("path", { class: "course-line", d: `M${whole.join(" L")}` }),
    open.length > 1 ? svg("path", { class: "course-line unfinished", d: `M${open.join(" L")}` }) : null);
}

export function loadingTotals(root) {
  root.setAttribute("aria-busy", "true");
  if (root.childElementCount) root.classList.add("stale");
  else root.append(...FIGURES.map(() => element("div", { class: "total" },
    element("div", { class: "skeleton line" }), element("div", { class: "skeleton figure" }))));
}

/** What a figure was in each interval, of all series; and how many of the intervals are over. */
function courseOf({ series, interval }, kind) {
  const points = series[0]?.points ?? [];
  const values = points.map((_, index) => series.reduce((total, one) => total + Number(one.points[index][kind]), 0));
  return course(values, overBy(endsOf(points.map((point) => point.time), interval)));
}

/**
 * Shows the totals: `before` is the overview of the period to compare with or null, `name` what
 * that is called, `split` the report of the figures over time.
 */
export function showTotals(root, overview, before, split, name) {
  root.removeAttribute("aria-busy");
  root.classList.remove("stale");
  root.replaceChildren(...FIGURES.map(({ key, show, exact, accuracy, bound, rate, course: kind }) => {
    const { totals } = overview;
    const now = totals[key];
    const was = before && before.totals[key];
    const then = Number(was) || Number(now) ? was : null; // nothing, and nothing before, is no change
    const words = [
      exact && now !== null ? exact(now) : null, meaning(key), key === "conversionRate" ? parts(totals) : null,
      accuracy ? bounds(totals[accuracy], bound) : null,
    ].filter(Boolean);
    const estimated = accuracy && totals[accuracy] && !totals[accuracy].exact;
    return element("div", { class: "total", title: words.join("\n"), "data-total": key, "data-value": now ?? "" },
      element("h2", {}, title(key)),
      element("p", { class: "figure" }, show(now),
        estimated ? element("span", { class: "about", "aria-label": "estimated" }, "≈") : null),
      changeTag(delta(now, then, rate), before !== null, rate ? format.points : format.change, name),
      kind ? courseOf(split, kind) : null);
  }));
}

export function failTotals(root, error, retry, keep = false) {
  root.removeAttribute("aria-busy");
  root.classList.remove("stale");
  if (keep && root.querySelector("[data-total]")) return;
  root.replaceChildren(element("div", { class: "total failed", role: "alert" },
    element("strong", {}, "The totals did not load"), element("p", {}, error.message),
    element("button", { class: "button", type: "button", onclick: retry }, "Try again")));
}

/** Stops loading while the banner says why; figures of another question go. */
export function waitForTotals(root, keep) {
  root.removeAttribute("aria-busy");
  root.classList.remove("stale");
  if (!keep) root.replaceChildren();
}
