/** A table that keeps its rows while their numbers change, so that focus and scroll position stay. */

import { make } from "./elements.js";

export class Table {
  #body = make("tbody");
  #heads = new Map();
  #rows = new Map();
  #shown = [];
  #order = { column: null, down: false };

  /**
   * A column is { title, show(row), sort(row), number, keep }. Without `sort` it cannot be sorted by. With `keep` its
   * cells are made once, because they hold controls. `key(row)` identifies a row; `press(row)` is called for clicks
   * beside buttons, links and fields.
   */
  constructor({ caption, columns, key, press = null }) {
    Object.assign(this, { columns, key, press });
    const heads = columns.map((column) => this.#head(column));
    this.element = make(
      "table",
      {},
      make("caption", { class: "unseen" }, caption),
      make("thead", {}, make("tr", {}, ...heads)),
      this.#body,
    );
  }

  update(rows) {
    this.#shown = rows;
    const kept = new Map(rows.map((row) => [this.key(row), this.#row(row)]));
    this.#rows = kept;
    this.#arrange();
  }

  /** The row of a key, if it is shown. */
  row(key) {
    return this.#rows.get(key)?.element;
  }

  #head(column) {
    const properties = { scope: "col", class: column.number ? "number" : null };
    if (!column.sort) return make("th", properties, column.title);
    const button = make("button", { type: "button", class: "sort", click: () => this.#sortBy(column) }, column.title);
    const head = make("th", { ...properties, "aria-sort": "none" }, button);
    this.#heads.set(column, head);
    return head;
  }

  #row(row) {
    const key = this.key(row);
    const signature = JSON.stringify(row);
    const known = this.#rows.get(key);
    if (known?.signature === signature) return known;
    const element =
      known?.element ?? make("tr", { class: this.press ? "press" : null, click: (event) => this.#pressed(event, key) });
    for (const [position, column] of this.columns.entries()) {
      const present = element.children[position];
      if (present && column.keep) continue;
      const cell = make("td", { class: column.number ? "number" : null, "data-title": column.title }, column.show(row));
      if (present) present.replaceWith(cell);
      else element.append(cell);
    }
    return { element, signature, row };
  }

  #pressed(event, key) {
    if (this.press && !event.target.closest("button, a, input, label")) this.press(this.#rows.get(key).row);
  }

  #sortBy(column) {
    const down = this.#order.column === column && !this.#order.down;
    this.#order = { column, down };
    for (const [other, head] of this.#heads) {
      head.setAttribute("aria-sort", other !== column ? "none" : down ? "descending" : "ascending");
    }
    this.#arrange();
  }

  #arrange() {
    const { column, down } = this.#order;
    const rows = column
      ? [...this.#shown].sort((left, right) => compare(column.sort(left), column.sort(right), down))
      : this.#shown;
    const elements = rows.map((row) => this.#rows.get(this.key(row)).element);
    const present = this.#body.children;
    // A moved element loses the focus, so only rows in the wrong place are moved.
    if (elements.length === present.length && elements.every((element, position) => element === present[position]))
      return;
    const focused = this.#body.contains(document.activeElement) ? document.activeElement : null;
    this.#body.replaceChildren(...elements);
    focused?.focus();
  }
}

/** Unknown values are last in both directions. */
function compare(left, right, down) {
  if (left === null || right === null) return (left === null) - (right === null);
  const order = typeof left === "string" ? left.localeCompare(right) : left - right;
  return down ? -order : order;
}
