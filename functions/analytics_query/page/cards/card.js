// A card of the page: loading, empty and failed; its data as a chart or as a table, and as CSV.

import { download, fileName, toCsv } from "../lib/csv.js";
import { meaning, title } from "../lib/definitions.js";
import { element, link, scrolling, svg } from "../lib/dom.js";

const icon = (path) => svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, svg("path", { d: path }));
const TABLE = "M3.5 4.5h13v11h-13zM3.5 8.2h13M3.5 11.8h13M8 8.2v7.3";
const DOWNLOAD = "M10 3.5v9M6.3 9l3.7 3.7L13.7 9M4 16.5h12";

let charts = null;
let loading = null;

/** Loads the code of charts, once; null: it cannot be loaded now. */
export function loadCharts() {
  loading ??= import("../charts/charts.js").then((loaded) => (charts = loaded), () => (loading = null));
  return loading;
}

export class Card {
  /**
   * @param {string} name what the card's element is called in the page
   * @param {{table?: boolean, csv?: string, retry: () => void, range: () => object,
   *   pick?: (by: string) => ((value: string | null) => void) | null}} options
   */
  constructor(name, { table = true, csv = name, retry, range, pick = null }) {
    this.pick = pick;
    this.root = document.querySelector(`[data-card="${name}"]`);
    this.body = this.root.querySelector("[data-body]");
    this.sub = this.root.querySelector("[data-sub]");
    this.title = this.root.querySelector("h2").textContent;
    this.retry = retry;
    this.data = null;
    this.asTable = false;
    const heading = this.root.querySelector("h2");
    heading.id = `${name}-title`;
    this.root.setAttribute("aria-labelledby", heading.id);
    const actions = this.root.querySelector(".card-actions");
    if (table) {
      this.tableButton = element("button", {
        class: "button icon-only quiet", type: "button", "aria-pressed": "false",
        title: "Show as a table", onclick: () => this.toggleTable(),
      }, icon(TABLE), element("span", { class: "hidden" }, `Show ${this.title} as a table`));
      actions.append(this.tableButton);
    }
    if (csv) {
      this.csvButton = element("button", {
        class: "button icon-only quiet", type: "button", title: "Download as CSV", disabled: true,
        onclick: () => {
          const blob = new Blob([toCsv(this.data.table)], { type: "text/csv;charset=utf-8" });
          download(blob, fileName(csv, range()));
        },
      }, icon(DOWNLOAD), element("span", { class: "hidden" }, `Download ${this.title} as CSV`));
      actions.append(this.csvButton);
    }
    this.skeleton();
  }

  toggleTable() {
    this.asTable = !this.asTable;
    this.tableButton.setAttribute("aria-pressed", String(this.asTable));
    this.draw();
  }

  /** Shows that the card is loading; figures that are there stay, dimmed. */
  loading() {
    this.root.setAttribute("aria-busy", "true");
    if (this.data === null) this.skeleton();
    else this.root.classList.add("stale");
  }

  skeleton() {
    this.clear();
    this.body.append(element("div", { class: "skeleton", "aria-hidden": "true" }));
  }

  settle() {
    this.root.removeAttribute("aria-busy");
    this.root.classList.remove("stale");
    if (this.csvButton) this.csvButton.disabled = !this.data?.table;
    if (this.tableButton) this.tableButton.disabled = !this.data?.table;
  }

  /**
   * Shows data; returns when it is there to see.
   * @param {{sub?: string, empty: boolean, table: object, draw?: (body: HTMLElement) => void,
   *   chart?: (body: HTMLElement, charts: object) => void}} data
   */
  async show(data) {
    this.data = data;
    this.sub.textContent = data.sub ?? "";
    const drawn = this.draw();
    this.settle();
    await drawn;
  }

  async draw() {
    const { data } = this;
    if (data === null) return;
    if (data.empty) {
      this.clear();
      this.body.append(element("p", { class: "empty" },
        element("strong", {}, "Nothing here yet"),
        "No events match this range and these filters."));
      data.table = null;
    } else if (this.asTable && data.table) {
      this.clear();
      this.body.append(plainTable(data.table, this.title, this.pick));
    } else {
      const loaded = data.chart ? charts ?? await loadCharts() : null;
      if (this.data !== data || (this.asTable && data.table)) return; // changed while it was loading
      if (this.drawn !== "chart") this.clear();
      if (data.chart && !loaded) { // it can be read all the same
        this.clear();
        this.body.append(plainTable(data.table, this.title));
        return;
      }
      this.drawn = "chart";
      if (loaded) data.chart(this.body, loaded);
      else data.draw(this.body);
    }
  }

  clear() {
    this.body.replaceChildren();
    this.drawn = null;
  }

  /**
   * Says that the data did not come. Figures of the same question stay, with the reason below the title.
   * @param {boolean} keep whether what is there answers the same question
   */
  fail(error, keep = false) {
    if (keep && this.data) {
      this.sub.textContent = `Not refreshed: ${error.message}`;
      this.settle();
      return;
    }
    this.data = null;
    this.sub.textContent = "";
    this.clear();
    this.body.append(element("div", { class: "failed", role: "alert" },
      element("strong", {}, "This did not load"),
      element("p", {}, error.message),
      element("button", { class: "button", type: "button", onclick: this.retry }, "Try again")));
    this.settle();
  }

  /** Stops loading while the banner says why; figures of another question go. */
  wait(keep) {
    if (!keep || !this.data) {
      this.data = null;
      this.sub.textContent = "";
      this.clear();
      this.body.append(element("p", { class: "empty" }, "No figures yet"));
    }
    this.settle();
  }
}

/** "averageOrderValue" is "Average order value". */
const readable = (name) => {
  const words = name.replaceAll(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return /^[a-z]/.test(name) ? words.charAt(0).toUpperCase() + words.slice(1) : name;
};

/**
 * The data behind a chart, for those who rather read. What a column means is said on hover: of a figure, or its own `meaning`. A click on a value of a column that says `by` what filters by it;
 * of one that has `choose`, that is told the value.
 */
export function plainTable({ columns, rows }, caption, pick = null) {
  const text = (value, column) => String(column.format ? column.format(value) : value ?? "–");
  const show = (row, index) => {
    const { by, choose: own } = columns[index];
    const property = typeof by === "function" ? by(row) : by;
    const choose = own ?? (property ? pick?.(property) : null);
    const words = text(row[index], columns[index]);
    return choose ? link(words, () => choose(row[index]), own ? "Only this" : undefined) : words;
  };
  return scrolling(`${caption}, table`,
    element("table", {},
      element("caption", { class: "hidden" }, caption),
      element("thead", {}, element("tr", {}, ...columns.map((column) =>
        element("th", { scope: "col", class: column.number ? "number" : null, title: column.meaning ?? meaning(column.name) },
          column.title ?? title(column.name) ?? readable(column.name))))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((_, index) =>
        element(index ? "td" : "th", {
          scope: index ? null : "row", class: columns[index].number ? "number" : null,
        }, show(row, index))))))));
}
