// The dashboard: fetches the reports that the state in the URL names, and shows them.

import { address, ApiError, fetchReport, fetchExport, rememberKey, SHARE, shareOf } from "./lib/api.js";
import { hideBanner, showBanner, showWaiting } from "./notices/banner.js";
import { Card, loadCharts } from "./cards/card.js";
import * as cards from "./cards/cards.js";
import { breakdown, prepare as prepareBreakdown, SHOWN as VALUES, SHOWN_BEFORE as VALUES_BEFORE, showBy } from "./cards/breakdown.js";
import { firstRange, firstState, takeOver } from "./early.js";
import { any, isOn, NONE, showChips, toggled, words } from "./filters/chosen.js";
import { filtersOf, questionOf } from "./filters/question.js";
import { download, fileName } from "./lib/csv.js";
import { FIGURES } from "./lib/definitions.js";
import { byId, element } from "./lib/dom.js";
import * as format from "./lib/format.js";
import { chosenInterval, intervalOf, intervalOfMoney } from "./lib/intervals.js";
import { RangePicker } from "./filters/range_picker.js";
import { COMPARISONS, instant, parseTime, resolve } from "./lib/ranges.js";
import { showLeftOut } from "./notices/left_out.js";
import { read, write } from "./state.js";
import { hideStart, showStart } from "./notices/start.js";
import { failTotals, loadingTotals, showTotals, waitForTotals } from "./cards/totals.js";
import { moment, useZone, wall, zoneName } from "./lib/zone.js";

const REFRESH_MS = 5000;
/** After so long without any answer it is said that there is none. */
const PATIENCE_MS = 5000;
const LATEST = 12;

let state = firstState;
let range = firstRange;
let begun = false;
let loading = null;
let timer = null;
/** The view whose figures are on the page, and when they came. */
let shown = { view: null, at: null };
let watched = null;
let notes = [];
const known = { country: new Set(), campaign: new Set() };
/** The sources that there are. */
const sources = document.documentElement.dataset.sources.split(" ");

const retry = () => load();
/** What the read-only link allows that the page was opened with; null: it was with none. */
let link = null;
/** Filters by a value of a property; null: it cannot be filtered by. */
const pick = (by) => (link && !link.may(by) ? null : (value) => change(toggled(state, by, value)));
const picking = { pick, isOn: (by, value) => isOn(state, by, value) };
const options = { retry, range: () => range, pick };
const card = {
  events: new Card("events-over-time", { ...options, csv: "events" }),
  funnel: new Card("funnel", options),
  revenue: new Card("revenue-over-time", { ...options, csv: "revenue" }),
  countries: new Card("countries", options),
  campaigns: new Card("campaigns", { ...options, table: false }),
  breakdown: new Card("breakdown", options),
  audience: new Card("audience", options),
  latest: new Card("latest", { ...options, table: false, csv: null }),
};
/** The views besides the overview: their cards, each with the module that fills it, which is loaded when it is opened. */
const views = {
  funnels: [{ card: new Card("steps", options), load: () => import("./views/steps.js") }],
  retention: [{ card: new Card("retention", options), load: () => import("./views/retention.js") }],
  events: [{ card: new Card("explorer", { ...options, table: false, csv: null }), load: () => import("./views/explorer.js") }],
  costs: [
    { card: new Card("costs", options), load: () => import("./views/economics.js") },
    { card: new Card("attribution", options), load: () => import("./views/attribution.js") },
  ],
};
const allCards = [...Object.values(card), ...Object.values(views).flat().map((part) => part.card)];
/** What the views have chosen; each is the id of its element, and its name in the state. */
const CHOSEN = ["cohort", "by", "returns", "costs", "model", "lookback", "attribution"];

/** Parts of the overview that a link may not read. */
const NOT_SHARED = SHARE ? ["breakdown", "latest"] : [];
const allowed = (wanted) => (link ? link.within(wanted) : wanted);

/** Changes the state, its address in the browser, and what is shown. */
function change(changes) {
  if (changes.view && changes.view !== state.view) forget();
  state = allowed({ ...state, ...changes });
  history.pushState(null, "", write(state));
  showControls();
  load();
}

/** What was loading of another view is not there any more. */
function forget() {
  for (const each of allCards) each.settle();
  waitForTotals(byId("totals"), true);
}

const picker = new RangePicker((chosen) => change({ range: chosen }), changeZone);
const zoom = (from, to) => change({ range: { from: instant(from), to: instant(to) } });

