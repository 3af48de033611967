/** The page of one search: its progress, its front, its trials. */

import { badge, bar, facts, Line, make } from "./elements.js";
import { FrontView } from "./front.js";
import { find, get, post, repeat, searchPath } from "./service.js";
import { Trials } from "./trials.js";
import { count, duration, hypervolume, isLive, moment, trials } from "./words.js";

export function search({ place, signal }, name) {
  const problem = new Line();
  const said = new Line();
  const state = make("span");
  const summary = make("div");
  const stopping = () => act("stop", "It stops when its running trials have been written.");
  const stop = make("button", { type: "button", click: stopping }, "Stop");
  const resuming = () => act("resume", "It goes on from what was recorded.");
  const resume = make("button", { type: "button", click: resuming }, "Resume");
  const again = make("a", { class: "button", href: `#/launch?from=${encodeURIComponent(name)}` }, "Launch one like it");
  const trialsView = new Trials(name, signal, (what) => said.report(what));
  const front = new FrontView(name, signal, {
    changed: () => now(),
    pressed: (trial) => trialsView.toggle(trial),
    filtered: () => list(),
  });
  place.append(
    make("h1", {}, name),
    make("div", { class: "row" }, state, stop, resume, again),
    problem.element,
    said.element,
    summary,
    front.element,
    trialsView.element,
  );
  let shown = null;
  const now = repeat(update, (what) => problem.report(what), signal);

  async function update() {
    const status = await get(searchPath(name), signal);
    head(status);
    if (status.started === null) return isLive(status.state);
    const view = front.view(status);
    const path = `${searchPath(name, "front")}?${view.query}`;
    // A search that has just begun is not in MLflow yet.
    const [given, found] = await Promise.all([find(path, signal), find(searchPath(name, "trials"), signal)]);
    shown = found && { trials: found, metric: status.objective.metric, front: given?.front ?? [] };
    if (given && found) await front.update({ view, document: given, trials: found });
    list();
    return isLive(status.state);
  }

  function head(status) {
    if (state.textContent !== status.state) said.say("");
    state.replaceChildren(badge(status.state));
    stop.hidden = !["queued", "running"].includes(status.state);
    resume.hidden = !["stopped", "failed"].includes(status.state);
    const { budget } = status;
    const left = isLive(status.state) ? status.eta_seconds : null;
    const share = `${Math.round(100 * status.progress)}% of ${count(status.planned)} planned trials`;
    summary.replaceChildren(
      make("div", { class: "progress" }, bar(status), left === null ? share : `${share}, about ${duration(left)} left`),
      facts([
        ["Trials", trials(status.trials)],
        ["Hypervolume", hypervolume(status.hypervolume)],
        ["Base model", status.base_model],
        ["Trainable parameters", budget ? `${count(budget.at_least)} to ${count(budget.parameters)}` : "–"],
        ["Started", moment(status.started)],
      ]),
      make("p", { class: status.state === "failed" ? "line wrong" : "line" }, status.message ?? ""),
    );
  }

  function list() {
    if (shown) trialsView.update(shown, (method) => front.wants(method));
  }

  async function act(what, done) {
    try {
      head(await post(searchPath(name, what)));
      said.say(done);
      now();
    } catch (refused) {
      said.report(refused);
    }
  }
}
