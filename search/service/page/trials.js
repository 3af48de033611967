/** The table of all trainings of a search, and learning curves side by side. */

import { Drawing } from "./drawing.js";
import { badge, make } from "./elements.js";
import { curvesFigure } from "./figures.js";
import { get, searchPath } from "./service.js";
import { Table } from "./table.js";
import { bytes, count, duration, quality, settings } from "./words.js";

export class Trials {
  // The curve of each chosen trial, and the state of the trial when the curve was read.
  #curves = new Map();
  #metric = "";
  #reference = null;
  #known = new Map();

  /** `report(problem)` is called for curves that could not be read. */
  constructor(name, signal, report) {
    Object.assign(this, { name, signal, report });
    this.table = new Table({
      caption: "Trials",
      columns: this.#columns(),
      key: (one) => one.trial,
      press: (one) => this.toggle(one.trial),
    });
    this.plot = make("div", { class: "plot low", role: "group" });
    this.hint = make("p", { class: "hint" }, "Choose one or more trials to see their quality over the steps.");
    this.clear = make(
      "button",
      { type: "button", hidden: true, click: () => this.#choose(() => this.#curves.clear()) },
      "Clear",
    );
    this.drawing = new Drawing(this.plot, signal, null);
    this.element = make(
      "div",
      { class: "beside", hidden: true },
      make(
        "section",
        { "aria-labelledby": "trials-title" },
        make("h2", { id: "trials-title" }, "Trials"),
        make(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of trials" },
          this.table.element,
        ),
      ),
      make(
        "section",
        { class: "curves", "aria-labelledby": "curves-title" },
        make("div", { class: "row" }, make("h2", { id: "curves-title" }, "Learning curves"), this.clear),
        this.hint,
        this.plot,
      ),
    );
  }

  /** `trials`: the document of trials; `front`: the points of the front; `wants(method)`: false if filtered out. */
  update({ trials, metric, front }, wants) {
    this.element.hidden = false;
    this.#metric = metric;
    this.#reference = trials.reference?.quality ?? null;
    const leading = new Set(front.map((one) => one.trial));
    this.#known = new Map(trials.trials.map((one) => [one.trial, one]));
    const rows = trials.trials.filter((one) => wants(one.method));
    this.table.update(rows.map((one) => ({ ...one, front: leading.has(one.trial), metric })));
    this.#mark();
    // A curve that was read during its training is longer now.
    for (const [trial, { state }] of this.#curves) if (state === "running") this.#read(trial);
  }

  toggle(trial) {
    const chosen = this.#curves.has(trial);
    this.#choose(() =>
      chosen ? this.#curves.delete(trial) : this.#curves.set(trial, { state: "running", rungs: [] }),
    );
    if (!chosen) this.#read(trial);
  }

  #columns() {
    const box = ({ trial }) =>
      make("input", { type: "checkbox", "aria-label": `learning curve of ${trial}`, change: () => this.toggle(trial) });
    return [
      { title: "Curve", keep: true, show: box },
      { title: "Trial", sort: (one) => one.trial, show: (one) => one.trial },
      { title: "Method", sort: (one) => one.method, show: (one) => one.method },
      { title: "State", sort: (one) => one.state, show: (one) => badge(one.state) },
      { title: "Front", sort: (one) => (one.front ? 0 : 1), show: (one) => (one.front ? "yes" : "") },
      { title: "Quality", number: true, sort: (one) => one.quality, show: (one) => quality(one.quality, one.metric) },
      {
        title: "Parameters",
        number: true,
        sort: (one) => one.trainable_parameters,
        show: (one) => count(one.trainable_parameters),
      },
      { title: "Adapter", number: true, sort: (one) => one.adapter_bytes, show: (one) => bytes(one.adapter_bytes) },
      { title: "Steps", number: true, sort: (one) => one.steps, show: (one) => count(one.steps) },
      { title: "Time", number: true, sort: (one) => one.train_seconds, show: (one) => duration(one.train_seconds) },
      { title: "Settings", show: (one) => settings(one.config) },
      { title: "Reason", sort: (one) => one.reason, show: (one) => one.reason ?? "" },
    ];
  }

  #choose(change) {
    change();
    this.#mark();
    this.#draw().catch(this.report);
  }

  #mark() {
    for (const trial of this.#known.keys()) {
      const row = this.table.row(trial);
      const chosen = this.#curves.has(trial);
      row?.classList.toggle("chosen", chosen);
      if (row) row.querySelector("input").checked = chosen;
    }
  }

  async #read(trial) {
    try {
      const { state } = this.#known.get(trial);
      const { rungs } = await get(searchPath(this.name, "trials", trial, "curve"), this.signal);
      if (!this.#curves.has(trial)) return;
      this.#curves.set(trial, { state, rungs });
      await this.#draw();
    } catch (problem) {
      if (!this.signal.aborted) this.report(problem);
    }
  }

  async #draw() {
    // At a rung where no answers were written only the loss is known, so curves are then of the loss.
    const written = [...this.#curves.values()].every(({ rungs }) => rungs.every((rung) => rung.quality !== null));
    const metric = written ? this.#metric : "loss";
    const chosen = [...this.#curves].map(([trial, { rungs }]) => ({
      trial,
      method: this.#known.get(trial).method,
      rungs: written ? rungs : rungs.map(({ step, loss }) => ({ step, quality: loss })),
    }));
    this.clear.hidden = this.plot.hidden = chosen.length === 0;
    this.hint.hidden = chosen.length > 0;
    if (!chosen.length) return;
    this.plot.setAttribute("aria-label", `Learning curves. ${chosen.map((one) => this.#spoken(one, metric)).join(" ")}`);
    await this.drawing.draw(() => curvesFigure(chosen, metric, written ? this.#reference : null));
  }

  #spoken({ trial, rungs }, metric) {
    const said = rungs.map((rung) => `${quality(rung.quality, metric)} at step ${rung.step}`);
    return `${trial}: ${said.join(", ")}.`;
  }
}
