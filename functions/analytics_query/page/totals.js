// The row of totals: a figure, its change against the period before, its course.

import { element, svg } from "./dom.js";
import * as format from "./format.js";

const FIGURES = [
  { key: "events", title: "Events", value: (t) => t.events, show: format.compact, exact: format.count, course: "events" },
  { key: "uniqueUsers", title: "Unique users", value: (t) => t.uniqueUsers, show: format.compact, exact: format.count, note: userBounds },
  { key: "conversion", title: "Conversion", value: (t, stages) => stages.conversionRate, show: format.percent, rate: true, note: () => "Events at the bottom of the funnel per event at its top" },
  { key: "purchases", title: "Purchases", value: (t) => t.purchases, show: format.compact, exact: format.count },
  { key: "revenue", title: "Revenue", value: (t) => t.revenue, show: format.compactMoney, exact: format.money, course: "revenue" },
  { key: "averageOrderValue", title: "Average order", value: (t) => t.averageOrderValue, show: format.money },
];

function userBounds(totals) {
  const { exact, lower, upper, confidence } = totals.uniqueUsersAccuracy;
  if (exact) return "Counted exactly";
  return `Estimated: between ${format.count(lower)} and ${format.count(upper)} `
    + `(${format.percent(confidence)} confidence)`;
}

const stages = (overview) => {
  const of = Object.fromEntries(overview.byFunnelStage.map((s) => [s.funnelStage, s.events]));
  const top = of.top ?? 0;
  const bottom = of.bottom ?? 0;
  return { conversionRate: top ? bottom / top : null };
};

/** The change relative to the value before; of a rate the difference. */
function delta(now, before, rate) {
  if (before === null || before === undefined || now === null) return null;
  const [a, b] = [Number(now), Number(before)];
  if (rate) return a - b;
  if (b === 0) return a === 0 ? 0 : null;
  return (a - b) / b;
}

function changeTag(change, previous, write) {
  if (!previous) return element("span", { class: "change none" }, "\u00a0");
  if (change === null) return element("span", { class: "change none" }, "no data before");
  const direction = Math.abs(change) < 0.0005 ? "flat" : change > 0 ? "up" : "down";
  const arrow = { up: "↑", down: "↓", flat: "→" }[direction];
  const words = { up: "up", down: "down", flat: "unchanged" }[direction];
  return element("span", { class: `change ${direction}` },
    element("span", { "aria-hidden": "true" }, `${arrow} `),
    element("span", { class: "hidden" }, `${words} `),
    write(change),
    element("span", { class: "change-note" }, " vs previous"));
}

/** The course of a figure in small; the interval that is not over is dashed. */
function course(points, over) {
  const values = points.map(Number);
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

/** Shows the totals: `before` is the overview of the period before or null, `points` the course, of which `over` are over. */
export function showTotals(root, overview, before, points, over) {
  root.removeAttribute("aria-busy");
  root.classList.remove("stale");
  root.replaceChildren(...FIGURES.map(({ key, title, value, show, exact, note, rate, course: kind }) => {
    const now = value(overview.totals, stages(overview));
    const then = before && value(before.totals, stages(before));
    const words = [exact && now !== null ? exact(now) : null, note?.(overview.totals)].filter(Boolean);
    const estimated = key === "uniqueUsers" && !overview.totals.uniqueUsersAccuracy.exact;
    return element("div", { class: "total", title: words.join("\n") || null, "data-total": key, "data-value": now ?? "" },
      element("h2", {}, title),
      element("p", { class: "figure" }, show(now),
        estimated ? element("span", { class: "about", "aria-label": "estimated" }, "≈") : null),
      changeTag(delta(now, then, rate), before !== null, rate ? format.points : format.change),
      kind && points ? course(points.map((point) => point[kind]), over) : null);
  }));
}

export function failTotals(root, error, retry) {
  root.removeAttribute("aria-busy");
  root.classList.remove("stale");
  root.replaceChildren(element("div", { class: "total failed", role: "alert" },
    element("strong", {}, "The totals did not load"), element("p", {}, error.message),
    element("button", { class: "button", type: "button", onclick: retry }, "Try again")));
}
