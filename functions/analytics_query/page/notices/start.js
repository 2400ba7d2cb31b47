// What stands in the place of the cards while there is nothing to show.

import { byId, element } from "../lib/dom.js";

/** An event that any ingest takes, sent by curl. */
export function firstEvent(now = new Date(), place = location) {
  const known = place.pathname.match(/^(.*\/function\/)[^/]+\//);
  const gateway = known ? `${place.origin}${known[1]}ingest` : "https://GATEWAY/function/ingest";
  const event = {
    eventId: `first-${now.getTime()}`, timestamp: now.toISOString(), source: "facebook", funnelStage: "top", eventType: "ad.view",
    data: {
      user: { userId: "user-1", name: "Ada", age: 36, gender: "female", location: { country: "GB", city: "London" } },
      engagement: { actionTime: now.toISOString(), referrer: "newsfeed", videoId: null },
    },
  };
  return `curl -X POST ${gateway}/webhook/event \\\n  -H 'Content-Type: application/json' -H 'X-Api-Key: INGEST_API_KEY' \\\n  -d '${JSON.stringify(event)}'`;
}

/**
 * Shows the one card instead of the others.
 * @param {{any: boolean, filtered: boolean, all: () => void, clear: () => void}} options `any`: there
 *   are events outside the range or the filters
 */
export function showStart({ any, filtered, all, clear }) {
  const root = byId("start");
  const button = (id, text, onclick) => element("button", { id, type: "button", class: "button", onclick }, text);
  if (any) {
    root.replaceChildren(
      element("h2", {}, "Nothing here"),
      element("p", {}, filtered ? "No event matches this range and these filters." : "No event is in this range."),
      element("p", { class: "start-actions" },
        filtered ? button("start-clear", "Clear filters", clear) : null, button("start-all", "Show all time", all)));
  } else {
    const command = firstEvent();
    const copy = button("start-copy", "Copy", async () => {
      try {
        await navigator.clipboard.writeText(command);
        copy.textContent = "Copied";
      } catch { getSelection().selectAllChildren(root.querySelector("pre")); }
    });
    root.replaceChildren(
      element("h2", {}, "Send your first event"),
      element("p", {}, "No event is stored yet. This one shows up here within seconds (turn Live on):"),
      element("pre", { tabindex: "0", "aria-label": "Command" }, command), element("p", { class: "start-actions" }, copy));
  }
  root.hidden = false;
}

export function hideStart() {
  byId("start").hidden = true;
}
