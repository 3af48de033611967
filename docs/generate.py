"""Write the parts of the pages that follow from the code.

These are `docs/spec.md`, the table of methods in `docs/methods.md`, and the settings in `docs/methods/`.

python docs/generate.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search.method_descriptions import describe
from spaces.errors import RequestError
from spaces.methods.registry import methods
from spaces.spec.field_kinds import kind
from spaces.spec.metrics import DEFAULT_METRIC, METRICS
from spaces.spec.searched_training import SEARCHED
from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec, apply_override, default_methods, parse_spec

DOCS = Path(__file__).resolve().parent
WRITTEN = "written by docs/generate.py -->\n"

PLACE = ("targets", "layers")
"""Knobs that many methods have; `docs/methods.md` explains them once."""

SMALLEST = {"name": "smallest", "model": {"path": "MODEL"}, "data": {"train": "train.csv"}, "budget": {"parameters": 1}}

INTRODUCTION = """# The spec

*For writers of a spec: every field, its values, its default and its meaning.*

<!-- Written by docs/generate.py from the schema. Do not edit. -->

A spec is a YAML file that describes one search completely. `paretune validate SPEC.yaml` checks it together with its
model and its data, `paretune schema` prints its JSON schema, and `--set a.b=value` of `paretune search` and
`paretune validate` sets one field from the command line; the value is read as YAML. Unknown fields are refused.
`spaces/recipes/` holds specs to start from.

The smallest spec names a search, a model, training data and a budget:

```yaml
name: reviews
model: {path: sentence-transformers/all-MiniLM-L6-v2}
data: {train: train.csv}
budget: {parameters: 0.3%}
```

A percentage is of the base: the pretrained model without the task head. Numbers may be written `50_000`; write
`1.0e-3` and not `1e-3`, which YAML takes for text.

## Methods and their knobs

`methods` is a list. An entry is the name of a method, or a name with knobs. A knob is fixed by a value, narrowed by a
list of choices, or given a range; what is not named is searched as usual (`paretune methods NAME` says what that is).
A range with `log: true` spreads trials evenly over orders of magnitude.

```yaml
methods:
  - sparta                                                # searched as usual
  - lora: {rank: {low: 1, high: 8, log: true}, targets: [qv, all]}
  - dst: {reselection_interval: 5, learning_rate: 1.0e-3}
```

Every method takes `learning_rate` (absolute) and `learning_rate_multiplier` (times the method's own prior: its default,
raised for small adapters; see [methods.md](methods.md), which also lists the settings of each method).

## A training and its end

The fields of `training` are those of transformers' `TrainingArguments`.

- **Length**: `max_steps` optimizer steps, or `num_train_epochs` in its place. The steps of an epoch are counted as
  transformers' `Trainer` counts them: as many batches as hold the training split, in groups of
  `gradient_accumulation_steps`, each rounded up. The search then goes on in steps, and its spec in MLflow has them.
- **Evaluations** come at the rungs, which `search.rungs` sets, and with `eval_steps` between them too. Only at a rung a
  trial is compared with others and may be stopped; every evaluation is a value of `quality` in MLflow.
- **The best evaluation**: with `load_best_model_at_end: true` a training ends with the weights of its best evaluation,
  the first of equal ones. Its quality, its values by row, its adapter and its test score are theirs, and `best_step` in
  MLflow names the step. At rungs trials are then compared by their best evaluation so far. The reference and the
  confirmations follow the same rule, with as many evaluations.
- **Early stopping**: with `early_stopping_patience: N` a training ends after N evaluations in a row, rungs included,
  that were not better than the best. The course of the learning rate is still that of the whole length. Such a trial is
  `finished`, not stopped: it may be on the front, it is compared at the rungs that it reached, and the budget
  `search.max_total_steps` counts the steps that it made. A trial is begun only if the budget holds its whole length.
- **Optimizer**: `adamw_8bit` keeps its state in 8 bits and needs bitsandbytes (`pip install 'paretune[quantization]'`);
  `dst` is refused with it. `adafactor` is transformers' Adafactor at the rates of the spec and their schedule.

## Precision, quantisation and attention

- **What trains is float32**, for every method on every base: in bfloat16 most steps of an optimizer are smaller than
  half of a weight's last digit. `training.precision` decides how the frozen base is held, and how all is computed. An
  adapter is verified on a base of the type in which it was trained, and its model card loads such a base. PEFT gives a
  head the type of the base as it loads it. A spec of an earlier version with `training.bf16` is read: `true` as
  `bf16-mixed`, `false` as `float32`.
- **`model.quantization`** needs bitsandbytes (`pip install 'paretune[quantization]'`), works on CPUs and GPUs, and
  quantises the linear layers in the blocks once a search, from the type of the checkpoint (with `precision: bf16` from
  bfloat16); embeddings, norms, heads and the output of a language model are left alone. With `nf4` so are layers whose
  inputs do not come in blocks of 64. 4-bit layers compute in the type of the rest of the model. An export is the
  adapter of the quantised base, or merged into the base with the numbers that this one stands for.
