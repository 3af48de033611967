"""The sections of a spec. Every field has a description, and a default if there is a sensible one."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

import regex
from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    StrictInt,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from spaces.spec.plain_values import WHOLE


class Task(StrEnum):
    """The task of the adapted model."""

    SEQUENCE_CLASSIFICATION = "sequence-classification"
    MULTI_LABEL_CLASSIFICATION = "multi-label-classification"
    TOKEN_CLASSIFICATION = "token-classification"
    REGRESSION = "regression"
    CAUSAL_LM = "causal-lm"
    SEQ2SEQ_LM = "seq2seq-lm"
    IMAGE_CLASSIFICATION = "image-classification"


Mode = Literal["max", "min"]
"""The direction of a metric: whether more or less is better."""

NAMED_CLASSES = frozenset(
    {
        Task.SEQUENCE_CLASSIFICATION,
        Task.MULTI_LABEL_CLASSIFICATION,
        Task.TOKEN_CLASSIFICATION,
        Task.IMAGE_CLASSIFICATION,
    }
)
"""The tasks whose logits are of classes with names."""

WRITING = frozenset({Task.CAUSAL_LM, Task.SEQ2SEQ_LM})
"""The tasks whose models write text; they have no task head."""


class Section(BaseModel):
    """A part of a spec: unknown fields are refused, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Quantization = Literal["nf4", "int8"]

Attention = Literal["auto", "sdpa", "eager", "flash_attention_2"]


class ModelSection(Section):
    """The pretrained model."""

    path: str = Field(min_length=1, description="Hub id or local folder of a transformers model with safetensors.")
    task: Task = Field(
        default=Task.SEQUENCE_CLASSIFICATION,
        description="Task of the adapted model, which decides its head.",
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    quantization: Quantization | None = Field(
        default=None,
        description="Hold the linear layers of the frozen base in 4 bits (nf4) or 8 (int8), by bitsandbytes. Counts "
        "and percentages are those of the unquantised base.",
    )
    attention: Attention = Field(
        default="auto",
        description="Code that computes attention. Default: transformers' choice. flash_attention_2 needs GPUs, the "
        "package flash-attn, and bfloat16.",
    )
    modules_to_save: tuple[str, ...] = Field(
        default=(),
        description="Modules of the base, by ends of their full names as in PEFT, that train whole beside the adapter "
        "of every trial, are counted with it and saved with it.",
    )


class HubSource(Section):
    """A split of a data set on the hub."""

    hub: str = Field(min_length=1, description="Id of the data set on the hub.")
    name: str | None = Field(default=None, description="Its configuration, where it has several.")
    split: str = Field(default="train", description="Its split.")


MOST_FILES = 1_000
"""Files and patterns in one list; a pattern may match any number of files."""


def _check_files(value: Any) -> Any:
    """Refuse lists that are empty or hold anything but text, before pydantic tries all forms of a source on them."""
    if not isinstance(value, list | tuple):
        return value
    if not value:
        raise ValueError("names no file; allowed: a list of files and patterns such as train-*.csv")
    if len(value) > MOST_FILES:
        raise ValueError(f"a list of {len(value):,}; allowed: {MOST_FILES:,} files and patterns such as train-*.csv")
    for one in value:
        if not isinstance(one, str) or not one:
            raise ValueError(f"{one!r} in a list; allowed in a list: files and patterns such as train-*.csv")
    return value


Files = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=MOST_FILES)]
Source = Annotated[str | Files | HubSource, BeforeValidator(_check_files)]
"""A split: a file, a folder of images or a pattern; several files and patterns; or a data set on the hub."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


TwoAtMost = Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]


ThreeAtMost = Annotated[tuple[str, ...], Field(min_length=1, max_length=3)]


class DataSection(Section):
    """The examples, and the columns that hold them."""

    train: Source = Field(
        description="Training split: a csv, jsonl or parquet file (text also as .gz), a pattern such as train-*.csv "
        "that matches several, a list of files and patterns, a hub data set, or of images a folder with a folder for "
        "each class."
    )
    validation: Source | None = Field(
        default=None, description="Validation split; left out, it is split off the training split."
    )
    test: Source | None = Field(default=None, description="Test split, read by confirm alone.")
    validation_fraction: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Part of the training split that becomes validation when none is given.",
    )
    text: Annotated[TwoAtMost, BeforeValidator(_as_list, json_schema_input_type=str | TwoAtMost)] | None = Field(
        default=None,
        description="One text column, or two for pairs. Default: text. For causal-lm one column of plain text, every "
        "token of which is learnt.",
    )
    image: str | None = Field(
        default=None,
        description="Column with an image: a path within the folder of its file, or encoded bytes. Default: image.",
    )
    tokens: str | None = Field(default=None, description="Column with a list of words (token-classification).")
    prompt: str | None = Field(default=None, description="Column with the prompt (causal-lm, seq2seq-lm).")
    response: str | None = Field(default=None, description="Column with the response to learn (causal-lm, seq2seq-lm).")
    label: str | Annotated[tuple[str, ...], Field(min_length=2)] = Field(
        default="label",
        description="Column with the label; with a list of tags, one a word (token-classification); with a list of "
        "labels (multi-label-classification), for which there may also be a column of 0 and 1 for each label.",
    )
    messages: Annotated[ThreeAtMost, BeforeValidator(_as_list, json_schema_input_type=str | ThreeAtMost)] | None = (
        Field(
            default=None,
            description="Column of chats (causal-lm), each a list of messages with role and content, in csv as JSON. "
            "Or two columns, a prompt and its completion, lists of messages or texts; or alpaca's three: instruction, "
            "input, output. The assistant's turns alone are learnt.",
        )
    )
    chat_template: str | None = Field(
        default=None,
        min_length=1,
        description="File with a chat template in Jinja for messages. Default: the tokenizer's own.",
    )
    packing: bool = Field(
        default=False,
        description="Put several training examples into a row of at most max_length tokens, none of which attends to "
        "another (causal-lm). A batch has so many rows, so a step learns from more examples.",
    )
    max_length: int = Field(
        default=128,
        ge=2,
        le=10**8,
        description="Tokens an example may have; longer ones are cut, which `paretune validate` counts.",
    )


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""The pattern of a search's name."""

