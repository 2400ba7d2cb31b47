// What each card shows of its report.

import { bars } from "../tables/bars.js";
import { changeNote, changeOf, compare, orDash, signed } from "./compared.js";
import { meaning, title } from "../lib/definitions.js";
import { element, link, scrolling } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { endsOf } from "../lib/intervals.js";
import { sortedTable } from "../tables/sorted_table.js";
import { bounds } from "./totals.js";
import { zoneName } from "../lib/zone.js";

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const number = { number: true, format: orDash(format.count) };
const amount = { number: true, format: format.money };

const seriesName = (split) => (key) =>
  split === "eventType" && key ? format.eventType(key)
    : split === "country" ? format.country(key) : format.name(key);

/** A curve to compare with: the total of a timeseries of another period; null where there is none. */
function course(before, figure) {
  const points = before?.report.series[0]?.points;
  if (!points) return null;
  const texts = points.map((point) => point[figure]);
  return { name: before.name, times: points.map((point) => point.time), values: texts.map(Number), texts };
}

/** The column of intervals: a click on one makes it the range. */
const timeColumn = (times, interval, zoom) => ({
  name: "time", title: `Time (${zoneName()})`, format: format.time,
  choose: (time) => zoom(Date.parse(time), endsOf(times, interval)[times.indexOf(time)]),
});

/** Events over time; series too many to tell apart become "Others". */
export function eventsOverTime(report, zoom, before, pick, notes) {
  const name = seriesName(report.split);
  const series = report.series.map(({ key, points }) => ({
    key, name: name(key), times: points.map((p) => p.time), values: points.map((p) => p.events),
  }));
  const shown = series.slice(0, 7);
  if (series.length > 7) {
    const rest = series.slice(7);
    shown.push({
      key: "others", name: "Others", times: rest[0].times,
      values: rest[0].values.map((_, index) => sum(rest.map((one) => one.values[index]))),
    });
  }
  const total = sum(series.flatMap((one) => one.values));
  const times = series[0]?.times ?? [];
  const past = course(before, "events");
  const choose = report.split === "none" ? null : pick?.(report.split);
  const pickSeries = choose ? (key) => { if (key !== "others") choose(key); } : null;
  return {
    empty: total === 0,
    sub: `${format.counted(total, "event")}, by ${report.interval}`,
    table: {
      columns: [timeColumn(times, report.interval, zoom), ...series.map((one) => ({ name: one.name, meaning: meaning("events"), ...number })), ...(past ? [{ name: "totalBefore", title: `Total, ${past.name}`, meaning: meaning("events"), ...number }] : [])],
      rows: times.map((time, index) => [time, ...series.map((one) => one.values[index]), ...(past ? [past.values[index] ?? null] : [])]),
    },
    chart: (body, charts) => charts.overTime(body, {
      label: `Events over time: ${shown.map((one) => `${one.name} ${format.count(sum(one.values))}`).join(", ")}`,
      interval: report.interval, series: shown, show: format.count, ends: endsOf(times, report.interval), zoom, before: past, pick: pickSeries, notes,
    }),
  };
}

/** Revenue over time by source, with the average order. */
export function revenueOverTime(report, bySource, zoom, before, pick, notes) {
  const past = course(before, "revenue");
  const series = bySource.series.map(({ key, points }) => ({
    key, name: format.name(key), times: points.map((p) => p.time), values: points.map((p) => p.revenue),
  })).filter((one) => one.values.some((value) => Number(value) !== 0));
  return {
    empty: report.purchases === 0,
    sub: `${format.money(report.revenue)} from ${format.counted(report.purchases, "purchase")}, `
      + `average ${format.money(report.averageOrderValue)}`,
    table: {
      columns: [
        timeColumn(report.points.map((p) => p.time), report.interval, zoom), { name: "purchases", ...number }, { name: "revenue", ...amount },
        { name: "averageOrderValue", ...amount }, ...(past ? [{ name: "revenueBefore", title: `Revenue, ${past.name}`, meaning: meaning("revenue"), ...amount }] : []),
      ],
      rows: report.points.map((p, index) => [p.time, p.purchases, p.revenue, p.averageOrderValue, ...(past ? [past.texts[index] ?? null] : [])]),
    },
    chart: (body, charts) => charts.overTime(body, {
      label: `Revenue over time: ${format.money(report.revenue)} in total`,
      interval: report.interval, series, show: (value) => format.money(value),
      ends: endsOf(report.points.map((p) => p.time), report.interval), zoom, before: past, pick: pick("source"), notes,
    }),
  };
}