- **Methods on a quantised base**: `sparta`, `dst` and `full` change weights themselves, and the numbers of a quantised
  one share a scale. PEFT's `hra`, with nf4 `loha` and `lokr`, and `c3a` where layers have biases, do not read such
  layers rightly. They are refused before anything trains. A checkpoint that is quantised already is refused too.
- **`model.attention`**: `sdpa` and `eager` compute the same in other code; `flash_attention_2` needs flash-attn and
  GPUs.
- **`training.gradient_checkpointing`** changes no gradient. `prefix-tuning` is refused with it.

## Fields of the training that a search varies

A list of choices or a range in place of a value makes the field a knob of every method:

```yaml
training:
  weight_decay: {low: 1.0e-4, high: 0.1, log: true}
  lr_scheduler_type: [linear, cosine]
```

VARIED can be varied: they change what a step does.
The length of a training cannot, because rungs and budgets of steps compare equal steps; nor `head_learning_rate`, so
that a gain over the head alone is the adapter's; nor fields that decide how a training is evaluated, or with which
memory and precision it runs. With `num_train_epochs` the sizes of batches are not varied either, because they
would change the number of steps. The reference, and the published defaults with which a search begins, have the default
of the field, or the choice or end of the range nearest to it. A trial shows its values as settings named
`training.FIELD`; `search.start_with` takes these names too.

## Fields

`required` marks a field without a default.

"""

FILES = """
A local file is `.csv`, `.tsv`, `.json`, `.jsonl` or `.parquet`, in UTF-8. Fields of a CSV file are quoted as RFC 4180
says; a TSV file either quotes in that way, or has a row a line and quotation marks that are text, as GLUE's. One that
could be read in two ways is refused. Text is taken neither for a number nor for a gap, except that labels which are the
same number, such as `1`, `1.0` and `"1"`, are one label; labels that mean the same in another way, such as `7` and
`007`, are refused beside each other. A text that holds the name of a control token, such as `</s>`, is read as that
text.

A split may be several files: a pattern, or a list of files and patterns such as `[a.csv, "more/*.csv.gz"]`, which are
read in that order, those of a pattern by name. Each has the columns that the spec names, in any of the forms; none
may be named twice, by a link or a second pattern either. A line about a row names its file.

Relative paths start from the folder in which the command runs. Instead of a file, a mapping names a split on the hub:

