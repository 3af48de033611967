/** Pictures for Plotly. Text is escaped, for Plotly reads a part of HTML in it. */

import { DARK } from "./drawing.js";
import { count, isShare, quality, setting } from "./words.js";

// Okabe and Ito's colours, which stay apart for colour-blind readers, without yellow; on dark paper lighter ones.
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#8C564B"];
const COLOURS_DARK = ["#4DA6E0", "#FF8A3D", "#2FC79A", "#E79BC6", "#9AD4F5", "#F5B73D", "#C391D6", "#C9998D"];
const SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down"];
const TOUCH = matchMedia("(pointer: coarse)");

export function style(position) {
  const colours = DARK.matches ? COLOURS_DARK : COLOURS;
  const turn = Math.floor(position / colours.length);
  return { color: colours[position % colours.length], symbol: SHAPES[(position + turn) % SHAPES.length] };
}

/**
 * The front of one search. `methods` is every method of the search, which gives each its look; `chosen` a dot, `knee` a
 * trial.
 */
export function frontFigure(picture, methods, chosen, knee) {
  const { ink, paper } = theme();
  const data = [];
  for (const [position, method] of methods.entries()) {
    const mine = picture.beside.filter((one) => one.method === method);
    const marker = { ...style(position), size: 8, opacity: DARK.matches ? 0.6 : 0.35 };
    if (mine.length) data.push({ ...scatter(picture, mine), showlegend: false, marker });
  }
  if (picture.front.length) data.push(steps(picture.front, picture.budget, { color: ink, width: 2.5 }));
  for (const [position, method] of methods.entries()) {
    const mine = picture.front.filter((one) => one.method === method);
    const marker = { ...style(position), size: 13, line: { color: paper, width: 1.5 } };
    // Plotly leaves a method without dots out of the legend; a dot that is nowhere keeps it there.
    const dots = mine.length ? scatter(picture, mine) : { x: [null], y: [null], mode: "markers" };
    if (picture.methods.has(method)) data.push({ ...dots, name: escaped(method), marker });
  }
  if (chosen) {
    const marker = { symbol: "circle-open", size: 24, color: ink, line: { width: 2.5 } };
    const ring = { x: [chosen.size], y: [chosen.score], mode: "markers", marker };
    data.push({ ...ring, hoverinfo: "skip", showlegend: false });
  }
  const layout = frame(picture, `${picture.axis} parameters of the adapter`);
  const bend = picture.front.find((one) => one.trial === knee);
  if (bend) {
    const beside = { ax: -30, ay: picture.mode === "max" ? -32 : 32, arrowcolor: ink };
    layout.annotations.push({ x: Math.log10(bend.size), y: bend.score, text: "knee", ...beside });
  }
  // A zoom stays while the search goes on, and ends when the axes mean something else.
  layout.uirevision = `${picture.axis} ${picture.confirmed}`;
  return { data, layout };
}

/** Fronts of several searches, [{ search, front }], each a line of its own. */
export function comparisonFigure(picture, fronts) {
  const { paper } = theme();
  const data = fronts.flatMap(({ search, front }, position) => {
    if (!front.length) return [];
    const look = style(position);
    const marker = { ...look, size: 11, line: { color: paper, width: 1.5 } };
    return [
      steps(front, picture.budget, { color: look.color, width: 2.5 }),
      { ...scatter(picture, front), name: escaped(search), marker },
    ];
  });
  return { data, layout: frame(picture, "trainable parameters of the adapter") };
}

/** Quality over steps, [{ trial, method, rungs }]. */
export function curvesFigure(curves, metric, reference) {
  const data = curves.map(({ trial, method, rungs }, position) => ({
    x: rungs.map((rung) => rung.step),
    y: rungs.map((rung) => rung.quality),
    mode: "lines+markers",
    name: escaped(`${trial} ${method}`),
    marker: { ...style(position), size: 9 },
    line: { width: 2 },
    hovertext: rungs.map((rung) => `${escaped(trial)}<br>step ${count(rung.step)} · ${quality(rung.quality, metric)}`),
    hoverinfo: "text",
  }));
  const layout = plain(metric);
  layout.xaxis = { ...layout.xaxis, title: title("optimizer steps"), rangemode: "tozero" };
  if (reference !== null) refer(layout, reference, metric, { x: 1, xref: "paper" });
  return { data, layout };
}

