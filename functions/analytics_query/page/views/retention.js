// The view of retention: who comes back, one row a cohort.

import { CHANGE, CHANGE_OF_RATE, changeNote, changeOf, orDash, orNone, signed, signedPoints } from "../cards/compared.js";
import { element, link, scrolling } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { toggled } from "../filters/chosen.js";
import { endsOf, overBy } from "../lib/intervals.js";
import { instant } from "../lib/ranges.js";

const UNITS = { day: "Day", week: "Week", month: "Month" };

/** What the view asks for, and how it shows the answer. */
export function ask(get, state, change, past) {
  const question = { interval: state.cohort, split: state.by, returns: state.returns };
  const only = (from, to) => change({ range: { from: instant(from), to: instant(to) } });
  return {
    pending: [get("retention", question), orNone(past("retention", question))],
    show: (report, before) => show(report, before, (key) => change(toggled(state, state.by, key)), only),
  };
}

function show(report, before, pick, only) {
  const unit = UNITS[report.interval];
  const now = readable(report);
  const then = before?.report && { ...readable(before.report), name: before.name };
  const choose = (time) => only(Date.parse(time), now.ends[now.place.get(time)]);
  const people = report.items.reduce((total, item) => total + item.users, 0);
  const estimated = report.items.some((item) => item.cohorts.some((cohort) => !cohort.usersAccuracy.exact));
  return {
    empty: report.items.length === 0,
    sub: [
      `${estimated ? "≈ " : ""}${format.counted(people, "person", "people")} by the ${report.interval} of their first event, and how many were seen again`,
      report.omitted ? `${format.count(report.omitted)} more not shown` : "",
      before?.failed ? `not compared: ${before.failed}` : "",
    ].filter(Boolean).join("; "),
    table: tableOf(report, now, then, unit, choose),
    draw: (body) => body.replaceChildren(...report.items.map((item) => element("section", { class: "cohorts" },
      report.split === "none" ? null : element("h3", {}, link(format.name(item.key), () => pick(item.key))),
      grid(item, report, now, then, unit, choose)))),
  };
}

const whoOf = ({ interval }) => `People whose first event is in this ${interval}.`;
const seenAgain = ({ interval }, step) => `Of these people, those with an event ${step ? `${step} ${interval}${step > 1 ? "s" : ""} later` : `in the same ${interval}`}.`;
const dayOf = (text) => format.dayOf(text, true);

/**
 * A report by the places of its cohorts. What is not over, or cut by an end of the range, is known in part
 * only: it is in no average, and compared with nothing.
 */
function readable(report) {
  const ends = endsOf(report.times, report.interval);
  const over = overBy(ends, Math.min(Date.now(), report.to === null ? Infinity : Date.parse(report.to)));
  const cut = report.from !== null && Date.parse(report.times[0]) < Date.parse(report.from);
  const items = new Map(report.items.map((item) => [item.key, new Map(item.cohorts.map((cohort) => [cohort.time, cohort]))]));
  const missing = (key) => !items.has(key) && report.omitted > 0;
  const at = (key, place) => items.get(key)?.get(report.times[place]);
  const share = (key, place, step) => {
    const cohort = at(key, place);
    return cohort && place + step < over ? cohort.returned[step] / cohort.users : null;
  };
  /** People of a whole cohort. */
  const people = (key, place) => (place < over && !(cut && place === 0) && !missing(key) ? at(key, place)?.users ?? 0 : null);
  const average = (key, step) => {
    const whole = report.times.map((_, place) => at(key, place)).filter((cohort, place) => cohort && place + step < over);
    const of = whole.reduce((total, cohort) => total + cohort.users, 0);
    return of ? whole.reduce((total, cohort) => total + cohort.returned[step], 0) / of : null;
  };
  const all = (key) => (missing(key) ? null : [...items.get(key)?.values() ?? []].reduce((total, cohort) => total + cohort.users, 0));
  return { ends, over, place: new Map(report.times.map((time, place) => [time, place])), share, people, average, all };
}

