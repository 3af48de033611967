/** Pictures for Plotly. Text is escaped, for Plotly reads a part of HTML in it. */

import { count, isShare, quality, setting } from "./words.js";

// Okabe and Ito's colours, which stay apart for colour-blind readers, without yellow; on dark paper lighter ones.
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#8C564B"];
const COLOURS_DARK = ["#4DA6E0", "#FF8A3D", "#2FC79A", "#E79BC6", "#9AD4F5", "#F5B73D", "#C391D6", "#C9998D"];
const SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down"];
// Named one by one: among Plotly's own choice is a button that sends the picture to another company.
const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d"]] };
const DARK = matchMedia("(prefers-color-scheme: dark)");
const TOUCH = matchMedia("(pointer: coarse)");

let plotly;

/** The script is large, so it is fetched when the first picture is drawn. */
function library() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "assets/plotly.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      plotly = undefined;
      reject(new Error("the script of the pictures could not be read"));
    };
    document.head.append(script);
  });
  return plotly;
}

/** Draws `figure()` into an element, again whenever dark and light change, and `pressed` hears what dot was clicked. */
export class Drawing {
  #figure = null;
  #drawn = "";

  constructor(element, signal, pressed) {
    this.element = element;
    DARK.addEventListener("change", () => this.#figure && this.draw(this.#figure), { signal });
    signal.addEventListener("abort", () => window.Plotly?.purge(element));
    this.pressed = pressed;
  }

  async draw(figure) {
    this.#figure = figure;
    const { data, layout } = figure();
    const drawn = JSON.stringify([data, layout]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const Plotly = await library();
    // While the script was fetched another figure may have come, or the page may be gone.
    if (drawn !== this.#drawn || !this.element.isConnected) return;
    const first = !this.element.classList.contains("js-plotly-plot");
    await Plotly.react(this.element, data, layout, CONFIG);
    if (first && this.pressed) this.element.on("plotly_click", (event) => this.pressed(event.points[0].customdata));
  }
}

export function style(position) {
  const colours = DARK.matches ? COLOURS_DARK : COLOURS;
  const turn = Math.floor(position / colours.length);
  return { color: colours[position % colours.length], symbol: SHAPES[(position + turn) % SHAPES.length] };
}

/** The front of one search. `methods` is every method of the search, which gives each its look; `chosen` a dot, `knee` a trial. */
export function frontFigure(picture, methods, chosen, knee) {
  const { ink, paper } = theme(), data = [];
  for (const [position, method] of methods.entries()) {
    const mine = picture.beside.filter((one) => one.method === method);
    if (mine.length) data.push({ ...scatter(picture, mine), showlegend: false, marker: { ...style(position), size: 8, opacity: DARK.matches ? 0.6 : 0.35 } });
  }
  if (picture.front.length) data.push(steps(picture.front, picture.budget, { color: ink, width: 2.5 }));
  for (const [position, method] of methods.entries()) {
    const mine = picture.front.filter((one) => one.method === method);
    const marker = { ...style(position), size: 13, line: { color: paper, width: 1.5 } };
    // Plotly leaves a method without dots out of the legend; a dot that is nowhere keeps it there.
    const nowhere = { x: [null], y: [null], mode: "markers" };
    if (picture.methods.has(method)) data.push({ ...(mine.length ? scatter(picture, mine) : nowhere), name: escaped(method), marker });
  }
  if (chosen) {
    const ring = { symbol: "circle-open", size: 24, color: ink, line: { width: 2.5 } };
    data.push({ x: [chosen.size], y: [chosen.score], mode: "markers", marker: ring, hoverinfo: "skip", showlegend: false });
  }
  const layout = frame(picture, `${picture.axis} parameters of the adapter`);
  const bend = picture.front.find((one) => one.trial === knee);
  if (bend) layout.annotations.push({ x: Math.log10(bend.size), y: bend.score, text: "knee", ax: -30, ay: picture.mode === "max" ? -32 : 32, arrowcolor: ink });
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
  layout.xaxis = { ...layout.xaxis, title: { text: "optimizer steps" }, rangemode: "tozero" };
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
  const layout = plain(picture.metric), { faint } = theme();
  layout.xaxis = {
    ...layout.xaxis,
    title: { text: across },
    type: "log",
    range: [Math.log10(picture.low[0]), Math.log10(picture.high[0])],
    dtick: picture.high[0] / picture.low[0] > 20_000 ? 1 : "D2",
    tickformat: "~s",
  };
  layout.yaxis.range = [picture.low[1], picture.high[1]];
  if (picture.confirmed) layout.yaxis.title.text += ", confirmed";
  if (picture.atLeast !== null) {
    const limits = [[picture.atLeast, "at least", "left"], [picture.budget, "budget", "left"]];
    for (const [size, name, xanchor] of limits) {
      layout.shapes.push({ type: "line", x0: size, x1: size, y0: 0, y1: 1, yref: "paper", line: { color: faint, dash: "dash", width: 1.2 } });
      // On a logarithmic axis a line stands at its value, and a note at the value's logarithm.
      const text = `${name} ${count(size)}`;
      layout.annotations.push({ x: Math.log10(size), y: 0.97, yref: "paper", text, textangle: -90, xanchor, yanchor: "top", showarrow: false, font: { color: faint } });
    }
  }
  // Nothing of a front lies at the budget and as low as the head alone.
  if (picture.reference !== null) refer(layout, picture.reference, picture.metric, { x: Math.log10(picture.budget) });
  return layout;
}

function refer(layout, value, metric, right) {
  const { faint } = theme();
  layout.shapes.push({ type: "line", x0: 0, x1: 1, xref: "paper", y0: value, y1: value, line: { color: faint, dash: "dot", width: 1.4 } });
  const text = `head alone ${quality(value, metric)}`;
  layout.annotations.push({ ...right, y: value, text, xanchor: "right", yanchor: "bottom", showarrow: false, font: { color: faint } });
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
    yaxis: { ...axis, title: { text: `${escaped(metric)} on validation` }, tickformat: isShare(metric) ? ".0%" : "" },
    shapes: [],
    annotations: [],
  };
}

function theme() {
  const values = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ink", "faint", "grid", "paper", "surface"].map((name) => [name, values.getPropertyValue(`--${name}`).trim()]));
}

function escaped(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
