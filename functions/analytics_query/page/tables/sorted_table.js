// A table that is sorted by its headings.

import { meaning, title } from "../lib/definitions.js";
import { element, scrolling } from "../lib/dom.js";

/**
 * @param {{caption: string, columns: {key: string, title?: string, number?: boolean,
 *   show: (row: object) => (string | Node), value: (row: object) => (number | string)}[],
 *   rows: object[], sort: {column: string, ascending: boolean}, onsort: (sort: object) => void,
 *   rowKey?: (row: object) => string}} table
 */
export function sortedTable({ caption, columns, rows, sort, onsort, rowClass }) {
  const by = columns.find((column) => column.key === sort.column) ?? columns[0];
  const direction = sort.ascending ? 1 : -1;
  const sorted = rows.toSorted((a, b) => {
    const [x, y] = [by.value(a), by.value(b)];
    return direction * (typeof x === "string" ? x.localeCompare(y) : x - y);
  });
  return scrolling(caption,
    element("table", { class: "sorted" },
      element("caption", { class: "hidden" }, caption),
      element("thead", {}, element("tr", {}, ...columns.map((column) => {
        const active = column === by;
        return element("th", {
          scope: "col", class: column.number ? "number" : null, title: meaning(column.key),
          "aria-sort": active ? (sort.ascending ? "ascending" : "descending") : null,
        }, element("button", {
          type: "button", class: "sort", "data-sort": column.key,
          onclick: () => onsort({ column: column.key, ascending: active ? !sort.ascending : !column.number }),
        }, element("span", {}, column.title ?? title(column.key)), active
          ? element("span", { class: "arrow", "aria-hidden": "true" }, sort.ascending ? "↑" : "↓") : null));
      }))),
      element("tbody", {}, ...sorted.map((row) => element("tr", { class: rowClass?.(row) || null },
        ...columns.map((column, index) => element(index ? "td" : "th", {
          scope: index ? null : "row", class: column.number ? "number" : null,
        }, column.show(row))))))));
}