Scalar = str | int | float | bool | None
Setting = Scalar | list[Scalar] | dict[str, Scalar | list[Scalar]]
"""A setting of a method: one value, several, or several by name."""


def _percent_or_count(value: Any) -> Any:
    """Return `50_000` as a number, and `0.3%` as text with a checked number."""
    text = str(value).strip().replace("_", "")
    number = text.removesuffix("%").strip()
    try:
        amount = float(number) if number != text else int(number)
    except ValueError:
        raise ValueError("neither a number nor a percentage; allowed: such as 50_000 or 0.3%") from None
    if number == text:
        if amount >= WHOLE:
            raise ValueError("more than any model has; allowed: such as 50_000 or 0.3%")
        return amount
    if not 0 < amount <= 100:
        raise ValueError("a percentage must lie in (0%, 100%]")
    return f"{number}%"


Amount = Annotated[
    Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^[0-9_.eE+ -]+%$")],
    BeforeValidator(_percent_or_count),
]


# The schema of pydantic's ByteSize allows 0.
Size = Annotated[
    ByteSize,
    Field(ge=1, lt=WHOLE),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\s*(\d*\.?\d+)\s*(\w+)?"}, {"type": "integer", "minimum": 1}]}
    ),
]


class BudgetSection(Section):
    """The hard limit on trainable parameters, and the lower end of the range of interest."""

    parameters: Amount = Field(description="Most trainable parameters: a number, or a percentage of the base.")
    at_least: Amount | None = Field(
        default=None,
        description="Fewest trainable parameters of interest. Default: a thousandth of the budget.",
    )
    count_head: bool = Field(default=False, description="Count the task head as well.")
    bytes: Size | None = Field(default=None, description="Most bytes of the native adapter, such as 200KB.")


OptimizerName = Literal["adamw_torch", "adamw_8bit", "adafactor"]

Precision = Literal["auto", "float32", "bf16", "bf16-mixed"]

ScheduleName = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
]
"""The schedules of transformers that need no further setting."""


