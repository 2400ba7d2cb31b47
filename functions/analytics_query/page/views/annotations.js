// The list of annotations below the curve of events, to be read without seeing the curve, and the form that adds one.

import { send } from "../lib/api.js";
import { byId, element } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { instant } from "../lib/ranges.js";
import { moment, wall, zoneName } from "../lib/zone.js";
import { sayProblem } from "./writing.js";

/** Shows annotations; `changed` is called when one was added or deleted. */
export function showAnnotations(items, changed) {
  const doing = (act) => async (event) => {
    event.preventDefault();
    byId("notes-error").replaceChildren();
    try {
      await act(event.currentTarget);
      byId("notes").querySelector("summary").focus(); // what was focused is drawn anew
      await changed();
    } catch (error) {
      sayProblem(byId("notes-error"), error);
    }
  };
  const rows = items.map(({ id, time, label }) => element("li", {},
    element("span", {}, element("time", { datetime: time, class: "muted" }, format.dateTime(time)), ` ${label}`),
    element("button", { type: "button", class: "button quiet", "aria-label": `Delete ${label}`, onclick: doing(() => send("DELETE", "annotations", { id })) }, "Delete")));
  byId("notes-list").replaceChildren(rows.length ? element("ul", { class: "saved" }, ...rows) : element("p", { class: "muted" }, "None in this range."));
  if (byId("notes-form").childElementCount) return; // it may be filled in
  const now = new Date(wall(Date.now())).toISOString().slice(0, 16);
  byId("notes-form").replaceChildren(element("form", {
    class: "saved-form", onsubmit: doing(async (form) => {
      const { time, label } = form.elements;
      await send("POST", "annotations", {}, { time: instant(moment(Date.parse(`${time.value}Z`))), label: label.value });
      label.value = "";
    }),
  }, element("label", {}, `When (${zoneName()}) `, element("input", { name: "time", type: "datetime-local", step: 60, required: true, value: now })),
  element("label", {}, "What happened ", element("input", { name: "label", required: true, maxlength: 100 })),
  element("button", { type: "submit", class: "button primary" }, "Annotate")));
}
