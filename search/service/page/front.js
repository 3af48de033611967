/** The front of a search, with filters for methods and a limit on parameters. */

import { absence, caption, scored, summary } from "./captions.js";
import { Card } from "./card.js";
import { Drawing } from "./drawing.js";
import { Line, make, toggle, turn } from "./elements.js";
import { frontFigure } from "./figures.js";
import { Limit } from "./limit.js";
import { beatsHead, bestWithin, compose } from "./picture.js";
import { download, searchPath } from "./service.js";

const FILES = ["csv", "json", "png", "html"];

export class FrontView {
  // The reader's choices; no choice of quality at first.
  #wish = { confirmed: null, axis: "trainable" };
  #unwanted = new Set();
  #methods = [];
  #given = null;
  #picture = null;

  /** `changed()`: another front is chosen; `pressed(trial)`: a trial is clicked; `filtered()`: other methods. */
  constructor(name, signal, { changed, pressed, filtered }) {
    Object.assign(this, { name, filtered });
    const look = (change) => {
      Object.assign(this.#wish, change);
      changed();
    };
    const qualities = { own: "one training", confirmed: "confirmed" };
    const sizes = { trainable: "trainable", stored: "stored" };
    this.boxes = make("div", { class: "boxes" });
    this.plot = make("div", { class: "plot", role: "group" });
    this.note = make("figcaption", { class: "hint" });
    this.problem = new Line();
    this.saving = new Line();
    this.limit = new Limit(() => this.#show());
    this.card = new Card(name, signal);
    this.drawing = new Drawing(this.plot, signal, (trial) => this.#onPlot(trial, pressed));
    this.quality = toggle("Quality", qualities, (value) => look({ confirmed: value === "confirmed" }));
    const controls = make(
      "div",
      { class: "row controls" },
      this.quality,
      toggle("Parameters", sizes, (axis) => {
        // A limit on one count means nothing for the other.
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

  /** The front to show for a search in this state: the confirmed one once its best is, unless the reader chose. */
  view(status) {
    const { confirmed, axis } = this.#wish;
    const shown = { confirmed: confirmed ?? typeof status.best?.confirmed_quality === "number", axis };
    return { ...shown, query: new URLSearchParams(shown) };
  }

  /** True if a method is not filtered out. */
  wants(method) {
    return !this.#unwanted.has(method);
  }

  async update(given) {
    this.#given = given;
    const begun = given.trials.trials.some((one) => one.quality !== null);
    this.empty.hidden = begun;
    this.body.hidden = !begun;
    if (this.#wish.confirmed === null) turn(this.quality, given.view.confirmed ? "confirmed" : "own");
    const found = [...given.trials.trials, ...given.document.front].map((one) => one.method);
    this.#methods = [...new Set([...this.#methods, ...found])].sort();
    for (const [position, method] of this.#methods.entries()) {
      const present = this.boxes.children[position];
      // Boxes keep their places, because a moved one loses the focus.
      if (present?.textContent !== method) this.boxes.insertBefore(this.#box(method), present ?? null);
    }
    if (begun) await this.#show();
  }

  #file(format) {
    const save = async () => {
      try {
        const path = `${searchPath(this.name, "front")}?${this.#given.view.query}&format=${format}`;
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
    const { view, document, trials } = this.#given;
    const methods = new Set(this.#methods.filter((one) => this.wants(one)));
    const picture = (this.#picture = compose({ ...view, document, trials, methods }));
    this.limit.span(picture.front[0]?.size ?? null, picture.budget);
    const chosen = bestWithin(picture, this.limit.value);
    const none = absence(picture);
    this.limit.show(chosen ? `${chosen.trial} ${chosen.method}, ${scored(chosen, picture)}` : none);
    this.note.textContent = caption(picture);
    this.plot.setAttribute("aria-label", `${summary(picture)} The same numbers stand in the table of trials.`);
    this.card.show(chosen, none, document, trials);
    try {
      await this.drawing.draw(() => frontFigure(picture, this.#methods, chosen));
      this.problem.report(null);
    } catch (problem) {
      this.problem.report(problem);
    }
  }

  #onPlot(trial, pressed) {
    const dot = this.#picture.front.find((one) => one.trial === trial);
    if (!dot || !beatsHead(dot, this.#picture)) return pressed(trial);
    this.limit.want(dot.size);
    return this.#show();
  }
}
