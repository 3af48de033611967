/** A form for a new search: its spec as JSON, checked by the service, then launched. */

import { choice, facts, field, Line, make } from "./elements.js";
import { EXAMPLES } from "./examples.js";
import { get, post, searchPath } from "./service.js";
import { count } from "./words.js";

const KINDS = Object.keys(EXAMPLES);

/** The spec that the form begins with, for one kind of data. */
function example(kind) {
  return {
    name: "mine",
    ...EXAMPLES[kind],
    budget: { parameters: "0.3%" },
    methods: ["lora", "sparta", "surm-circulant", "dst"],
    training: { max_steps: 300 },
    search: { trials: 20 },
    confirm: { top: 3, seeds: 3 },
  };
}

const PATHS =
  "Paths of data and models: absolute, or relative to a folder that the service may read. " +
  "A model or data set of the hub goes by its name.";

export function launch({ place, parameters, signal }) {
  const line = new Line();
  const meaning = make("div");
  const text = make("textarea", {
    rows: 24,
    spellcheck: "false",
    autocomplete: "off",
    autocapitalize: "off",
    input: () => meaning.replaceChildren(),
  });
  const kind = choice(Object.fromEntries(KINDS.map((one) => [one, one])), () => {
    write(example(kind.value));
    meaning.replaceChildren();
  });
  const validate = make("button", { type: "button", click: () => send(check) }, "Validate");
  const form = make(
    "form",
    { submit: (event) => (event.preventDefault(), send(begin)) },
    field("Example", kind),
    field("Spec as JSON", text),
    make("p", { class: "hint" }, PATHS),
    make("div", { class: "row" }, validate, make("button", { type: "submit", class: "primary" }, "Launch")),
  );
  place.append(make("h1", {}, "Launch a search"), form, line.element, meaning);
  write(example(KINDS[0]));
  const from = parameters.get("from");
  if (from) copy(from);

  function write(spec) {
    text.value = JSON.stringify(spec, null, 2);
  }

  async function copy(name) {
    try {
      const spec = await get(searchPath(name, "spec"), signal);
      write(ownPart({ ...spec, name: `${name}-again` }));
      line.say(`This is the spec of ${name}, under a new name.`);
    } catch (problem) {
      line.report(problem);
    }
  }

  async function send(work) {
    line.say("Asking the service.");
    meaning.replaceChildren();
    try {
      await work(JSON.parse(text.value));
    } catch (problem) {
      line.report(problem instanceof SyntaxError ? new Error(`This is no JSON: ${problem.message}`) : problem);
    }
  }

  async function check(spec) {
    const found = await post("v1/validate", spec);
    line.say("This spec can be searched.");
    meaning.replaceChildren(
      facts([
        ["Base model", `${found.base_model}, ${count(found.base_parameters)} parameters`],
        ["Trainable parameters", `${count(found.budget.at_least)} to ${count(found.budget.parameters)}`],
        ["Methods", found.methods.join(", ")],
        ...(found.dropped.length ? [["Left out", found.dropped.join(", ")]] : []),
        [
          "Rows",
          Object.entries(found.rows)
            .map(([split, rows]) => `${split} ${count(rows)}`)
            .join(", "),
        ],
        ...(found.labels.length ? [["Labels", found.labels.join(", ")]] : []),
        [
          "Trials",
          `${count(found.trials)} of up to ${count(found.max_steps)} steps, ${count(found.trainings)} trainings in all`,
        ],
        ["Metric", found.metric],
      ]),
    );
  }

  async function begin(spec) {
    const status = await post("v1/searches", spec);
    if (!signal.aborted) location.hash = `#/searches/${encodeURIComponent(status.search)}`;
  }
}

/** A spec without storage and tracking, which the service sets for every search. */
function ownPart({ storage, tracking, search, ...rest }) {
  const { study_storage, ...searching } = search;
  const { uri, ...followed } = tracking;
  return { ...rest, search: searching, tracking: followed };
}
