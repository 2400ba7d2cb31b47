// A drawer beside the page: a whole event, or what a person did. Nothing of it is kept.

import { fetchReport } from "../lib/api.js";
import { byId, element } from "../lib/dom.js";
import * as format from "../lib/format.js";

const PAGE = 50;

function open(title, ...content) {
  const root = byId("drawer");
  root.replaceChildren(
    element("header", {}, element("h2", { id: "drawer-title" }, title),
      element("button", { type: "button", class: "button", onclick: () => root.close() }, "Close")),
    ...content);
  if (!root.open) root.showModal();
  root.scrollTop = 0;
}

/** Shows all of an event. */
export function showEvent(event) {
  const text = JSON.stringify(event, null, 2);
  const copy = element("button", { id: "copy-event", type: "button", class: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch { getSelection().selectAllChildren(byId("drawer").querySelector("pre")); }
  } }, "Copy");
  open(`${format.name(event.source)}: ${format.eventType(event.eventType)}`,
    element("p", { class: "muted" }, format.time(event.timestamp)),
    element("p", { class: "drawer-actions" }, copy, element("button", {
      id: "event-person", type: "button", class: "button", onclick: () => showPerson(event.userId, event.source),
    }, `What ${event.userId} did`)),
    element("pre", { tabindex: "0", "aria-label": "The event as JSON" }, text));
}

/**
 * Shows what a person did, newest first, of all time.
 * @param {string | null} source null: of all sources
 */
export async function showPerson(userId, source) {
  const list = element("ol", { class: "timeline" });
  const sums = element("p", { id: "person-sums", class: "muted", role: "status" }, "Loading …");
  const next = element("button", { type: "button", class: "button", hidden: true }, "Earlier");
  open(userId, element("p", { class: "muted" }, source === null ? "Of several sources" : format.name(source)), sums, list,
    element("p", { class: "drawer-actions" }, next));
  let [cursor, events, purchases, revenue] = [null, 0, 0, 0];
  const load = async () => {
    next.disabled = true;
    try {
      const page = await fetchReport("events", { userId, source, limit: PAGE, cursor });
      if (!list.isConnected) return; // another one is open
      list.append(...page.items.map(entry));
      cursor = page.nextCursor;
      events += page.items.length;
      for (const item of page.items) {
        purchases += item.revenue === null ? 0 : 1;
        revenue += Number(item.revenue ?? 0);
      }
      sums.textContent = `${cursor ? "The newest " : ""}${format.counted(events, "event")}, ${format.counted(purchases, "purchase")}, ${format.money(revenue.toFixed(2))}`;
      next.hidden = cursor === null;
    } catch (error) { sums.textContent = error.message; }
    next.disabled = false;
  };
  next.addEventListener("click", load);
  await load();
}

function entry(event) {
  const about = [event.country && format.country(event.country), event.campaignId, event.revenue && format.money(event.revenue)].filter(Boolean);
  return element("li", { class: `source-${event.source}` },
    element("button", { type: "button", class: "link", onclick: () => showEvent(event) }, format.eventType(event.eventType)),
    element("span", { class: "muted" }, ` ${format.dateTime(event.timestamp)}${about.length ? ` · ${about.join(" · ")}` : ""}`));
}
