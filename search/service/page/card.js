/** The chosen point: what it is, and how it is taken away. */

import { choice, facts, field, Line, make } from "./elements.js";
import { download, get, post, repeat, searchPath } from "./service.js";
import { loading } from "./loading.js";
import { bytes, count, duration, quality, setting } from "./words.js";

const FORMATS = [
  ["peft", "PEFT adapter"],
  ["merged", "merged: the whole model"],
  ["stock", "stock: plain PEFT, without paretune"],
  ["lora", "LoRA: a low-rank stand-in"],
];

export class Card {
  // What is known of each export, by trial and format.
  #exports = new Map();
  #task = null;
  #dot = null;
  #given = null;

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
  show(dot, given) {
    this.#given = given;
    const changed = JSON.stringify(dot) !== JSON.stringify(this.#dot);
    this.#dot = dot;
    this.body.hidden = dot === null;
    if (dot === null) this.title.textContent = "No point is this small";
    else if (changed || this.confirmed !== this.#seeds().length) {
      this.confirmed = this.#seeds().length;
      this.title.textContent = `${dot.trial} ${dot.method}`;
      this.facts.replaceChildren(facts(this.#facts()));
      this.settings.replaceChildren(facts(Object.entries(dot.config).map(([knob, value]) => [knob, setting(value)])));
      this.#showExport();
    }
  }

  #seeds() {
    return this.#given.trials.confirmations.filter((one) => one.confirms === this.#dot.trial && one.state === "finished");
  }

  #facts() {
    const { document } = this.#given, { metric } = document.objective, one = this.#dot.whole, seeds = this.#seeds().length;
    const share = ((100 * one.trainable_parameters) / document.base_parameters).toPrecision(2);
    const pairs = [[`Validation ${metric}`, quality(one.quality, metric)]];
    if (typeof one.confirmed_quality === "number") {
      const spread = one.confirmed_std === null ? "" : ` ± ${quality(one.confirmed_std, metric)}`;
      pairs.push(["Confirmed", `${quality(one.confirmed_quality, metric)}${spread}, ${seeds} ${seeds === 1 ? "seed" : "seeds"}`]);
    }
    if (typeof one.test_quality === "number") pairs.push([`Test ${metric}`, quality(one.test_quality, metric)]);
    pairs.push(["Trainable parameters", `${count(one.trainable_parameters)} (${Number(share)}% of the base)`]);
    // A trial beside the front of all methods is known by less.
    if (one.stored_parameters !== undefined) pairs.push(["Stored parameters", count(one.stored_parameters)]);
    if (one.head_parameters !== undefined) pairs.push(["Task head", count(one.head_parameters)]);
    pairs.push(["Adapter", bytes(one.adapter_bytes)], ["Training", `${count(one.steps)} steps, ${duration(one.train_seconds)}`]);
    return pairs;
  }

  #key() {
    return `${this.#dot.trial} ${this.format.value}`;
  }

  #folder() {
    return `${this.name}-${this.#dot.trial}-${this.format.value}`;
  }

  #showExport() {
    const known = this.#exports.get(this.#key()), running = known?.state === "running";
    this.button.hidden = running || known?.state === "finished";
    this.save.hidden = known?.state !== "finished";
    if (!known) this.line.say("");
    else if (known.state === "failed") this.line.report(new Error(known.message ?? "The export failed."));
    else if (running) this.line.say(`Exporting. ${known.message ?? ""}`);
    else this.line.say("It is written, loaded back and compared.");
    this.#explain();
  }

  async #explain() {
    try {
      this.#task ??= (await get(searchPath(this.name, "spec"), this.signal)).model.task ?? "sequence-classification";
    } catch {
      // Without the spec the loading is explained for the most common task.
    }
    this.code.textContent = loading(this.format.value, this.#task ?? "sequence-classification", this.#given.document.base_model, this.#folder());
  }

  async #export() {
    const key = this.#key(), body = { trial: this.#dot.trial, format: this.format.value };
    const learn = (status) => {
      this.#exports.set(key, status);
      if (this.#dot && this.#key() === key) this.#showExport();
    };
    learn({ state: "running", message: null });
    try {
      const { id } = await post(searchPath(this.name, "exports"), body, this.signal);
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
      await download(searchPath(this.name, "exports", this.#exports.get(this.#key()).id, "download"), `${this.#folder()}.zip`);
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