export function funnel(report, purchases, before, pick) {
  const steps = ["Top", "Bottom", "Purchase"];
  const unknown = [report.top === null, report.bottom === null, report.bottom === null && purchases.purchases === 0];
  const bought = Object.fromEntries(purchases.bySource.map((one) => [one.source, one.purchases]));
  const series = report.bySource.map((one) => ({
    key: one.source, name: format.name(one.source),
    values: [one.top ?? 0, one.bottom ?? 0, bought[one.source] ?? 0],
  }));
  const totals = steps.map((_, index) => (unknown[index] ? null : sum(series.map((one) => one.values[index]))));
  const { users } = report;
  return {
    empty: !report.top && !report.bottom,
    sub: report.clickThroughRate === null ? "" : `Click-through ${format.percent(report.clickThroughRate)}: events at the bottom per event at the top`,
    table: compare({
      columns: [
        { name: "source", format: format.name, by: "source" }, { name: "top", ...number }, { name: "bottom", ...number },
        { name: "clickThroughRate", number: true, rate: true, format: format.percent },
        { name: "purchases", ...number }, { name: "revenue", ...amount },
      ],
      rows: report.bySource.map((one) => [
        one.source, one.top, one.bottom, one.clickThroughRate, bought[one.source] ?? (one.bottom === null ? null : 0), one.revenue,
      ]),
    }, before && { name: before.name, table: funnel(before.report, { purchases: 0, bySource: [] }, null).table }, ["top", "bottom", "clickThroughRate", "revenue"]),
    chart: (body, charts) => {
      charts.funnel(body, {
        label: `Funnel: ${steps.map((step, index) => `${step} ${orDash(format.count)(totals[index])}`).join(", ")}`,
        steps: steps.map((step, index) => ({ name: step, total: orDash(format.compact)(totals[index]) })),
        series, pick: pick("source"),
      });
      let people = body.querySelector(".people");
      if (!people) {
        people = element("p", { class: "people" });
        body.append(people);
      }
      if (users.continued === null) {
        people.removeAttribute("title");
        people.replaceChildren("A dash: these events do not tell what is filtered by, so nothing is known of them.");
        return;
      }
      people.title = [meaning("continuationRate"), bounds(users.accuracy, format.count)].join("\n");
      people.replaceChildren(
        element("strong", {}, `${users.accuracy.exact ? "" : "≈ "}${format.compact(users.continued)}`),
        ` of ${format.compact(users.top)} people seen at the top came to the bottom later`,
        users.continuationRate === null ? "" : ` (${format.percent(users.continuationRate)}).`);
    },
  };
}

export function countries(report, picked, pick, before) {
  const all = sum(report.items.map((item) => item.events)) + report.unknown.events;
  const known = report.items.length + report.omitted;
  const then = new Map(before?.report.items.map((item) => [item.country, item]));
  const partly = before?.report.omitted > 0;
  return {
    empty: all === 0,
    sub: format.counted(known, "country", "countries")
      + (report.unknown.events ? `; ${format.counted(report.unknown.events, "event")} without one, `
        + `${format.money(report.unknown.revenue)} revenue` : ""),
    table: compare({
      columns: [
        { name: "country", format: format.country, by: "country" }, { name: "events", ...number },
        { name: "uniqueUsers", ...number }, { name: "purchases", ...number },
        { name: "revenue", ...amount }, { name: "clickThroughRate", number: true, rate: true, format: format.percent },
      ],
      rows: report.items.map((item) => [
        item.country, item.events, item.uniqueUsers, item.purchases, item.revenue, item.clickThroughRate,
      ]),
    }, before && { name: before.name, table: countries(before.report, "", null, null).table, partly }, ["events", "revenue", "clickThroughRate"]),
    draw: (body) => body.replaceChildren(bars({
      caption: "Events by country", head: ["Country", "Events"], compared: before !== null,
      items: report.items.slice(0, 10).map((item) => ({
        label: format.country(item.country), mark: format.mark(item.country), value: item.events,
        text: format.compact(item.events), picked: picked === item.country,
        change: changeNote(item.events, then.get(item.country)?.events, { figure: "Events", name: before?.name, show: format.count }),
        pick: pick && (() => pick(item.country)),
        title: `${format.counted(item.events, "event")}, `
          + `${report.uniqueUsersAccuracy.exact ? "" : "about "}${format.counted(item.uniqueUsers, "user")}, `
          + `${format.money(item.revenue)} revenue`,
      })),
    })),
  };
}

