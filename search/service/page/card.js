/** The chosen point: what it is, and how it is taken away. */

import { choice, facts, field, Line, make } from "./elements.js";
import { loading } from "./loading.js";
import { download, get, post, repeat, searchPath } from "./service.js";
import { bytes, count, duration, quality, setting } from "./words.js";

const FORMATS = {
  peft: "PEFT adapter",
  merged: "merged: the whole model",
  stock: "stock: plain PEFT, without paretune",
  lora: "LoRA: a low-rank stand-in",
};

const COMPARED = "It is written, loaded back and compared with the trained model.";
const DONE = {
  peft: COMPARED,
  merged: COMPARED,
  stock: COMPARED,
  lora: "It is written. Its README says what it loses.",
};

export class Card {
  // What is known of each export, by trial and format.
  #exports = new Map();
  #task = null;
  #dot = null;
  #document = null;
  #confirmed = [];

  constructor(name, signal) {
    Object.assign(this, { name, signal });
    this.title = make("h3");
    this.facts = make("div");
    this.settings = make("div");
    this.format = choice(FORMATS, () => this.#showExport());
    this.button = make("button", { type: "button", class: "primary", click: () => this.#export() }, "Export");
    this.line = new Line();
    this.save = make("button", { type: "button", class: "primary", click: () => this.#save() }, "Download");
    this.code = make("code");
    const copy = make("button", { type: "button", click: () => this.#copy() }, "Copy");
    // The browser lends the clipboard to safe addresses alone.
    copy.hidden = !navigator.clipboard;
    this.body = make(
      "div",
      {},
      this.facts,
      make("h4", {}, "Settings"),
      this.settings,
      make("h4", {}, "Take it away"),
      make("div", { class: "row" }, field("Format", this.format), this.button, this.save),
      this.line.element,
      make("details", {}, make("summary", {}, "How to load it"), make("pre", { tabindex: "0" }, this.code), copy),
    );
    this.element = make("article", { class: "card" }, this.title, this.body);
  }

  /** Shows a dot of the front, or that there is none within the limit. */
  show(dot, document, trials) {
    const confirmed = trials.confirmations.filter((one) => one.confirms === dot?.trial && one.state === "finished");
    const changed = JSON.stringify([dot, confirmed]) !== JSON.stringify([this.#dot, this.#confirmed]);
    this.#document = document;
    this.#dot = dot;
    this.#confirmed = confirmed;
    this.body.hidden = dot === null;
    if (dot === null) this.title.textContent = "No point is this small";
    else if (changed) {
      this.title.textContent = `${dot.trial} ${dot.method}`;
      this.facts.replaceChildren(facts(this.#facts()));
      this.settings.replaceChildren(facts(Object.entries(dot.config).map(([knob, value]) => [knob, setting(value)])));
      this.#showExport();
    }
  }

  #facts() {
    const { metric } = this.#document.objective;
    const one = this.#dot.whole;
    const seeds = this.#confirmed.length;
    const share = ((100 * one.trainable_parameters) / this.#document.base_parameters).toPrecision(2);
    const pairs = [[`Validation ${metric}`, quality(one.quality, metric)]];
    if (typeof one.confirmed_quality === "number") {
      const spread = one.confirmed_std === null ? "" : ` ± ${quality(one.confirmed_std, metric)}`;
      const over = `${seeds} ${seeds === 1 ? "seed" : "seeds"}`;
      pairs.push(["Confirmed", `${quality(one.confirmed_quality, metric)}${spread}, ${over}`]);
    }
    if (typeof one.test_quality === "number") pairs.push([`Test ${metric}`, quality(one.test_quality, metric)]);
    pairs.push(["Trainable parameters", `${count(one.trainable_parameters)} (${Number(share)}% of the base)`]);
    // A trial beside the front of all methods is known by less.
    if (one.stored_parameters !== undefined) pairs.push(["Stored parameters", count(one.stored_parameters)]);
    if (one.head_parameters !== undefined) pairs.push(["Task head", count(one.head_parameters)]);
    pairs.push(["Adapter", bytes(one.adapter_bytes)]);
    pairs.push(["Training", `${count(one.steps)} steps, ${duration(one.train_seconds)}`]);
    return pairs;
  }

  #key() {
    return `${this.#dot.trial} ${this.format.value}`;
  }

  #folder() {
    return `${this.name}-${this.#dot.trial}-${this.format.value}`;
  }

  #showExport() {
    const known = this.#exports.get(this.#key());
    const running = known?.state === "running";
    const finished = known?.state === "finished";
    this.button.hidden = running || finished;
    this.save.hidden = !finished;
    if (known?.state === "failed") this.line.report(new Error(known.message ?? "The export failed."));
    else this.line.say(running ? `Exporting. ${known.message ?? ""}` : finished ? DONE[this.format.value] : "");
    this.#explain();
  }

  async #explain() {
    let task = "sequence-classification";
    try {
      this.#task ??= (await get(searchPath(this.name, "spec"), this.signal)).model.task;
      task = this.#task ?? task;
    } catch {
      // Without the spec the loading is explained for the most common task.
    }
    if (this.#dot === null) return;
    this.code.textContent = loading(this.format.value, task, this.#document.base_model, this.#folder());
  }

  async #export() {
    const key = this.#key();
    const body = { trial: this.#dot.trial, format: this.format.value };
    const learn = (status) => {
      this.#exports.set(key, status);
      if (this.#dot && this.#key() === key) this.#showExport();
    };
    learn({ state: "running", message: null });
    try {
      const { id } = await post(searchPath(this.name, "exports"), body);
      const update = async () => {
        const status = await get(searchPath(this.name, "exports", id), this.signal);
        learn(status);
        return status.state === "running";
      };
      repeat(update, (problem) => problem && this.line.report(problem), this.signal);
    } catch (problem) {
      learn({ state: "failed", message: problem.message });
    }
  }

  async #save() {
    try {
      this.line.say("Downloading.");
      const { id } = this.#exports.get(this.#key());
      await download(searchPath(this.name, "exports", id, "download"), `${this.#folder()}.zip`);
      this.line.say("Downloaded.");
    } catch (problem) {
      this.line.report(problem);
    }
  }

  async #copy() {
    await navigator.clipboard.writeText(this.code.textContent);
    this.line.say("Copied.");
  }
}