const filters = () => filtersOf(state);

/** The state with the filters that can be taken off. */
const chosen = () => (link ? link.chosen(state) : state);

/** A custom range keeps its dates, in the other time zone. */
function changeZone(timezone) {
  const { from, to } = state.range;
  const shown = from && [from, to].map((text) => wall(parseTime(text)));
  useZone(timezone);
  const range = shown ? Object.fromEntries(["from", "to"].map((end, index) => [end, instant(moment(shown[index]))])) : state.range;
  change({ timezone, range });
}

/** Asks for everything at once; each card shows its part when it comes, or what went wrong. */
async function load() {
  takeOver();
  loading?.abort();
  const attempt = new AbortController();
  loading = attempt;
  clearTimeout(timer);
  const view = write({ ...state, live: false, sort: { column: "revenue", ascending: false } });
  attempt.keep = shown.view === view; // what is there answers the same question
  const patience = setTimeout(() => {
    if (!attempt.signal.aborted) showWaiting(attempt.keep ? shown.at : null);
  }, PATIENCE_MS);
  attempt.signal.addEventListener("abort", () => clearTimeout(patience));
  attempt.answered = () => clearTimeout(patience);
  range = begun || state !== firstState ? resolve(state.range, state.compare) : firstRange;
  begun = true;
  const query = questionOf(state, range);
  const asked = new Map();
  const get = (report, params = {}) => { // a question that two cards have is asked once
    const question = { ...query, ...params };
    const key = address(report, question);
    if (!asked.has(key)) asked.set(key, fetchReport(report, question, attempt.signal));
    return asked.get(key);
  };
  const earlier = range.previous && { from: range.previous.from, to: range.previous.to };
  const past = (report, params) => (earlier ? get(report, { ...params, ...earlier })
    .then((found) => ({ name: range.previous.name, report: found })) : Promise.resolve(null));
  const parts = state.view === "overview" ? await askOverview(attempt, get, past) : views[state.view].map((part) => askPart(part, attempt, get, past));
  const arrived = await Promise.all(parts);
  if (attempt.signal.aborted) return;
  attempt.answered();
  hideBanner();
  showViewInWords();
  if (state.view !== "overview") await showNothingOf(views[state.view].map((part) => part.card), query, attempt);
  if (arrived.every(Boolean)) shown = { view, at: Date.now() };
  if (arrived.some(Boolean)) showNow();
  say(arrived.every(Boolean) ? `Updated ${format.timeOfDay(Date.now())} ${zoneName()}` : "Some figures did not load");
  document.documentElement.dataset.loaded = arrived.every(Boolean) ? "yes" : "partly";
  if (state.live) timer = setTimeout(refresh, REFRESH_MS);
}

/** What happens now is asked for when the figures are there, again when they are of other filters. */
async function showNow() {
  const chosen = JSON.stringify(filters());
  if (watched === chosen || SHARE) return;
  watched = chosen;
  try {
    (await import("./cards/now.js")).watch(filters, (from, to) => change({ view: "events", range: { from, to } }));
  } catch { watched = null; /* the figures are there without it */ }
}

/** Asks for a card of another view; what is left out is said by its last one. */
async function askPart({ card: filled, load: loadView }, attempt, get, past) {
  const last = filled === views[state.view].at(-1).card;
  filled.loading();
  try {
    const { ask } = await loadView();
    const { pending, show } = ask(get, state, change, past);
    return await settle(attempt, pending, (...reports) => {
      if (last) showLeftOut(byId("left-out"), reports[0]?.leftOut ?? null, (countryOf) => change({ countryOf }));
      return filled.show(show(...reports));
    }, (error) => filled.fail(error, attempt.keep));
  } catch (error) {
    if (!attempt.signal.aborted) filled.fail(error, attempt.keep);
    return false;
  }
}

