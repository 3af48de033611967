"""The steps of a training that is given in epochs."""

from __future__ import annotations

import math

from spaces.spec.sections import TrainingSection
from spaces.spec.spec import SearchSpec, parse_spec


def steps_of(training: TrainingSection, rows: int) -> int:
    """Return the optimizer steps of a training on `rows` examples.

    In epochs they are those of transformers' `Trainer`: an epoch has as many batches as hold all examples, an
    optimizer step takes `gradient_accumulation_steps` of them, and each is rounded up.
    """
    if training.num_train_epochs is None:
        return training.max_steps
    batches = math.ceil(rows / training.per_device_train_batch_size)
    steps_an_epoch = max(1, math.ceil(batches / training.gradient_accumulation_steps))
    return math.ceil(training.num_train_epochs * steps_an_epoch)


def in_steps(spec: SearchSpec, rows: int) -> SearchSpec:
    """Return the spec with `training.max_steps` in place of `training.num_train_epochs`.

    Args:
        spec: the spec.
        rows: the examples of its training split.

    Raises:
        RequestError: when another field does not fit so many steps.
    """
    if spec.training.num_train_epochs is None:
        return spec
    values = spec.model_dump(mode="json")
    values["training"] |= {"max_steps": steps_of(spec.training, rows), "num_train_epochs": None}
    return parse_spec(values)