"""

METRIC_TABLE = """
| metric | better | perfect | for tasks |
|---|---|---|---|
"""

OWN_METRIC = """
A function of your own is named `module:function`; [tasks.md](tasks.md#a-metric-of-your-own) says what it is given.
"""

GENERATION = """
#### Written answers

With `objective.generation` (causal-lm, seq2seq-lm) the model writes an answer to the prompt of each validation row,
greedily, and the metric compares it with the response of the data; of a chat, with its last turn of the assistant. With
`answer: "#### (.+)"` only the first group of the first match is compared, on both sides; a written text without a match
counts as wrong, and so does a reference without one, which `paretune validate` counts.

- `exact-match`: the share of answers that are the reference, character by character, but for white space around them.
  Without `generation` nothing is written: the metric is then the share of whole responses that the model would write
  greedily, token by token, its end token included. That takes one pass over the reference and needs no decoding, so it
  is cheap, and right for short answers; it knows no `answer` and no `stop`.
- `numeric-match`: the share of answers whose last number equals that of the reference, as numbers, so 18 equals 18.00.
  A number is a row of digits, with commas between groups of three or without, with a decimal point or without, and with
  a sign right before it. A currency sign on either side of the sign, a percent sign and units are ignored. A point that
  ends a sentence is no part of it, and the dash of `16-3` is no sign. Fractions and exponents are not read.
- `token-f1`: the mean of F1 over words, as SQuAD has it: in lower case, without punctuation and articles.
- `rouge-l`: the mean of ROUGE-L's F-measure by rouge-score, without stemming.
- `bleu`, `chrf`: of the whole corpus, by sacrebleu with its default settings, between 0 and 100. They are no means over
  rows, so their error, and that of a difference of two trials, comes from the jackknife over rows.

Writing takes long: a forward for each token. With `at_rungs: loss` trials are compared at rungs by their validation
loss, and write answers only at their last step; a stopped trial then has no quality, and a trial's rungs have the loss
alone. While a trial writes, its line shows how many answers it has written.

"""


def not_built(field: str, schema: dict[str, Any]) -> list[str]:
    """What the schema allows in a field and validation still refuses."""
    branches = schema.get("anyOf", [schema])
    values = [value for branch in branches for value in branch.get("enum", ())]
    values += [1 for branch in branches if branch.get("type") == "number"] if "." in field else []
    refused = []
    for value in values:
        try:
            parse_spec(apply_override(SMALLEST, f"{field}={json.dumps(value)}"))
        except RequestError as error:
            if "not built yet" in str(error):
                refused.append(value)
    return [f"`{value}`" if isinstance(value, str) else "anything but null" for value in refused]


def table(section: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[str]:
    """The fields of a section, one row each; sections inside it are left to tables of their own."""
    yield "| field | takes | default | meaning |\n|---|---|---|---|\n"
    for name, schema in section["properties"].items():
        if "properties" in definitions.get(schema.get("$ref", "").rpartition("/")[2], {}):
            continue
        default = f"`{json.dumps(schema['default'])}`" if "default" in schema else "required"
        if path + name == "methods":
            default = ", ".join(f"`{one}`" for one in default_methods())
        takes = "list, see above" if path + name == "methods" else kind(schema, definitions)
        refused = not_built(path + name, schema) if "$ref" not in schema else []
        meaning = schema["description"] + (f" Not built yet: {', '.join(refused)}." if refused else "")
        yield f"| `{path}{name}` | {takes} | {default} | {meaning} |\n"


def spec_page() -> str:
    """The reference of every field."""
    schema = SearchSpec.model_json_schema()
    definitions = schema["$defs"]
    varied = ", ".join(f"`{name}`" for name in SEARCHED[:-1]) + f"\nand `{SEARCHED[-1]}`"
    parts = [INTRODUCTION.replace("VARIED", varied), *table(schema, definitions)]
    for name, field in schema["properties"].items():
        section = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
        if "properties" not in section:
            continue
        parts += [f"\n### {name}\n\n{section['description']}\n\n", *table(section, definitions, f"{name}.")]
        if name == "data":
            parts += [FILES, *table(definitions["HubSource"], definitions)]
        if name == "objective":
            parts += [METRIC_TABLE, *metric_rows(), OWN_METRIC, GENERATION]
            parts += table(definitions["GenerationSection"], definitions, "objective.generation.")
    return "".join(parts)


def metric_rows() -> Iterator[str]:
    """The closed list of metrics."""
    for metric in METRICS.values():
        tasks = [
            f"{task} (default)" if DEFAULT_METRIC[task] == metric.name else task.value
            for task in Task
            if task in metric.tasks
        ]
        better = "higher" if metric.mode == "max" else "lower"
        yield f"| `{metric.name}` | {better} | {metric.perfect:g} | {', '.join(tasks)} |\n"


def overview(families: dict[str, Path]) -> str:
    """The table of all methods.

    Args:
        families: the page that explains each method.
    """
    rows = [
        "| method | searched by default | trains | size knob | learning rate | source |\n|---|---|---|---|---|---|\n"
    ]
    for method in methods().values():
        one = describe(method)
        link = f"[{one.name}](methods/{families[one.name].name}#{one.name})"
        usual = "yes" if one.searched_by_default else ""
        size = f"`{one.size_knob}`" if one.size_knob else "its place"
        rows.append(f"| {link} | {usual} | {one.summary} | {size} | {one.learning_rate:g} | {one.source} |\n")
    return "".join(rows)


def settings(name: str) -> str:
    """The settings of one method: its defaults, and a table of the knobs that are its own."""
    knobs = describe(methods()[name]).knobs
    places = "".join(f", `{knob.name}` {knob.default}" for knob in knobs if knob.name in PLACE)
    rate = next(knob.default for knob in knobs if knob.name == "learning_rate")
    own = [knob for knob in knobs if knob.name not in (*PLACE, "learning_rate")]
    rows = [
        f"| `{knob.name}` | {knob.default} | {'yes' if knob.searched else ''} | {knob.description} |\n" for knob in own
    ]
    head = "\n| knob | default | searched | meaning |\n|---|---|---|---|\n" if own else ""
    return f"Defaults: `learning_rate` {rate:g}{places}.\n{head}{''.join(rows)}"


def filled(text: str, subject: str, end: str, written: str) -> str:
    """The text with a generated part in the place of the one before it."""
    before, begin, rest = text.partition(f"<!-- {subject}: {WRITTEN}")
    _, ending, after = rest.partition(f"<!-- end of {end} -->\n")
    if not (begin and ending):
        raise ValueError(f"there is no place for the {subject}")
    return f"{before}{begin}\n{written}\n{ending}{after}"


def family_pages() -> tuple[dict[Path, str], dict[str, Path]]:
    """The pages of the families, and the page of each method."""
    texts, families = {}, {}
    for path in sorted((DOCS / "methods").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"^<!-- settings of ([\w-]+):", text, flags=re.MULTILINE):
            text = filled(text, f"settings of {name}", "settings", settings(name))
            families[name] = path
        texts[path] = text
    return texts, families


def pages() -> dict[Path, str]:
    """Every generated page and its text."""
    texts, families = family_pages()
    page = DOCS / "methods.md"
    table = filled(page.read_text(encoding="utf-8"), "methods", "methods", overview(families))
    return {DOCS / "spec.md": spec_page(), page: table, **texts}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
