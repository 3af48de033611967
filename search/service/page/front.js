/** The front of a search: which one, of which methods, and its best point within a limit. */

import { Card } from "./card.js";
import { Drawing } from "./drawing.js";
import { Line, make, toggle } from "./elements.js";
import { frontFigure } from "./figures.js";
import { Limit } from "./limit.js";
import { bestWithin, compose } from "./picture.js";
import { download, searchPath } from "./service.js";
import { count, quality } from "./words.js";

const FILES = ["csv", "json", "png", "html"];

export class FrontView {
  #view = { confirmed: false, axis: "trainable" };
  #unwanted = new Set();
  #methods = [];
  #given = null;
  #picture = null;

  /** `changed()`: another front is wanted; `pressed(trial)`: a trial beside the front; `filtered()`: other methods. */
  constructor(name, signal, { changed, pressed, filtered }) {
    Object.assign(this, { name, filtered });
    const look = (change) => {
      Object.assign(this.#view, change);
      changed();
    };
    const scores = { own: "one training", confirmed: "confirmed" };
    const sizes = { trainable: "trainable", stored: "stored" };
    this.boxes = make("div", { class: "boxes" });
    this.plot = make("div", { class: "plot", role: "group" });
    this.note = make("figcaption", { class: "hint" });
    this.problem = new Line();
    this.saving = new Line();
    this.limit = new Limit(() => this.#show());
    this.card = new Card(name, signal);
    this.drawing = new Drawing(this.plot, signal, (trial) => this.#onPlot(trial, pressed));
    const controls = make(
      "div",
      { class: "row controls" },
      toggle("Quality", scores, (value) => look({ confirmed: value === "confirmed" })),
      toggle("Parameters", sizes, (axis) => {
        // A number of the one kind says nothing of the other.
        this.limit.want(null);
        look({ axis });
      }),
      make("fieldset", {}, make("legend", {}, "Methods"), this.boxes),
    );
    const picture = make(
      "div",
      {},
      make("figure", {}, this.plot, this.note),
      this.problem.element,
      this.limit.element,
      make("div", { class: "row" }, "Save this front as", ...FILES.map((format) => this.#file(format))),
      this.saving.element,
    );
    this.body = make("div", { hidden: true }, controls, make("div", { class: "beside" }, picture, this.card.element));
    this.empty = make("p", { class: "hint" }, "There is no front yet. It begins with the first finished trial.");
    const title = make("h2", { id: "front-title" }, "Front");
    this.element = make("section", { "aria-labelledby": "front-title" }, title, this.empty, this.body);
  }

  /** Which front is wanted now. */
  view() {
    return { ...this.#view, query: new URLSearchParams(this.#view) };
  }

  /** Whether a method is not filtered out. */
  wants(method) {
    return !this.#unwanted.has(method);
  }

  async update(given) {
    this.#given = given;
    this.empty.hidden = true;
    this.body.hidden = false;
    const methods = [...new Set([...given.trials.trials, ...given.document.front].map((one) => one.method))].sort();
    if (methods.join() !== this.#methods.join()) {
      this.#methods = methods;
      this.boxes.replaceChildren(...methods.map((method) => this.#box(method)));
    }
    await this.#show();
  }

  #file(format) {
    const save = async () => {
      try {
        const path = `${searchPath(this.name, "front")}?${this.view().query}&format=${format}`;
        await download(path, `${this.name}-front.${format}`);
        this.saving.report(null);
      } catch (problem) {
        this.saving.report(problem);
      }
    };
    return make("button", { type: "button", click: save }, format.toUpperCase());
  }

  #box(method) {
    const change = (event) => {
      if (event.target.checked) this.#unwanted.delete(method);
      else this.#unwanted.add(method);
      this.#show();
      this.filtered();
    };
    return make("label", {}, make("input", { type: "checkbox", checked: this.wants(method), change }), method);
  }

  async #show() {
    const { view, document, trials, knee } = this.#given;
    const methods = new Set(this.#methods.filter((one) => this.wants(one)));
    const picture = (this.#picture = compose({ ...view, document, trials, methods }));
    this.limit.span(picture.front[0]?.size ?? null, picture.budget);
    const chosen = bestWithin(picture, this.limit.value);
    this.limit.show(chosen ? `${chosen.trial} ${chosen.method}, ${scored(chosen, picture)}` : "no point is this small");
    this.note.textContent = caption(picture);
    this.plot.setAttribute("aria-label", `${summary(picture)} The same numbers stand in the table of trials.`);
    this.card.show(chosen, document, trials);
    const bend = view.confirmed || view.axis === "stored" || picture.partial ? null : knee;
    try {
      await this.drawing.draw(() => frontFigure(picture, this.#methods, chosen, bend));
      this.problem.report(null);
    } catch (problem) {
      this.problem.report(problem);
    }
  }

  #onPlot(trial, pressed) {
    const dot = this.#picture.front.find((one) => one.trial === trial);
    if (!dot) return pressed(trial);
    this.limit.want(dot.size);
    return this.#show();
  }
}

function scored(dot, picture) {
  return quality(dot.score, picture.metric);
}

function summary(picture) {
  const best = picture.front.at(-1);
  if (!best) return "Front without points.";
  const points = `Front of ${count(picture.front.length)} points`;
  return `${points}, best quality ${scored(best, picture)} with ${count(best.size)} parameters.`;
}

function caption({ confirmed, partial, complete }) {
  if (complete && partial) return "Front of the chosen methods alone.";
  if (partial) return "Those points of the whole front that belong to the chosen methods.";
  if (confirmed) return "Points trained again on fresh seeds: mean and standard deviation.";
  return "Every point was trained once, so it is partly luck.";
}
