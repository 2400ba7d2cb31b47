// Charts over time and the funnel, drawn by Plotly.

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const touch = matchMedia("(pointer: coarse)");

const PALETTE = 8;
const FIXED = { facebook: "--facebook", tiktok: "--tiktok", top: "--series-1", bottom: "--series-3", all: "--series-1" };

/** The colour of a series: sources keep theirs in every chart. */
export const colour = (key, index) => css(FIXED[key] ?? `--series-${(index % PALETTE) + 1}`);

function layout(extra) {
  const axis = {
    gridcolor: css("--line"), linecolor: css("--line"), zeroline: false, automargin: true,
    tickfont: { color: css("--muted"), size: 11 }, fixedrange: true,
  };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: css("--font"), color: css("--text"), size: 12 },
    margin: { l: 44, r: 10, t: 8, b: 8 },
    hoverlabel: {
      bgcolor: css("--surface-2"), bordercolor: css("--line"),
      font: { color: css("--text"), family: css("--font"), size: 12 },
    },
    xaxis: { ...axis, showgrid: false },
    yaxis: { ...axis, rangemode: "tozero", nticks: 5 },
    ...extra,
  };
}

const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false, showTips: false };

function plot(body, label, traces, options) {
  let box = body.querySelector(".chart");
  if (!box) {
    box = document.createElement("div");
    box.className = "chart";
    box.setAttribute("role", "img");
    body.append(box);
    // a card grows with its neighbours
    new ResizeObserver(() => {
      if (box.isConnected && box.clientHeight) globalThis.Plotly.Plots.resize(box);
    }).observe(box);
  }
  box.setAttribute("aria-label", label);
  globalThis.Plotly.react(box, traces, options, CONFIG);
  return box;
}

const translucent = (hex, alpha) => {
  const value = Number.parseInt(hex.slice(1), 16);
  return `rgba(${value >> 16},${(value >> 8) & 255},${value & 255},${alpha})`;
};

const HOVER_TIME = { minute: "%e %b %H:%M", hour: "%e %b %H:%M", day: "%a %e %b %Y" };

/**
 * Stacked areas (or bars, where there are few points) over time.
 * @param {(from: string, to: string) => void} zoom told which range was drawn with the mouse
 */
export function overTime(body, { label, interval, series, format, zoom }) {
  const points = series[0]?.values.length ?? 0;
  const bars = points <= 45;
  const traces = series.map(({ key, name, times, values }, index) => {
    const line = colour(key, index);
    const shared = {
      x: times, y: values, name: escapeHtml(name), hovertemplate: `%{y:${format}}<extra>${escapeHtml(name)}</extra>`,
    };
    return bars
      ? { ...shared, type: "bar", marker: { color: line, line: { width: 0 } } }
      : {
        ...shared, type: "scatter", mode: "lines", stackgroup: "one",
        line: { width: 1.6, color: line, shape: "spline", smoothing: 0.3 },
        fillcolor: translucent(line, 0.22),
      };
  });
  const box = plot(body, label, traces, layout({
    barmode: "stack", bargap: 0.28, barcornerradius: 3,
    hovermode: "x unified", showlegend: series.length > 1,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: css("--muted") } },
    dragmode: touch.matches ? false : "zoom", uirevision: "same",
    selections: [], newselection: { line: { color: css("--accent") } },
    xaxis: {
      type: "date", showgrid: false, fixedrange: touch.matches, automargin: true,
      tickfont: { color: css("--muted"), size: 11 }, linecolor: css("--line"),
      hoverformat: HOVER_TIME[interval], nticks: body.clientWidth < 480 ? 4 : 8, tickangle: 0,
    },
    yaxis: {
      gridcolor: css("--line"), zeroline: false, rangemode: "tozero", nticks: 5, automargin: true,
      tickfont: { color: css("--muted"), size: 11 }, tickformat: "~s", fixedrange: true,
    },
  }));
  if (!box.dataset.zooms) {
    box.dataset.zooms = "yes";
    box.on("plotly_relayout", (changed) => {
      const from = changed["xaxis.range[0]"];
      const to = changed["xaxis.range[1]"];
      if (from && to) box.zoom(from, to);
    });
  }
  box.zoom = zoom;
}

/** Steps of a funnel, one colour a source. */
export function funnel(body, { label, steps, series }) {
  const labels = steps.map((step) => `${step.name}<br><b>${step.total}</b>`);
  const widest = Math.max(...steps.map((_, step) => series.reduce((total, one) => total + one.values[step], 0)));
  const traces = series.map(({ key, name, values }, index) => ({
    type: "funnel", name: escapeHtml(name), y: labels, x: values, orientation: "h",
    // figures that do not fit into their part are left to the hover text and the table
    text: values.map((value) => (value > widest * 0.14 ? value.toLocaleString("en") : "")),
    marker: { color: colour(key, index), line: { width: 0 } },
    connector: { fillcolor: translucent(css("--series-1"), 0.08), line: { width: 0 } },
    textinfo: "text", textposition: "inside", insidetextanchor: "middle", constraintext: "none",
    insidetextfont: { color: "#fff", size: 12 },
    customdata: steps.map((step) => step.name),
    hovertemplate: `%{customdata}: %{x:,}<extra>${escapeHtml(name)}</extra>`,
  }));
  plot(body, label, traces, layout({
    funnelmode: "stack", funnelgap: 0.28, showlegend: series.length > 1, hovermode: "closest",
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: css("--muted") } },
    yaxis: { fixedrange: true, automargin: true, tickfont: { color: css("--text"), size: 12 } },
    xaxis: { fixedrange: true, visible: false },
    dragmode: false,
  }));
}

// Plotly takes names for markup
const escapeHtml = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
