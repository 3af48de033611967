"""The `training` of a spec, whose fields a search may vary: each a value, a list of choices or a range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ModelWrapValidatorHandler, PrivateAttr, model_serializer, model_validator

from spaces.methods.base.knobs import Choice, Knob, Range, Value, extremes, parse_knob
from spaces.spec.sections import TrainingSection

PREFIX = "training."
"""Precedes the names of these fields among the knobs of a search and the settings of a trial."""

SEARCHED = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "optim",
    "lr_scheduler_type",
    "label_smoothing_factor",
)
"""The fields that a search may vary: those that change what a step does.

Not the length of a training, because rungs and the budget of steps compare equal steps; nor the head's learning rate,
which is the same for every trial, so that a gain over the head alone is the adapter's; nor those that decide how a
training is evaluated, or with which memory and precision it runs.
"""

_BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps")


class SearchedTraining(TrainingSection):
    """The training of every trial; names as in transformers' TrainingArguments."""

    _written: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def knobs(self) -> dict[str, Knob]:
        """The fields that the search varies."""
        return {name: _knob(name, value) for name, value in self._written.items()}

    def values_of(self, name: str) -> tuple[Any, ...]:
        """Return the values that a field may have in a training: every choice, the ends of a range, or its only one."""
        knob = self.knobs.get(name)
        return (getattr(self, name),) if knob is None else extremes(knob)

    def chosen(self, values: Mapping[str, Any]) -> TrainingSection:
        """Return the training of one trial; `values`: its fields that differ from the usual ones."""
        return TrainingSection.model_validate({**_plain(self), **values})

    def fixed(self, values: Mapping[str, Any]) -> SearchedTraining:
        """Return a section that varies nothing, with `values` in place of usual ones."""
        return SearchedTraining.model_validate({**_plain(self), **values})

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, dict):
            return handler(values)
        written = {name: value for name, value in values.items() if isinstance(value, dict | list | tuple)}
        for name in written.keys() & TrainingSection.model_fields.keys():
            if name not in SEARCHED:
                raise ValueError(
                    f"training.{name} = {written[name]}: is the same in every trial; allowed: one value. A search may "
                    f"vary {', '.join(SEARCHED)}"
                )
        written = {name: value for name, value in written.items() if name in SEARCHED}
        if not written:
            return handler(values)
        knobs = {name: _knob(name, value) for name, value in written.items()}
        for name, knob in knobs.items():
            for value in extremes(knob):
                handler({**values, **_usual(knobs), name: value})
        section = handler({**values, **_usual(knobs)})
        if section.num_train_epochs is not None and (varied := [name for name in _BATCH if name in knobs]):
            raise ValueError(
                f"training.{varied[0]} = {written[varied[0]]}: with num_train_epochs trials would have unlike numbers "
                "of steps; allowed: with max_steps"
            )
        section._written = written
        return section

    @model_serializer(mode="plain")
    def _write(self) -> dict[str, Any]:
        values = {**_plain(self), **self._written}
        if self.num_train_epochs is not None:
            del values["max_steps"]
        return values


def settings_of(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the varied fields of a trial under the names that they have beside the settings of its method."""
    return {f"{PREFIX}{name}": value for name, value in training.items()}


def _plain(section: TrainingSection) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields}


def _knob(name: str, value: Any) -> Knob:
    """Return a field's choices or range.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """
    try:
        knob = parse_knob(list(value) if isinstance(value, tuple) else value)
    except ValueError as error:
        raise ValueError(f"training.{name}: {error}") from None
    default = TrainingSection.model_fields[name].default
    if isinstance(knob, Choice):
        return knob
    whole = isinstance(knob.low, int) and isinstance(knob.high, int)
    if isinstance(default, str):
        raise ValueError(f"training.{name} = {value}: allowed: a name, or a list of names")
    if isinstance(default, int) and not whole:
        raise ValueError(f"training.{name} = {value}: holds fractions; allowed: whole numbers")
    if name == "warmup_steps" and knob.low < 1 <= knob.high and not whole:
        raise ValueError(
            f"training.{name} = {value}: below 1 a fraction of max_steps, from 1 on a number of steps; allowed: both "
            "ends below 1, or both from 1 on"
        )
    if isinstance(default, float) and name != "warmup_steps":
        return Range(float(knob.low), float(knob.high), knob.log)  # a range of whole numbers would hold only these
    return knob


def _usual(knobs: Mapping[str, Knob]) -> dict[str, Value]:
    return {name: usual(name, knob) for name, knob in knobs.items()}


def usual(name: str, knob: Knob) -> Value:
    """Return the default of a field if the search may choose it, else the first choice or the nearest end.

    The reference and the published defaults train with usual values, and the section holds them.
    """
    default: Any = TrainingSection.model_fields[name].default
    if isinstance(knob, Choice):
        return default if default in knob.values else knob.values[0]
    nearest: Value = min(max(default, knob.low), knob.high)
    return nearest