export function campaigns(report, { picked, pick, sort, onsort }, before) {
  const then = new Map(before?.report.items.map((row) => [row.campaignId, row]));
  const partly = before?.report.omitted > 0;
  const earlier = (row) => then.get(row.campaignId)?.revenue ?? (partly ? null : "0");
  const changed = (row) => changeOf(row.revenue, earlier(row));
  /** A figure with its change, and what it was on hover. */
  const noted = (key, show, rate = false) => ({
    key, number: true, value: (row) => Number(row[key] ?? -1),
    show: (row) => element("span", {}, show(row[key]), changeNote(row[key], then.get(row.campaignId)?.[key], { figure: title(key), name: before?.name, show, rate })),
  });
  const columns = [
    {
      key: "campaignId", title: "Campaign", value: (row) => row.campaignId,
      show: (row) => (pick ? element("button", {
        type: "button", class: "link", "aria-pressed": String(picked === row.campaignId),
        title: picked === row.campaignId ? "Clear this filter" : "Only this campaign",
        onclick: () => pick(row.campaignId),
      }, row.campaignId) : row.campaignId),
    },
    noted("events", format.count), noted("clicks", format.count), noted("purchases", format.count), noted("purchaseRate", format.percent, true),
    { key: "revenue", number: true, value: (row) => Number(row.revenue), show: (row) => format.money(row.revenue) },
    noted("averageOrderValue", format.money),
    ...(before ? [{
      key: "revenueChange", title: "Revenue change", number: true, value: (row) => changed(row) ?? Infinity,
      show: (row) => element("span", { title: `Revenue, ${before.name}: ${format.money(earlier(row))}` }, signed(changed(row))),
    }] : []),
  ];
  return {
    empty: report.items.length === 0,
    sub: format.counted(report.items.length + report.omitted, "campaign"),
    table: compare({
      columns: columns.slice(0, 7).map(({ key, number: numeric }) => ({ name: key, number: numeric })),
      rows: report.items.map((row) => columns.slice(0, 7).map(({ key }) => row[key])),
    }, before && { name: before.name, table: campaigns(before.report, { sort }, null).table, partly }, ["events", "purchases", "revenue"]),
    draw: (body) => {
      const focused = body.querySelector(":focus")?.dataset?.sort;
      body.replaceChildren(sortedTable({
        caption: "Campaigns", columns, rows: report.items, sort, onsort,
        rowClass: (row) => (picked === row.campaignId ? "picked" : ""),
      }));
      if (focused) body.querySelector(`[data-sort="${focused}"]`)?.focus();
    },
  };
}

const ORDER = { ageGroup: 0, gender: 1, followerBand: 2, device: 3, city: 4, country: 5 };
const RANKED = new Set(["ageGroup", "followerBand"]);
/** The lower end of a group such as "25-34", "65+" or "10K-99.9K". */
const lowest = (group) => {
  const [, digits, unit] = /^([\d.]+)([KM]?)/.exec(group) ?? [null, "0", ""];
  return Number(digits) * ({ K: 1e3, M: 1e6 }[unit] ?? 1);
};