/** Asks for all of the overview, the totals first; returns whether each part came, as promises. */
async function askOverview(attempt, get, past) {
  loadingTotals(byId("totals"));
  for (const [name, each] of Object.entries(card)) if (!NOT_SHARED.includes(name)) each.loading();
  const overview = get("overview");
  const before = past("overview").then((found) => found?.report ?? null);
  const interval = chosenInterval(state.interval, range, intervalOf(range));
  const money = chosenInterval(state.interval, range, intervalOfMoney(range));
  const bySource = get("timeseries", { split: "source", interval });
  const totals = settle(attempt, [overview, before, bySource],
    (now, then, split) => {
      showTotals(byId("totals"), now, then, split, range.previous?.name);
      showNothing(now.totals.events === 0, attempt);
      showLeftOut(byId("left-out"), now.leftOut, (countryOf) => change({ countryOf }));
    },
    (error) => failTotals(byId("totals"), error, retry, attempt.keep));
  await new Promise((go) => { setTimeout(go); }); // what has come of them is shown before the rest is asked for
  if (attempt.signal.aborted) return [totals];
  const series = get("timeseries", { split: state.split, interval });
  const revenue = get("revenue", { interval: money });
  const revenueBySource = get("timeseries", { split: "source", interval: money });
  const marked = askNotes(attempt);
  const reports = {
    events: [[series, past("timeseries", { split: "none", interval }), marked], (report, then, marks) => cards.eventsOverTime(report, zoom, then, pick, marks)],
    funnel: [[get("funnel"), revenue, past("funnel")], (report, money, then) => cards.funnel(report, money, then, pick)],
    revenue: [[revenue, revenueBySource, past("timeseries", { split: "none", interval: money }), marked], (report, split, then, marks) => cards.revenueOverTime(report, split, zoom, then, pick, marks)],
    countries: [[get("countries"), past("countries")], showCountries],
    campaigns: [[get("campaigns"), past("campaigns")], showCampaigns],
    audience: [[get("demographics"), past("demographics")], (report, then) => cards.audience(report, then, picking)],
    ...(SHARE ? {} : askOfEvents(get, past)),
  };
  const others = Object.entries(reports).map(([name, [pending, show]]) =>
    settle(attempt, pending, (...reports) => card[name].show(show(...reports)), (error) => card[name].fail(error, attempt.keep)));
  loadCharts();
  return [totals, ...others];
}

/** Annotations of the range; the curves are there without them. */
async function askNotes(attempt) {
  if (SHARE) return [];
  try {
    notes = (await fetchReport("annotations", { from: range.from, to: range.to }, attempt.signal)).items;
  } catch { return []; }
  byId("notes-count").textContent = notes.length ? ` (${notes.length})` : "";
  if (byId("notes").open) listNotes();
  return notes;
}

async function listNotes() {
  try { (await import("./views/annotations.js")).showAnnotations(notes, load); } catch (error) { say(error.message); }
}

/** What is read out of the events themselves. */
const askOfEvents = (get, past) => ({
  breakdown: [[get("breakdown", { by: state.breakdown, limit: VALUES }), past("breakdown", { by: state.breakdown, limit: VALUES_BEFORE })], (report, then) => breakdown(report, picking, then)],
  latest: [[get("events", { limit: LATEST, countryOf: null })], (page) => cards.latest(page, exportButtons(), pick, openEvent)],
});

/** Shows reports when all have arrived; returns whether they did. */
async function settle(attempt, pending, show, fail) {
  try {
    const reports = await Promise.all(pending);
    attempt.answered();
    if (!attempt.signal.aborted) await show(...reports);
    return true;
  } catch (error) {
    if (attempt.signal.aborted || error.name === "AbortError") return false;
    if (!(error instanceof ApiError)) console.error(error);
    if (error.status === 401) askForKey(error);
    if (error.retryAfter) {
      away(attempt, error);
      return false;
    }
    fail(error);
    return false;
  }
}

/** The database is away: one banner says so, the other questions need not wait for the same answer. */
function away(attempt, error) {
  attempt.abort();
  const since = attempt.keep ? shown.at : null;
  if (!attempt.keep) shown = { view: null, at: null };
  for (const each of allCards) each.wait(attempt.keep);
  waitForTotals(byId("totals"), attempt.keep);
  say("Not updated");
  document.documentElement.dataset.loaded = "away";
  showBanner({ message: error.message, retryAfter: error.retryAfter, since, retry });
}

/** The same for another view, all of whose cards are empty: where its range and filters have no event at all. */
async function showNothingOf(shown, query, attempt) {
  if (!shown.every((each) => each.data?.empty)) return;
  try {
    const { totals } = await fetchReport("overview", query, attempt.signal);
    if (!attempt.signal.aborted) await showNothing(totals.events === 0, attempt);
  } catch { /* the cards say that they are empty */ }
}