class TrainingSection(Section):
    """The training of every trial; names as in transformers' TrainingArguments."""

    max_steps: int = Field(default=300, ge=1, le=10**9, description="Optimizer steps of a full trial.")
    num_train_epochs: float | None = Field(
        default=None,
        gt=0,
        le=10**6,
        description="In place of max_steps: passes over the training split, in steps of whole batches, rounded up.",
    )
    per_device_train_batch_size: int = Field(
        default=32, ge=1, le=10**6, description="Examples in one forward and backward."
    )
    per_device_eval_batch_size: int = Field(
        default=64, ge=1, le=10**6, description="Examples in one evaluation forward."
    )
    gradient_accumulation_steps: int = Field(
        default=1, ge=1, le=10**6, description="Batches that make one optimizer step."
    )
    warmup_steps: float = Field(
        default=0.06,
        ge=0,
        le=10**9,
        description="Warm-up: a fraction of max_steps below 1, a number of steps from 1 on.",
    )
    weight_decay: float = Field(default=0.01, ge=0, description="Decoupled weight decay of the optimizer.")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Largest norm of the gradient; longer ones are scaled.")
    optim: OptimizerName = Field(
        default="adamw_torch",
        description="Optimizer: AdamW; AdamW with a state of 8 bits (bitsandbytes); or Adafactor at the given rates.",
    )
    lr_scheduler_type: ScheduleName = Field(
        default="linear", description="Course of the learning rate after warm-up; constant has no warm-up."
    )
    head_learning_rate: float = Field(
        default=1e-3,
        gt=0,
        description="Peak learning rate of the task head, the same for every trial. In trainings of a hundred steps a "
        "small encoder wants more, such as 1e-2.",
    )
    class_weights: Literal["balanced"] | None = Field(
        default=None,
        description="balanced: weigh classes so that each has the same part in the training loss.",
    )
    label_smoothing_factor: float = Field(
        default=0.0, ge=0, lt=1, description="Part of a target that is spread evenly over all classes in training."
    )
    precision: Precision = Field(
        default="auto",
        description="float32; bf16: computed in bfloat16, the frozen base cast to it once; bf16-mixed: the same by "
        "autocast, the base held in the type of its checkpoint (float16 as float32); auto: bf16-mixed on a GPU with "
        "bfloat16, else float32. What trains is float32 in all of them.",
    )
    gradient_checkpointing: bool | Literal["auto"] = Field(
        default="auto",
        description="Keep the input of each block alone and compute the rest again for the gradients: less memory, "
        "about a third more time; auto: off.",
    )
    eval_steps: float | None = Field(
        default=None,
        gt=0,
        le=10**9,
        description="Steps from one evaluation to the next, below 1 a fraction of max_steps. They come beside the "
        "rungs, and no trial is stopped there.",
    )
    load_best_model_at_end: bool = Field(
        default=False,
        description="Quality and adapter of a training are those of its best evaluation by the metric, the first of "
        "equal ones, and not those of its last step.",
    )
    early_stopping_patience: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        description="With load_best_model_at_end: a training ends, and is finished, after so many evaluations in a "
        "row without a better quality.",
    )

    @model_validator(mode="after")
    def _length_is_given_once(self) -> Self:
        if self.num_train_epochs is not None and "max_steps" in self.model_fields_set:
            raise ValueError(
                f"training.max_steps = {self.max_steps}: beside num_train_epochs = {self.num_train_epochs:g}; "
                "allowed: one of the two"
            )
        return self

    @model_validator(mode="after")
    def _evaluations_are_steps_of_a_training(self) -> Self:
        every = self.eval_steps
        if every is None or every < 1:
            return self
        if every % 1:
            raise ValueError(f"training.eval_steps = {every:g}: allowed: a fraction below 1, or a whole number")
        if self.num_train_epochs is None and every > self.max_steps:
            raise ValueError(
                f"training.eval_steps = {every:g}: a training has {self.max_steps} steps; allowed: at most so many"
            )
        return self

    @model_validator(mode="after")
    def _patience_looks_for_the_best(self) -> Self:
        if self.early_stopping_patience is not None and not self.load_best_model_at_end:
            raise ValueError(
                f"training.early_stopping_patience = {self.early_stopping_patience}: its training would keep weights "
                "that are not its best; allowed: with load_best_model_at_end: true"
            )
        return self

    @property
    def evaluation_interval(self) -> int | None:
        """Steps from one evaluation beside the rungs to the next; None without such evaluations."""
        if self.eval_steps is None:
            return None
        return math.ceil(self.eval_steps * self.max_steps) if self.eval_steps < 1 else int(self.eval_steps)


Text = Annotated[str, Field(min_length=1, max_length=1_000)]


class GenerationSection(Section):
    """The writing of answers, greedily, which a metric then compares with those of the data."""

    max_new_tokens: int = Field(default=256, ge=1, le=10**6, description="Most tokens of an answer.")
    answer: Text | None = Field(
        default=None,
        description="Regular expression, searched in the written text and in the reference; its first group is "
        "compared. Default: the whole text.",
    )
    stop: Annotated[tuple[Text, ...], BeforeValidator(_as_list, json_schema_input_type=str | tuple[Text, ...])] = Field(
        default=(), max_length=20, description="Texts that end an answer, beside the end token; not part of it."
    )

    @field_validator("answer")
    @classmethod
    def _has_a_group(cls, answer: str | None) -> str | None:
        if answer is None:
            return None
        try:
            groups = regex.compile(answer).groups
        except (regex.error, RecursionError) as error:
            raise ValueError(
                f"no regular expression ({error}); allowed: one with a group, such as '#### (.+)'"
            ) from None
        if not groups:
            raise ValueError("a regular expression without a group; allowed: one with a group, such as '#### (.+)'")
        return answer


