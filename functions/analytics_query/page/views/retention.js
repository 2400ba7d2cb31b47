// The view of retention: who comes back, one row a cohort.

import { element, link, scrolling } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { toggled } from "../filters/chosen.js";
import { endsOf, overBy } from "../lib/intervals.js";
import { instant } from "../lib/ranges.js";

const UNITS = { day: "Day", week: "Week", month: "Month" };

/** What the view asks for, and how it shows the answer. */
export function ask(get, state, change) {
  const { cohort, by, returns } = state;
  const report = get("retention", { interval: cohort, split: by, returns });
  const only = (from, to) => change({ range: { from: instant(from), to: instant(to) } });
  return { pending: [report], show: (answer) => show(answer, (key) => change(toggled(state, by, key)), only) };
}

function show(report, pick, only) {
  const unit = UNITS[report.interval];
  const ends = endsOf(report.times, report.interval);
  const over = overBy(ends);
  const choose = (time) => only(Date.parse(time), ends[report.times.indexOf(time)]);
  const people = report.items.reduce((total, item) => total + item.users, 0);
  const estimated = report.items.some((item) => item.cohorts.some((cohort) => !cohort.usersAccuracy.exact));
  return {
    empty: report.items.length === 0,
    sub: `${estimated ? "≈ " : ""}${format.count(people)} people by the ${report.interval} of their first event, and how many were seen again`
      + (report.omitted ? `; ${format.count(report.omitted)} more not shown` : ""),
    table: {
      columns: [
        { name: "key", title: "Of", format: format.name, by: report.split === "none" ? null : report.split },
        { name: "cohort", title: `${unit} of the first event`, format: dayOf, choose },
        { name: "people", number: true, format: format.count },
        ...report.times.map((_, index) => ({ name: `${unit} ${index}`, number: true, format: (value) => (value === null ? "" : format.count(value)) })),
      ],
      rows: report.items.flatMap(({ key, cohorts }) => cohorts.map((cohort) => [
        key, cohort.time, cohort.users, ...report.times.map((_, index) => cohort.returned[index] ?? null),
      ])),
    },
    draw: (body) => body.replaceChildren(...report.items.map((item) => element("section", { class: "cohorts" },
      report.split === "none" ? null : element("h3", {}, link(format.name(item.key), () => pick(item.key))),
      grid(item, report, unit, over, choose)))),
  };
}

const dayOf = (text) => format.dayOf(text, true);

function grid({ key, cohorts }, report, unit, over, choose) {
  const place = new Map(report.times.map((time, index) => [time, index]));
  const most = Math.max(...cohorts.map((cohort) => cohort.returned.length));
  const steps = Array.from({ length: most }, (_, index) => index);
  // of cohorts whose interval is over: one that is not would look like a fall
  const average = (step) => {
    const whole = cohorts.filter((cohort) => step < cohort.returned.length && place.get(cohort.time) + step < over);
    const of = whole.reduce((total, cohort) => total + cohort.users, 0);
    return of ? whole.reduce((total, cohort) => total + cohort.returned[step], 0) / of : null;
  };
  const row = (cohort) => element("tr", {},
    element("th", { scope: "row", class: "nowrap" }, link(dayOf(cohort.time), () => choose(cohort.time), `Only this ${report.interval}`)),
    element("td", { class: "number", title: bounds(cohort) }, format.count(cohort.users)),
    ...steps.map((step) => cell(cohort, step, place.get(cohort.time) + step >= over)));
  return scrolling(`Retention ${key}`, element("table", { class: "heat" },
    element("caption", { class: "hidden" }, `Retention: ${format.name(key)}`),
    element("thead", {}, element("tr", {},
      element("th", { scope: "col" }, "First seen"), element("th", { scope: "col", class: "number" }, "People"),
      ...steps.map((step) => element("th", { scope: "col", class: "number" }, `${unit} ${step}`)))),
    element("tbody", {}, ...cohorts.map(row)),
    element("tfoot", {}, element("tr", {},
      element("th", { scope: "row" }, "All"),
      element("td", { class: "number" }, format.count(cohorts.reduce((total, cohort) => total + cohort.users, 0))),
      ...steps.map((step) => element("td", { class: "number" }, format.percent(average(step))))))));
}

function cell(cohort, step, unfinished) {
  const number = cohort.returned[step];
  if (number === undefined) return element("td", {});
  const share = number / cohort.users;
  return element("td", {
    class: unfinished ? "number unfinished" : "number", style: { "--share": String(share) },
    title: `${format.count(number)} of ${format.count(cohort.users)} people`
      + (cohort.rateError ? `, ± ${format.points(cohort.rateError)}` : "") + (unfinished ? "; not over yet" : ""),
  }, format.percent(share));
}

function bounds({ usersAccuracy: { exact, lower, upper } }) {
  return exact ? null : `Estimated: between ${format.count(lower)} and ${format.count(upper)}`;
}
