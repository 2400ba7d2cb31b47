// The view of single events: filters by any property, the people behind them, and what each did.

import { toggled } from "../filters/chosen.js";
import { filterForm } from "./filter_form.js";
import { byId, element, link, scrolling } from "../lib/dom.js";
import { meaning } from "../lib/definitions.js";
import * as format from "../lib/format.js";
import { picking } from "../cards/cards.js";
import { changeNote, orNone } from "../cards/compared.js";
import { showEvent, showPerson } from "./drawer.js";

const EVENTS = 50;
const PEOPLE = 20;

/** What the view asks for, and how it shows the answers. */
export function ask(get, state, change, past) {
  const people = get("users", { limit: PEOPLE });
  const before = people.then(({ items }) => (items.length ? past("users", { userId: items.map((one) => one.userId), limit: PEOPLE }) : null));
  const shown = [get("events", { limit: EVENTS, countryOf: null }), people, orNone(before)];
  edit(state, change, get);
  const pick = (by) => (value) => change(toggled(state, by, value));
  return { pending: shown, show: (...reports) => show(...reports, get, pick) };
}

/** The form that adds a filter. */
function edit(state, change, get) {
  const root = byId("filter-editor");
  if (root.contains(document.activeElement)) return; // somebody types: the form stays
  root.replaceChildren(filterForm({
    id: "filter", get, add: (text) => { if (!state.filters.includes(text)) change({ filters: [...state.filters, text] }); },
  }));
}

function show(page, people, before, get, pick) {
  return {
    empty: page.items.length === 0,
    sub: (page.nextCursor ? `The newest ${format.count(page.items.length)} events, and the most active people` : `${format.counted(page.items.length, "event")}, and the people who did them`)
      + (before?.failed ? `; not compared: ${before.failed}` : ""),
    table: null,
    draw: (body) => {
      const rows = element("tbody", {}, ...page.items.map((event) => eventRow(event, pick)));
      body.replaceChildren(
        element("h3", { class: "explorer-title" }, "People"), peopleTable(people.items, before?.report && before, pick),
        element("h3", { class: "explorer-title" }, "Events"),
        scrolling("Events", element("table", { id: "explorer-events" }, element("caption", { class: "hidden" }, "Events"),
          element("thead", {}, element("tr", {}, ...["Time", "Event", "User", "Country", "Campaign"].map((name) => element("th", { scope: "col" }, name)),
            element("th", { scope: "col", class: "number", title: "The amount of the event." }, "Revenue"))), rows)),
        more(page.nextCursor, get, rows, pick));
    },
  };
}

function more(cursor, get, rows, pick) {
  const button = element("button", { id: "more-events", type: "button", class: "button", hidden: cursor === null, onclick: async () => {
    button.disabled = true;
    try {
      const page = await get("events", { limit: EVENTS, cursor, countryOf: null });
      rows.append(...page.items.map((event) => eventRow(event, pick)));
      cursor = page.nextCursor;
      button.hidden = cursor === null;
    } catch (error) { button.title = error.message; }
    button.disabled = false;
  } }, "More events");
  return element("p", { class: "exports" }, button);
}

function eventRow(event, pick) {
  return element("tr", {},
    element("th", { scope: "row", class: "nowrap" }, element("button", {
      type: "button", class: "link", "data-event": event.eventId, title: "All of this event", onclick: () => showEvent(event),
    }, format.time(event.timestamp))),
    element("td", {}, element("span", { class: `tag source-${event.source}` }, format.name(event.source)), " ",
      picking(pick, "eventType", event.eventType, format.eventType(event.eventType))),
    element("td", {}, element("button", { type: "button", class: "link", title: "What this person did", onclick: () => showPerson(event.userId, event.source) }, event.userId)),
    element("td", {}, picking(pick, "country", event.country, format.country(event.country))),
    element("td", {}, picking(pick, "campaignId", event.campaignId, event.campaignId)),
    element("td", { class: "number" }, event.revenue === null ? "–" : format.money(event.revenue)));
}

function peopleTable(people, before, pick) {
  const then = new Map(before?.report.items.map((one) => [one.userId, one]));
  const number = (text, note = null) => element("td", { class: "number" }, text, note);
  const compared = (one, key, figure, show) => number(show(one[key]), changeNote(one[key], then.get(one.userId)?.[key], { figure, name: before?.name, show }));
  return scrolling("People", element("table", { id: "explorer-people" },
    element("caption", { class: "hidden" }, "The most active people"),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "User"), element("th", { scope: "col" }, "Source"),
      ...Object.entries({ Events: meaning("events"), Purchases: meaning("purchases"), Revenue: meaning("revenue"), "Last seen": "When the newest of these events happened." })
        .map(([name, words]) => element("th", { scope: "col", class: "number", title: words }, name)))),
    element("tbody", {}, ...people.map((one) => element("tr", {},
      element("th", { scope: "row" }, element("button", {
        type: "button", class: "link", "data-user": one.userId, title: "What this person did", onclick: () => showPerson(one.userId, one.source),
      }, one.userId)),
      element("td", {}, one.source === null ? "several" : link(format.name(one.source), () => pick("source")(one.source), `Only ${format.name(one.source)}`)),
      compared(one, "events", "Events", format.count), compared(one, "purchases", "Purchases", format.count), compared(one, "revenue", "Revenue", format.money), number(format.time(one.lastEvent)))))));
}
