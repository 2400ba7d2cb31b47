// Charts over time and the funnel, drawn as SVG: colours come from the style sheet, so that a theme
// or paper changes them. The page asks for this module after it has asked for its figures.

import { element, svg } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { LENGTH, overBy } from "../lib/intervals.js";

const PALETTE = 8;
const FIXED = { facebook: "--facebook", tiktok: "--tiktok", top: "--series-1", bottom: "--series-3", all: "--series-1" };
const MAX_BARS = 45;
const DAY = LENGTH.day;
const MARGIN = { left: 46, right: 8, top: 8, bottom: 22 };
/** A drag over fewer pixels is a click. */
const MIN_DRAG = 5;
/** How wide a letter of an annotation may be, in pixels. */
const NOTE_LETTER = 6.5;

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** The colour of a series: sources keep theirs in every chart. */
const colour = (key, index) => `var(${FIXED[key] ?? `--series-${(index % PALETTE) + 1}`})`;
/** The colour of writing on it. */
const ink = (key, index) => `var(--on-${(FIXED[key] ?? `--series-${(index % PALETTE) + 1}`).slice(2)})`;

/** The box of a chart; it is drawn again when its size changes. */
function chart(body, label) {
  let box = body.querySelector(".chart");
  if (!box) {
    const plot = element("div", { class: "plot" });
    box = element("div", { class: "chart", role: "figure" }, element("div", { class: "legend" }), plot);
    body.prepend(box);
    let drawn = "";
    new ResizeObserver(() => {
      const size = `${plot.clientWidth} ${plot.clientHeight}`;
      if (plot.clientHeight && size !== drawn) box.render();
      drawn = size;
    }).observe(plot);
  }
  box.setAttribute("aria-label", label);
  return box;
}

/** Names and colours of the series; with `pick`, each filters by its series. */
function legend(box, series, pick) {
  box.querySelector(".legend").replaceChildren(...(series.length < 2 ? [] : series.map(({ key, name }, index) => {
    const inner = [element("i", { style: { background: colour(key, index) } }), name];
    return pick && key !== "others"
      ? element("button", { type: "button", class: "series", title: `Only ${name}`, onclick: () => pick(key) }, ...inner)
      : element("span", {}, ...inner);
  })));
}

/** Round values of an axis from 0 to at least `most`. */
function ticks(most) {
  if (most <= 0) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((times) => times * power >= rough);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, index) => index * step);
}

const STEPS = { minute: [1, 2, 5, 10, 15, 30, 60, 120], hour: [1, 2, 3, 6, 12, 24, 48, 72, 168], day: [1, 2, 3, 7, 14, 28] };

/** The points that get a label below the axis, at most so many, at round times. */
function labels(times, interval, most) {
  if (!STEPS[interval]) {
    const each = Math.ceil(times.length / most);
    return times.flatMap((time, index) => (index % each ? [] : [[index, format.dayOf(time, interval !== "week")]]));
  }
  const found = STEPS[interval].find((each) => times.length / each <= most);
  const step = found ?? Math.ceil(times.length / most);
  const long = times.length * LENGTH[interval] > 300 * DAY;
  const length = LENGTH[interval];
  return times.flatMap((time, index) => {
    const midnight = interval === "day" || format.sinceMidnight(time) === 0;
    if (step * length >= DAY) {
      const day = Math.round((Date.parse(time) - Date.parse(times[0])) / DAY);
      if (!midnight || day % (step * length / DAY)) return [];
    } else if (Math.round(format.sinceMidnight(time) / length) % step) return [];
    return [[index, midnight ? format.dayOf(time, long) : format.clockOf(time)]];
  });
}

