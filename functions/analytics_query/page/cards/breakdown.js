// The card that breaks the figures down by a property that is chosen on it.

import { changeNote, compare } from "./compared.js";
import { fetchReport } from "../lib/api.js";
import { meaning, title } from "../lib/definitions.js";
import { byId, element, scrolling } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { bounds } from "./totals.js";

export const SHOWN = 12;
/** Of the period to compare with more is asked for: a value that is among the first now need not have been then. */
export const SHOWN_BEFORE = 200;
const NOTHING = { events: 0, people: 0, conversionRate: null, purchases: 0, revenue: "0" };
/** What is offered at once; the rest is looked up when the list is used. */
const USUAL = [
  "device", "browser", "ageGroup", "gender", "city", "country", "followerBand", "referrer", "item", "eventType", "funnelStage",
  "source", "campaignId", "clickPosition", "adId", "videoId", "profileId",
];
const FIGURES = ["events", "uniqueUsers", "conversionRate", "purchases", "revenue"];
const COMPARED = ["events", "people", "conversionRate", "purchases", "revenue"];

/** Makes the chooser; `choose` is told the property. */
export function prepare(choose, range) {
  const select = byId("breakdown-by");
  offer(select, USUAL);
  select.addEventListener("change", () => choose(select.value));
  const learn = async () => {
    try {
      const { items } = await fetchReport("properties", range());
      offer(select, items.map((item) => item.name));
    } catch { /* the usual ones are there */ }
  };
  select.addEventListener("focus", learn, { once: true });
}

export function showBy(by) {
  const select = byId("breakdown-by");
  offer(select, [by]);
  select.value = by;
}

function offer(select, names) {
  const there = new Set([...select.options].map((option) => option.value));
  select.append(...names.filter((name) => !there.has(name)).map((name) => new Option(format.property(name), name)));
}

/**
 * @param {object} report of `breakdown`
 * @param {{isOn: (by: string, value: string | null) => boolean, pick: (by: string) => (value: string | null) => void}} filters
 * @param {{name: string, report: object} | null} before of the period to compare with
 */
export function breakdown(report, { isOn, pick }, before) {
  const { by, items, other, unknown } = report;
  const then = new Map(before?.report.items.map((item) => [item.value, item]));
  const partly = Boolean(before?.report.other);
  const earlier = (value) => (before ? then.get(value) ?? (partly ? null : NOTHING) : null);
  const rows = [
    ...items.map((item) => ({ ...item, label: format.value(by, item.value), old: earlier(item.value) })),
    ...(other ? [{ ...other, label: `${format.count(other.values)} others`, fixed: true }] : []),
    ...(unknown.events ? [{ ...unknown, value: null, label: "Not told", old: before?.report.unknown ?? null }] : []),
  ];
  const most = Math.max(...rows.map((row) => row.events), 1);
  return {
    empty: rows.length === 0,
    sub: `Events, people and money by ${format.property(by).toLowerCase()}`,
    table: compare({
      columns: [
        { name: by, title: format.property(by), by, format: (value) => (value === null ? "Not told" : format.value(by, value)) },
        { name: "events", number: true, format: format.count }, { name: "people", title: title("uniqueUsers"), meaning: meaning("uniqueUsers"), number: true, format: format.count },
        { name: "conversionRate", number: true, rate: true, format: format.percent }, { name: "purchases", number: true, format: format.count },
        { name: "revenue", number: true, format: format.money },
      ],
      rows: rows.filter((row) => !row.fixed).map((row) => [
        row.value, row.events, row.people, row.conversionRate, row.purchases, row.revenue,
      ]),
    }, before && { name: before.name, table: breakdown(before.report, { isOn, pick }, null).table, partly }, COMPARED),
    draw: (body) => body.replaceChildren(scrolling("Breakdown", element("table", { class: "bars breakdown" },
      element("caption", { class: "hidden" }, `By ${format.property(by)}`),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, format.property(by)),
        ...FIGURES.map((name) => element("th", { scope: "col", class: "number", title: meaning(name) }, title(name))))),
      element("tbody", {}, ...rows.map((row) => line(row, { by, share: row.events / most, isOn, pick, name: before?.name })))))),
  };
}

function line(row, { by, share, isOn, pick, name }) {
  const on = !row.fixed && isOn(by, row.value);
  const tooLong = row.value !== null && row.value?.length >= 200; // only its beginning is known
  const label = element("span", { class: "bar-label" }, row.label || "(empty)");
  const about = row.peopleAccuracy.exact ? "" : "≈ ";
  const number = (figure, show, { called = figure, rate = false, before = "", more = null } = {}) => element("td", { class: "number", title: more },
    `${before}${show(row[figure])}`, changeNote(row[figure], row.old?.[figure], { figure: title(called), name, show, rate }));
  return element("tr", { class: on ? "picked" : null },
    element("th", { scope: "row", style: { "--share": String(share) } }, row.fixed || tooLong ? element("span", { class: "bar-pick" }, label) : element("button", {
      type: "button", class: "bar-pick", "aria-pressed": String(on), "data-value": row.value ?? "",
      title: on ? "Clear this filter" : `Only ${row.label}`, onclick: () => pick(by)(row.value),
    }, label)),
    number("events", format.count),
    number("people", format.count, { called: "uniqueUsers", before: about, more: bounds(row.peopleAccuracy, format.count) }),
    number("conversionRate", format.percent, { rate: true }), number("purchases", format.count), number("revenue", format.money));
}
