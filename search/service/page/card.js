/** The card of the chosen point: its numbers, its settings and its export. */

import { facts, make } from "./elements.js";
import { Takeaway } from "./takeaway.js";
import { bytes, count, duration, quality, setting } from "./words.js";

export class Card {
  #dot = null;
  #document = null;
  #confirmed = [];

  constructor(name, signal) {
    this.title = make("h3");
    this.facts = make("div");
    this.settings = make("div");
    this.takeaway = new Takeaway(name, signal);
    this.body = make("div", {}, this.facts, make("h4", {}, "Settings"), this.settings, this.takeaway.element);
    this.element = make("article", { class: "card" }, this.title, this.body);
  }

  /** Show a dot of the front, or the reason why there is none. */
  show(dot, none, document, trials) {
    const confirmed = trials.confirmations.filter((one) => one.confirms === dot?.trial && one.state === "finished");
    const changed = JSON.stringify([dot, confirmed]) !== JSON.stringify([this.#dot, this.#confirmed]);
    this.#document = document;
    this.#dot = dot;
    this.#confirmed = confirmed;
    this.body.hidden = dot === null;
    if (dot === null) this.title.textContent = none;
    else if (changed) {
      this.title.textContent = `${dot.trial} ${dot.method}`;
      this.facts.replaceChildren(facts(this.#facts()));
      this.settings.replaceChildren(facts(Object.entries(dot.config).map(([knob, value]) => [knob, setting(value)])));
      this.takeaway.show(dot.trial, document.base_model);
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
    // Fewer numbers are known of a trial that is not on the front.
    if (one.stored_parameters !== undefined) pairs.push(["Stored parameters", count(one.stored_parameters)]);
    if (one.head_parameters !== undefined) pairs.push(["Task head", count(one.head_parameters)]);
    pairs.push(["Adapter", bytes(one.adapter_bytes)]);
    pairs.push(["Training", `${count(one.steps)} steps, ${duration(one.train_seconds)}`]);
    return pairs;
  }
}
