"""What a spec accepts, what it refuses, and how it says so."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spaces.errors import RequestError
from spaces.methods.registry import methods
from spaces.spec.spec import apply_override, dump_spec, load_spec, parse_spec
from spaces.trials.records import Rung
from tests.spaces.spec.specs import MINIMAL

CONTRACT = """
name: sst2-under-0.3-percent
model: {path: sentence-transformers/all-MiniLM-L6-v2, task: sequence-classification}
data:
  train: data/sst2/train.csv
  validation: data/sst2/dev.csv
  test: data/sst2/test.csv
  text: [text]
  label: label
  max_length: 64
budget: {parameters: 0.3%, at_least: 0.001%, count_head: false}
methods: [sparta, surm-circulant, dst, lora]
training: {max_steps: 300, per_device_train_batch_size: 32, warmup_steps: 0.06, weight_decay: 0.01,
           lr_scheduler_type: linear, head_learning_rate: 1e-3, precision: auto}
objective: {metric: accuracy}
search: {trials: 40, sampler: tpe, stopper: asha, seed: 0, concurrent: auto, time_limit: null}
confirm: {top: 5, seeds: 3}
resources: {cpus: 1, gpus: auto}
tracking: {uri: null, experiment: paretune}
storage: ./paretune-runs
"""


def test_every_field_of_the_contract_is_taken() -> None:
    spec = parse_spec(yaml.safe_load(CONTRACT))
    assert spec.training.head_learning_rate == 1e-3
    assert spec.budget.parameters == "0.3%"
    assert list(spec.methods) == ["sparta", "surm-circulant", "dst", "lora"]


def test_defaults_suffice_and_survive_a_round_trip(tmp_path: Path) -> None:
    spec = parse_spec(MINIMAL)
    assert set(spec.methods) == {name for name, known in methods().items() if known.usual}
    assert {"lora", "sparta", "dst", "surm-ldr"} <= set(spec.methods)
    assert "full" not in spec.methods
    assert spec.metric.name == "accuracy"
    (tmp_path / "spec.yaml").write_text(dump_spec(spec))
    assert load_spec(tmp_path / "spec.yaml") == spec


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("training.max_stepz=3", ["training.max_stepz", "unknown field", "max_steps"]),
        ("training.max_steps=many", ["training.max_steps", "'many'", "integer"]),
        ("training.max_steps=0", ["training.max_steps", "0", "greater than or equal to 1"]),
        ("budget.parameters=0%", ["budget.parameters", "(0%, 100%]"]),
        ("budget.parameters=-5", ["budget.parameters", "-5", "greater than or equal to 1"]),
        ("budget.bytes=0", ["budget.bytes", "0", "greater than or equal to 1"]),
        ("methods=[foo]", ["'foo'", "allowed", "lora"]),
        ("methods=[{lora: {rang: 2}}]", ["methods.lora", "'rang'", "allowed", "rank"]),
        ("methods=[{lora: {rank: {low: 4, high: 2}}}]", ["methods.lora.rank", "low at most high"]),
        ("methods=[{lora: {rank: {low: 1, high: 4, log: maybe}}}]", ["methods.lora.rank", "log: true or false"]),
        (
            "methods=[{lora: {learning_rate: 1e-3, learning_rate_multiplier: 2}}]",
            ["methods.lora.learning_rate_multiplier = 2", "beside learning_rate; allowed: one of the two"],
        ),
        ("methods=[lora, lora]", ["'lora'", "twice"]),
        ("methods=[]", ["methods"]),
        ("search.stopper=median", ["search.stopper", "'front'", "'asha'"]),
        ("search.sampler=cmaes", ["search.sampler", "'tpe'", "'qmc'"]),
        ("search.time_limit=0", ["search.time_limit", "greater than 0"]),
        ("search.max_total_steps=0", ["search.max_total_steps", "greater than or equal to 1"]),
        ("search.concurrent=0", ["search.concurrent", "0", "greater than or equal to 1", "auto"]),
        ("name='a b'", ["name", "'a b'"]),
        ("objective.metric=bleu", ["objective.metric", "'bleu'", "accuracy"]),
        ("model.task=translation", ["model.task", "'translation'", "causal-lm"]),
        ("model.task=causal-lm", ["data.messages", "data.prompt", "data.response"]),
        ("model.task=seq2seq-lm", ["data.prompt", "data.response"]),
        ("data.label=text", ["data.label = 'text'", "what the model reads; allowed: another column"]),
        ("data={train: a.csv, label: [a, b]}", ["data.label = ['a', 'b']", "several columns; allowed for task"]),
        ("data.tokens=words", ["data.tokens = 'words' has no meaning for task sequence-classification"]),
        ("model={path: m, task: token-classification}", ["data.tokens must name a column"]),
        ("data={train: a.csv, text: [a, b], label: b}", ["data.label = 'b'", "allowed: another column"]),
        ("training.class_weights=sqrt", ["training.class_weights", "'sqrt'", "balanced"]),
        ("training.label_smoothing_factor=1", ["training.label_smoothing_factor", "less than 1"]),
        ("data.image=picture", ["data.image", "'picture'"]),
        ("data.text=[a, b, c]", ["data.text"]),
        ("nonsense", ["--set", "a.b=value"]),
        ("name.deeper=1", ["--set", "not a section"]),
    ],
)
def test_a_wrong_field_is_one_clear_line(tmp_path: Path, override: str, parts: list[str]) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    with pytest.raises(RequestError) as caught:
        load_spec(path, [override])
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("training", "problem"),
    [
        (
            {"class_weights": "balanced"},
            "class_weights = balanced: no classes in task regression; allowed: with image-",
        ),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor = 0.1: no one class a row in task regression"),
        ({"label_smoothing_factor": [0, 0.2]}, "label_smoothing_factor = 0.2: no one class a row in task regression"),
    ],
)
def test_numbers_have_neither_weights_nor_smoothing(training: dict[str, object], problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        parse_spec({**MINIMAL, "model": {"path": "m", "task": "regression"}, "training": training})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RequestError, match=r"data\.train: missing"):
        parse_spec({**MINIMAL, "data": {}})


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "just words", "a: [1,"])
def test_something_else_than_a_spec_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(RequestError):
        load_spec(tmp_path / "spec.yaml")


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        load_spec(tmp_path / "absent.yaml")


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers())
def test_an_override_sets_exactly_its_path(keys: list[str], value: int) -> None:
    before = {"z": {"y": 1}}
    after = apply_override(before, f"{'.'.join(keys)}={value}")
    node = after
    for key in keys:
        node = node[key]
    assert node == value
    assert after["z"] == before["z"] == {"y": 1}


def test_spaces_needs_no_torch_and_no_ray() -> None:
    script = (
        "import sys, spaces.spec.spec, spaces.space.search_space, spaces.model_card.card\n"
        "print(sorted({'torch', 'ray', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LANGUAGE: dict[str, Any] = {**MINIMAL, "model": {"path": "gpt2", "task": "causal-lm"}}


@pytest.mark.parametrize(
    ("columns", "read"),
    [
        ({"messages": "chat"}, ("messages", ("chat",))),
        ({"messages": ["prompt", "completion"]}, ("messages", ("prompt", "completion"))),
        ({"messages": ["instruction", "input", "output"], "chat_template": "c.jinja"}, ("chat_template", "c.jinja")),
        ({"text": "doc", "packing": True}, ("text", ("doc",))),
    ],
)
def test_forms_of_text_for_a_language_model(columns: dict[str, Any], read: tuple[str, Any]) -> None:
    name, value = read
    assert getattr(parse_spec({**LANGUAGE, "data": {"train": "a.jsonl", **columns}}).data, name) == value


FORMS = "allowed for task causal-lm: data.messages, data.prompt and data.response, or data.text alone"


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({}, FORMS),
        ({"prompt": "p"}, f"found data.prompt; {FORMS}"),
        ({"messages": "m", "text": "t"}, f"found data.messages, data.text; {FORMS}"),
        ({"text": ["a", "b"]}, "data.text = ['a', 'b']: two columns; allowed for task causal-lm: one"),
        ({"text": "t", "chat_template": "c"}, "data.chat_template = 'c': without data.messages; allowed: beside it"),
    ],
)
def test_other_forms_are_refused(columns: dict[str, Any], problem: str) -> None:
    with pytest.raises(RequestError) as error:
        parse_spec({**LANGUAGE, "data": {"train": "a.jsonl", **columns}})
    assert problem in str(error.value)


@pytest.mark.parametrize("columns", [{"messages": "m"}, {"chat_template": "c"}, {"packing": True}])
def test_forms_of_language_models_have_no_meaning_elsewhere(columns: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=rf"data\.{next(iter(columns))} = .* has no meaning for task sequence-"):
        parse_spec({**MINIMAL, "data": {"train": "a.jsonl", **columns}})


def test_methods_with_virtual_tokens_do_not_fit_packed_rows() -> None:
    packed = {**LANGUAGE, "data": {"train": "a.jsonl", "text": "t", "packing": True}}
    with pytest.raises(RequestError, match=r"data\.packing = True: method prompt-tuning puts tokens before a row"):
        parse_spec({**packed, "methods": ["lora", "prompt-tuning"]})
    assert parse_spec({**packed, "methods": ["lora"]}).data.packing


WRITTEN = {
    "model": {"path": "some/model", "task": "causal-lm"},
    "data": {"train": "train.csv", "prompt": "question", "response": "answer"},
}


@pytest.mark.parametrize(
    ("objective", "line"),
    [
        (
            {"metric": "rouge-l"},
            "objective.metric = 'rouge-l' compares written answers; allowed: with objective.generation, such as",
        ),
        (
            {"metric": "loss", "generation": {}},
            "objective.generation: metric loss compares no written answers; ",
        ),
        (
            {"generation": {"answer": "#### .+"}},
            "objective.generation.answer = '#### .+': a regular expression ",
        ),
        ({"generation": {"answer": "("}}, "objective.generation.answer = '(': no regular expression (missing )"),
        ({"generation": {"stop": [""]}}, "objective.generation.stop"),
        ({"generation": {"max_new_tokens": 0}}, "objective.generation.max_new_tokens = 0"),
        ({"at_rungs": "perplexity"}, "objective.at_rungs = 'perplexity'"),
    ],
)
def test_a_wrong_objective_of_written_answers_is_told_in_one_line(objective: dict[str, object], line: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_spec(MINIMAL | WRITTEN | {"objective": objective})
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"model": {"path": "m", "task": "causal-lm"}, "data": {"train": "a.csv", "text": "t"}},
            "objective.generation: data.text has no prompts to answer; allowed: with data.messages, or with",
        ),
        ({}, "objective.generation: models of task sequence-classification write nothing; allowed: with causal-lm"),
    ],
)
def test_answers_need_prompts_and_a_model_that_writes(given: dict[str, object], line: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_spec({**MINIMAL, **given, "objective": {"generation": {}}})
    assert line in str(caught.value)


def test_written_answers_have_metrics_stops_and_a_loss_at_rungs() -> None:
    generation = {"answer": "#### (.+)", "stop": "END"}
    objective = {"metric": "numeric-match", "generation": generation, "at_rungs": "loss"}
    spec = parse_spec(MINIMAL | WRITTEN | {"objective": objective})
    assert spec.objective.generation is not None
    assert spec.objective.generation.stop == ("END",)
    assert (spec.metric.mode, spec.rung_metric.name, spec.rung_metric.mode) == ("max", "loss", "min")
    assert spec.compared(Rung(step=1, loss=2.0)) == 2.0
    assert math.isnan(parse_spec(MINIMAL).compared(Rung(step=1, loss=2.0)))
    assert parse_spec(MINIMAL).compared(Rung(step=2, quality=0.5, best=0.75)) == 0.75
    whole = parse_spec(MINIMAL | WRITTEN | {"objective": {"metric": "exact-match"}})
    assert whole.objective.generation is None


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_may_be_a_list_of_files(split: str) -> None:
    given = parse_spec(MINIMAL | {"data": {"train": "x.csv", split: ["a.csv", "more/*.csv.gz"]}})
    assert getattr(given.data, split) == ("a.csv", "more/*.csv.gz")
    assert parse_spec(yaml.safe_load(dump_spec(given))) == given


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ([], " = []: names no file; allowed: a list of files and patterns such as train-*.csv"),
        (
            ["a", {"hub": "org/set"}],
            " = ['a', {'hub': 'org/set'}]: {'hub': 'org/set'} in a list; allowed in a list: fi",
        ),
        (["a.csv", ""], " = ['a.csv', '']: '' in a list; allowed in a list: files and patterns"),
        ([["a.csv"]], " = [['a.csv']]: ['a.csv'] in a list; allowed in a list: files and patterns"),
        (5, " = 5: Input should be a valid string or a list or a mapping of fields"),
        ({"hub": 5}, ".hub = 5: Input should be a valid string"),
        ({"hub": "a", "nme": "b"}, ".nme: unknown field (did you mean data."),
    ],
)
def test_what_is_no_list_of_files_is_refused_in_one_line(split: str, files: object, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_spec(MINIMAL | {"data": {"train": "x.csv", split: files}})
    assert str(caught.value).startswith(f"data.{split}{problem}")


def test_a_list_of_too_many_files_is_refused() -> None:
    with pytest.raises(RequestError, match=r"a list of 1,001; allowed: 1,000 files and patterns"):
        parse_spec(MINIMAL | {"data": {"train": ["a"] * 1001}})
