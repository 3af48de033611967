/** The export of a point: its form, its progress, and the code that loads it. */

import { choice, field, Line, make } from "./elements.js";
import { loading } from "./loading.js";
import { download, get, post, repeat, searchPath } from "./service.js";

const FORMATS = {
  peft: "PEFT adapter",
  merged: "merged: the whole model",
  stock: "stock: plain PEFT, without paretune",
  lora: "LoRA: a low-rank stand-in",
};
const USUAL_RANK = 8;

const COMPARED = "It is written, loaded back and compared with the trained model.";
const DONE = {
  peft: COMPARED,
  merged: COMPARED,
  stock: COMPARED,
  lora: "It is written. Its README says what it loses.",
};

export class Takeaway {
  // The state of each export, by its request.
  #exports = new Map();
  #task = null;
  #trial = null;
  #base = null;

  constructor(name, signal) {
    Object.assign(this, { name, signal });
    this.format = choice(FORMATS, () => this.#show());
    // The service tells which numbers are ranks.
    this.rank = make("input", { type: "number", min: 0, step: "any", value: USUAL_RANK, input: () => this.#show() });
    this.ranks = field("Rank", this.rank);
    this.button = make("button", { type: "button", class: "primary", click: () => this.#export() }, "Export");
    this.line = new Line();
    this.save = make("button", { type: "button", class: "primary", click: () => this.#save() }, "Download");
    this.code = make("code");
    const copy = make("button", { type: "button", click: () => this.#copy() }, "Copy");
    // Browsers offer the clipboard to pages over HTTPS and on this machine only.
    copy.hidden = !navigator.clipboard;
    this.element = make(
      "section",
      { "aria-labelledby": "takeaway-title" },
      make("h4", { id: "takeaway-title" }, "Take it away"),
      make("div", { class: "row" }, field("Format", this.format), this.ranks, this.button, this.save),
      this.line.element,
      make("details", {}, make("summary", {}, "How to load it"), make("pre", { tabindex: "0" }, this.code), copy),
    );
  }

  /** Offer a trial of a search on the base model `base`. */
  show(trial, base) {
    this.#trial = trial;
    this.#base = base;
    this.#show();
  }

  /** The request for the service. */
  #wanted() {
    const wanted = { trial: this.#trial, format: this.format.value };
    return wanted.format === "lora" ? { ...wanted, rank: Number(this.rank.value) } : wanted;
  }

  #known() {
    return this.#exports.get(JSON.stringify(this.#wanted()));
  }

  /** The folder in the zip file, under the name that the service gives it. */
  #folder() {
    const { trial, format, rank = USUAL_RANK } = this.#wanted();
    return `${this.name}-${this.#known()?.id ?? [trial, format, ...(rank === USUAL_RANK ? [] : [rank])].join("-")}`;
  }

  #show() {
    const known = this.#known();
    const queued = known?.state === "queued";
    const running = queued || known?.state === "running";
    const finished = known?.state === "finished";
    this.ranks.hidden = this.format.value !== "lora";
    this.button.hidden = running || finished;
    this.save.hidden = !finished;
    if (known?.state === "failed") this.line.report(new Error(known.message ?? "The export failed."));
    else this.line.say(queued ? "Waits for another export." : running ? "Exporting." : finished ? DONE[this.format.value] : "");
    this.#explain();
  }

  async #explain() {
    let task = "sequence-classification";
    try {
      this.#task ??= (await get(searchPath(this.name, "spec"), this.signal)).model.task;
      task = this.#task ?? task;
    } catch {
      // Without the spec, the code is that of the most common task.
    }
    this.code.textContent = loading(this.format.value, task, this.#base, this.#folder());
  }

  async #export() {
    const wanted = this.#wanted();
    const key = JSON.stringify(wanted);
    const learn = (status) => {
      this.#exports.set(key, status);
      if (JSON.stringify(this.#wanted()) === key) this.#show();
    };
    learn({ state: "running" });
    try {
      const { id } = await post(searchPath(this.name, "exports"), wanted);
      const update = async () => {
        const status = await get(searchPath(this.name, "exports", id), this.signal);
        learn(status);
        return ["queued", "running"].includes(status.state);
      };
      repeat(update, (problem) => problem && this.line.report(problem), this.signal);
    } catch (problem) {
      learn({ state: "failed", message: problem.message });
    }
  }

  async #save() {
    try {
      this.line.say("Downloading.");
      const path = searchPath(this.name, "exports", this.#known().id, "download");
      await download(path, `${this.#folder()}.zip`);
      this.line.say("Downloaded.");
    } catch (problem) {
      this.line.report(problem);
    }
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.code.textContent);
      this.line.say("Copied.");
    } catch (problem) {
      this.line.report(problem);
    }
  }
}
