/** Elements made from data. Text enters as text and never as HTML. */

/** `properties` are attributes; a function is what listens to that event. */
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

/** Pairs of a name and what it is, as a list of descriptions. */
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

/** `options` are values and what they are called. */
export function choice(options, listener) {
  const entries = Object.entries(options).map(([value, text]) => make("option", { value }, text));
  return make("select", { change: listener }, ...entries);
}

/** One of a few, as radio buttons side by side; the first is chosen. */
export function toggle(legend, options, listener) {
  const name = `toggle-${++made}`;
  const buttons = Object.entries(options).map(([value, text], position) => {
    const checked = position === 0;
    const button = make("input", { type: "radio", name, value, checked, change: () => listener(value) });
    return make("label", {}, button, make("span", {}, text));
  });
  return make("fieldset", { class: "toggle" }, make("legend", {}, legend), make("div", {}, ...buttons));
}

/** Chooses one of a toggle; its listener is not told. */
export function turn(toggle, value) {
  toggle.querySelector(`[value="${value}"]`).checked = true;
}

/** A line that says what went wrong, or what is done; it is read out when it changes. */
export class Line {
  constructor() {
    this.element = make("p", { class: "line", role: "status", "aria-live": "polite" });
  }

  say(text) {
    this.#put(text, false);
  }

  /** `null` takes the line away. */
  report(problem) {
    this.#put(problem === null ? "" : problem.message, true);
  }

  #put(text, wrong) {
    this.element.classList.toggle("wrong", wrong);
    // Putting the same text again would be read out again.
    if (this.element.textContent !== text) this.element.textContent = text;
  }
}
