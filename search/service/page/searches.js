/** The table of all searches: state, progress and best quality. */

import { badge, bar, choice, field, Line, make } from "./elements.js";
import { get, repeat } from "./service.js";
import { Table } from "./table.js";
import { count, duration, hypervolume, isLive, model, moment, trials } from "./words.js";

const LIMIT = 25;
const STATES = { "": "any" };
for (const state of ["queued", "running", "stopping", "finished", "stopped", "failed"]) STATES[state] = state;

export function searches({ place, parameters, signal }) {
  const asked = {
    contains: parameters.get("contains") ?? "",
    state: parameters.get("state") ?? "",
    offset: Number(parameters.get("offset") ?? 0),
  };
  const picked = new Set();
  const problem = new Line();
  const table = new Table({ caption: "Searches", columns: columns(picked, pick), key: (status) => status.search });
  const text = make("input", {
    type: "search",
    value: asked.contains,
    spellcheck: "false",
    input: () => ask({ contains: text.value, offset: 0 }),
  });
  const state = choice(STATES, () => ask({ state: state.value, offset: 0 }));
  state.value = asked.state;
  const comparing = make("button", {
    type: "button",
    click: () => (location.hash = `#/compare?${new URLSearchParams([...picked].map((one) => ["name", one]))}`),
  });
  const extent = make("span", { role: "status", "aria-live": "polite" });
  const turn = (searches) => ask({ offset: Math.max(0, asked.offset + searches) });
  const before = make("button", { type: "button", click: () => turn(-LIMIT) }, "Newer");
  const after = make("button", { type: "button", click: () => turn(LIMIT) }, "Older");
  place.append(
    make("h1", {}, "Searches"),
    make("div", { class: "row controls" }, field("Name contains", text), field("State", state), comparing),
    problem.element,
    make("div", { class: "stacked" }, table.element),
    make("div", { class: "row" }, before, after, extent),
  );
  pick();
  const now = repeat(update, (what) => problem.report(what), signal);

  function ask(change) {
    Object.assign(asked, change);
    // The address holds the filter, so that it can be shared; Back leads to the page before, not through every letter.
    const given = Object.entries(asked).filter(([, value]) => value);
    history.replaceState(null, "", `#/searches?${new URLSearchParams(given)}`);
    now();
  }

  async function update() {
    const found = await get(`v1/searches?${new URLSearchParams({ limit: LIMIT, ...asked })}`, signal);
    table.update(found.searches);
    const last = found.offset + found.searches.length;
    const shown = `${count(found.offset + 1)} to ${count(last)} of ${count(found.total)}`;
    extent.textContent = found.total ? shown : "No search fits.";
    before.disabled = found.offset === 0;
    after.disabled = last >= found.total;
    return true;
  }

  function pick(name, is) {
    if (is) picked.add(name);
    else picked.delete(name);
    comparing.disabled = picked.size !== 2;
    comparing.textContent = picked.size === 2 ? "Compare these two" : `Compare two: ${picked.size} picked`;
  }
}

function columns(picked, pick) {
  const box = ({ search }) =>
    make("input", {
      type: "checkbox",
      "aria-label": `compare ${search}`,
      checked: picked.has(search),
      change: (event) => pick(search, event.target.checked),
    });
  return [
    { title: "Compare", keep: true, show: box },
    {
      title: "Search",
      keep: true,
      show: ({ search }) => make("a", { href: `#/searches/${encodeURIComponent(search)}` }, search),
    },
    { title: "State", show: ({ state }) => badge(state) },
    { title: "Progress", show: (status) => make("div", {}, bar(status), left(status)) },
    { title: "Trials", show: (status) => trials(status.trials) },
    { title: "Hypervolume", number: true, show: (status) => hypervolume(status.hypervolume) },
    { title: "Base model", show: (status) => make("span", { title: status.base_model }, model(status.base_model)) },
    { title: "Started", show: (status) => moment(status.started) },
  ];
}

function left(status) {
  const some = isLive(status.state) && status.eta_seconds !== null;
  const text = some ? `about ${duration(status.eta_seconds)} left` : `${Math.round(100 * status.progress)}%`;
  return make("small", {}, text);
}
