/** Pictures for Plotly: fronts and learning curves. */

import { escaped, frame, plain, refer, style, theme, title } from "./layout.js";
import { count, quality, setting } from "./words.js";

/** The front of one search. `methods`: all methods of the search, whose order gives each its look; `chosen`: a dot. */
export function frontFigure(picture, methods, chosen) {
  const { ink, paper, dark } = theme();
  const data = [];
  for (const [position, method] of methods.entries()) {
    const mine = picture.beside.filter((one) => one.method === method);
    const marker = { ...style(position), size: 8, opacity: dark ? 0.6 : 0.35 };
    if (mine.length) data.push({ ...scatter(picture, mine), showlegend: false, marker });
  }
  if (picture.front.length) data.push(steps(picture.front, picture.budget, { color: ink, width: 2.5 }));
  for (const [position, method] of methods.entries()) {
    const mine = picture.front.filter((one) => one.method === method);
    const marker = { ...style(position), size: 13, line: { color: paper, width: 1.5 } };
    // Plotly leaves a method without dots out of the legend; a dot without a place keeps it there.
    const dots = mine.length ? scatter(picture, mine) : { x: [null], y: [null], mode: "markers" };
    if (picture.methods.has(method)) data.push({ ...dots, name: escaped(method), marker });
  }
  if (chosen) {
    const marker = { symbol: "circle-open", size: 24, color: ink, line: { width: 2.5 } };
    const ring = { x: [chosen.size], y: [chosen.score], mode: "markers", marker };
    data.push({ ...ring, hoverinfo: "skip", showlegend: false });
  }
  const layout = frame(picture, `${picture.axis} parameters of the adapter`);
  if (picture.knee) {
    const { size, score } = picture.knee;
    const beside = { ax: -30, ay: picture.mode === "max" ? -32 : 32, arrowcolor: ink };
    layout.annotations.push({ x: Math.log10(size), y: score, text: "knee", ...beside });
  }
  // A zoom is kept while the search goes on, and ends when the axes change their meaning.
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

/** Quality over steps, [{ trial, method, rungs }], with its standard errors. */
export function curvesFigure(curves, metric, reference) {
  const data = curves.map(({ trial, method, rungs }, position) => ({
    x: rungs.map((rung) => rung.step),
    y: rungs.map((rung) => rung.quality),
    mode: "lines+markers",
    name: escaped(`${trial} ${method}`),
    marker: { ...style(position), size: 9 },
    line: { width: 2 },
    error_y: {
      visible: rungs.some((rung) => rung.quality_se),
      array: rungs.map((rung) => rung.quality_se ?? 0),
      thickness: 1.5,
    },
    hovertext: rungs.map(
      (rung) =>
        `${escaped(trial)}<br>step ${count(rung.step)} · ${quality(rung.quality, metric)}${spread(rung.quality_se, metric)}`,
    ),
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

/** The line goes on to the budget, because the last point is still the best with more parameters allowed. */
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

function spread(error, metric) {
  return error ? ` ± ${quality(error, metric)}` : "";
}

function label(one, metric) {
  const knobs = Object.entries(one.config).map(([knob, value]) => `${escaped(knob)} = ${escaped(setting(value))}`);
  const trained = one.confirmed ? "confirmed" : "one training";
  const numbers = `${count(one.size)} parameters · ${quality(one.score, metric)}${spread(one.spread, metric)}, ${trained}`;
  return [`<b>${escaped(`${one.trial} ${one.method}`)}</b>`, ...knobs, numbers].join("<br>");
}
