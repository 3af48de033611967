"""What is known of one trial: the durable record beside the run, and the row that tracking serves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["running", "finished", "stopped", "failed"]
Kind = Literal["trial", "reference", "confirmation"]

REDUCTION_FACTOR = 3
"""Between the steps of two neighbouring rungs."""


def rung_steps(max_steps: int, rungs: int) -> tuple[int, ...]:
    """`rungs` steps, each three times the one before, ending at `max_steps`; fewer where steps would fall together."""
    steps = {max(1, round(max_steps / REDUCTION_FACTOR**power)) for power in range(rungs)}
    return tuple(sorted(steps))


class Rung(BaseModel):
    """One evaluation on the validation split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    quality: float


class Progress(BaseModel):
    """Step and loss that a running training has reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    loss: float = Field(description="Of training: the mean over the steps since this was written last.")


class TrialPlan(BaseModel):
    """A training that was decided on. It is written before the training starts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trial: str = Field(description="Id, unique within its search.")
    kind: Kind
    method: str = Field(description="Name of the method; 'head' for the reference.")
    config: dict[str, Any] = Field(description="All settings of the method.")
    suggested: dict[str, Any] = Field(default={}, description="Normalised knobs as the sampler set them.")
    seed: int
    confirms: str | None = Field(default=None, description="For a confirmation: the trial that is trained again.")
    trainable_parameters: int
    stored_parameters: int
    adapter_bytes: int
    head_parameters: int
    peak_updated_parameters: int


class TrialResult(BaseModel):
    """How a training ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: State
    quality: float | None = Field(default=None, description="At the last step; none unless finished.")
    test_quality: float | None = Field(default=None, description="Of a confirmation, where there is a test split.")
    steps: int = 0
    train_seconds: float = 0.0
    peak_memory_bytes: int = 0
    rungs: tuple[Rung, ...] = ()
    reason: str | None = Field(
        default=None, description="Why it failed or was stopped, or what befell it, in one line."
    )
    row_values: str | None = Field(
        default=None, description="Its quality by validation row; see spaces.trials.row_values."
    )
