// What a state of the page asks of the API.

import { WORKSPACE_ZONE } from "../lib/zone.js";

/** Properties that have a filter of their own: rollups know them. */
export const OWN = { source: "source", country: "country", campaignId: "campaign" };
const PLAIN = new Set(["eventType", "funnelStage"]);

/** A filter as it is in the address, in its parts. */
export function parts(text) {
  const [by, operator, ...rest] = text.split(":");
  return { by, operator, value: rest.join(":") };
}

/** The filters of a state as parameters of the API. */
export function filtersOf(state) {
  const asked = { source: state.source, country: state.country, campaignId: state.campaign, filter: [] };
  for (const text of state.filters) {
    const { by, operator, value } = parts(text);
    if (operator === "is" && PLAIN.has(by) && !asked[by]) asked[by] = value;
    else asked.filter.push(text);
  }
  return asked;
}

/** What every report of a state is asked with. */
export const questionOf = (state, { from, to }) => ({
  from, to, ...filtersOf(state), countryOf: state.country && state.countryOf === "event" ? "event" : null,
  timezone: state.timezone === WORKSPACE_ZONE ? null : state.timezone,
});
