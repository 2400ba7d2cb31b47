// The view of funnels: steps that are chosen here, counted in people.

import { byId, element, scrolling } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { bounds } from "../cards/totals.js";
import { toggled } from "../filters/chosen.js";

const MAX_STEPS = 8;
const STAGES = { "stage:top": "Any event at the top", "stage:bottom": "Any event at the bottom" };
const USUAL = "stage:top~stage:bottom";
const WINDOWS = { "30m": "30 minutes", "1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days" };

/** Steps as they are in the address: "facebook:ad.view~facebook:ad.click;engagement.device=mobile". */
const parse = (text) => (text || USUAL).split("~").slice(0, MAX_STEPS).map((step) => {
  const [event, ...property] = step.split(";");
  return { event, property: property.join(";") };
});
const write = (steps) => {
  const text = steps.map(({ event, property }) => event + (property ? `;${property}` : "")).join("~");
  return text === USUAL ? "" : text;
};

/** "engagement.device=mobile" as an object that `data` must contain; digits are a number, quoted text is text. */
function containing(property) {
  const [path, ...rest] = property.split("=");
  const text = rest.join("=").trim();
  const value = /^(-?\d+(\.\d+)?|".*"|true|false|null)$/.test(text) ? JSON.parse(text) : text;
  return path.trim().split(".").reduceRight((inner, name) => ({ [name]: inner }), value);
}

/** A step as the API takes it. */
function question({ event, property }) {
  const [source, type] = event.includes(":") ? event.split(":") : [null, event];
  return {
    ...(source === "stage" ? { funnelStage: type } : { eventType: type, ...(source ? { source } : {}) }),
    ...(property.includes("=") ? { where: containing(property) } : {}),
  };
}

function nameOf({ event, property }) {
  const [source, type] = event.includes(":") ? event.split(":") : [null, event];
  const name = STAGES[event] ?? `${source ? `${format.name(source)}: ` : ""}${format.eventType(type)}`;
  return property ? `${name} (${property})` : name;
}

export function ask(get, state, change) {
  const steps = parse(state.steps);
  const overview = get("overview", { funnelStage: null });
  const report = get("steps", { steps: JSON.stringify(steps.map(question)), window: state.window, split: state.each });
  overview.then(({ byEventType }) => edit(steps, byEventType, state, change), () => edit(steps, [], state, change));
  return { pending: [report], show: (answer) => show(answer, steps, (key) => change(toggled(state, state.each, key))) };
}

/** The steps to choose; the focus stays where it was. */
function edit(steps, known, state, change) {
  const root = byId("steps-editor");
  const focused = root.contains(document.activeElement) ? document.activeElement.id : null;
  const names = new Map(Object.entries(STAGES));
  for (const { source, eventType } of known) names.set(`${source}:${eventType}`, nameOf({ event: `${source}:${eventType}`, property: "" }));
  for (const step of steps) names.set(step.event, nameOf({ ...step, property: "" }));
  const apply = (changed) => change({ steps: write(changed) });
  const rows = steps.map((step, index) => {
    const select = element("select", {
      id: `step-${index}`, "aria-label": `Step ${index + 1}`,
      onchange: (event) => apply(steps.with(index, { ...step, event: event.target.value })),
    }, ...[...names].map(([value, name]) => new Option(name, value)));
    select.value = step.event;
    return element("li", {}, select,
      element("input", {
        id: `property-${index}`, type: "text", value: step.property, placeholder: "engagement.device=mobile",
        "aria-label": `Property of step ${index + 1}`, title: "Only events whose data has this: a path, =, a value",
        onchange: (event) => apply(steps.with(index, { ...step, property: event.target.value.replaceAll("~", "") })),
      }),
      steps.length > 2 ? element("button", {
        id: `remove-${index}`, type: "button", class: "button quiet", title: "Remove this step", onclick: () => apply(steps.toSpliced(index, 1)),
      }, "×", element("span", { class: "hidden" }, ` Remove step ${index + 1}`)) : null);
  });
  const chosen = (id, label, all, value) => {
    const select = element("select", { id, onchange: (event) => change({ [id]: event.target.value }) },
      ...Object.entries(all).map(([key, name]) => new Option(name, key)));
    select.value = value;
    return element("label", {}, label, select);
  };
  root.replaceChildren(element("ol", {}, ...rows), element("div", { class: "editor-actions" },
    steps.length < MAX_STEPS ? element("button", {
      id: "add-step", type: "button", class: "button", onclick: () => apply([...steps, { event: "stage:bottom", property: "" }]),
    }, "Add a step") : null,
    chosen("window", "Within ", WINDOWS, state.window),
    chosen("each", "For each ", { none: "– (in total)", source: "source", campaignId: "campaign", country: "country" }, state.each)));
  if (focused) byId(focused)?.focus();
}

function show(report, steps, pick) {
  const { split } = report;
  const [first] = report.steps;
  const last = report.steps.at(-1);
  const names = steps.map(nameOf);
  const title = { source: format.name, country: format.country }[split] ?? ((key) => key ?? "Unknown");
  const about = first.peopleAccuracy.exact ? "" : "≈ ";
  return {
    empty: first.people === 0,
    sub: `${about}${format.count(last.people)} of ${about}${format.count(first.people)} people did all steps`
      + (last.ofFirst === null ? "" : ` (${format.percent(last.ofFirst)}), within ${WINDOWS[report.window] ?? report.window}`),
    table: {
      columns: [
        { name: "of" }, ...names.map((name, index) => ({ name: `${index + 1}. ${name}`, number: true, format: format.count })),
        { name: "conversion", title: "Did all", number: true, format: format.percent },
      ],
      rows: [["All", report], ...report.items.map((item) => [title(item.key), item])]
        .map(([key, item]) => [key, ...item.steps.map((step) => step.people), item.steps.at(-1).ofFirst]),
    },
    draw: (body) => body.replaceChildren(
      element("ol", { class: "steps" }, ...report.steps.map((step, index) => element("li", {
        style: { "--share": String(step.ofFirst ?? 0) }, title: bounds(step.peopleAccuracy, format.count),
      },
      element("p", {}, element("strong", {}, `${index + 1}. ${names[index]}`),
        element("span", {}, ` ${about}${format.count(step.people)} people`)),
      element("p", { class: "step-bar" }, element("span", {}, format.percent(step.ofFirst))),
      index ? element("p", { class: "muted" }, `${format.percent(step.ofPrevious)} of the step before; ${about}${format.count(step.droppedOff)} dropped off`) : null))),
      ...(report.items.length ? [perValue(report, names, title, pick)] : [])),
  };
}

function perValue(report, names, title, pick) {
  const number = (text, more) => element("td", { class: "number", title: more }, text);
  return scrolling("The funnel by value", element("table", {},
    element("caption", { class: "hidden" }, "The funnel by value"),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Of"),
      ...names.map((name) => element("th", { scope: "col", class: "number" }, name)), element("th", { scope: "col", class: "number" }, "Did all"))),
    element("tbody", {}, ...report.items.map((item) => element("tr", {},
      element("th", { scope: "row" }, element("button", { type: "button", class: "link", title: "Filter by this", onclick: () => pick(item.key) }, title(item.key))),
      ...item.steps.map((step) => number(format.count(step.people), bounds(step.peopleAccuracy, format.count))),
      number(format.percent(item.steps.at(-1).ofFirst)))))));
}
