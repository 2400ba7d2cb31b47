// The page of somebody who has no key but a read-only link: what the link fixes, and what it cannot ask.

import { fetchReport } from "../lib/api.js";
import { element } from "../lib/dom.js";
import { parts } from "../filters/question.js";
import * as format from "../lib/format.js";

/** Filters that a link may fix or ask with: those in the state under names of their own, and others. */
const OWN = { source: "source", country: "country", campaignId: "campaign" };
const OTHERS = ["eventType", "funnelStage"];

/** What a link is limited to, in words. */
export function limitsInWords({ from, to, ...filters }) {
  const chosen = Object.entries(filters).map(([by, value]) => `${format.property(by).toLowerCase()} ${format.value(by, value)}`);
  if (from || to) chosen.push(from && to ? format.exactRange(from, to) : from ? `from ${format.dateTime(from)}` : `until ${format.dateTime(to)}`);
  return chosen.join(", ") || "everything";
}

/**
 * Asks what the page's link may read.
 * @returns {Promise<{words: string, compares: boolean, fixed: string[], may: (by: string) => boolean,
 *   within: (state: object) => object, chosen: (state: object) => object}>} `fixed`: the filters of the
 *   state that it fixes; `may`: be filtered by a property; `within`: a state as the link allows it;
 *   `chosen`: the same without what the link fixes
 */
export async function readLink() {
  const { name, filters, expiresAt } = await fetchReport("share", {});
  const compares = filters.from === undefined; // it may not read what was before
  const fixed = Object.entries(OWN).filter(([by]) => filters[by] !== undefined);
  const own = Object.fromEntries(fixed.map(([by, one]) => [one, filters[by]]));
  const texts = OTHERS.filter((by) => filters[by] !== undefined).map((by) => `${by}:is:${filters[by]}`);
  const may = (by) => filters[by] === undefined && (Object.hasOwn(OWN, by) || OTHERS.includes(by));
  const free = (state) => OTHERS.filter(may).flatMap((one) =>
    state.filters.filter((text) => parts(text).by === one && parts(text).operator === "is").slice(0, 1));
  return {
    words: `${name}: a read-only link to ${limitsInWords(filters)}. It ends ${format.dateTime(expiresAt)}.`,
    compares,
    fixed: fixed.map(([, one]) => one),
    may,
    within: (state) => ({
      ...state, ...own, view: "overview", compare: compares ? state.compare : "none", filters: [...texts, ...free(state)],
    }),
    chosen: (state) => ({ ...state, ...Object.fromEntries(fixed.map(([, one]) => [one, ""])), filters: free(state) }),
  };
}

/** Says in the place of the figures that there are none: the link has ended, or does not answer. */
export function refuse(root, error) {
  root.replaceChildren(element("strong", {}, error.message),
    error.status === 403 ? "" : element("button", { type: "button", class: "button", onclick: () => location.reload() }, "Try again"));
}