/** One card in the place of all, where there is nothing to show; spend can be imported all the same. */
async function showNothing(nothing, attempt) {
  document.querySelector(".grid").hidden = nothing;
  byId("explore").hidden = state.view === "overview" || (nothing && state.view !== "costs");
  hideStart();
  if (!nothing) return;
  try {
    const { totals } = await fetchReport("overview", {}, attempt.signal);
    if (attempt.signal.aborted) return;
    showStart({
      any: SHARE !== null || totals.events > 0,
      filtered: any(chosen()),
      all: () => change({ range: { preset: "all" } }),
      clear: () => change(NONE),
    });
  } catch { /* the figures, all 0, are there */ }
}

function refresh() {
  if (document.hidden) timer = setTimeout(refresh, REFRESH_MS);
  else load();
}

function showCountries(report, before) {
  if (!state.country) known.country = new Set(report.items.map((item) => item.country));
  showChoices("country", "All countries", format.country);
  return cards.countries(report, state.country, pick("country"), before);
}

function showCampaigns(report, before) {
  if (!state.campaign) known.campaign = new Set(report.items.map((item) => item.campaignId));
  showChoices("campaign", "All campaigns", (name) => name);
  return cards.campaigns(report, {
    picked: state.campaign,
    pick: pick("campaignId"),
    sort: state.sort,
    onsort: (sort) => {
      state = { ...state, sort };
      history.replaceState(null, "", write(state));
      card.campaigns.show(showCampaigns(report, before));
    },
  }, before);
}

function showChoices(name, all, title) {
  const select = byId(name);
  const values = new Set(known[name]);
  if (state[name]) values.add(state[name]);
  const sorted = [...values].sort((a, b) => title(a).localeCompare(title(b)));
  const there = [...select.options].slice(1).map((option) => option.value);
  if (sorted.join("\n") !== there.join("\n")) { // a list that is open would close
    select.replaceChildren(new Option(all, ""), ...sorted.map((value) => new Option(title(value), value)));
  }
  select.value = state[name];
  select.classList.toggle("active", Boolean(state[name]));
}

/** Countries and campaigns to choose from while one is chosen already. */
async function learnChoices() {
  const { from, to } = range;
  const learn = async (name, report, of) => {
    if (!state[name] || known[name].size > 1) return;
    try {
      const { items } = await fetchReport(report, { from, to });
      known[name] = new Set(items.map(of));
      showChoices(name, name === "country" ? "All countries" : "All campaigns", name === "country" ? format.country : (x) => x);
    } catch { /* the filters still work with what is known */ }
  };
  await learn("country", "countries", (item) => item.country);
  await learn("campaign", "campaigns", (item) => item.campaignId);
}

/** All of an event, in the drawer. */
async function openEvent(event) {
  try { (await import("./views/drawer.js")).showEvent(event); } catch (error) { say(error.message); }
}

function exportButtons() {
  const save = (form) => async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      const blob = await fetchExport({ from: range.from, to: range.to, ...filters(), format: form });
      download(blob, fileName("raw-events", range, form));
    } catch (error) {
      say(error.message);
    } finally {
      button.disabled = false;
    }
  };
  return element("p", { class: "exports" }, "All events of this view: ",
    element("button", { type: "button", class: "button", onclick: save("csv") }, "CSV"),
    element("button", { type: "button", class: "button", onclick: save("ndjson") }, "NDJSON"));
}

function say(text) {
  byId("status").textContent = text;
}

function askForKey(error) {
  const dialog = byId("key-dialog");
  if (dialog.open) return;
  if (byId("key").value) byId("key-message").textContent = error.message;
  dialog.showModal();
}

/** What paper says instead of the filters. */
function showViewInWords() {
  const { name, from, to } = resolve(state.range);
  const chosen = words(state).map(({ text }) => text);
  if (state.country && state.countryOf === "event") chosen.push("Country of: events only");
  byId("view").textContent = [
    from === null ? name : `${name} (${format.exactRange(from, to)}, ${zoneName()})`,
    ...(chosen.length ? chosen : ["no filters"]),
  ].join(" · ");
}

