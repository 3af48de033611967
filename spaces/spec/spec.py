"""`SearchSpec`, the specification of one search, and reading it from YAML with overrides."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from spaces.errors import RequestError
from spaces.methods._virtual_tokens import VirtualTokens
from spaces.methods.base.knobs import Knob, Range, extremes, parse_knob
from spaces.methods.base.method import AnyMethod
from spaces.methods.registry import method, methods
from spaces.model.places import is_place
from spaces.spec.defaults import DEFAULT_STORAGE
from spaces.spec.error_messages import explain
from spaces.spec.hints import meant_knob, meant_method
from spaces.spec.metrics import METRICS, OF_TEXTS, OF_WRITTEN, Metric, known_metrics, metric_of
from spaces.spec.own_metric import is_own
from spaces.spec.plain_values import check_plain, shortened
from spaces.spec.renamed_fields import current
from spaces.spec.searched_training import SearchedTraining
from spaces.spec.sections import (
    NAME,
    NAMED_CLASSES,
    WRITING,
    BudgetSection,
    ConfirmSection,
    DataSection,
    ModelSection,
    ObjectiveSection,
    ResourcesSection,
    SearchSection,
    Section,
    Task,
    TrackingSection,
)
from spaces.spec.yaml_file import read_yaml
from spaces.trials.records import Rung, evaluation_steps

SHARED_KNOBS = ("targets", "layers", "learning_rate", "learning_rate_multiplier")


def _knobs_by_method(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, dict):
        return {name: {} if knobs is None else _with_blocks(knobs) for name, knobs in value.items()}
    if not isinstance(value, list):
        return value
    merged: dict[str, Any] = {}
    for entry in value:
        named = {entry: {}} if isinstance(entry, str) else entry
        if not isinstance(named, dict):
            raise ValueError(f"{entry!r} is not a method; allowed: a name, or {{name: {{knob: values}}}}")
        for name, knobs in named.items():
            if name in merged:
                raise ValueError(f"method {name!r} is named twice")
            merged[name] = _with_blocks(knobs) or {}
    return merged


def _with_blocks(knobs: Any) -> Any:
    """Return knobs with `layers: [2, 3, 7]`, which names three blocks, as one choice; other lists are choices."""
    if isinstance(knobs, dict) and isinstance(knobs.get("layers"), list) and is_place(knobs["layers"]):
        return {**knobs, "layers": [knobs["layers"]]}
    return knobs


def _check_knob(known: AnyMethod, knob: str, values: Knob) -> None:
    """Check that a method accepts every value of one of its knobs, long before a sampler suggests a wrong one."""
    setting = "learning_rate" if knob == "learning_rate_multiplier" else knob
    if isinstance(values, Range):
        fractional = not (isinstance(values.low, int) and isinstance(values.high, int))
        if fractional and isinstance(getattr(known.configuration(), setting), int):
            raise ValueError(f"{values.low} to {values.high} holds fractions; allowed: whole numbers")
    for value in extremes(values):
        known.configuration(**{setting: value})


_Knobs = dict[str, dict[str, Any] | None]
Methods = Annotated[
    dict[str, dict[str, Any]],
    BeforeValidator(_knobs_by_method, json_schema_input_type=str | _Knobs | list[str | _Knobs]),
]


_KINDS: dict[type, str] = {list: "a list", str: "text"}


def default_methods() -> dict[str, dict[str, Any]]:
    """Return LoRA and the methods that this product is for; the others are searched when they are named."""
    return {name: {} for name, known in methods().items() if known.usual}


def _check_causal(data: DataSection) -> None:
    """Check that the columns of a language model are of one form: messages, prompt and response, or one text."""
    given = [name for name in ("messages", "prompt", "response", "text") if getattr(data, name) is not None]
    if given not in (["messages"], ["prompt", "response"], ["text"]):
        named = f"found {', '.join(f'data.{name}' for name in given)}; " if given else ""
        raise ValueError(
            f"{named}allowed for task causal-lm: data.messages, data.prompt and data.response, or data.text alone"
        )
    if data.text is not None and len(data.text) > 1:
        raise ValueError(f"data.text = {list(data.text)}: two columns; allowed for task causal-lm: one")
    if data.chat_template is not None and data.messages is None:
        raise ValueError(f"data.chat_template = {data.chat_template!r}: without data.messages; allowed: beside it")


class SearchSpec(Section):
    """Everything that a search needs to be run, and run again."""

    name: str = Field(pattern=NAME, description="Name of the search, unique where it runs.")
    model: ModelSection
    data: DataSection
    budget: BudgetSection
    methods: Methods = Field(
        default_factory=default_methods,
        min_length=1,
        description="Methods to search, with knobs set or narrowed.",
    )
    training: SearchedTraining = SearchedTraining()
    objective: ObjectiveSection = ObjectiveSection()
    search: SearchSection = SearchSection()
    confirm: ConfirmSection = ConfirmSection()
    resources: ResourcesSection = ResourcesSection()
    tracking: TrackingSection = TrackingSection()
    storage: str = Field(default=DEFAULT_STORAGE, min_length=1, description="Folder in which searches keep their runs.")

    @property
    def metric(self) -> Metric:
        """The metric that measures quality."""
        return metric_of(self.objective, self.model.task)

    @property
    def rung_metric(self) -> Metric:
        """The metric by which trials are compared at rungs; at the end `metric` compares them."""
        return METRICS["loss"] if self.objective.at_rungs == "loss" else self.metric

    def compared(self, rung: Rung) -> float:
        """Return the number by which trials are compared at a rung; NaN if it was not measured there.

        Of a training that ends with its best weights it is the best so far: what it would end with if it ended here.
        """
        if rung.best is not None:
            return rung.best
        value = rung.loss if self.objective.at_rungs == "loss" else rung.quality
        return math.nan if value is None else value

    @property
    def home(self) -> Path:
        """The folder of this search."""
        return Path(self.storage).expanduser() / self.name

    @model_validator(mode="after")
    def _methods_and_knobs_exist(self) -> Self:
        for name, knobs in self.methods.items():
            if name not in methods():
                hint = meant_method(name, methods())
                raise ValueError(f"methods: unknown method {name!r}{hint}; allowed: {', '.join(methods())}")
            known = method(name)
            shared = SHARED_KNOBS if known.placed else SHARED_KNOBS[2:]
            allowed = {*known.configuration.model_fields, *shared}
            if rates := [f"{knob} = {knobs[knob]}" for knob in SHARED_KNOBS[2:] if knob in knobs][1:]:
                raise ValueError(f"methods.{name}.{rates[0]}: beside learning_rate; allowed: one of the two")
            for knob, value in knobs.items():
                if knob not in allowed:
                    hint = meant_knob(knob, allowed)
                    raise ValueError(
                        f"methods.{name}: unknown knob {knob!r}{hint}; allowed: {', '.join(sorted(allowed))}"
                    )
                try:
                    _check_knob(known, knob, parse_knob(value))
                except ValidationError as error:
                    # A multiplier was tried as a learning rate, so the line may name another knob.
                    _, _, refused = explain(error, known.configuration).partition(" = ")
                    raise ValueError(f"methods.{name}.{knob} = {refused}") from error
                except ValueError as error:
                    raise ValueError(f"methods.{name}.{knob}: {error}") from error
        return self

    @model_validator(mode="after")
    def _metric_fits_the_task(self) -> Self:
        name = self.objective.metric
        fitting = sorted(metric.name for metric in known_metrics().values() if self.model.task in metric.tasks)
        if name is not None and name not in fitting and not is_own(name):
            raise ValueError(
                f"objective.metric = {name!r} does not fit task {self.model.task}; allowed: {', '.join(fitting)}, "
                "or module:function"
            )
        for field in ("mode", "perfect"):
            given = getattr(self.objective, field)
            if given is not None and not self.metric.is_own:
                raise ValueError(
                    f"objective.{field} = {given}: metric {self.metric.name} has its own; allowed: with a metric "
                    "module:function"
                )
        positive = self.objective.positive
        if positive is not None and self.metric.name != "f1":
            raise ValueError(
                f"objective.positive = {positive!r}: says nothing of metric {self.metric.name}; allowed: with metric f1"
            )
        return self

    @model_validator(mode="after")
    def _training_loss_fits_the_task(self) -> Self:
        task, training = self.model.task, self.training
        if training.class_weights is not None and task not in NAMED_CLASSES:
            allowed = ", ".join(sorted(NAMED_CLASSES))
            raise ValueError(f"training.class_weights = balanced: no classes in task {task}; allowed: with {allowed}")
        smoothing = max(training.values_of("label_smoothing_factor"))
        if smoothing and task in (Task.REGRESSION, Task.MULTI_LABEL_CLASSIFICATION):
            raise ValueError(
                f"training.label_smoothing_factor = {smoothing:g}: no one class a row in task {task}; allowed: 0"
            )
        return self

    @model_validator(mode="after")
    def _generation_fits_the_metric(self) -> Self:
        name, generation, task = self.metric.name, self.objective.generation, self.model.task
        if generation is not None and task not in WRITING:
            raise ValueError(
                f"objective.generation: models of task {task} write nothing; allowed: with {', '.join(sorted(WRITING))}"
            )
        if generation is not None and self.data.text is not None:
            raise ValueError(
                "objective.generation: data.text has no prompts to answer; allowed: with data.messages, or with "
                "data.prompt and data.response"
            )
        if generation is None and name in OF_WRITTEN:
            raise ValueError(
                f"objective.metric = {name!r} compares written answers; "
                "allowed: with objective.generation, such as {max_new_tokens: 256}"
            )
        if generation is None and self.metric.is_own and task in WRITING:
            raise ValueError(
                f"objective.metric = {name!r}: a metric of your own compares answers, and none are written; "
                "allowed: with objective.generation, such as {max_new_tokens: 256}"
            )
        if generation is not None and name not in OF_TEXTS and self.metric.known_by_row:
            raise ValueError(
                f"objective.generation: metric {name} compares no written answers; "
                f"allowed: with {', '.join(sorted(OF_TEXTS))}"
            )
        return self

    @model_validator(mode="after")
    def _patience_can_run_out(self) -> Self:
        training = self.training
        patience = training.early_stopping_patience
        if patience is None or training.num_train_epochs is not None:  # epochs have steps once the data are read
            return self
        evaluations = len(evaluation_steps(training.max_steps, self.search.rungs, training.evaluation_interval))
        if patience >= evaluations:
            allowed = f"at most {evaluations - 1}, or " if evaluations > 1 else ""
            raise ValueError(
                f"training.early_stopping_patience = {patience}: a training has {evaluations} evaluations, so it never "
                f"ends early; allowed: {allowed}smaller training.eval_steps"
            )
        return self

    @model_validator(mode="after")
    def _columns_fit_the_task(self) -> Self:
        data, task = self.data, self.model.task
        if task is Task.CAUSAL_LM:
            _check_causal(data)
            foreign: dict[str, object] = {"image": data.image, "tokens": data.tokens}
        elif task is Task.SEQ2SEQ_LM:
            if not (data.prompt and data.response):
                raise ValueError("data.prompt and data.response must name columns for task seq2seq-lm")
            foreign = {"text": data.text, "image": data.image, "tokens": data.tokens}
        elif task is Task.IMAGE_CLASSIFICATION:
            foreign = {"text": data.text, "tokens": data.tokens, "prompt": data.prompt, "response": data.response}
        elif task is Task.TOKEN_CLASSIFICATION:
            if not data.tokens:
                raise ValueError("data.tokens must name a column for task token-classification")
            foreign = {"text": data.text, "image": data.image, "prompt": data.prompt, "response": data.response}
        else:
            foreign = {"image": data.image, "tokens": data.tokens, "prompt": data.prompt, "response": data.response}
        if task is not Task.CAUSAL_LM:
            foreign |= {"messages": data.messages and list(data.messages), "chat_template": data.chat_template}
            foreign |= {"packing": data.packing or None}
        for field, value in foreign.items():
            if value is not None:
                raise ValueError(f"data.{field} = {value!r} has no meaning for task {task}; leave it out")
        virtual = [name for name in self.methods if isinstance(method(name), VirtualTokens)] if data.packing else []
        if virtual:
            raise ValueError(
                f"data.packing = True: method {virtual[0]} puts tokens before a row, not before each example in it; "
                "allowed: without data.packing, or other methods"
            )
        columns = (data.label,) if isinstance(data.label, str) else data.label
        if len(columns) > 1 and task is not Task.MULTI_LABEL_CLASSIFICATION:
            raise ValueError(f"data.label = {list(columns)}: several columns; allowed for task {task}: one")
        if len(set(columns)) < len(columns):
            raise ValueError(f"data.label = {list(columns)}: names a column twice; allowed: different columns")
        inputs = {
            Task.IMAGE_CLASSIFICATION: (data.image or "image",),
            Task.TOKEN_CLASSIFICATION: (data.tokens,),
            Task.CAUSAL_LM: (),
            Task.SEQ2SEQ_LM: (),
        }.get(task, data.text or ("text",))
        for column in columns:
            if column in inputs:
                raise ValueError(f"data.label = {column!r} is what the model reads; allowed: another column")
        return self


def parse_spec(values: Any, where: str = "spec") -> SearchSpec:
    """Return a spec from plain values.

    Args:
        values: fields by name.
        where: the source of the values, for error messages.

    Raises:
        RequestError: naming field, value and what is allowed.
    """
    if not isinstance(values, dict):
        found = "is empty" if values is None else f"holds {_KINDS.get(type(values), 'one value')} instead of fields"
        raise RequestError(f"{where}: {found}; allowed: fields such as name: value, one a line")
    check_plain(values)
    try:
        return SearchSpec.model_validate(current(values))
    except ValidationError as error:
        raise RequestError(shortened(explain(error, SearchSpec))) from None


def load_spec(path: str | Path, overrides: list[str] | None = None) -> SearchSpec:
    """Return the spec in a YAML file, with `a.b=value` overrides.

    Raises:
        RequestError: naming field, value and what is allowed.
    """
    values = read_yaml(Path(path))
    for override in overrides or []:
        values = apply_override(values, override)
    return parse_spec(values, str(path))


def apply_override(values: Any, override: str) -> Any:
    """Return `values` with one `a.b=value` set; the value is read as YAML.

    An empty file counts as one without fields. Values that are not fields are returned unchanged, and `parse_spec`
    refuses them.

    Raises:
        RequestError: when the override has no `=`, or its path leads through something that is not a mapping.
    """
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise RequestError(f"--set {override}: allowed: a.b=value")
    if not isinstance(values, dict | None):
        return values
    result = dict(values or {})
    node = result
    for key in keys[:-1]:
        inner = node.get(key)
        if inner is not None and not isinstance(inner, dict):
            raise RequestError(f"--set {override}: {key!r} is not a section; allowed: a dotted path of the spec")
        node[key] = dict(inner or {})
        node = node[key]
    node[keys[-1]] = parse_value(text)
    return result


def parse_value(text: str) -> Any:
    """Return a value of the command line: YAML, or the text itself if it is not YAML."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def dump_spec(spec: SearchSpec) -> str:
    """Return the spec as YAML, with all defaults."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
