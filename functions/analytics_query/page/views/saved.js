// Views by name, links that read with limits, and alerts: a dialog that is loaded when it is opened.

import { fetchReport, send } from "../lib/api.js";
import { byId, element } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { alertsPart } from "./alerts.js";
import { limitsInWords } from "./shared.js";
import { sayProblem } from "./writing.js";

const day = new Intl.DateTimeFormat("en", { dateStyle: "medium" });

/**
 * Opens the dialog.
 * @param {{query: (range?: object) => string, filters: () => object, range: () => object,
 *   open: (query: string) => void}} page `query`: of the present view's address, or of the same with
 *   another range; `open` shows the view of a query
 */
export async function showSaved(page) {
  const dialog = byId("saved-dialog");
  for (const id of ["saved-error", "saved-body"]) byId(id).replaceChildren();
  if (!dialog.open) dialog.showModal();
  await draw(page).catch(say);
}

async function draw(page) {
  const [views, shares, alerts] = await Promise.all(["views", "shares", "alerts"].map((name) => fetchReport(name, {})));
  const { filter, ...one } = page.filters();
  const chosen = Object.fromEntries(Object.entries(one).filter(([, value]) => value));
  byId("saved-body").replaceChildren(viewsPart(views.items, page), linksPart(shares.items, chosen, filter, page),
    alertsPart(alerts, (act) => doing(act, page), filter.length ? { ...chosen, filter } : chosen, [limitsInWords(chosen), ...filter].join(", ")));
}

const say = (error) => sayProblem(byId("saved-error"), error);

/** Does something that writes, and `then` something with the answer; what goes wrong is said in the dialog. */
const doing = (act, page, then = () => {}) => async (event) => {
  event.preventDefault();
  byId("saved-error").textContent = "";
  try {
    const made = await act(event.currentTarget);
    await draw(page);
    byId("saved-title").focus(); // what was focused is drawn anew
    then(made);
  } catch (error) {
    say(error);
  }
};

const act = (text, onclick, label) => element("button", { type: "button", class: "button quiet", onclick, "aria-label": label }, text);

function viewsPart(items, page) {
  const rows = items.map(({ id, name, query }) => element("li", { "data-view-name": name },
    element("button", { type: "button", class: "link", onclick: () => { byId("saved-dialog").close(); page.open(query); } }, name),
    act("Rename", (event) => rename(event.currentTarget.closest("li"), id, name, page), `Rename ${name}`),
    act("Update", doing(() => send("PUT", "views", { id }, { query: page.query() }), page), `Update ${name} to the present view`),
    act("Delete", doing(() => send("DELETE", "views", { id }), page), `Delete ${name}`)));
  return element("section", { "aria-label": "Saved views" },
    rows.length ? element("ul", { class: "saved" }, ...rows) : element("p", {}, "No view is saved yet."),
    element("form", {
      class: "saved-form", id: "save-view",
      onsubmit: doing((form) => send("POST", "views", {}, { name: form.elements.name.value, query: page.query() }), page),
    }, element("label", {}, "Save this view as ", element("input", { name: "name", required: true, maxlength: 100 })),
    element("button", { type: "submit", class: "button primary" }, "Save")));
}

function rename(row, id, name, page) {
  const input = element("input", { name: "name", value: name, required: true, maxlength: 100, "aria-label": "New name" });
  row.replaceChildren(element("form", {
    class: "saved-form", onsubmit: doing(() => send("PUT", "views", { id }, { name: input.value }), page),
  }, input, element("button", { type: "submit", class: "button" }, "Rename")));
  input.select();
}

function linksPart(items, chosen, filter, page) {
  const rows = items.map(({ id, name, filters, expiresAt }) => element("li", { "data-link": id },
    element("span", {}, element("strong", {}, name), ` ${limitsInWords(filters)}, until ${day.format(new Date(expiresAt))}`),
    act("Revoke", doing(() => send("DELETE", "shares", { id }), page), `Revoke the link ${name}`)));
  return element("section", { "aria-labelledby": "links-title" },
    element("h3", { id: "links-title" }, "Read-only links"),
    rows.length ? element("ul", { class: "saved" }, ...rows) : null,
    ...(filter.length
      ? [element("p", {}, "A link is limited by source, country, campaign, stage and event only: take the other filters off to make one.")]
      : [element("p", {}, `Whoever has a new link sees the overview of ${limitsInWords(chosen)}, without single events and people.`), linkForm(chosen, page)]),
    element("p", { id: "made-link", role: "status" }));
}

function linkForm(chosen, page) {
  const { from, to } = page.range();
  return element("form", {
    class: "saved-form", id: "make-link", onsubmit: doing(async ({ elements }) => {
      const range = elements.dates?.checked ? { from, to } : undefined;
      const body = { name: elements.name.value, filters: { ...chosen, ...range }, days: Number(elements.days.value) };
      const { token } = await send("POST", "shares", {}, body);
      return `${location.origin}${location.pathname}?${page.query(range)}#share=${token}`;
    }, page, showLink),
  }, element("label", {}, "Name of the link ", element("input", { name: "name", required: true, maxlength: 100 })),
  element("label", {}, "Valid for ", element("select", { name: "days" }, ...[7, 30, 90, 365].map((days) =>
    element("option", { value: days, selected: days === 30 }, `${days} days`)))),
  from ? element("label", { class: "check" }, element("input", { name: "dates", type: "checkbox" }), ` only ${format.exactRange(from, to)}`) : null,
  element("button", { type: "submit", class: "button primary" }, "Make a link"));
}

/** The link is shown once: nobody keeps its token. */
function showLink(link) {
  const input = element("input", { readonly: true, value: link, "aria-label": "The link, which is not shown again", onfocus: () => input.select() });
  byId("made-link").replaceChildren("Copy it now, it is not shown again: ", input);
  input.focus();
}
