// Which filters are on: changed by a click, and shown as chips that take them off.

import { byId, element } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { OWN, parts } from "./question.js";

export const OPERATORS = {
  is: "is", isNot: "is not", oneOf: "is one of", contains: "contains", isSet: "is told", isNotSet: "is not told",
};
const condition = (by, value) => (value === null ? `${by}:isNotSet` : `${by}:is:${value}`);

export const isOn = (state, by, value) =>
  (value !== null && OWN[by] ? state[OWN[by]] === value : state.filters.includes(condition(by, value)));

/** The change that puts a filter by a value on, or takes it off; null: the property is not told. */
export function toggled(state, by, value) {
  if (value !== null && OWN[by]) return { [OWN[by]]: state[OWN[by]] === value ? "" : value };
  const text = condition(by, value);
  if (state.filters.includes(text)) return { filters: state.filters.filter((one) => one !== text) };
  const others = state.filters.filter((one) => !(parts(one).by === by && parts(one).operator === "is"));
  return { filters: [...others, text] };
}

export const NONE = { source: "", country: "", campaign: "", filters: [] };
export const any = (state) => Boolean(state.source || state.country || state.campaign || state.filters.length);

/** All that is on: what it says, and the change that takes it off. */
export function words(state) {
  const own = Object.entries(OWN).filter(([, name]) => state[name]).map(([by, name]) =>
    ({ text: `${format.property(by)}: ${format.value(by, state[name])}`, off: { [name]: "" } }));
  return [...own, ...state.filters.map((text) => ({ text: filterInWords(text), off: { filters: state.filters.filter((one) => one !== text) } }))];
}

/** What a filter says. */
export function filterInWords(text) {
  const { by, operator, value } = parts(text);
  const shown = operator === "oneOf" ? value.replaceAll(/^\[|\]$/g, "").split(",").join(", ") : format.value(by, value);
  const how = operator === "is" ? ":" : ` ${OPERATORS[operator] ?? operator}`;
  return `${format.property(by)}${how} ${value === "" ? "" : shown}`.trim();
}

/** Shows the chips, and the way to the people behind them (`who`, where it is not shown already); the focus goes on to the next one when one is taken off. */
export function showChips(state, change, who) {
  const root = byId("chips");
  const focused = [...root.children].indexOf(document.activeElement?.closest("li"));
  root.replaceChildren(...words(state).map(({ text, off }) => element("li", {}, element("button", {
    type: "button", class: "chip", title: "Take this filter off", onclick: () => change(off),
  }, text, element("span", { "aria-hidden": "true" }, " ×"), element("span", { class: "hidden" }, ", take this filter off")))));
  root.hidden = root.childElementCount === 0;
  if (who && !root.hidden) {
    root.append(element("li", {}, element("button", { id: "who", type: "button", class: "button quiet", onclick: who }, "Who are they? →")));
  }
  if (focused >= 0) (root.children[Math.min(focused, root.childElementCount - 1)]?.firstChild ?? byId("source")).focus();
}