/**
 * Stacked bars over time, or areas where there are many points. What is not over is drawn dashed.
 * @param {{label: string, interval: string, series: {key: string, name: string, times: string[],
 *   values: (number | string)[]}[], show: (value: number) => string, ends: number[],
 *   zoom: (from: number, to: number) => void, before: {name: string, times: string[], values: number[]} | null,
 *   notes: {time: string, label: string}[]}} options `ends`: when each interval ends, ms;
 *   `zoom` is told which range, in ms, was drawn with the mouse
 */
export function overTime(body, options) {
  const box = chart(body, options.label);
  legend(box, options.series, options.pick);
  box.data = options.series.map(({ name, values }) => ({ name, y: values.map(Number) }));
  box.render = () => drawOverTime(box, options);
  box.render();
}

function drawOverTime(box, { interval, series, show, ends, zoom, before, pick, notes }) {
  const plot = box.querySelector(".plot");
  const [width, height] = [plot.clientWidth, plot.clientHeight];
  const times = series[0]?.times ?? [];
  const wide = width - MARGIN.left - MARGIN.right;
  if (!times.length || wide <= 0 || height <= MARGIN.top + MARGIN.bottom) return; // not laid out yet
  const band = wide / times.length;
  const totals = times.map((_, index) => sum(box.data.map(({ y }) => y[index])));
  const steps = ticks(Math.max(...totals, ...(before?.values.slice(0, times.length) ?? [])));
  const x = (index) => MARGIN.left + band * (index + 0.5);
  const y = (value) => height - MARGIN.bottom - (value / steps.at(-1)) * (height - MARGIN.top - MARGIN.bottom);
  const open = overBy(ends); // the first that is not over
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (const step of steps) {
    root.append(
      svg("line", { class: step ? "grid-line" : "axis-line", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(step), y2: y(step) }),
      svg("text", { class: "tick", x: MARGIN.left - 7, y: y(step) + 4, "text-anchor": "end" }, format.axis(step)));
  }
  for (const [index, text] of labels(times, interval, Math.max(2, Math.floor(wide / 75)))) {
    const anchor = x(index) < MARGIN.left + 16 ? "start" : x(index) > width - 26 ? "end" : "middle";
    root.append(svg("text", { class: "tick", x: x(index), y: height - 5, "text-anchor": anchor }, text));
  }
  const hover = svg("rect", { class: "hovered", y: MARGIN.top, height: height - MARGIN.top - MARGIN.bottom, width: band, visibility: "hidden" });
  root.append(hover);
  const below = times.map(() => 0);
  series.forEach(({ key }, number) => {
    const group = svg("g", { style: { "--colour": colour(key, number) } });
    if (pick && series.length > 1) {
      group.setAttribute("class", "pickable");
      group.addEventListener("click", () => { if (!plot.dragged) pick(key); });
    }
    const lower = [...below];
    box.data[number].y.forEach((value, index) => { below[index] += value; });
    if (times.length <= MAX_BARS) {
      const bar = Math.min(band * 0.74, 60);
      group.append(...times.flatMap((_, index) => {
        const tall = y(lower[index]) - y(below[index]);
        return tall <= 0 ? [] : [svg("rect", {
          class: index >= open ? "bar unfinished" : "bar", x: x(index) - bar / 2, width: bar, y: y(below[index]), height: tall, rx: Math.min(2, tall / 2),
        })];
      }));
    } else {
      const at = (values) => (index) => `${x(index).toFixed(1)},${y(values[index]).toFixed(1)}`;
      const indexes = times.map((_, index) => index);
      const [over, not] = [indexes.slice(0, Math.max(open, 1)), indexes.slice(Math.max(open - 1, 0))];
      for (const [some, more] of [[over, ""], [not.length > 1 ? not : [], " unfinished"]]) {
        if (!some.length) continue;
        const line = some.map(at(below)).join(" L");
        group.append(
          svg("path", { class: `area${more}`, d: `M${line} L${some.toReversed().map(at(lower)).join(" L")} Z` }),
          svg("path", { class: `line${more}`, d: `M${line}` }));
      }
    }
    root.append(group);
  });
  if (before) {
    const line = before.values.slice(0, times.length).map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
    if (line.length) root.append(svg("path", { class: "before", d: `M${line.join(" L")}` }));
  }
  const noted = Map.groupBy(notes, ({ time }) => ends.findIndex((end, index) => Date.parse(time) >= Date.parse(times[index]) && Date.parse(time) < end));
  noted.delete(-1);
  root.append(...markNotes(noted, { x, top: MARGIN.top, bottom: height - MARGIN.bottom, right: width - MARGIN.right }));
  const tip = element("div", { class: "tip", hidden: true });
  const selection = svg("rect", { class: "selection", y: MARGIN.top, height: height - MARGIN.top - MARGIN.bottom, visibility: "hidden" });
  root.append(selection);
  plot.replaceChildren(root, tip);

  const indexAt = (event) => {
    const place = event.clientX - plot.getBoundingClientRect().left - MARGIN.left;
    return Math.min(times.length - 1, Math.max(0, Math.floor(place / band)));
  };
  plot.onpointermove = (event) => {
    const index = indexAt(event);
    hover.setAttribute("x", x(index) - band / 2);
    hover.setAttribute("visibility", "visible");
    fillTip(tip, { interval, times, index, series, box, totals, show, unfinished: index >= open, before, notes: noted.get(index) ?? [] });
    tip.hidden = false;
    const left = x(index) + 14 + tip.offsetWidth > width ? x(index) - 14 - tip.offsetWidth : x(index) + 14;
    tip.style.setProperty("left", `${Math.max(0, left)}px`);
  };
  plot.onpointerleave = () => {
    hover.setAttribute("visibility", "hidden");
    tip.hidden = true;
  };
  plot.onpointerdown = (down) => {
    if (down.button !== 0 || down.pointerType === "touch") return;
    down.preventDefault();
    plot.dragged = false;
    drag(plot, down, { selection, band, indexAt, done: (first, last) => {
      plot.dragged = true; // the click that follows is none
      zoom(Date.parse(times[first]), ends[last]);
    } });
  };
}

