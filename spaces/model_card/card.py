"""The model card of an export, and the recipe that retrains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from huggingface_hub import EvalResult, ModelCardData

from spaces.methods.registry import method as method_named
from spaces.model_card.loading_code import LoadingCode
from spaces.model_card.markdown import code_block, code_span
from spaces.model_card.portable_spec import SPLITS, is_local, model_name, portable, source_name
from spaces.spec.searched_training import settings_of
from spaces.spec.sections import HubSource, Task
from spaces.spec.spec import SearchSpec, dump_spec

PIPELINES = {
    Task.SEQUENCE_CLASSIFICATION: "text-classification",
    Task.MULTI_LABEL_CLASSIFICATION: "text-classification",
    Task.TOKEN_CLASSIFICATION: "token-classification",
    Task.REGRESSION: "text-classification",
    Task.CAUSAL_LM: "text-generation",
    Task.SEQ2SEQ_LM: "text2text-generation",
    Task.IMAGE_CLASSIFICATION: "image-classification",
}

_LABELS_SHOWN = 20


@dataclass(frozen=True)
class Written:
    """Facts of the written export.

    Attributes:
        form: peft, merged, lora or stock.
        code: Python code that loads it and predicts.
        rows: further rows of the table, name and Markdown.
        verification_rows: rows of the validation split that it holds.
        versions: versions of the libraries that wrote it, by name.
        license: the licence of the base, if its own card names one.
    """

    form: str
    code: LoadingCode
    rows: Sequence[tuple[str, str]] = ()
    verification_rows: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    license: str | None = None


@dataclass(frozen=True)
class Card:
    """The facts of one exported trial.

    Attributes:
        best_step: the step of its weights, if they are those of its best evaluation.
        training: the fields of the spec's training that the search varied.
        split_rows: the number of rows of each split that is known.
    """

    spec: SearchSpec
    trial: str
    method: str
    config: dict[str, Any]
    seed: int
    quality: float
    confirmed_quality: float | None
    confirmed_std: float | None
    test_quality: float | None
    trainable_parameters: int
    head_parameters: int
    base_parameters: int
    adapter_bytes: int
    labels: tuple[str, ...]
    own_tuner: bool
    steps: int | None = None
    best_step: int | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    split_rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def recipe(self) -> str:
        """The spec of this one configuration: `paretune search recipe.yaml` trains it again."""
        spec = portable(self.spec)
        budget = spec.budget.model_copy(
            update={"parameters": self.trainable_parameters, "at_least": None, "bytes": None}
        )
        recipe = spec.model_copy(
            update={
                "name": f"{spec.name[:80]}-{self.trial}-again",
                "budget": budget,
                # A list is a list of choices there, so one of blocks is a single choice.
                "methods": {self.method: {knob: _choice(value) for knob, value in self.config.items()}},
                "training": spec.training.fixed(self.training),
                # Other initial points would add trials, and limits might leave this one out.
                "search": spec.search.model_copy(
                    update={
                        "trials": 1,
                        "stopper": "none",
                        "seed": self.seed,
                        "start_with": (),
                        "start_from": (),
                        "time_limit": None,
                        "max_total_steps": None,
                    }
                ),
                "confirm": spec.confirm.model_copy(update={"top": 0}),
            }
        )
        return f"# Trains this adapter again: paretune search recipe.yaml\n{self._places}{dump_spec(recipe)}"

    @property
    def _places(self) -> str:
        """Comment lines that name the local paths of the search, which the recipe leaves out."""
        sources = {f"data.{split}": getattr(self.spec.data, split) for split in SPLITS}
        local = ["model.path=PATH"] if is_local(self.spec.model.path) else []
        local += [f"{field}=PATH" for field, source in sources.items() if _is_local(source)]
        local += [f"'{field}=[PATH, …]'" for field, source in sources.items() if isinstance(source, tuple)]
        local += ["data.chat_template=PATH"] if self.spec.data.chat_template else []
        if not local:
            return ""
        options = " ".join(f"--set {one}" for one in local)
        return f"# in the folder where these lie, or with {options}\n"

    def markdown(self, written: Written) -> str:
        """Return the model card of an export."""
        rows = [*self._facts(), *written.rows, *self._training(written)]
        table = "\n".join(f"| {name} | {value} |" for name, value in rows)
        held = written.verification_rows
        verification = (
            f" `verification.safetensors` holds {held} rows of the validation split as the model reads them, and the"
            " logits that the trained model gave for them."
            if held
            else ""
        )
        return (
            f"---\n{self._metadata(written)}\n---\n\n"
            f"# {self.spec.name}, trial {self.trial}\n\n"
            f"Chosen by a paretune search among trials under {self.spec.budget.parameters} trainable parameters.\n\n"
            f"| | |\n|---|---|\n{table}\n\n## Load it\n\n{self._places_in_code(written)}"
            f"{code_block(str(written.code), 'python')}\n\n"
            f"`recipe.yaml` trains it again.{verification}\n"
        )

    def _places_in_code(self, written: Written) -> str:
        code = written.code
        if written.form == "merged" or not code.is_folder:
            return ""
        return f"{code_span(f'PATH/TO/{code.base}')} is the folder of the base model.\n\n"

    def _facts(self) -> list[tuple[str, str]]:
        metric = self.spec.metric.name
        share = 100 * self.trainable_parameters / self.base_parameters
        known = method_named(self.method)
        rows = [
            ("Task", f"{self.spec.model.task.value}, trained on {self._split('train')}"),
            ("Base model", f"{code_span(model_name(self.spec.model))} ({self.base_parameters:,} parameters)"),
            ("Method", f"{self.method}: {known.summary} ({known.source})"),
            ("Settings", ", ".join(code_span(f"{knob} {value}") for knob, value in self._settings.items())),
            ("Trainable parameters", f"{self.trainable_parameters:,} ({share:.3g} % of the base)"),
            ("Task head", f"{self.head_parameters:,} parameters, trained beside the adapter"),
            ("Adapter", f"{self.adapter_bytes:,} bytes of tensors, without the head"),
        ]
        single = f"one training, seed {self.seed}; {self._split('validation')}"
        rows.append((f"Validation {metric}", f"{self.quality:.4f} ({single})"))
        if self.confirmed_quality is not None:
            rows.append(
                (f"Confirmed {metric}", f"{self.confirmed_quality:.4f}{self._spread} on validation, over fresh seeds")
            )
        if self.test_quality is not None:
            mean = f"{self.test_quality:.4f}, mean over the confirmed seeds; {self._split('test')}"
            rows.append((f"Test {metric}", mean))
        if self.labels:
            shown = ", ".join(map(code_span, self.labels[:_LABELS_SHOWN]))
            more = len(self.labels) - _LABELS_SHOWN
            rows.append(("Labels", shown + (f" and {more} more" if more > 0 else "")))
        return rows

    @property
    def _settings(self) -> dict[str, Any]:
        """The settings of the method, and those of the training that the search varied."""
        return {**self.config, **settings_of(self.training)}

    def _training(self, written: Written) -> list[tuple[str, str]]:
        settings = self.spec.training.chosen(self.training)
        steps = self.steps if self.steps is not None else settings.max_steps
        batch = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
        best = "" if self.best_step is None else f"; the weights are those of step {self.best_step:,}, the best"
        rows = [("Training", f"{steps:,} steps of {batch} examples, seed {self.seed}{best}")]
        if self.spec.model.task is not Task.IMAGE_CLASSIFICATION:
            rows.append(("Length", f"at most {self.spec.data.max_length} tokens; longer inputs were cut"))
        if written.license is not None:
            rows.append(("Licence of the base", code_span(written.license)))
        if written.versions:
            rows.append(("Written with", ", ".join(f"{name} {version}" for name, version in written.versions.items())))
        return rows

    def _split(self, split: str) -> str:
        """Return a split in words: its file or data set, and its number of rows."""
        source = getattr(self.spec.data, split)
        rows = f"{self.split_rows[split]:,} rows" if split in self.split_rows else ""
        if source is None:
            return f"{rows or 'rows'} split off the training data"
        return f"{rows} of {code_span(source_name(source))}" if rows else code_span(source_name(source))

    @property
    def _spread(self) -> str:
        return "" if self.confirmed_std is None else f" ± {self.confirmed_std:.4f}"

    def _metadata(self, written: Written) -> str:
        """Return the front matter in YAML for the Hugging Face Hub, without local paths."""
        model, data = self.spec.model, self.spec.data
        hub = {one.hub for one in (data.train, data.validation, data.test) if _is_on_hub(one)}
        data_of_card = ModelCardData(
            model_name=self.spec.name,
            base_model=None if is_local(model.path) else model.path,
            library_name="transformers" if written.form == "merged" else "peft",
            pipeline_tag=PIPELINES[model.task],
            license=written.license,
            datasets=sorted(hub) or None,
            metrics=[self.spec.metric.name],
            tags=["paretune", self.method],
            eval_results=self._results(),
        )
        return str(data_of_card.to_yaml())

    def _results(self) -> list[EvalResult]:
        metric = self.spec.metric.name
        scores = [
            ("validation", f"validation {metric}, one training", self.quality),
            ("validation", f"validation {metric}, mean over fresh seeds", self.confirmed_quality),
            ("test", f"test {metric}, mean over fresh seeds", self.test_quality),
        ]
        return [self._result(split, name, score) for split, name, score in scores if score is not None]

    def _result(self, split: str, name: str, score: float) -> EvalResult:
        source = getattr(self.spec.data, split) or self.spec.data.train
        return EvalResult(
            task_type=PIPELINES[self.spec.model.task],
            dataset_type=source.hub if _is_on_hub(source) else "custom",
            dataset_name=source_name(source),
            dataset_split=split,
            metric_type=self.spec.metric.name,
            metric_value=score,
            metric_name=name,
        )


def _is_local(source: object) -> bool:
    """Return whether a split is of one local place: a file, a folder or a pattern."""
    return isinstance(source, str) or (isinstance(source, HubSource) and is_local(source.hub))


def _is_on_hub(source: object) -> TypeGuard[HubSource]:
    return isinstance(source, HubSource) and not is_local(source.hub)


def _choice(value: Any) -> Any:
    return [list(value)] if isinstance(value, list | tuple) else value
