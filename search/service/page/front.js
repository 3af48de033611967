/** The front of a search: which one, of which methods, and its best point within a limit. */

import { Card } from "./card.js";
import { Line, make, toggle } from "./elements.js";
import { Drawing, frontFigure } from "./figures.js";
import { bestWithin, compose } from "./picture.js";
import { download, searchPath } from "./service.js";
import { count, quality } from "./words.js";

const STOPS = 200;
const FILES = ["csv", "json", "png", "html"];

export class FrontView {
  #view = { confirmed: false, axis: "trainable" };
  #unwanted = new Set();
  #methods = [];
  #given = null;
  #picture = null;
  // None: as many as the budget allows.
  #limit = null;

  /** `changed()`: another front is asked for; `pressed(trial)`: a trial beside the front; `filtered()`: other methods. */
  constructor(name, signal, { changed, pressed, filtered }) {
    Object.assign(this, { name, filtered });
    const look = (change) => {
      Object.assign(this.#view, change);
      changed();
    };
    const scores = toggle("Quality", [["own", "one training"], ["confirmed", "confirmed"]], (value) => look({ confirmed: value === "confirmed" }));
    const sizes = toggle("Parameters", [["trainable", "trainable"], ["stored", "stored"]], (axis) => {
      this.#limit = null;
      look({ axis });
    });
    this.boxes = make("div", { class: "boxes" });
    this.plot = make("div", { class: "plot", role: "group" });
    this.note = make("figcaption", { class: "hint" });
    this.problem = new Line();
    this.saving = new Line();
    this.slider = make("input", { type: "range", id: "limit", min: 0, max: STOPS, value: STOPS, input: () => this.#slid() });
    this.number = make("input", { type: "number", min: 1, step: 1, "aria-label": "best under this many parameters", input: () => this.#typed() });
    this.card = new Card(name, signal);
    this.drawing = new Drawing(this.plot, signal, (trial) => this.#onPlot(trial, pressed));
    this.body = make(
      "div",
      { hidden: true },
      make("div", { class: "row controls" }, scores, sizes, make("fieldset", {}, make("legend", {}, "Methods"), this.boxes)),
      make(
        "div",
        { class: "beside" },
        make(
          "div",
          {},
          make("figure", {}, this.plot, this.note),
          this.problem.element,
          make("div", { class: "slider" }, make("label", { for: "limit" }, "Best under"), this.slider, this.number, make("span", {}, "parameters")),
          make("div", { class: "row" }, make("span", {}, "Save this front as"), ...FILES.map((format) => this.#file(format))),
          this.saving.element,
        ),
        this.card.element,
      ),
    );
    this.empty = make("p", { class: "hint" }, "There is no front yet. It begins with the first finished trial.");
    this.element = make("section", { "aria-labelledby": "front-title" }, make("h2", { id: "front-title" }, "Front"), this.empty, this.body);
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
        await download(`${searchPath(this.name, "front")}?${this.view().query}&format=${format}`, `${this.name}-front.${format}`);
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
    const picture = (this.#picture = compose({ ...view, document, trials, methods: new Set(this.#methods.filter((one) => this.wants(one))) }));
    this.note.textContent = this.#caption();
    const chosen = this.#choose(), bend = view.confirmed || view.axis === "stored" || picture.partial ? null : knee;
    const best = picture.front.at(-1);
    const summary = best ? `Front of ${picture.front.length} points, best quality ${quality(best.score, picture.metric)} with ${count(best.size)} parameters.` : "Front without points.";
    this.plot.setAttribute("aria-label", `${summary} The same numbers stand in the table of trials.`);
    this.card.show(chosen, { document, trials, limit: this.#limit });
    try {
      await this.drawing.draw(() => frontFigure(picture, this.#methods, chosen, bend));
      this.problem.report(null);
    } catch (problem) {
      this.problem.report(problem);
    }
  }

  #caption() {
    const { confirmed, partial, complete } = this.#picture;
    if (!partial) return confirmed ? "Points trained again on fresh seeds: mean and standard deviation." : "Every point was trained once, so it is partly luck.";
    return complete ? "Front of the chosen methods alone." : "Those points of the whole front that belong to the chosen methods.";
  }

  /** Sets slider and number to the limit, and finds the best point within it. */
  #choose() {
    const { front, budget, metric } = this.#picture, limit = this.#limit ?? budget;
    const best = bestWithin(this.#picture, limit);
    const found = best ? `${best.trial} ${best.method}, ${quality(best.score, metric)}` : "no point is this small";
    // Several positions may stand for one number: the slider stays where its reader put it.
    if (this.#pointed() !== this.#limit) this.slider.value = Math.round((STOPS * Math.log(limit / this.#least())) / Math.log(budget / this.#least()));
    this.slider.setAttribute("aria-valuetext", `${count(limit)} parameters: ${found}`);
    this.slider.disabled = this.number.disabled = front.length === 0;
    // Who types is not interrupted.
    if (document.activeElement !== this.number) this.number.value = limit;
    return best;
  }

  /** The left end of the slider. */
  #least() {
    const { front, budget } = this.#picture;
    return Math.max(1, Math.min(front[0]?.size ?? budget / 10, budget / 10));
  }

  /** The limit that the slider stands at. */
  #pointed() {
    const at = Number(this.slider.value), least = this.#least();
    return at === STOPS ? null : Math.round(least * (this.#picture.budget / least) ** (at / STOPS));
  }

  #slid() {
    this.#limit = this.#pointed();
    this.#show();
  }

  #typed() {
    if (this.number.validity.valid && this.number.value) {
      this.#limit = Number(this.number.value);
      this.#show();
    }
  }

  #onPlot(trial, pressed) {
    const dot = this.#picture.front.find((one) => one.trial === trial);
    if (!dot) return pressed(trial);
    this.#limit = dot.size;
    return this.#show();
  }
}
