// What the page shows, kept in the URL so that a view can be shared and the back button works.

import { SHARE } from "./lib/api.js";
import { COMPARISONS, DEFAULT_PRESET, parseTime, PRESETS } from "./lib/ranges.js";
import { isZone, useZone, WORKSPACE_ZONE } from "./lib/zone.js";

export const VIEWS = ["overview", "funnels", "retention", "costs", "events"];
/** What a view has chosen, with what may be chosen; the first is the default. */
const CHOICES = {
  costs: ["campaign", "source"], attribution: ["campaign", "source"], model: ["last", "first", "linear"], lookback: ["7d", "24h", "30d", "90d"],
  cohort: ["week", "day", "month"], by: ["none", "source", "campaignId"], returns: ["any", "same"], each: ["none", "source", "campaignId", "country"],
  interval: ["", "hour", "day", "week", "month"],
};
const isComparison = (text) => Object.hasOwn(COMPARISONS, text) || /^\d{4}-\d\d-\d\d$/.test(text) && isTime(text);
const WINDOW = "7d";
const BREAKDOWN = "device";
const SPLITS = ["source", "funnelStage", "eventType", "country", "none"];
const isTime = (text) => text !== null && !Number.isNaN(parseTime(text));

/** Reads the state out of the page's address; what is wrong or missing gets its default. */
export function read(search = location.search) {
  const given = new URLSearchParams(search);
  const zone = given.get("timezone");
  const timezone = zone && isZone(zone) ? zone : WORKSPACE_ZONE;
  useZone(timezone); // dates below are days of it
  const from = given.get("from");
  const to = given.get("to");
  const custom = isTime(from) && isTime(to) && parseTime(from) < parseTime(to);
  const preset = given.get("range");
  const sort = (given.get("sort") || "").split(".");
  return {
    range: custom
      ? { from, to }
      : { preset: Object.hasOwn(PRESETS, preset ?? "") ? preset : DEFAULT_PRESET },
    source: given.get("source") || "",
    country: given.get("country") || "",
    campaign: given.get("campaign") || "",
    filters: given.getAll("filter"),
    breakdown: given.get("breakdown") || BREAKDOWN,
    countryOf: given.get("countryOf") === "event" ? "event" : "user",
    split: SPLITS.includes(given.get("split")) ? given.get("split") : "source",
    sort: { column: sort[0] || "revenue", ascending: sort[1] === "up" },
    live: given.get("live") === "1",
    view: VIEWS.includes(given.get("view")) ? given.get("view") : VIEWS[0],
    ...Object.fromEntries(Object.entries(CHOICES).map(([name, all]) => [name, all.includes(given.get(name)) ? given.get(name) : all[0]])),
    timezone,
    compare: isComparison(given.get("compare") ?? "") ? given.get("compare") : "previous",
    steps: given.get("steps") || "",
    window: given.get("window") || WINDOW,
  };
}

/** Writes the state as the query of an address, defaults left out. */
export function write(state) {
  const query = new URLSearchParams();
  if (state.range.preset) {
    if (state.range.preset !== DEFAULT_PRESET) query.set("range", state.range.preset);
  } else {
    query.set("from", state.range.from);
    query.set("to", state.range.to);
  }
  for (const name of ["source", "country", "campaign"]) {
    if (state[name]) query.set(name, state[name]);
  }
  for (const text of state.filters) query.append("filter", text);
  if (state.breakdown !== BREAKDOWN) query.set("breakdown", state.breakdown);
  if (state.country && state.countryOf === "event") query.set("countryOf", "event");
  if (state.split !== "source") query.set("split", state.split);
  if (state.sort.column !== "revenue" || state.sort.ascending) {
    query.set("sort", state.sort.column + (state.sort.ascending ? ".up" : ""));
  }
  if (state.view !== VIEWS[0]) query.set("view", state.view);
  if (state.compare !== "previous") query.set("compare", state.compare);
  if (state.steps) query.set("steps", state.steps);
  if (state.window !== WINDOW) query.set("window", state.window);
  for (const [name, [usual]] of Object.entries(CHOICES)) {
    if (state[name] !== usual) query.set(name, state[name]);
  }
  if (state.timezone !== WORKSPACE_ZONE) query.set("timezone", state.timezone);
  if (state.live) query.set("live", "1");
  const text = query.toString();
  return location.pathname + (text ? `?${text}` : "") + (SHARE ? `#share=${SHARE}` : "");
}