function showControls() {
  hideStart();
  byId("overview").hidden = state.view !== "overview";
  byId("explore").hidden = state.view === "overview";
  for (const tab of document.querySelectorAll("[data-view]")) {
    if (tab.dataset.view === state.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  for (const [name, parts] of Object.entries(views)) for (const { card: { root } } of parts) root.hidden = name !== state.view;
  for (const name of CHOSEN) byId(name).value = state[name];
  if (begun) showViewInWords(); // else when the figures are there
  picker.show(state.range);
  byId("split").value = state.split;
  byId("interval").value = state.interval;
  const named = Object.hasOwn(COMPARISONS, state.compare);
  byId("compare").value = named ? state.compare : "date";
  byId("compare-from").hidden = named;
  byId("compare-from").value = named ? "" : state.compare;
  byId("live").setAttribute("aria-pressed", String(state.live));
  showSourceChoices();
  showChoices("country", "All countries", format.country);
  showChoices("campaign", "All campaigns", (name) => name);
  byId("clear").hidden = !any(chosen());
  showChips(chosen(), change, SHARE || state.view === "events" ? null : () => change({ view: "events" }));
  showBy(state.breakdown);
}

async function start() {
  for (const name of ["source", "country", "campaign"]) {
    byId(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
  }
  byId("compare").append(...Object.entries(COMPARISONS).map(([how, name]) => new Option(`vs ${name.toLowerCase()}`, how)), new Option("vs the period from …", "date"));
  byId("compare").addEventListener("change", ({ target: { value } }) => {
    if (value !== "date") change({ compare: value });
    else {
      byId("compare-from").hidden = false;
      byId("compare-from").focus();
    }
  });
  byId("compare-from").addEventListener("change", ({ target: { value } }) => { if (value) change({ compare: value }); });
  for (const name of ["split", "interval", ...CHOSEN]) {
    byId(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
  }
  for (const tab of document.querySelectorAll("[data-view]")) {
    tab.addEventListener("click", () => change({ view: tab.dataset.view }));
  }
  byId("clear").addEventListener("click", () => {
    change(NONE);
    byId("source").focus();
  });
  byId("live").addEventListener("click", () => change({ live: !state.live }));
  byId("share").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      say("Link copied");
    } catch {
      say("Copy the address of this page to share the view");
    }
  });
  byId("key-form").addEventListener("submit", () => {
    rememberKey(byId("key").value);
    load();
  });
  addEventListener("popstate", () => {
    forget();
    state = allowed(read());
    showControls();
    load();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && state.live) load();
  });
  byId("figures").append(...Object.values(FIGURES).flatMap(([name, words]) => [element("dt", {}, name), element("dd", {}, words)]));
  prepareBreakdown((by) => change({ breakdown: by }), () => ({ from: range.from, to: range.to }));
  byId("saved").addEventListener("click", async () => {
    try { (await import("./views/saved.js")).showSaved(presentView); } catch (error) { say(error.message); }
  });
  byId("notes").addEventListener("toggle", () => { if (byId("notes").open) listNotes(); });
  byId("spend").addEventListener("toggle", async () => {
    if (!byId("spend").open) return;
    try { (await import("./views/spend_import.js")).showImport(load); } catch (error) { say(error.message); }
  });
  addEventListener("hashchange", () => { // another link was put into the address of this page
    if (![null, SHARE].includes(shareOf(location.hash))) location.reload();
  });
  if (SHARE && !await startShared()) return;
  showControls();
  await load();
  await learnChoices();
}

/** What the dialog of saved views is told of the page. */
const presentView = {
  query: (range = state.range) => write({ ...state, range, live: false }).split("?")[1] ?? "",
  filters, range: () => range,
  open: (query) => {
    forget();
    state = read(query);
    history.pushState(null, "", write(state));
    showControls();
    load();
  },
};

/** Learns what the link may read, and says so; returns whether it reads anything. */
async function startShared() {
  document.documentElement.dataset.shared = "yes";
  const note = byId("shared");
  note.hidden = false;
  const { readLink, refuse } = await import("./views/shared.js");
  try {
    link = await readLink();
  } catch (error) {
    refuse(note, error);
    document.documentElement.dataset.shared = "refused";
    document.documentElement.dataset.loaded = "partly";
    return false;
  }
  note.textContent = link.words;
  state = allowed(state);
  for (const name of [...link.fixed, ...(link.compares ? [] : ["compare"])]) byId(name).disabled = true;
  return true;
}

/** A source that is on is among them, also one that the address names and nobody knows. */
function showSourceChoices() {
  const select = byId("source");
  const names = [...new Set([...sources, state.source].filter(Boolean))];
  const titles = names.map((name) => (sources.includes(name) ? format.name(name) : `${name} (unknown)`));
  const there = [...select.options].slice(1).map((option) => option.text);
  if (titles.join("\n") !== there.join("\n")) { // a list that is open would close
    select.replaceChildren(select.options[0], ...titles.map((title, index) => new Option(title, names[index])));
  }
  select.value = state.source;
  select.classList.toggle("active", Boolean(state.source));
}

start();
