// Lists of bars: figures by name, as a table that draws itself.

import { element } from "../lib/dom.js";

/**
 * @param {{items: {label: string, mark?: string, value: number, text: string, title?: string, change?: Node | null,
 *   pick?: () => void, picked?: boolean}[], head: [string, string], caption: string, compared: boolean}} list
 *   `compared`: the change of each stands beside it
 */
export function bars({ items, head, caption, compared }) {
  const most = Math.max(...items.map((item) => item.value), 1);
  return element("table", { class: "bars" },
    element("caption", { class: "hidden" }, caption),
    element("thead", { class: "hidden" },
      element("tr", {}, ...[...head, ...(compared ? ["Change"] : [])].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...items.map((item) => {
      const label = [
        item.mark ? element("span", { class: "mark", "aria-hidden": "true" }, item.mark) : null,
        element("span", { class: "bar-label" }, item.label),
      ];
      const name = item.pick
        ? element("button", {
          type: "button", class: "bar-pick", onclick: item.pick,
          "aria-pressed": String(Boolean(item.picked)),
          title: item.picked ? "Clear this filter" : `Only ${item.label}`,
        }, ...label)
        : element("span", { class: "bar-pick" }, ...label);
      return element("tr", { class: item.picked ? "picked" : null, title: item.title },
        element("th", { scope: "row", style: { "--share": String(item.value / most) } }, name),
        element("td", { class: "number" }, item.text),
        compared ? element("td", { class: "number" }, item.change) : null);
    })));
}
