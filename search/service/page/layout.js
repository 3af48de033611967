/** The parts that all pictures share: colours, axes, and the lines of the budget and of the head alone. */

import { DARK } from "./drawing.js";
import { count, isShare, quality } from "./words.js";

// Okabe and Ito's colours, which stay apart for colour-blind readers, without yellow; on dark paper lighter ones.
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#8C564B"];
const COLOURS_DARK = ["#4DA6E0", "#FF8A3D", "#2FC79A", "#E79BC6", "#9AD4F5", "#F5B73D", "#C391D6", "#C9998D"];
const SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down"];
const TOUCH = matchMedia("(pointer: coarse)");

/** The look of the method, search or trial at a position among its kind. */
export function style(position) {
  const colours = DARK.matches ? COLOURS_DARK : COLOURS;
  const turn = Math.floor(position / colours.length);
  return { color: colours[position % colours.length], symbol: SHAPES[(position + turn) % SHAPES.length] };
}

/** Axes, budget and reference. */
export function frame(picture, across) {
  const layout = plain(picture.metric);
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
  // No point of a front is both at the budget and as low as the head alone.
  if (picture.reference !== null) refer(layout, picture.reference, picture.metric, { x: Math.log10(picture.budget) });
  return layout;
}

/** On a logarithmic axis, a line is placed by its value and a note by the logarithm. */
function limit(layout, size, name) {
  const { faint } = theme();
  const line = { color: faint, dash: "dash", width: 1.2 };
  layout.shapes.push({ type: "line", x0: size, x1: size, y0: 0, y1: 1, yref: "paper", line });
  const place = { x: Math.log10(size), y: 0.97, yref: "paper", xanchor: "left", yanchor: "top", textangle: -90 };
  layout.annotations.push({ ...place, text: `${name} ${count(size)}`, showarrow: false, font: { color: faint } });
}

/** A line at the quality of the head alone, with a note that ends at `right`. */
export function refer(layout, value, metric, right) {
  const { faint } = theme();
  const line = { color: faint, dash: "dot", width: 1.4 };
  layout.shapes.push({ type: "line", x0: 0, x1: 1, xref: "paper", y0: value, y1: value, line });
  const place = { ...right, y: value, xanchor: "right", yanchor: "bottom" };
  const text = `head alone ${quality(value, metric)}`;
  layout.annotations.push({ ...place, text, showarrow: false, font: { color: faint } });
}

/** The layout of every picture. Text is escaped, because Plotly reads some HTML. */
export function plain(metric) {
  const { ink, grid, surface, faint } = theme();
  const axis = { gridcolor: grid, linecolor: grid, zeroline: false, automargin: true };
  return {
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: "system-ui, sans-serif", color: ink, size: 13 },
    margin: { l: 8, r: 8, t: 8, b: 8 },
    hovermode: "closest",
    // Touching the picture scrolls the page.
    dragmode: TOUCH.matches ? false : "zoom",
    hoverlabel: { bgcolor: surface, bordercolor: faint, font: { color: ink }, align: "left" },
    modebar: { bgcolor: "transparent", color: faint, activecolor: ink },
    // Filters are beside the picture, and hold for the whole page.
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemclick: false, itemdoubleclick: false },
    showlegend: true,
    xaxis: { ...axis },
    yaxis: { ...axis, title: title(`${escaped(metric)} on validation`), tickformat: isShare(metric) ? ".0%" : "" },
    shapes: [],
    annotations: [],
  };
}

/** True for a narrow screen. */
export function title(text) {
  return { text, font: { size: 12 } };
}

/** The current colours of the page, with `dark`. */
export function theme() {
  const values = getComputedStyle(document.documentElement);
  const names = ["ink", "faint", "grid", "paper", "surface"];
  const colours = names.map((name) => [name, values.getPropertyValue(`--${name}`).trim()]);
  return { ...Object.fromEntries(colours), dark: DARK.matches };
}

export function escaped(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