class ObjectiveSection(Section):
    """The measure of quality."""

    metric: str | None = Field(
        default=None,
        description="Metric on validation, or module:function, a function of your own. Default: the task's usual one.",
    )
    mode: Mode | None = Field(
        default=None,
        description="With a metric of your own: whether more or less is better. Default: its attribute mode, else max.",
    )
    perfect: float | None = Field(
        default=None,
        description="With a metric of your own: its best possible value. Default: its attribute perfect, else 1 with "
        "max and 0 with min.",
    )
    positive: str | StrictInt | None = Field(
        default=None,
        description="Label that metric f1 is computed for. Default: of two labels the one with fewer training rows; "
        "with more labels f1 is f1-macro.",
    )
    generation: GenerationSection | None = Field(
        default=None, description="Answers are written, and the metric compares them with those of the data."
    )
    at_rungs: Literal["metric", "loss"] = Field(
        default="metric",
        description="Number by which trials are compared at rungs. With loss, answers are written at the last step "
        "alone, because writing them takes long.",
    )


class SearchSection(Section):
    """The choice of configurations, and the running of trials."""

    trials: int = Field(
        default=40, ge=1, le=10**6, description="Trials to train; rejected configurations do not count."
    )
    sampler: Literal["tpe", "random", "gp", "nsga2", "qmc"] = Field(
        default="tpe",
        description="Optuna's sampler. With tpe and gp the size is chosen in a gap of the front, and they suggest the "
        "other knobs.",
    )
    stopper: Literal["none", "asha", "front"] = Field(
        default="front",
        description="Rule that ends weak trials early at a rung: front compares each with those of at most as many "
        "parameters, asha all with all.",
    )
    rungs: int = Field(
        default=3,
        ge=1,
        le=8,
        description="Times a trial is evaluated, each at three times the steps of the one before.",
    )
    start_with: tuple[dict[str, Setting], ...] = Field(
        default=(),
        max_length=1_000,
        description="Configurations to begin with: each a method and its settings that differ from the defaults, "
        "such as {method: lora, rank: 4}.",
    )
    start_from: tuple[Annotated[str, Field(pattern=NAME)], ...] = Field(
        default=(),
        max_length=100,
        description="Earlier searches on the same base; the settings of their fronts are tried first.",
    )
    seed: int = Field(
        default=0, ge=0, lt=2**31, description="Seed of the sampler, of data order and of initial values."
    )
    concurrent: Annotated[int, Field(ge=1, le=10**6)] | Literal["auto"] = Field(
        default="auto", description="Trials at the same time; auto: as many as the resources allow."
    )
    time_limit: float | None = Field(
        default=None,
        gt=0,
        le=10**9,
        description="Seconds after which the search ends cleanly; `paretune resume` goes on for as long again.",
    )
    max_total_steps: int | None = Field(
        default=None,
        ge=1,
        description="Most optimizer steps of all trials together, without the reference and confirm; "
        "one that might exceed it is not begun.",
    )
    max_failures: int = Field(
        default=2, ge=0, le=10**6, description="Times a trial is started again after its worker died."
    )
    study_storage: str | None = Field(
        default=None,
        description="SQLAlchemy URL of Optuna's storage. Default: a SQLite file beside the runs. "
        "PostgreSQL passwords belong in PGPASSWORD or ~/.pgpass, not here.",
    )


class ConfirmSection(Section):
    """Training points of the front again, on fresh seeds."""

    top: int = Field(default=5, ge=0, le=10**6, description="Points of the front to train again; 0: none.")
    seeds: int = Field(
        default=3,
        ge=1,
        le=10**6,
        description="Fresh seeds: at most top times seeds trainings, fewer once the order of the front is settled. "
        "With more than two, trials near the front take part.",
    )


class ResourcesSection(Section):
    """The resources of one trial."""

    cpus: float = Field(default=1, gt=0, le=10**6, description="CPU cores of one trial.")
    gpus: Annotated[float, Field(ge=0, le=10**6)] | Literal["auto"] = Field(
        default="auto",
        description="GPUs of one trial, fractions of one allowed; auto: one where the cluster has any.",
    )

    @model_validator(mode="after")
    def _several_gpus_are_whole(self) -> Self:
        if self.gpus != "auto" and self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"resources.gpus = {self.gpus:g}: allowed: auto, a part of one GPU, or a whole number")
        return self


class TrackingSection(Section):
    """The MLflow server and experiment."""

    uri: str | None = Field(default=None, description="MLflow tracking URI. Default: environment, else SQLite here.")
    experiment: str = Field(default="paretune", min_length=1, max_length=500, description="MLflow experiment.")