/** A line through each interval with annotations, with the label of the first, shortened where there is no room beside it. */
function markNotes(noted, { x, top, bottom, right }) {
  const places = [...noted.keys()].toSorted((a, b) => a - b);
  let free = 0; // where the label before ends
  return places.flatMap((index, place) => {
    const [first, ...more] = noted.get(index);
    const text = `${first.label}${more.length ? ` +${more.length}` : ""}`;
    const letters = (from, to) => Math.floor((to - from - 8) / NOTE_LETTER);
    const room = letters(x(index), place + 1 < places.length ? x(places[place + 1]) : right);
    const before = text.length > room && text.length <= letters(free, x(index));
    const label = before || text.length <= room ? text : room > 4 ? `${text.slice(0, room - 1)}…` : "";
    free = x(index) + (before ? 0 : label.length * NOTE_LETTER + 4);
    return [
      svg("line", { class: "note", x1: x(index), x2: x(index), y1: top, y2: bottom }),
      svg("text", { class: "note-label", x: x(index) + (before ? -4 : 4), y: top + 8, "text-anchor": before ? "end" : "start" }, label),
    ];
  });
}

/** Follows a drag to its end and tells which intervals it went over; Escape gives it up. */
function drag(plot, down, { selection, band, indexAt, done }) {
  const stop = new AbortController();
  const { signal } = stop;
  const span = (event) => [indexAt(down), indexAt(event)].toSorted((a, b) => a - b);
  const far = (event) => Math.abs(event.clientX - down.clientX) >= MIN_DRAG;
  const give = () => {
    stop.abort();
    selection.setAttribute("visibility", "hidden");
  };
  addEventListener("pointermove", (event) => {
    const [first, last] = span(event);
    selection.setAttribute("x", MARGIN.left + first * band);
    selection.setAttribute("width", (last - first + 1) * band);
    selection.setAttribute("visibility", far(event) ? "visible" : "hidden");
  }, { signal });
  addEventListener("pointerup", (event) => {
    give();
    if (far(event)) done(...span(event));
  }, { signal });
  addEventListener("pointercancel", give, { signal });
  addEventListener("keydown", (event) => { if (event.key === "Escape") give(); }, { signal });
}