/** Tells the share of a group of its dimension's events; null where it is not known. */
function sharesOf(report) {
  const shares = new Map(report?.dimensions.flatMap(({ source, dimension, items, omitted }) => {
    const total = sum(items.map((item) => item.events));
    return omitted ? [] : items.map((item) => [JSON.stringify([source, dimension, item.value]), item.events / total]);
  }));
  return (...group) => shares.get(JSON.stringify(group)) ?? null;
}

export function audience(report, before, { isOn, pick } = {}) {
  const dimensions = report.dimensions
    .filter(({ dimension }) => dimension !== "country")
    .toSorted((a, b) => a.source.localeCompare(b.source)
      || (ORDER[a.dimension] ?? 9) - (ORDER[b.dimension] ?? 9));
  const then = sharesOf(before?.report);
  return {
    empty: dimensions.length === 0,
    sub: "Events by what the sources tell about people",
    table: compare({
      columns: [
        { name: "source", format: format.name, by: "source" }, { name: "dimension", format: format.name },
        { name: "value", by: (row) => row[1] }, { name: "events", ...number }, { name: "revenue", ...amount },
      ],
      rows: report.dimensions.flatMap(({ source, dimension, items }) =>
        items.map((item) => [source, dimension, item.value, item.events, item.revenue])),
    }, before && { name: before.name, table: audience(before.report, null).table, partly: before.report.dimensions.some(({ omitted }) => omitted > 0) }, ["events", "revenue"]),
    draw: (body) => body.replaceChildren(element("div", { class: "audience" },
      ...dimensions.map(({ source, dimension, items }) => {
        const total = sum(items.map((item) => item.events));
        const ordered = RANKED.has(dimension)
          ? items.toSorted((a, b) => lowest(a.value) - lowest(b.value)) : items.slice(0, 7);
        return element("section", { class: `group source-${source}` },
          element("h3", {}, format.name(dimension), element("span", { class: "tag" }, format.name(source))),
          bars({
            caption: `${format.name(source)}: events by ${format.name(dimension).toLowerCase()}`,
            head: [format.name(dimension), "Events"], compared: Boolean(before),
            items: ordered.map((item) => ({
              label: dimension === "gender" ? format.name(item.value) : item.value,
              value: item.events, text: format.percent(item.events / total),
              change: changeNote(item.events / total, then(source, dimension, item.value), { figure: "Share", name: before?.name, show: format.percent, rate: true }),
              picked: isOn(dimension, item.value), pick: pick(dimension) && (() => pick(dimension)(item.value)),
              title: `${format.counted(item.events, "event")}, ${format.money(item.revenue)} revenue`,
            })),
          }));
      }))),
  };
}

/** A value in a table that filters by it. */
export const picking = (pick, by, value, text) => (value === null ? "–" : link(text, () => pick(by)(value), `Only ${text}`));

export function latest(page, exportButtons, pick, open) {
  return {
    empty: page.items.length === 0,
    sub: "Newest first",
    table: null,
    draw: (body) => body.replaceChildren(
      scrolling("Latest events",
        element("table", {},
          element("caption", { class: "hidden" }, "Latest events"),
          element("thead", {}, element("tr", {},
            ...["Time", "Event", "User", "Country", "Campaign"].map((title) => element("th", { scope: "col" }, title)),
            element("th", { scope: "col", class: "number", title: "The amount of the event." }, "Revenue"))),
          element("tbody", {}, ...page.items.map((event) => element("tr", {},
            element("td", { class: "nowrap" }, element("button", { type: "button", class: "link", title: "All of this event", onclick: () => open(event) }, format.time(event.timestamp))),
            element("td", {}, element("span", { class: `tag source-${event.source}` }, format.name(event.source)), " ",
              picking(pick, "eventType", event.eventType, format.eventType(event.eventType))),
            element("td", {}, picking(pick, "userId", event.userId, event.userId)),
            element("td", {}, picking(pick, "country", event.country, format.country(event.country))),
            element("td", {}, picking(pick, "campaignId", event.campaignId, event.campaignId)),
            element("td", { class: "number" }, event.revenue === null ? "–" : format.money(event.revenue))))))),
      exportButtons),
  };
}
