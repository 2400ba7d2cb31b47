// The view of costs: what campaigns cost, and what they bring.

import { compare } from "../cards/compared.js";
import { toggled } from "../filters/chosen.js";
import * as format from "../lib/format.js";
import { figuresTable, rowHead } from "./figures_table.js";

/** The figures of a row: how each is shown. */
const FIGURES = {
  spend: format.money, clicks: format.count, purchases: format.count, revenue: format.money,
  costPerClick: format.money, costPerPurchase: format.money, returnOnSpend: (ratio) => `${Number(ratio).toFixed(2)} ×`,
};
const COMPARED = Object.keys(FIGURES);
const LIMIT = 1000;
const shown = (figure, value) => (value === null ? "–" : FIGURES[figure](value));

export function ask(get, state, change, past) {
  const question = { by: state.costs, limit: LIMIT };
  const pick = (by, value) => change(toggled(state, by, value));
  return { pending: [get("economics", question), past("economics", question)], show: (report, before) => show(report, before, pick) };
}

function show(report, before, pick) {
  return {
    empty: report.items.length === 0,
    sub: notes(report).join(" "),
    table: compare(tableOf(report), before && { name: before.name, table: tableOf(before.report) }, COMPARED),
    draw: (body) => body.replaceChildren(drawn(report, before, pick)),
  };
}

/** What the figures leave out, and how to bring spend in. */
function notes({ total, spendKnown, wholeDays, withoutSpend, withoutEvents, by, spendTimezone }) {
  if (!spendKnown) return ["Spend is not known by this filter."];
  if (total.spend === null) return ["No spend of these days: import some below the table."];
  return [
    `Spend by whole days of ${spendTimezone}${wholeDays ? "." : ": the range begins or ends within one, so spend is of other hours than clicks and revenue."}`,
    withoutSpend.rows ? `${format.count(withoutSpend.rows)} ${by}s without spend (${format.money(withoutSpend.revenue)} revenue) are in no quotient of the total.` : "",
    withoutEvents.rows ? `${format.money(withoutEvents.spend)} was spent where no event names a campaign.` : "",
  ].filter(Boolean);
}

function tableOf({ by, items }) {
  const names = by === "campaign" ? ["campaignId", "source"] : ["source"];
  return {
    columns: [
      ...names.map((name) => ({ name, by: name, title: name === "source" ? "Source" : "Campaign", format: name === "source" ? format.name : null })),
      ...Object.keys(FIGURES).map((name) => ({ name, number: true, format: (value) => shown(name, value) })),
    ],
    rows: items.map((row) => [...names, ...Object.keys(FIGURES)].map((name) => row[name])),
  };
}

function drawn({ by, items, total, omitted }, before, pick) {
  const rowsOf = (all) => all.map((row) => ({ key: `${row.source} ${row.campaignId}`, head: rowHead(row, pick), values: row }));
  return figuresTable({
    name: "Costs", by, figures: FIGURES, compared: COMPARED, rows: rowsOf(items), total,
    totalHead: omitted ? `Total, with ${format.count(omitted)} more` : "Total",
    before: before && { name: before.name, rows: rowsOf(before.report.items), total: before.report.total },
  });
}
