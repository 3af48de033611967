/** HTML elements made from data. Text is always set as text, never as HTML. */

/** Make an element; `properties` are attributes, and functions listen to the event of their name. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function badge(state) {
  return make("span", { class: `badge ${state}` }, state);
}

export function bar(status) {
  const label = `${Math.round(100 * status.progress)}% of ${status.search}`;
  return make("progress", { max: 1, value: status.progress, "aria-label": label });
}

/** A list of descriptions from pairs of a term and its value. */
export function facts(pairs) {
  const rows = pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  return make("dl", { class: "facts" }, ...rows);
}

let made = 0;

/** A field with its label above it. */
export function field(text, control) {
  control.id ||= `field-${++made}`;
  return make("div", { class: "field" }, make("label", { for: control.id }, text), control);
}

/** A selection; `options` are pairs of a value and its label. */
export function choice(options, listener) {
  const entries = Object.entries(options).map(([value, text]) => make("option", { value }, text));
  return make("select", { change: listener }, ...entries);
}

/** Radio buttons side by side; the first is chosen. */
export function toggle(legend, options, listener) {
  const name = `toggle-${++made}`;
  const buttons = Object.entries(options).map(([value, text], position) => {
    const checked = position === 0;
    const button = make("input", { type: "radio", name, value, checked, change: () => listener(value) });
    return make("label", {}, button, make("span", {}, text));
  });
  return make("fieldset", { class: "toggle" }, make("legend", {}, legend), make("div", {}, ...buttons));
}

/** Choose an option of a toggle without a call of its listener. */
export function turn(toggle, value) {
  toggle.querySelector(`[value="${value}"]`).checked = true;
}

/** A line for problems and progress; screen readers read it out when it changes. */
export class Line {
  constructor() {
    this.element = make("p", { class: "line", role: "status", "aria-live": "polite" });
  }

  say(text) {
    this.#put(text, false);
  }

  /** Set the text; `null` removes the line. */
  report(problem) {
    this.#put(problem === null ? "" : problem.message, true);
  }

  #put(text, wrong) {
    this.element.classList.toggle("wrong", wrong);
    // The same text set again would be read out again.
    if (this.element.textContent !== text) this.element.textContent = text;
  }
}
