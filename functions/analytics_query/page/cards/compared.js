// What figures were in another period, and how they changed.

import { meaning, title } from "../lib/definitions.js";
import { element } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { delta } from "./totals.js";

/** A change with its sign; from nothing it is "new". */
export const signed = (change) => written(change, format.change, "new");
/** The change of a rate, in percentage points. */
export const signedPoints = (change) => written(change, format.points, "–");

/** What columns of changes mean. */
export const CHANGE = "The change, in per cent of what it was.";
export const CHANGE_OF_RATE = "The change, in percentage points.";

function written(change, write, none) {
  if (change === undefined) return "–";
  if (change === null) return none;
  const text = write(change);
  return `${Math.abs(change) < 0.0005 || text.startsWith("over") ? "" : change > 0 ? "+" : "−"}${text}`;
}

const isKnown = (value) => value !== null && value !== undefined;

/** A figure of which nothing can be known is null: a dash, not 0. */
export const orDash = (write) => (value) => (isKnown(value) ? write(value) : "–");

/**
 * The report of the other period, as `{name, report}`, or `{failed}` with the reason where that one alone is
 * refused, or takes too long: what it is compared with is there without it.
 */
export const orNone = (past) => past.catch((error) => {
  if (!error.status || error.retryAfter || error.status === 401) throw error;
  return { failed: error.message };
});

/** A change; undefined: one of both is not known. */
export const changeOf = (now, old, rate = false) => (isKnown(now) && isKnown(old) ? delta(now, old, rate) : undefined);

/** The change of a figure in small, beside it: what it was on hover. Nothing where it is not known, or was nothing. */
export function changeNote(now, old, { figure, name, show, rate = false }) {
  const change = changeOf(now, old, rate);
  if (!isKnown(change) || (Number(now) === 0 && Number(old) === 0)) return null;
  return element("span", { class: "muted nowrap", title: `${figure}, ${name}: ${show(old)}` }, ` ${(rate ? signedPoints : signed)(change)}`);
}

/**
 * A table with what some of its figures were in another period, and their change, beside it. A row that
 * was not there had none of what is counted; of rates (columns with `rate`) nothing is known then, nor of
 * anything where `before.partly` says that rows are missing.
 * @param {{name: string, table: object, partly?: boolean} | null} before
 */
export function compare(table, before, figures) {
  if (!before) return table;
  const key = (row) => JSON.stringify(row.filter((_, index) => !table.columns[index].number));
  const then = new Map(before.table.rows.map((row) => [key(row), row]));
  const compared = figures.map((figure) => {
    const place = table.columns.findIndex((column) => column.name === figure);
    const column = table.columns[place];
    return { place, column, words: column.title ?? title(figure) ?? figure };
  });
  return {
    columns: [...table.columns, ...compared.flatMap(({ column, words }) => [
      { ...column, name: `${column.name}Before`, title: `${words}, ${before.name}`, meaning: column.meaning ?? meaning(column.name), format: column.format && ((value) => (isKnown(value) ? column.format(value) : "–")) },
      { name: `${column.name}Change`, title: `${words}, change`, meaning: column.rate ? CHANGE_OF_RATE : CHANGE, number: true, format: column.rate ? signedPoints : signed },
    ])],
    rows: table.rows.map((row) => [...row, ...compared.flatMap(({ place, column: { rate } }) => {
      const past = then.get(key(row));
      const old = past ? past[place] : rate || before.partly ? undefined : 0;
      return [old, changeOf(row[place], old, rate)];
    })]),
  };
}
