/** "Best under so many parameters": a slider over powers of ten, and a number beside it. */

import { make } from "./elements.js";

const STOPS = 200;

export class Limit {
  // None: as many as the budget allows.
  #wanted = null;
  #least = 1;
  #most = 10;

  /** `changed()` hears of another limit. */
  constructor(changed) {
    const range = { type: "range", id: "limit", min: 0, max: STOPS, value: STOPS };
    this.slider = make("input", { ...range, input: () => this.#set(this.#pointed(), changed) });
    const number = { type: "number", min: 1, step: 1, "aria-label": "best under this many parameters" };
    this.number = make("input", { ...number, input: () => this.#typed(changed) });
    const label = make("label", { for: "limit" }, "Best under");
    this.element = make("div", { class: "slider" }, label, this.slider, this.number, make("span", {}, "parameters"));
  }

  get value() {
    return this.#wanted ?? this.#most;
  }

  /** Asks for `value`; for null as many as the budget allows. */
  want(value) {
    this.#wanted = value;
  }

  /** Sets the ends, for a front in which `smallest` is the fewest parameters; null where it has no points. */
  span(smallest, budget) {
    this.#least = Math.max(1, Math.min(smallest ?? budget, budget / 10));
    this.#most = budget;
    this.slider.disabled = this.number.disabled = smallest === null;
  }

  /** Puts slider and number to the value; `found` is what is best within it, for who hears the page. */
  show(found) {
    const share = Math.log(this.value / this.#least) / Math.log(this.#most / this.#least);
    // Several positions may stand for one number: the slider stays where its reader put it.
    if (this.#pointed() !== this.#wanted) this.slider.value = Math.round(STOPS * share);
    this.slider.setAttribute("aria-valuetext", `${this.value.toLocaleString("en-US")} parameters: ${found}`);
    // Who types is not interrupted.
    if (document.activeElement !== this.number) this.number.value = this.value;
  }

  /** What the slider stands at. */
  #pointed() {
    const at = Number(this.slider.value);
    return at === STOPS ? null : Math.round(this.#least * (this.#most / this.#least) ** (at / STOPS));
  }

  #typed(changed) {
    if (this.number.validity.valid && this.number.value) this.#set(Number(this.number.value), changed);
  }

  #set(value, changed) {
    this.#wanted = value;
    changed();
  }
}
