// The one place that says that the database is away, and when it is asked again.

import { byId, element } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { zoneName } from "../lib/zone.js";

/** Longest pause between two attempts, in seconds. */
const MAX_PAUSE = 15;

let timer = null;
let attempts = 0;

/**
 * Says what is wrong, and tries again by itself.
 * @param {{message: string, retryAfter: number, since: number | null, retry: () => void}} options
 *   `since`: when the figures that still stand arrived, ms
 */
export function showBanner({ message, retryAfter, since, retry }) {
  clearTimeout(timer);
  const pause = Math.min(MAX_PAUSE, retryAfter * 2 ** Math.min(attempts, 3));
  attempts += 1;
  timer = setTimeout(retry, pause * 1000);
  write(message, since, `Trying again in ${pause} s.`, retry);
}

/** Says that there is no answer yet; it is not asked again before there is one. */
export function showWaiting(since) {
  write("The database does not answer yet.", since, "", null);
}

function write(message, since, next, retry) {
  const root = byId("banner");
  const kept = since === null ? "" : ` These are the figures of ${format.timeOfDay(since)} ${zoneName()}.`;
  const text = `${message}${kept}`;
  if (root.querySelector("strong")?.textContent !== text) { // a screen reader says it once
    root.replaceChildren(element("strong", {}, text), element("span", { "aria-hidden": "true" }),
      element("button", { type: "button", class: "button", onclick: () => retry?.() }, "Try now"));
  }
  root.querySelector("span").textContent = next;
  root.querySelector("button").hidden = retry === null;
  if (retry) root.querySelector("button").onclick = retry;
  root.hidden = false;
}

export function hideBanner() {
  clearTimeout(timer);
  attempts = 0;
  byId("banner").hidden = true;
}
