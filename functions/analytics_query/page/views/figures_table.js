// A table of figures by campaign or source, with what changed beside them and a last row of them all.

import { signed } from "../cards/compared.js";
import { meaning, title } from "../lib/definitions.js";
import { element, link, scrolling } from "../lib/dom.js";
import * as format from "../lib/format.js";

/**
 * @param {{name: string, by: string, figures: Object<string, (value: any) => string>, compared: string[],
 *   rows: {key: string, head: (string | Node)[], values: object}[], total: object, totalHead: string,
 *   before: {name: string, rows: object[], total: object} | null, meanings?: Object<string, string>}} table `figures`: how each is shown,
 *   a dash where it is null; `compared`: those of them whose change is shown
 */
export function figuresTable({ name, by, figures, compared, rows, total, totalHead, before, meanings = {} }) {
  const then = new Map(before?.rows.map((row) => [row.key, row.values]));
  const shown = (figure, value) => (value === null ? "–" : figures[figure](value));
  const changed = (figure, now, old) => {
    if (!compared.includes(figure) || now === null || !Number(old?.[figure])) return null;
    return element("span", { class: "muted", title: `${title(figure)}, ${before.name}: ${shown(figure, old[figure])}` },
      ` ${signed(Number(now) / Number(old[figure]) - 1)}`);
  };
  const cells = (values, old) => Object.keys(figures).map((figure) =>
    element("td", { class: "number" }, shown(figure, values[figure]), changed(figure, values[figure], old)));
  return scrolling(name, element("table", {},
    element("caption", { class: "hidden" }, `${name} by ${by}`),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, by === "campaign" ? "Campaign" : "Source"),
      ...Object.keys(figures).map((figure) =>
        element("th", { scope: "col", class: "number", title: meanings[figure] ?? meaning(figure) }, title(figure) ?? format.name(figure))))),
    element("tbody", {}, ...rows.map(({ key, head, values }) =>
      element("tr", {}, element("th", { scope: "row" }, ...head), ...cells(values, then.get(key))))),
    element("tfoot", {}, element("tr", {}, element("th", { scope: "row" }, totalHead), ...cells(total, before?.total)))));
}

/**
 * The head of the row of a campaign of a source, or of a source; a click on either filters by it.
 * @param {(by: string, value: string) => void} pick
 */
export function rowHead({ campaignId, source }, pick) {
  const name = link(format.name(source), () => pick("source", source), `Only ${format.name(source)}`);
  if (campaignId === null) return [name];
  name.classList.add("tag");
  return [link(campaignId, () => pick("campaignId", campaignId), `Only ${campaignId}`), " ", name];
}
