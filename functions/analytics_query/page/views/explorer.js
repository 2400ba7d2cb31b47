// The view of single events: filters by any property, the people behind them, and what each did.

import { OPERATORS } from "../filters/chosen.js";
import { fetchReport } from "../lib/api.js";
import { byId, element, scrolling } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { showEvent, showPerson } from "./drawer.js";

const EVENTS = 50;
const PEOPLE = 20;
const COMPLETE_AFTER_MS = 250;
const PATH = /^(data|extra)(\.[\w-]{1,64}){1,8}$/;
const WITHOUT_VALUE = new Set(["isSet", "isNotSet"]);

/** What the view asks for, and how it shows the answers. */
export function ask(get, state, change) {
  const shown = [get("events", { limit: EVENTS, countryOf: null }), get("users", { limit: PEOPLE })];
  edit(state, change, get);
  return { pending: shown, show: (page, people) => show(page, people, get) };
}

/** The form that adds a filter; names and values are completed from what is stored. */
function edit(state, change, get) {
  const root = byId("filter-editor");
  const names = element("datalist", { id: "filter-names" });
  const values = element("datalist", { id: "filter-values" });
  if (root.contains(document.activeElement)) return; // somebody types: the form stays
  const by = element("input", { id: "filter-by", list: "filter-names", required: true, autocomplete: "off", placeholder: "device", "aria-label": "Property" });
  const operator = element("select", { id: "filter-operator", "aria-label": "How it is compared" },
    ...Object.entries(OPERATORS).map(([name, text]) => new Option(text, name)));
  const value = element("input", { id: "filter-value", list: "filter-values", autocomplete: "off", placeholder: "mobile", "aria-label": "Value" });
  const said = element("p", { class: "field-error", role: "alert" });
  let timer = null;
  const complete = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const known = [...names.children].some((option) => option.value === by.value);
      if (!known && !PATH.test(by.value)) return;
      try {
        const { items } = await get("properties/values", { property: by.value, search: value.value || null, limit: 20, countryOf: null });
        values.replaceChildren(...items.map((item) => element("option", { value: item.value }, format.count(item.events))));
      } catch { values.replaceChildren(); /* no such property yet, or too many events */ }
    }, COMPLETE_AFTER_MS);
  };
  const learn = async () => {
    try {
      const { items } = await get("properties", { countryOf: null });
      names.replaceChildren(...items.map((item) => element("option", { value: item.name }, item.sources.map(format.name).join(", "))));
    } catch { /* what is typed will do */ }
  };
  by.addEventListener("focus", learn, { once: true });
  by.addEventListener("change", complete);
  value.addEventListener("focus", complete);
  value.addEventListener("input", complete);
  operator.addEventListener("change", () => {
    value.hidden = WITHOUT_VALUE.has(operator.value);
  });
  const add = async (event) => {
    event.preventDefault();
    const text = [by.value.trim(), operator.value, ...(WITHOUT_VALUE.has(operator.value) ? [] : [value.value])].join(":");
    if (state.filters.includes(text)) return;
    try { // the API knows what may be asked, and says it in words
      await fetchReport("events", { filter: [text], limit: 1, to: "2000-01-02" });
    } catch (error) {
      said.textContent = error.message;
      return;
    }
    document.activeElement?.blur();
    change({ filters: [...state.filters, text] });
  };
  root.replaceChildren(element("form", { class: "filter-form", onsubmit: add }, by, operator, value,
    element("button", { id: "filter-add", type: "submit", class: "button primary" }, "Add filter"), names, values, said));
}

function show(page, people, get) {
  return {
    empty: page.items.length === 0,
    sub: page.nextCursor ? `The newest ${format.count(page.items.length)} events, and the most active people` : `${format.count(page.items.length)} events, and the people who did them`,
    table: null,
    draw: (body) => {
      const rows = element("tbody", {}, ...page.items.map((event) => eventRow(event)));
      body.replaceChildren(
        element("h3", { class: "explorer-title" }, "People"), peopleTable(people.items),
        element("h3", { class: "explorer-title" }, "Events"),
        scrolling("Events", element("table", { id: "explorer-events" }, element("caption", { class: "hidden" }, "Events"),
          element("thead", {}, element("tr", {}, ...["Time", "Event", "User", "Country", "Campaign"].map((name) => element("th", { scope: "col" }, name)),
            element("th", { scope: "col", class: "number" }, "Revenue"))), rows)),
        more(page.nextCursor, get, rows));
    },
  };
}

function more(cursor, get, rows) {
  const button = element("button", { id: "more-events", type: "button", class: "button", hidden: cursor === null, onclick: async () => {
    button.disabled = true;
    try {
      const page = await get("events", { limit: EVENTS, cursor, countryOf: null });
      rows.append(...page.items.map((event) => eventRow(event)));
      cursor = page.nextCursor;
      button.hidden = cursor === null;
    } catch (error) { button.title = error.message; }
    button.disabled = false;
  } }, "More events");
  return element("p", { class: "exports" }, button);
}

function eventRow(event) {
  return element("tr", {},
    element("th", { scope: "row", class: "nowrap" }, element("button", {
      type: "button", class: "link", "data-event": event.eventId, title: "All of this event", onclick: () => showEvent(event),
    }, format.time(event.timestamp))),
    element("td", {}, element("span", { class: `tag source-${event.source}` }, format.name(event.source)), ` ${format.eventType(event.eventType)}`),
    element("td", {}, element("button", { type: "button", class: "link", title: "What this person did", onclick: () => showPerson(event.userId, event.source) }, event.userId)),
    element("td", {}, event.country === null ? "–" : format.country(event.country)),
    element("td", {}, event.campaignId ?? "–"),
    element("td", { class: "number" }, event.revenue === null ? "–" : format.money(event.revenue)));
}

function peopleTable(people) {
  const number = (text) => element("td", { class: "number" }, text);
  return scrolling("People", element("table", { id: "explorer-people" },
    element("caption", { class: "hidden" }, "The most active people"),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "User"), element("th", { scope: "col" }, "Source"),
      ...["Events", "Purchases", "Revenue", "Last seen"].map((name) => element("th", { scope: "col", class: "number" }, name)))),
    element("tbody", {}, ...people.map((one) => element("tr", {},
      element("th", { scope: "row" }, element("button", {
        type: "button", class: "link", "data-user": one.userId, title: "What this person did", onclick: () => showPerson(one.userId, one.source),
      }, one.userId)),
      element("td", {}, one.source === null ? "several" : format.name(one.source)),
      number(format.count(one.events)), number(format.count(one.purchases)), number(format.money(one.revenue)), number(format.time(one.lastEvent)))))));
}
