// The view of funnels: steps that are chosen here, counted in people.

import { byId, element, link, scrolling } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { changeNote, changeOf, compare, orNone, signed, signedPoints } from "../cards/compared.js";
import { bounds } from "../cards/totals.js";
import { filterInWords, toggled } from "../filters/chosen.js";
import { filterForm } from "./filter_form.js";

const MAX_STEPS = 8;
const STAGES = { "stage:top": "Any event at the top", "stage:bottom": "Any event at the bottom" };
/** The row of all people, in the table. */
const ALL = "All";
const STEP = "People who did this step after all before it, within the window.";
const DID_ALL = "People who did all steps, of the people of the first.";
const USUAL = "stage:top~stage:bottom";
const WINDOWS = { "30m": "30 minutes", "1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days" };

const decode = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
/** "engagement.device=mobile", as addresses had it, is a filter by a path of `data`. */
const filterOf = (text) => (/^[\w.-]+=/.test(text) ? `data.${text.replace("=", ":is:").replace(/:is:"(.*)"$/, ":is:$1")}` : text);

/** Steps as they are in the address: "facebook:ad.view~facebook:ad.click;device:is:mobile;ageGroup:oneOf:18-24,25-34". */
const parse = (text) => (text || USUAL).split("~").slice(0, MAX_STEPS).map((step) => {
  const [event, ...filters] = step.split(";");
  return { event, filters: filters.map(decode).map(filterOf) };
});
/** What separates steps and filters is written otherwise within one. */
const encode = (text) => text.replaceAll(/[%;~]/g, (each) => (each === "~" ? "%7E" : encodeURIComponent(each)));
const write = (steps) => {
  const text = steps.map(({ event, filters }) => [event, ...filters.map(encode)].join(";")).join("~");
  return text === USUAL ? "" : text;
};

/** The source and the type, or the stage, of a step's events. */
function kindOf(event) {
  const [source, type] = event.includes(":") ? event.split(":") : [null, event];
  return source === "stage" ? { funnelStage: type } : { eventType: type, ...(source ? { source } : {}) };
}

/** A step as the API takes it. */
const question = ({ event, filters }) => ({ ...kindOf(event), ...(filters.length ? { filter: filters } : {}) });

/** The filters of the page that choose the events of a step, and what they are of already. */
function stateOf({ event, filters }, state) {
  const { source = state.source, ...kind } = kindOf(event);
  const own = Object.entries(kind).map(([by, value]) => `${by}:is:${value}`);
  return { source, filters: [...new Set([...state.filters, ...own, ...filters])] };
}

const named = (event) => STAGES[event]
  ?? (({ source, eventType }) => `${source ? `${format.name(source)}: ` : ""}${format.eventType(eventType)}`)(kindOf(event));
const nameOf = ({ event, filters }) => named(event) + (filters.length ? ` (${filters.map(filterInWords).join(", ")})` : "");

export function ask(get, state, change, past) {
  const steps = parse(state.steps);
  const overview = get("overview", { funnelStage: null });
  const asked = { steps: JSON.stringify(steps.map(question)), window: state.window, split: state.each };
  overview.then(({ byEventType }) => edit(steps, byEventType, state, change, get), () => edit(steps, [], state, change, get));
  const who = (step) => change({ ...stateOf(step, state), view: "events" });
  return {
    pending: [get("steps", asked), orNone(past("steps", asked))],
    show: (report, before) => show(report, before, steps, (key) => change(toggled(state, state.each, key)), who),
  };
}

/** The steps to choose; the focus stays where it was. */
function edit(steps, known, state, change, get) {
  const root = byId("steps-editor");
  if (root.querySelector("form")?.contains(document.activeElement)) return; // somebody types: it stays
  const focused = root.contains(document.activeElement) ? document.activeElement.id : null;
  const names = new Map(Object.entries(STAGES));
  for (const { source, eventType } of known) names.set(`${source}:${eventType}`, named(`${source}:${eventType}`));
  for (const step of steps) names.set(step.event, named(step.event));
  const apply = (changed) => change({ steps: write(changed) });
  const rows = steps.map((step, index) => {
    const select = element("select", {
      id: `step-${index}`, "aria-label": `Step ${index + 1}`,
      onchange: (event) => apply(steps.with(index, { ...step, event: event.target.value })),
    }, ...[...names].map(([value, name]) => new Option(name, value)));
    select.value = step.event;
    const withFilters = (filters) => apply(steps.with(index, { ...step, filters }));
    const form = element("div", { class: "step-filter" });
    const where = element("button", {
      id: `where-${index}`, type: "button", class: "button quiet", title: "Only events of which more holds", onclick: () => {
        form.replaceChildren(filterForm({ id: `step-${index}-filter`, get, add: (text) => withFilters([...step.filters, text]) }));
        where.hidden = true;
        form.querySelector("input").focus();
      },
    }, "+ filter", element("span", { class: "hidden" }, ` of step ${index + 1}`));
    return element("li", {}, select,
      ...step.filters.map((text, place) => element("button", {
        type: "button", class: "chip", title: "Take this filter off", onclick: () => withFilters(step.filters.toSpliced(place, 1)),
      }, filterInWords(text), element("span", { "aria-hidden": "true" }, " ×"), element("span", { class: "hidden" }, `, take this filter off step ${index + 1}`))),
      where,
      steps.length > 2 ? element("button", {
        id: `remove-${index}`, type: "button", class: "button quiet", title: "Remove this step", onclick: () => apply(steps.toSpliced(index, 1)),
      }, "×", element("span", { class: "hidden" }, ` Remove step ${index + 1}`)) : null, form);
  });
  const chosen = (id, label, all, value) => {
    const select = element("select", { id, onchange: (event) => change({ [id]: event.target.value }) },
      ...Object.entries(all).map(([key, name]) => new Option(name, key)));
    select.value = value;
    return element("label", {}, label, select);
  };
  root.replaceChildren(element("ol", {}, ...rows), element("div", { class: "editor-actions" },
    steps.length < MAX_STEPS ? element("button", {
      id: "add-step", type: "button", class: "button", onclick: () => apply([...steps, { event: "stage:bottom", filters: [] }]),
    }, "Add a step") : null,
    chosen("window", "Within ", { ...WINDOWS, [state.window]: WINDOWS[state.window] ?? state.window }, state.window),
    chosen("each", "For each ", { none: "– (in total)", source: "source", campaignId: "campaign", country: "country" }, state.each)));
  if (focused) byId(focused)?.focus();
}

