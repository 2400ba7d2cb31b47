// The view of costs: what campaigns cost, and what they bring.

import { compare } from "../cards/cards.js";
import * as format from "../lib/format.js";
import { figuresTable, rowHead } from "./figures_table.js";

/** The figures of a row: how each is shown. */
const FIGURES = {
  spend: format.money, clicks: format.count, purchases: format.count, revenue: format.money,
  costPerClick: format.money, costPerPurchase: format.money, returnOnSpend: (ratio) => `${Number(ratio).toFixed(2)} ×`,
};
const COMPARED = ["spend", "revenue", "returnOnSpend"];
const LIMIT = 1000;
const shown = (figure, value) => (value === null ? "–" : FIGURES[figure](value));

export function ask(get, { costs }, change, past) {
  const question = { by: costs, limit: LIMIT };
  return { pending: [get("economics", question), past("economics", question)], show };
}

function show(report, before) {
  return {
    empty: report.items.length === 0,
    sub: notes(report).join(" "),
    table: compare(tableOf(report), before && { name: before.name, table: tableOf(before.report) }, COMPARED),
    draw: (body) => body.replaceChildren(drawn(report, before)),
  };
}

/** What the figures leave out, and how to bring spend in. */
function notes({ total, spendKnown, wholeDays, withoutSpend, withoutEvents, by, spendTimezone }) {
  if (!spendKnown) return ["Spend is not known by this filter."];
  if (total.spend === null) return ["No spend of these days: universe spend import FILE brings it in."];
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
      ...names.map((name) => ({ name, title: name === "source" ? "Source" : "Campaign", format: name === "source" ? format.name : null })),
      ...Object.keys(FIGURES).map((name) => ({ name, number: true, format: (value) => shown(name, value) })),
    ],
    rows: items.map((row) => [...names, ...Object.keys(FIGURES)].map((name) => row[name])),
  };
}

function drawn({ by, items, total, omitted }, before) {
  const rowsOf = (all) => all.map((row) => ({ key: `${row.source} ${row.campaignId}`, head: rowHead(row), values: row }));
  return figuresTable({
    name: "Costs", by, figures: FIGURES, compared: COMPARED, rows: rowsOf(items), total,
    totalHead: omitted ? `Total, with ${format.count(omitted)} more` : "Total",
    before: before && { name: before.name, rows: rowsOf(before.report.items), total: before.report.total },
  });
}
