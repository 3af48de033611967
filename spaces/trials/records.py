"""The records of one trial: its plan, evaluations, progress and result."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["running", "finished", "stopped", "failed"]
Kind = Literal["trial", "reference", "confirmation"]

REDUCTION_FACTOR = 3
"""Ratio of the steps of two neighbouring rungs."""


def rung_steps(max_steps: int, rungs: int) -> tuple[int, ...]:
    """Return the steps at which trials are evaluated and compared, each three times the one before.

    Args:
        max_steps: the last step.
        rungs: the number of steps; fewer are returned when several round to the same.
    """
    steps = {max(1, round(max_steps / REDUCTION_FACTOR**power)) for power in range(rungs)}
    return tuple(sorted(steps))


def evaluation_steps(max_steps: int, rungs: int, interval: int | None) -> tuple[int, ...]:
    """Return the steps at which a training is evaluated: its rungs, and every `interval` steps between them.

    Args:
        max_steps: the last step.
        rungs: the number of rungs, the last step included.
        interval: steps from one evaluation to the next; None for the rungs alone.
    """
    between = range(interval, max_steps, interval) if interval else ()
    return tuple(sorted({*rung_steps(max_steps, rungs), *between}))


class Rung(BaseModel):
    """One evaluation on the validation split, at a rung or between two."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    quality: float | None = Field(default=None, description="None where only the loss was measured.")
    loss: float | None = Field(default=None, description="Mean loss; none in records of earlier versions.")
    quality_se: float | None = Field(
        default=None, description="Standard error of the quality over validation rows; none where it is not known."
    )
    loss_se: float | None = Field(
        default=None, description="Standard error of the loss over validation rows; none where it is not known."
    )
    best: float | None = Field(
        default=None,
        description="Best number so far of those by which trials are compared, if the training ends with its best "
        "weights.",
    )


class Progress(BaseModel):
    """Step and loss that a running training has reached, and how far its evaluation has come."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    loss: float | None = Field(description="Training loss: the mean over the steps since the last record.")
    answers: int | None = Field(default=None, description="Answers written; none while it trains.")
    of_answers: int | None = Field(default=None, description="Answers to write.")
    tokens: int | None = Field(default=None, description="Tokens of each of the answers being written now.")


class TrialPlan(BaseModel):
    """A planned training, written before it starts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trial: str = Field(description="Id, unique within its search.")
    kind: Kind
    method: str = Field(description="Name of the method; 'head' for the reference.")
    config: dict[str, Any] = Field(description="All settings of the method.")
    suggested: dict[str, Any] = Field(default={}, description="Normalised knobs as the sampler suggested them.")
    training: dict[str, Any] = Field(default={}, description="Fields of the spec's training that the search varies.")
    seed: int
    confirms: str | None = Field(default=None, description="For a confirmation: the trial that is trained again.")
    trainable_parameters: int
    stored_parameters: int
    adapter_bytes: int
    head_parameters: int
    peak_updated_parameters: int

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the method, and those of the training that the search varies, named `training.FIELD`."""
        return self.config | {f"training.{name}": value for name, value in self.training.items()}


class TrialResult(BaseModel):
    """The end of a training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: State
    quality: float | None = Field(
        default=None,
        description="Quality at the last step, or at the best evaluation if the training ends with its best weights; "
        "none unless finished.",
    )
    best_step: int | None = Field(
        default=None, description="Step of the best evaluation, if the training ends with its best weights."
    )
    test_quality: float | None = Field(default=None, description="Quality on the test split; of a confirmation only.")
    steps: int = 0
    train_seconds: float = 0.0
    peak_memory_bytes: int = 0
    rungs: tuple[Rung, ...] = ()
    reason: str | None = Field(
        default=None, description="Cause of a failure or a stop, or a note on the training, in one line."
    )
    row_values: str | None = Field(
        default=None, description="Its quality by validation row; see spaces.trials.row_values."
    )