function fillTip(tip, { interval, times, index, series, box, totals, show, unfinished, before, notes }) {
  const total = totals[index];
  const row = (name, value, mark, share = series.length > 1 && total > 0, kind = null) => element("tr", { class: kind },
    element("th", {}, mark ? element("i", { style: { background: mark } }) : null, name),
    element("td", {}, show(value)),
    element("td", { class: "muted" }, share ? format.percent(value / total) : ""));
  tip.replaceChildren(
    element("strong", {}, format.interval(times[index], interval)),
    unfinished ? element("span", { class: "muted" }, " not over yet") : "",
    element("table", {}, element("tbody", {},
      ...series.map(({ key, name }, number) => row(name, box.data[number].y[index], colour(key, number))),
      series.length > 1 ? row("Total", total, null, total > 0, "whole") : null,
      before && index < before.values.length ? row(`${before.name}, ${format.interval(before.times[index], interval)}`, before.values[index], "var(--muted)", false, "then") : null)),
    ...notes.map(({ time, label }) => element("p", { class: "tip-note" }, `${format.time(time)}: ${label}`)));
}

/** Steps of a funnel, one below the other, one colour a source. */
export function funnel(body, options) {
  const box = chart(body, options.label);
  legend(box, options.series, options.pick);
  box.render = () => drawFunnel(box, options);
  box.render();
}

function drawFunnel(box, { steps, series, pick }) {
  const plot = box.querySelector(".plot");
  const [width, height] = [plot.clientWidth, plot.clientHeight];
  const left = 96;
  if (width <= left || !height) return; // not laid out yet
  const totals = steps.map((_, step) => sum(series.map(({ values }) => values[step])));
  const most = Math.max(...totals, 1);
  const row = height / steps.length;
  const tall = row * 0.66;
  const middle = left + (width - left) / 2;
  const wide = (value) => (value / most) * (width - left);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  steps.forEach((step, index) => {
    const top = row * index + (row - tall) / 2;
    if (index + 1 < steps.length) {
      const [here, next] = [wide(totals[index]) / 2, wide(totals[index + 1]) / 2];
      root.append(svg("path", {
        class: "connector",
        d: `M${middle - here},${top + tall} L${middle + here},${top + tall} L${middle + next},${top + row} L${middle - next},${top + row} Z`,
      }));
    }
    root.append(
      svg("text", { class: "step-name", x: 0, y: top + tall / 2 - 3 }, step.name),
      svg("text", { class: "step-total", x: 0, y: top + tall / 2 + 14 }, step.total));
    let from = middle - wide(totals[index]) / 2;
    series.forEach(({ key, name, values }, number) => {
      const value = values[index];
      if (value <= 0) return;
      const part = svg("g", { ...(pick ? { class: "pickable", onclick: () => pick(key) } : {}), style: { "--colour": colour(key, number), "--ink": ink(key, number) } },
        svg("title", {}, `${step.name}: ${name} ${format.count(value)} (${format.percent(value / totals[index])})`),
        svg("rect", { class: "part", x: from, y: top, width: Math.max(wide(value), 1), height: tall, rx: 2 }));
      // figures that do not fit into their part are left to the hover text and the table
      const text = format.count(value);
      if (wide(value) > text.length * 8 + 8) {
        part.append(svg("text", { class: "part-value", x: from + wide(value) / 2, y: top + tall / 2 + 4, "text-anchor": "middle" }, text));
      }
      root.append(part);
      from += wide(value);
    });
  });
  plot.replaceChildren(root);
}
