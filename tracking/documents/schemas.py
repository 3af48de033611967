"""Schemas of the documents that `front`, `trials`, `searches` and `compare` print with `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spaces.spec.metrics import Mode
from spaces.trials.records import State
from tracking.documents import schema_examples

if TYPE_CHECKING:
    from pandas import DataFrame

Axis = Literal["trainable", "stored"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BudgetNumbers(_Document):
    """A budget in numbers."""

    parameters: int = Field(description="Most trainable parameters.")
    at_least: int = Field(description="Fewest trainable parameters.")
    bytes: int | None = Field(description="Most bytes of an adapter, where that is limited.")


class ObjectiveName(_Document):
    """The metric of quality, and whether more of it is better."""

    metric: str
    mode: Mode


class ReferenceQuality(_Document):
    """The quality of the task head alone, on the frozen base."""

    quality: float | None = Field(description="None until the reference is finished.")


class TrialCounts(_Document):
    """Numbers of trials by state, and of configurations that were rejected untrained."""

    finished: int
    stopped: int
    failed: int
    rejected: int


class FrontPoint(_Document):
    """A trial on the front: no other one is better and at most as large."""

    trial: str
    run_id: str = Field(description="Its MLflow run.")
    method: str
    config: dict[str, Any] = Field(description="All settings of the method.")
    quality: float = Field(description="On validation, at the last step.")
    confirmed_quality: float | None = Field(description="Mean of its confirmations on validation.")
    confirmed_std: float | None = Field(description="Their standard deviation.")
    test_quality: float | None = Field(description="Mean of its confirmations on test.")
    trainable_parameters: int
    stored_parameters: int
    head_parameters: int
    adapter_bytes: int
    steps: int
    train_seconds: float
    peak_memory_bytes: int

    def score(self, *, confirmed: bool) -> float:
        """The quality by which the point is compared."""
        return self.confirmed_quality if confirmed and self.confirmed_quality is not None else self.quality

    def size(self, axis: Axis) -> int:
        """The count on the axis."""
        return self.trainable_parameters if axis == "trainable" else self.stored_parameters


class Ties(_Document):
    """Neighbours on a confirmed front that a test does not tell apart, and the trainings and rows behind the test."""

    pairs: tuple[tuple[str, str], ...]
    fewest: int = Field(description="Fresh trainings of the point that has the fewest.")
    most: int = Field(description="Fresh trainings of the point that has the most.")
    rows: int | None = Field(description="Validation rows; none where outcomes by row are not known.")


class FrontDocument(_Document):
    """A search and its front, ascending in parameters."""

    model_config = ConfigDict(json_schema_extra={"examples": [schema_examples.FRONT]})

    search: str
    base_model: str
    base_parameters: int
    budget: BudgetNumbers
    objective: ObjectiveName
    reference: ReferenceQuality
    hypervolume: float | None = Field(
        ge=0, le=1, description="Over log10 of parameters within the budget; none until there is a reference."
    )
    trials: TrialCounts
    front: tuple[FrontPoint, ...]
    best: FrontPoint | None = Field(
        default=None,
        description="The best point that beats the head alone: of the confirmed front, unless one that was trained "
        "once is clearly better. None where no point does.",
    )
    knee: FrontPoint | None = Field(
        default=None, description="The knee of the same points; None where no point beats the head alone."
    )
    ties: Ties | None = Field(
        default=None,
        exclude_if=lambda ties: ties is None,
        description="Only of a confirmed front of several points.",
    )

    def to_pandas(self) -> DataFrame:
        """Return the points as a table, one row each; a setting is a column such as `config.rank`."""
        return _table(self.front)


class RungEntry(_Document):
    """The evaluation of a training at one step."""

    step: int
    quality: float | None = Field(default=None, description="None where only the loss was measured.")
    loss: float | None = Field(default=None, description="Mean loss on validation; none of earlier versions.")
    quality_se: float | None = Field(default=None, description="Standard error of the quality over validation rows.")
    loss_se: float | None = Field(default=None, description="Standard error of the loss over validation rows.")


class TrialEntry(_Document):
    """One training."""

    trial: str
    run_id: str = Field(description="Its MLflow run.")
    method: str
    state: State
    config: dict[str, Any] = Field(description="All settings of the method.")
    quality: float | None = Field(description="On validation, at the last step; none unless finished.")
    trainable_parameters: int
    adapter_bytes: int
    steps: int | None = Field(description="Optimizer steps taken; none while running.")
    train_seconds: float | None
    reason: str | None = Field(description="Why it failed or was stopped.")
    rungs: tuple[RungEntry, ...] = Field(
        default=(), description="Its evaluations so far, by step; 64 at most, spread evenly. None of earlier versions."
    )


class ConfirmationEntry(TrialEntry):
    """A trial of the front trained again on a fresh seed."""

    confirms: str = Field(description="The trial that is trained again.")


class TrialsDocument(_Document):
    """Every training of a search, in the order of ids."""

    model_config = ConfigDict(json_schema_extra={"examples": [schema_examples.TRIALS]})

    search: str
    trials: tuple[TrialEntry, ...]
    reference: TrialEntry | None = Field(description="The task head alone; none until it is started.")
    confirmations: tuple[ConfirmationEntry, ...]

    def to_pandas(self) -> DataFrame:
        """Return the trials as a table, one row each; a setting is a column such as `config.rank`."""
        return _table(self.trials)


class SearchEntry(_Document):
    """One search."""

    search: str
    run_id: str = Field(description="Its MLflow run.")
    experiment: str
    state: State
    started: str = Field(description="UTC, ISO 8601.")
    base_model: str
    budget: BudgetNumbers
    objective: ObjectiveName
    trials: TrialCounts
    hypervolume: float | None


class UnreadableSearch(_Document):
    """A search whose record in MLflow cannot be read."""

    search: str
    run_id: str = Field(description="Its MLflow run.")
    reason: str


class SearchesDocument(_Document):
    """Every search, newest first."""

    searches: tuple[SearchEntry, ...]
    unreadable: tuple[UnreadableSearch, ...] = ()


class Compared(_Document):
    """One of the fronts that are compared."""

    search: str
    base_model: str
    reference: float | None = Field(description="Quality of its task head alone.")
    points: int = Field(description="Points of its front.")
    leading: int = Field(description="Those of them that no point of another front beats.")
    hypervolume: float | None = Field(description="Over the common range, above the common reference.")
    best: LeadingPoint | None = Field(description="The point of its front with the best quality.")
    steps: tuple[int, ...] = Field(description="Steps of the trials on its front.")


class LeadingPoint(_Document):
    """A point of the front of all fronts together."""

    search: str
    trial: str
    method: str
    config: dict[str, Any]
    quality: float
    trainable_parameters: int


class ComparisonDocument(_Document):
    """Fronts side by side: one range of parameters and one reference for all."""

    model_config = ConfigDict(json_schema_extra={"examples": [schema_examples.COMPARISON]})

    objective: ObjectiveName
    budget: BudgetNumbers = Field(description="From the smallest to the largest count that any of them allows.")
    reference: ReferenceQuality = Field(description="The worst of their references.")
    searches: tuple[Compared, ...]
    front: tuple[LeadingPoint, ...]
    differences: tuple[str, ...] = Field(
        description="Other differences between the searches, with which their qualities do not compare directly."
    )

    def to_pandas(self) -> DataFrame:
        """Return the front of all searches together as a table, one row a point."""
        return _table(self.front)


def _table(rows: Sequence[BaseModel]) -> DataFrame:
    from pandas import json_normalize

    return json_normalize([row.model_dump() for row in rows])