/** The first cohort is compared with the first of the other period, and so on. */
function tableOf(report, now, then, unit, choose) {
  const steps = report.times.map((_, step) => step);
  const compared = then ? [
    { name: "peopleBefore", title: `People, ${then.name}`, meaning: whoOf(report), number: true, format: orDash(format.count) },
    { name: "peopleChange", title: "People, change", meaning: CHANGE, number: true, format: signed },
    ...steps.slice(1).flatMap((step) => [
      { name: `${unit} ${step} rate before`, title: `${unit} ${step}, ${then.name}`, meaning: `${seenAgain(report, step)} Their share then.`, number: true, format: format.percent },
      { name: `${unit} ${step} rate change`, title: `${unit} ${step}, change`, meaning: CHANGE_OF_RATE, number: true, format: signedPoints },
    ]),
  ] : [];
  const was = (key, place) => {
    const [people, old] = [now.people(key, place), then.people(key, place)];
    return [old, changeOf(people, old), ...steps.slice(1).flatMap((step) => {
      const share = then.share(key, place, step);
      return [share, changeOf(now.share(key, place, step), share, true)];
    })];
  };
  return {
    columns: [
      { name: "key", title: "Of", format: format.name, by: report.split === "none" ? null : report.split },
      { name: "cohort", title: `${unit} of the first event`, format: dayOf, choose },
      { name: "people", meaning: whoOf(report), number: true, format: format.count },
      ...steps.map((step) => ({ name: `${unit} ${step}`, meaning: seenAgain(report, step), number: true, format: (value) => (value === null ? "" : format.count(value)) })),
      ...compared,
    ],
    rows: report.items.flatMap(({ key, cohorts }) => cohorts.map((cohort) => [
      key, cohort.time, cohort.users, ...steps.map((step) => cohort.returned[step] ?? null),
      ...(then ? was(key, now.place.get(cohort.time)) : []),
    ])),
  };
}

function grid({ key, cohorts }, report, now, then, unit, choose) {
  const most = Math.max(...cohorts.map((cohort) => cohort.returned.length));
  const steps = Array.from({ length: most }, (_, index) => index);
  const number = (text, more) => element("td", { class: "number", title: more }, text);
  const row = (cohort) => {
    const place = now.place.get(cohort.time);
    const people = then && changeNote(now.people(key, place), then.people(key, place), { figure: "People", name: then.name, show: format.count });
    return element("tr", {},
      element("th", { scope: "row", class: "nowrap" }, link(dayOf(cohort.time), () => choose(cohort.time), `Only this ${report.interval}`)),
      element("td", { class: "number", title: bounds(cohort) }, format.count(cohort.users), people),
      ...steps.map((step) => cell(cohort, step, place + step >= now.over, then && step ? against(now.share(key, place, step), then.share(key, place, step), then) : "")));
  };
  const past = then && element("tr", { class: "past" },
    element("th", { scope: "row" }, `All, ${then.name}`), number(orDash(format.count)(then.all(key))),
    ...steps.map((step) => number(format.percent(then.average(key, step)))));
  const changed = then && element("tr", { class: "past" },
    element("th", { scope: "row" }, "Change"), number(signed(changeOf(now.all(key), then.all(key)))),
    ...steps.map((step) => number(step ? signedPoints(changeOf(now.average(key, step), then.average(key, step), true)) : "")));
  return scrolling(`Retention ${key}`, element("table", { class: "heat" },
    element("caption", { class: "hidden" }, `Retention: ${format.name(key)}`),
    element("thead", {}, element("tr", {},
      element("th", { scope: "col" }, "First seen"), element("th", { scope: "col", class: "number", title: whoOf(report) }, "People"),
      ...steps.map((step) => element("th", { scope: "col", class: "number", title: seenAgain(report, step) }, `${unit} ${step}`)))),
    element("tbody", {}, ...cohorts.map(row)),
    element("tfoot", {}, element("tr", {},
      element("th", { scope: "row" }, "All"), number(format.count(now.all(key))),
      ...steps.map((step) => number(format.percent(now.average(key, step))))), past, changed)));
}

/** What a share was, in words. */
const against = (share, old, { name }) => {
  const change = changeOf(share, old, true);
  return change === undefined ? "" : `; ${name}: ${format.percent(old)} (${signedPoints(change)})`;
};

function cell(cohort, step, unfinished, more) {
  const number = cohort.returned[step];
  if (number === undefined) return element("td", {});
  const share = number / cohort.users;
  return element("td", {
    class: unfinished ? "number unfinished" : "number", style: { "--share": String(share) },
    title: `${format.count(number)} of ${format.counted(cohort.users, "person", "people")}`
      + (cohort.rateError ? `, ± ${format.points(cohort.rateError)}` : "") + (unfinished ? "; not over yet, or cut by the range" : "") + more,
  }, format.percent(share));
}

function bounds({ usersAccuracy: { exact, lower, upper } }) {
  return exact ? null : `Estimated: between ${format.count(lower)} and ${format.count(upper)}`;
}