function scatter(picture, dots) {
  const errors = dots.some((one) => one.spread);
  return {
    x: dots.map((one) => one.size),
    y: dots.map((one) => one.score),
    customdata: dots.map((one) => one.trial),
    mode: "markers",
    error_y: { visible: errors, array: dots.map((one) => one.spread ?? 0), thickness: 1.5 },
    hovertext: dots.map((one) => label(one, picture.metric)),
    hoverinfo: "text",
  };
}

/** It goes on to the budget: with more allowed the last point is still best. */
function steps(front, budget, line) {
  const last = front.at(-1);
  return {
    x: [...front.map((one) => one.size), budget],
    y: [...front.map((one) => one.score), last.score],
    mode: "lines",
    line: { ...line, shape: "hv" },
    hoverinfo: "skip",
    showlegend: false,
  };
}

function label(one, metric) {
  const knobs = Object.entries(one.config).map(([knob, value]) => `${escaped(knob)} = ${escaped(setting(value))}`);
  const spread = one.spread ? ` ± ${quality(one.spread, metric)}` : "";
  const numbers = `${count(one.size)} parameters · ${quality(one.score, metric)}${spread}`;
  return [`<b>${escaped(`${one.trial} ${one.method}`)}</b>`, ...knobs, numbers].join("<br>");
}

/** Axes, budget and reference. */
function frame(picture, across) {
  const layout = plain(picture.metric);
  const { faint } = theme();
  layout.xaxis = {
    ...layout.xaxis,
    title: title(across),
    type: "log",
    range: [Math.log10(picture.low[0]), Math.log10(picture.high[0])],
    dtick: picture.high[0] / picture.low[0] > 20_000 ? 1 : "D2",
    tickformat: "~s",
  };
  layout.yaxis.range = [picture.low[1], picture.high[1]];
  if (picture.confirmed) layout.yaxis.title.text += ", confirmed";
  if (picture.atLeast !== null) {
    limit(layout, picture.atLeast, "at least");
    limit(layout, picture.budget, "budget");
  }
  // Nothing of a front lies at the budget and as low as the head alone.
  if (picture.reference !== null) refer(layout, picture.reference, picture.metric, { x: Math.log10(picture.budget) });
  return layout;
}

/** On a logarithmic axis a line stands at its value, and a note at the value's logarithm. */
function limit(layout, size, name) {
  const { faint } = theme();
  const line = { color: faint, dash: "dash", width: 1.2 };
  layout.shapes.push({ type: "line", x0: size, x1: size, y0: 0, y1: 1, yref: "paper", line });
  const place = { x: Math.log10(size), y: 0.97, yref: "paper", xanchor: "left", yanchor: "top", textangle: -90 };
  layout.annotations.push({ ...place, text: `${name} ${count(size)}`, showarrow: false, font: { color: faint } });
}

function refer(layout, value, metric, right) {
  const { faint } = theme();
  const line = { color: faint, dash: "dot", width: 1.4 };
  layout.shapes.push({ type: "line", x0: 0, x1: 1, xref: "paper", y0: value, y1: value, line });
  const place = { ...right, y: value, xanchor: "right", yanchor: "bottom" };
  const text = `head alone ${quality(value, metric)}`;
  layout.annotations.push({ ...place, text, showarrow: false, font: { color: faint } });
}

function plain(metric) {
  const { ink, grid, surface, faint } = theme();
  const axis = { gridcolor: grid, linecolor: grid, zeroline: false, automargin: true };
  return {
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: "system-ui, sans-serif", color: ink, size: 13 },
    margin: { l: 8, r: 8, t: 8, b: 8 },
    hovermode: "closest",
    // A finger on the picture scrolls the page.
    dragmode: TOUCH.matches ? false : "zoom",
    hoverlabel: { bgcolor: surface, bordercolor: faint, font: { color: ink }, align: "left" },
    modebar: { bgcolor: "transparent", color: faint, activecolor: ink },
    // What is shown is chosen beside the picture, for everything at once.
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemclick: false, itemdoubleclick: false },
    showlegend: true,
    xaxis: { ...axis },
    yaxis: { ...axis, title: title(`${escaped(metric)} on validation`), tickformat: isShare(metric) ? ".0%" : "" },
    shapes: [],
    annotations: [],
  };
}

/** Small enough for a narrow screen. */
function title(text) {
  return { text, font: { size: 12 } };
}

function theme() {
  const values = getComputedStyle(document.documentElement);
  const names = ["ink", "faint", "grid", "paper", "surface"];
  return Object.fromEntries(names.map((name) => [name, values.getPropertyValue(`--${name}`).trim()]));
}

function escaped(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
