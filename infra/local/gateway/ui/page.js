"use strict";

const INTERVAL = 2000;
const find = (selector) => document.querySelector(selector);
// not relative: the page's own address may hold a password, which fetch refuses
const at = (path) => new URL(path, location.origin + location.pathname);
let before = null;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function refresh() {
  try {
    const response = await fetch(at("state"));
    if (!response.ok) throw new Error(`status ${response.status}`);
    const state = await response.json();
    show(state);
    before = state;
    status("live", "live");
  } catch (error) {
    status("lost", `no connection (${error.message})`);
  } finally {
    setTimeout(refresh, INTERVAL);
  }
}

function status(name, text) {
  find("#connection").className = name;
  find("#connection").textContent = text;
}

function show(state) {
  find("#version").textContent = state.version;
  find("#analytics").hidden = !state.functions.some((each) => each.name === "analytics-query");
  find("#functions tbody").replaceChildren(...state.functions.map((each) => functionRow(each, state)));
  find("#streams").replaceChildren(...state.streams.map(streamCount));
  find("#events tbody").replaceChildren(...state.events.map(eventRow));
  choices(state.functions.map((each) => each.name));
}

function functionRow(each, state) {
  const earlier = before?.functions.find((other) => other.name === each.name);
  const seconds = before ? state.time - before.time : 0;
  const rate = earlier && seconds > 0 ? (each.invocations - earlier.invocations) / seconds : 0;
  const row = element("tr", {},
    element("td", {}, each.name),
    replicas(each),
    number(each.invocations.toLocaleString()),
    number(rate.toFixed(1)),
    number(each.waiting ? `${each.inFlight} (${each.waiting} waiting)` : each.inFlight),
    number(each.meanSeconds === null ? "" : `${(each.meanSeconds * 1000).toFixed(1)} ms`),
    element("td", { className: "problem" }, each.available ? "" : each.problem));
  row.dataset.function = each.name;
  return row;
}

function number(text) {
  return element("td", { className: "number" }, String(text));
}

function replicas(each) {
  const text = each.desired ? `${each.available} of ${each.desired}` : "asleep";
  const cell = element("td", { className: each.desired ? "replicas" : "replicas asleep" }, text);
  for (const [sign, count] of [["−", each.desired - 1], ["+", each.desired + 1]]) {
    const button = element("button", { type: "button", className: "button", disabled: count < 0 }, sign);
    button.setAttribute("aria-label", `${each.name}: ${count} replicas`);
    button.addEventListener("click", () => scale(each.name, count));
    cell.append(button);
  }
  return cell;
}

async function scale(name, count) {
  await fetch(at(`../system/scale-function/${name}`), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ serviceName: name, replicas: count }),
  });
}

function streamCount(each) {
  const group = element("div", {}, element("dt", {}, each.title),
    element("dd", {}, each.messages.toLocaleString()));
  group.dataset.stream = each.stream;
  return group;
}

function eventRow(each) {
  return element("tr", {},
    element("td", {}, new Date(each.time).toLocaleTimeString()),
    element("td", {}, each.function),
    element("td", {}, `${each.before} → ${each.after}`),
    element("td", {}, each.reason));
}

function choices(names) {
  const select = find("select[name=function]");
  const present = [...select.options].map((option) => option.value);
  if (present.join() === names.join()) return;
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => element("option", {}, name)));
  if (names.includes(chosen)) select.value = chosen;
}

async function invoke(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  const route = form.get("async") ? "async-function" : "function";
  const method = form.get("async") ? "POST" : form.get("method");
  const path = form.get("path").replace(/^\/?/, "/");
  const options = { method, headers: {} };
  if (method !== "GET") {
    options.body = form.get("body");
    options.headers["Content-Type"] = form.get("type");
  }
  const head = find("#response-head");
  const body = find("#response");
  head.textContent = "…";
  body.hidden = true;
  const started = performance.now();
  try {
    const response = await fetch(at(`../${route}/${form.get("function")}${path}`), options);
    const text = await response.text();
    const milliseconds = (performance.now() - started).toFixed(0);
    const type = response.headers.get("Content-Type") ?? "";
    head.textContent =
      `${response.status} ${response.statusText} in ${milliseconds} ms · ${type} · ` +
      `call ${response.headers.get("X-Call-Id") ?? "without id"}`;
    body.textContent = readable(text, type);
    body.hidden = !text;
  } catch (error) {
    head.textContent = `failed: ${error.message}`;
  }
}

function readable(text, type) {
  if (!type.includes("json")) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

find("#invoke").addEventListener("submit", invoke);
for (const box of document.querySelectorAll(".table-scroll")) {
  const said = new ResizeObserver(() => { box.previousElementSibling.hidden = box.scrollWidth <= box.clientWidth + 1; });
  said.observe(box);
  said.observe(box.firstElementChild);
}
refresh();
