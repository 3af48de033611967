/** One search: how far it is, its front, its trials. */

import { badge, bar, facts, Line, make } from "./elements.js";
import { FrontView } from "./front.js";
import { download, find, get, post, repeat, searchPath } from "./service.js";
import { Trials } from "./trials.js";
import { count, duration, hypervolume, isLive, moment, trials } from "./words.js";

const FILES = [["csv", "CSV"], ["json", "JSON"], ["png", "PNG"], ["html", "HTML"]];

export function search({ place, signal }, name) {
  const problem = new Line(), said = new Line();
  const state = make("span"), summary = make("div");
  const stop = make("button", { type: "button", click: () => act("stop", "It stops when its running trials have been written.") }, "Stop");
  const resume = make("button", { type: "button", click: () => act("resume", "It goes on from what was recorded.") }, "Resume");
  const again = make("a", { class: "button", href: `#/launch?from=${encodeURIComponent(name)}` }, "Launch one like it");
  const trialsView = new Trials(name, signal, (what) => said.report(what));
  const front = new FrontView(name, signal, { changed: () => now(), pressed: (trial) => trialsView.toggle(trial), filtered: () => list() });
  const files = make("div", { class: "row" }, make("span", {}, "Save the front as"), ...FILES.map(([format, text]) => make("button", { type: "button", click: () => save(format) }, text)));
  place.append(
    make("h1", {}, name),
    make("div", { class: "row" }, state, stop, resume, again),
    problem.element,
    said.element,
    summary,
    front.element,
    files,
    trialsView.element,
  );
  let everything = null, document = null;
  const now = repeat(update, (what) => problem.report(what), signal);

  async function update() {
    const view = front.view(), path = `${searchPath(name, "front")}?${view.query}`;
    // A search that waits has neither front nor trials yet.
    const [status, given, found] = await Promise.all([
      get(searchPath(name), signal),
      find(path, signal),
      find(searchPath(name, "trials"), signal),
    ]);
    head(status);
    everything = found;
    document = given;
    files.hidden = !given;
    if (given && found) await front.update({ view, document: given, trials: found, knee: status.knee?.trial });
    list();
    return isLive(status.state);
  }

  function head(status) {
    state.replaceChildren(badge(status.state));
    stop.hidden = !["queued", "running"].includes(status.state);
    resume.hidden = !["stopped", "failed"].includes(status.state);
    const { budget } = status, left = isLive(status.state) ? status.eta_seconds : null;
    const share = `${Math.round(100 * status.progress)}% of ${count(status.planned)} planned trials`;
    summary.replaceChildren(
      make("div", { class: "progress" }, bar(status), make("span", {}, left === null ? share : `${share}, about ${duration(left)} left`)),
      facts([
        ["Trials", trials(status.trials)],
        ["Hypervolume", hypervolume(status.hypervolume)],
        ["Base model", status.base_model],
        ["Trainable parameters", budget ? `${count(budget.at_least)} to ${count(budget.parameters)}` : "–"],
        ["Started", moment(status.started)],
      ]),
      ...(status.message ? [make("p", { class: "line wrong" }, status.message)] : []),
    );
  }

  function list() {
    if (everything && document) trialsView.update(everything, document, front.methods());
  }

  async function act(what, done) {
    try {
      head(await post(searchPath(name, what), undefined, signal));
      said.say(done);
      now();
    } catch (refused) {
      said.report(refused);
    }
  }

  async function save(format) {
    try {
      await download(`${searchPath(name, "front")}?${front.view().query}&format=${format}`, `${name}-front.${format}`);
    } catch (refused) {
      said.report(refused);
    }
  }
}
