/** Two searches side by side: both fronts in one picture, and their numbers under one reference. */

import { Drawing } from "./drawing.js";
import { field, Line, make, toggle } from "./elements.js";
import { comparisonFigure } from "./figures.js";
import { bounds, dot } from "./picture.js";
import { get, repeat, searchPath } from "./service.js";
import { Table } from "./table.js";
import { count, hypervolume, quality, settings } from "./words.js";

export function compare({ place, parameters, signal }) {
  const names = parameters.getAll("name").slice(0, 2);
  const problem = new Line();
  let confirmed = false;
  let now = null;
  const options = make("datalist", { id: "searches" });
  const fields = ["First search", "Second search"].map((text, position) => {
    const input = make("input", {
      list: "searches",
      required: true,
      value: names[position] ?? "",
      spellcheck: "false",
      autocomplete: "off",
    });
    return [field(text, input), input];
  });
  const form = make(
    "form",
    { class: "row controls", submit: go },
    ...fields.map(([element]) => element),
    make("button", { type: "submit", class: "primary" }, "Compare"),
    toggle("Quality", { own: "one training", confirmed: "confirmed" }, (value) => {
      confirmed = value === "confirmed";
      now?.();
    }),
    options,
  );
  const plot = make("div", {
    class: "plot",
    role: "group",
    "aria-label": "Both fronts. Their numbers stand in the tables below.",
  });
  const drawing = new Drawing(plot, signal, null);
  const searches = new Table({ caption: "The searches", columns: SEARCHES, key: (one) => one.search });
  const points = new Table({
    caption: "The front of both together",
    columns: POINTS,
    key: (one) => `${one.search} ${one.trial}`,
  });
  const reference = make("p", { class: "hint" });
  const differences = make("p", { class: "hint" });
  const found = make(
    "div",
    { hidden: true },
    make("figure", {}, plot, reference),
    make("h2", {}, "Numbers"),
    differences,
    make("div", { class: "stacked" }, searches.element),
    make("h2", {}, "The front of both together"),
    make("div", { class: "stacked" }, points.element),
  );
  place.append(make("h1", {}, "Compare two searches"), form, problem.element, found);
  offer();
  if (names.length === 2) now = repeat(update, (what) => problem.report(what), signal);

  function go(event) {
    event.preventDefault();
    location.hash = `#/compare?${new URLSearchParams(fields.map(([, input]) => ["name", input.value.trim()]))}`;
  }

  async function offer() {
    try {
      const known = await get("v1/searches?limit=100", signal);
      options.replaceChildren(...known.searches.map(({ search }) => make("option", { value: search })));
    } catch {
      // Names can also be typed.
    }
  }

  async function update() {
    const wanted = confirmed;
    const asked = new URLSearchParams([...names.map((one) => ["name", one]), ["confirmed", wanted]]);
    const [comparison, ...documents] = await Promise.all([
      get(`v1/compare?${asked}`, signal),
      ...names.map((one) => get(`${searchPath(one, "front")}?${new URLSearchParams({ confirmed: wanted })}`, signal)),
    ]);
    const { metric } = comparison.objective;
    const fronts = documents.map(({ search, front }) => ({
      search,
      front: front.map((one) => dot(one, wanted, "trainable")),
    }));
    const budget = comparison.budget.parameters;
    const dots = fronts.flatMap(({ front }) => front);
    const picture = {
      metric,
      confirmed: wanted,
      budget,
      atLeast: comparison.budget.at_least,
      reference: comparison.reference.quality,
      ...bounds(dots, comparison, budget, "trainable"),
    };
    found.hidden = false;
    const range = `${count(picture.atLeast)} to ${count(budget)} parameters`;
    reference.textContent = `Head alone: ${quality(picture.reference, metric)}, the worse of the two. Range: ${range}.`;
    differences.hidden = !comparison.differences.length;
    differences.textContent = `Compare with care. ${comparison.differences.join("; ")}.`;
    searches.update(comparison.searches.map((one) => ({ ...one, metric })));
    points.update(comparison.front.map((one) => ({ ...one, metric })));
    await drawing.draw(() => comparisonFigure(picture, fronts));
    return false;
  }
}

const SEARCHES = [
  { title: "Search", show: ({ search }) => make("a", { href: `#/searches/${encodeURIComponent(search)}` }, search) },
  { title: "Base model", show: (one) => one.base_model },
  { title: "Head alone", number: true, show: (one) => quality(one.reference, one.metric) },
  { title: "Best", number: true, show: (one) => (one.best ? quality(one.best.quality, one.metric) : "–") },
  { title: "Steps", number: true, show: (one) => one.steps.map(count).join(", ") },
  { title: "Points", number: true, show: (one) => count(one.points) },
  { title: "Leading", number: true, show: (one) => count(one.leading) },
  { title: "Hypervolume", number: true, show: (one) => hypervolume(one.hypervolume) },
];

const POINTS = [
  {
    title: "Parameters",
    number: true,
    sort: (one) => one.trainable_parameters,
    show: (one) => count(one.trainable_parameters),
  },
  { title: "Quality", number: true, sort: (one) => one.quality, show: (one) => quality(one.quality, one.metric) },
  { title: "Search", sort: (one) => one.search, show: (one) => one.search },
  { title: "Trial", sort: (one) => one.trial, show: (one) => one.trial },
  { title: "Method", sort: (one) => one.method, show: (one) => one.method },
  { title: "Settings", show: (one) => settings(one.config) },
];
