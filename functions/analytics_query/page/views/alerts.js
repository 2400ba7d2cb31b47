// Alerts and summaries, a part of the dialog of views: how each stands, a test of it, and new ones from the present filters.

import { send } from "../lib/api.js";
import { element } from "../lib/dom.js";
import * as format from "../lib/format.js";

const CONDITIONS = { above: "is above", below: "is below", fallen: "has fallen by", risen: "has risen by" };
const INTERVALS = { hour: "in an hour", day: "on a day", week: "in a week" };
const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const word = (day) => day[0].toUpperCase() + day.slice(1);
const hourOf = (hour) => `${String(hour).padStart(2, "0")}:00`;
const option = (value, text, selected) => element("option", { value, selected: value === selected }, text);

/** What is shown of a figure that is compared: a rate in per cent, a change in what changes are in. */
function limit({ condition, value }, unit) {
  if (condition === "above" || condition === "below") return unit === "rate" ? `${Number((value * 100).toFixed(4))} %` : value;
  return unit === "rate" ? `${value} pp` : `${value} %`;
}

function inWords(rule, figures) {
  const filters = Object.entries(rule.filters).map(([name, value]) => (name === "filter" ? value.join(", ") : `${name} ${value}`));
  const of = filters.length ? `, of ${filters.join(", ")}` : "";
  if (rule.kind === "summary") return `Summary every ${rule.every === "day" ? "day" : word(rule.weekday)} at ${hourOf(rule.hour)}${of}`;
  const figure = figures.find(({ name }) => name === rule.figure);
  return `${figure.title} ${CONDITIONS[rule.condition]} ${limit(rule, figure.unit)} ${INTERVALS[rule.interval]}${of}`;
}

function standing({ state, firingSince, lastError, waiting, rule }) {
  const texts = [];
  if (state === "firing") texts.push(`firing since ${format.dateTime(firingSince)}`);
  else if (rule.kind === "figure") texts.push(state === "new" ? "not judged yet" : "ok");
  if (waiting) texts.push(`${waiting} to be sent`);
  if (lastError) texts.push(lastError);
  return element("small", { class: state === "firing" || lastError ? "field-error" : "muted" }, texts.join(" · "));
}

/**
 * The section of the dialog.
 * @param {{items: object[], figures: object[]}} report
 * @param {(act: (form: HTMLFormElement) => Promise) => (event: Event) => void} doing says what goes wrong with an act, and draws the dialog anew
 * @param {object} filters of the page, empty ones left out
 * @param {string} said them in words
 */
export function alertsPart({ items, figures }, doing, filters, said) {
  const act = (text, label, run) => element("button", { type: "button", class: "button quiet", "aria-label": label, onclick: doing(run) }, text);
  const rows = items.map((alert) => element("li", { "data-alert": alert.name },
    element("span", {}, element("strong", {}, alert.name), ` ${inWords(alert.rule, figures)} → ${[...alert.emails, alert.webhook].filter(Boolean).join(", ")} `, standing(alert)),
    act("Test", `Send a test of ${alert.name}`, () => send("POST", "alerts/test", { id: alert.id })),
    act("Delete", `Delete the alert ${alert.name}`, () => send("DELETE", "alerts", { id: alert.id }))));
  return element("section", { "aria-labelledby": "alerts-title" },
    element("h3", { id: "alerts-title" }, "Alerts and summaries"),
    rows.length ? element("ul", { class: "saved" }, ...rows) : null,
    element("p", {}, `New ones are of ${said}. They say so once, by e-mail or webhook.`),
    form("make-alert", "Alert me", doing, filters, alertFields(figures), (elements) => {
      const { unit } = figures.find(({ name }) => name === elements.figure.value);
      const part = unit === "rate" && ["above", "below"].includes(elements.condition.value);
      const value = part ? String(Number((elements.value.value / 100).toFixed(6))) : elements.value.value;
      return { kind: "figure", figure: elements.figure.value, condition: elements.condition.value, interval: elements.interval.value, value };
    }),
    form("make-summary", "Send it", doing, filters, summaryFields(), (elements) => {
      const every = elements.every.value === "day" ? { every: "day" } : { every: "week", weekday: elements.every.value };
      return { kind: "summary", ...every, hour: Number(elements.hour.value) };
    }));
}

function form(id, button, doing, filters, fields, ruleOf) {
  return element("form", {
    class: "saved-form", id, onsubmit: doing(({ elements }) => {
      const to = elements.to.value.split(/[\s,]+/).filter(Boolean);
      const [webhook = null] = to.filter((each) => each.includes("://"));
      return send("POST", "alerts", {}, {
        name: elements.name.value, rule: { ...ruleOf(elements), filters }, emails: to.filter((each) => !each.includes("://")), webhook,
      });
    }),
  }, element("label", {}, "Name ", element("input", { name: "name", required: true, maxlength: 100 })), ...fields,
  element("label", {}, "To: addresses, or a webhook ", element("input", { name: "to", required: true, placeholder: "you@example.com" })),
  element("button", { type: "submit", class: "button primary" }, button));
}

const alertFields = (figures) => [
  element("label", {}, "Figure ", element("select", { name: "figure" }, ...figures.map(({ name, title }) => option(name, title, "revenue")))),
  element("label", {}, "Condition ", element("select", { name: "condition" },
    ...Object.entries({ ...CONDITIONS, fallen: "has fallen by %, against last week", risen: "has risen by %, against last week" }).map(([name, text]) => option(name, text, "fallen")))),
  element("label", {}, "Value (rates in %) ", element("input", { name: "value", type: "number", min: 0, step: "any", required: true, value: 30 })),
  element("label", {}, "Interval ", element("select", { name: "interval" }, ...Object.entries(INTERVALS).map(([name, text]) => option(name, text, "day")))),
];

const summaryFields = () => [
  element("label", {}, "Summary every ", element("select", { name: "every" }, option("day", "day", "monday"), ...DAYS.map((day) => option(day, word(day), "monday")))),
  element("label", {}, "At ", element("select", { name: "hour" }, ...Array.from({ length: 24 }, (_, hour) => option(String(hour), hourOf(hour), "8")))),
];
