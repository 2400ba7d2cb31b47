// A card of the view of costs: which campaigns or sources brought the revenue, by what was touched before.

import { compare } from "../cards/compared.js";
import { toggled } from "../filters/chosen.js";
import * as format from "../lib/format.js";
import { figuresTable, rowHead } from "./figures_table.js";

const LIMIT = 1000;
const FIGURES = { attributedRevenue: format.money, purchases: format.fraction, share: format.percent };
const MEANINGS = { purchases: "Purchases, divided as their amounts are.", share: "Of the revenue of all purchases." };
const COMPARED = ["attributedRevenue", "purchases"];
const WINDOWS = { "24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days" };
const MODELS = {
  last: "the last one gets all of it", first: "the first one gets all of it", linear: "all get equal parts of it",
};
const UNATTRIBUTED = "Unattributed";

export function ask(get, state, change, past) {
  const question = { model: state.model, window: state.lookback, by: state.attribution, limit: LIMIT };
  const pick = (by, value) => change(toggled(state, by, value));
  return { pending: [get("attribution", question), past("attribution", question)], show: (report, before) => show(report, before, pick) };
}

function show(report, before, pick) {
  const { total, unattributed, model, window } = report;
  return {
    empty: total.purchases === "0",
    sub: `Touches within ${WINDOWS[window] ?? window} before a purchase: ${MODELS[model]}. `
      + `${format.money(unattributed.revenue)} of ${format.money(total.revenue)} had no touch.`,
    table: compare(tableOf(report), before && { name: before.name, table: tableOf(before.report) }, COMPARED),
    draw: (body) => body.replaceChildren(drawn(report, before, pick)),
  };
}

const shareOf = ({ revenue }, { total }) => (Number(total.revenue) ? Number(revenue) / Number(total.revenue) : null);
const figures = (row, report) => ({ attributedRevenue: row.revenue, purchases: row.purchases, share: shareOf(row, report) });

/** Each row by its campaign and source; what is in none of them at the end. */
function rowsOf(report) {
  const { items, omitted, unattributed } = report;
  return [
    ...items,
    ...(omitted.rows ? [{ ...omitted, rest: `${format.count(omitted.rows)} more` }] : []),
    { ...unattributed, rest: UNATTRIBUTED },
  ];
}

function tableOf(report) {
  const campaigns = report.by === "campaign";
  const rest = rowsOf(report).flatMap((row) => row.rest ?? []);
  const by = (name) => (row) => (rest.includes(row[0]) ? null : name);
  return {
    columns: [
      ...(campaigns ? [{ name: "campaignId", title: "Campaign", by: by("campaignId") }] : []),
      { name: "source", title: "Source", by: by("source"), format: (name) => (name === null ? "–" : format.name(name)) },
      ...Object.entries(FIGURES).map(([name, show]) => ({ name, meaning: MEANINGS[name], number: true, format: show })),
    ],
    rows: rowsOf(report).map((row) => [
      ...(campaigns ? [row.rest ?? row.campaignId, row.source ?? null] : [row.rest ?? row.source]),
      ...Object.values(figures(row, report)),
    ]),
  };
}

function drawn(report, before, pick) {
  const tableRows = (of) => rowsOf(of).map((row) => ({
    key: row.rest ?? `${row.source} ${row.campaignId}`, head: row.rest ? [row.rest] : rowHead(row, pick), values: figures(row, of),
  }));
  return figuresTable({
    name: "Attribution", by: report.by, figures: FIGURES, meanings: MEANINGS, compared: COMPARED, rows: tableRows(report),
    total: figures(report.total, report), totalHead: "Total",
    before: before && { name: before.name, rows: tableRows(before.report), total: figures(before.report.total, before.report) },
  });
}
