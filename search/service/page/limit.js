/** "Best under so many parameters": a slider over powers of ten, and a number beside it. */

import { make } from "./elements.js";

const STOPS = 200;

export class Limit {
  // Null: as many as the budget allows.
  #wanted = null;
  #least = 1;
  #most = 10;

  /** `changed()` is called after each change of the limit. */
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

  /** Set the limit; null means as many as the budget allows. */
  want(value) {
    this.#wanted = value;
  }

  /** Set the ends for a front; `smallest` is its fewest parameters, null without points. */
  span(smallest, budget) {
    this.#least = Math.max(1, Math.min(smallest ?? budget, budget / 10));
    this.#most = budget;
    this.slider.disabled = this.number.disabled = smallest === null;
  }

  /** Show the limit on slider and number; `found`, the best point within it, is read out by screen readers. */
  show(found) {
    const share = Math.log(this.value / this.#least) / Math.log(this.#most / this.#least);
    // Several positions may mean one number: the slider stays where the reader put it.
    if (this.#pointed() !== this.#wanted) this.slider.value = Math.round(STOPS * share);
    this.slider.setAttribute("aria-valuetext", `${this.value.toLocaleString("en-US")} parameters: ${found}`);
    // The number is not replaced during typing.
    if (document.activeElement !== this.number) this.number.value = this.value;
  }

  /** The number at the position of the slider. */
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