function show(report, before, steps, pick, who) {
  const { split } = report;
  const [first] = report.steps;
  const last = report.steps.at(-1);
  const names = steps.map(nameOf);
  const title = { source: format.name, country: format.country }[split] ?? ((key) => key ?? "Unknown");
  const about = first.peopleAccuracy.exact ? "" : "≈ ";
  const then = before?.report && { ...before, partly: before.report.omitted > 0 };
  return {
    empty: first.people === 0,
    sub: `${about}${format.count(last.people)} of ${about}${format.counted(first.people, "person", "people")} did all steps`
      + (last.ofFirst === null ? "" : ` (${format.percent(last.ofFirst)}), within ${WINDOWS[report.window] ?? report.window}`)
      + (before?.failed ? `; not compared: ${before.failed}` : ""),
    table: compare(tableOf(report, names, title), then && { ...then, table: tableOf(then.report, names, title) }, [...names.map(columnOf), "conversion"]),
    draw: (body) => body.replaceChildren(
      element("ol", { class: "steps" }, ...report.steps.map((step, index) => element("li", {
        style: { "--share": String(step.ofFirst ?? 0) }, title: bounds(step.peopleAccuracy, format.count),
      },
      element("p", {}, `${index + 1}. `, link(names[index], () => who(steps[index]), "Show the events and people of this step"),
        element("span", {}, ` ${about}${format.counted(step.people, "person", "people")}`)),
      element("p", { class: "step-bar" }, element("span", {}, format.percent(step.ofFirst))),
      index ? element("p", { class: "muted" }, `${format.percent(step.ofPrevious)} of the step before; ${about}${format.count(step.droppedOff)} dropped off`) : null,
      then ? element("p", { class: "muted step-past" }, against(step, then.report.steps[index], index, then.name)) : null))),
      ...(report.items.length ? [perValue(report, then, names, title, pick)] : [])),
  };
}

const columnOf = (name, index) => `${index + 1}. ${name}`;

function tableOf({ split, steps, items }, names, title) {
  return {
    columns: [
      { name: "of", by: (row) => (row[0] === ALL ? null : split), format: (key) => (key === ALL ? ALL : title(key)) },
      ...names.map((name, index) => ({ name: columnOf(name, index), meaning: STEP, number: true, format: format.count })),
      { name: "conversion", title: "Did all", meaning: DID_ALL, number: true, rate: true, format: format.percent },
    ],
    rows: [[ALL, steps], ...items.map((item) => [item.key, item.steps])]
      .map(([key, of]) => [key, ...of.map((step) => step.people), of.at(-1).ofFirst]),
  };
}

/** A step compared with what it was, in words; a rate of nobody is not known. */
function against(now, then, index, name) {
  if (!then.people && !now.people) return `Nobody in the other period (${name}) either`;
  const rates = { ...(index > 1 ? { "of the first step": "ofFirst" } : {}), ...(index ? { "of the step before": "ofPrevious" } : {}) };
  return [
    `${name}: ${then.peopleAccuracy.exact ? "" : "≈ "}${format.counted(then.people, "person", "people")} (${signed(changeOf(now.people, then.people))})`,
    ...Object.entries(rates).map(([words, rate]) => `${format.percent(then[rate])} ${words} (${signedPoints(changeOf(now[rate], then[rate], true))})`),
  ].join(", ");
}

function perValue(report, then, names, title, pick) {
  const number = (text, more, note) => element("td", { class: "number", title: more }, text, note);
  const was = new Map(then?.report.items.map((item) => [item.key, item.steps]));
  const note = (key, figure, index, now, rate) => changeNote(now, was.get(key)?.[index][rate ? "ofFirst" : "people"],
    { figure, name: then?.name, show: rate ? format.percent : format.count, rate });
  return scrolling("The funnel by value", element("table", {},
    element("caption", { class: "hidden" }, "The funnel by value"),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Of"),
      ...names.map((name) => element("th", { scope: "col", class: "number", title: STEP }, name)), element("th", { scope: "col", class: "number", title: DID_ALL }, "Did all"))),
    element("tbody", {}, ...report.items.map(({ key, steps }) => element("tr", {},
      element("th", { scope: "row" }, link(title(key), () => pick(key))),
      ...steps.map((step, index) => number(format.count(step.people), bounds(step.peopleAccuracy, format.count), note(key, names[index], index, step.people, false))),
      number(format.percent(steps.at(-1).ofFirst), null, note(key, "Did all", steps.length - 1, steps.at(-1).ofFirst, true)))))));
}
