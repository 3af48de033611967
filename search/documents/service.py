"""The JSON documents of the service that no command prints."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from search.documents import service_examples
from spaces.spec.plain_values import WHOLE
from tracking.documents.schemas import BudgetNumbers, FrontPoint, ObjectiveName, RungEntry, TrialCounts

Format = Literal["peft", "merged", "lora", "stock"]
Phase = Literal["queued", "running", "stopping", "finished", "stopped", "failed"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchStatus(_Document):
    """The state of a search."""

    model_config = ConfigDict(json_schema_extra={"examples": [service_examples.STATUS]})

    search: str
    state: Phase
    submitted: str | None = Field(
        description="UTC, ISO 8601; null for a search that was not launched through the service."
    )
    started: str | None = Field(description="UTC, ISO 8601; null while it waits.")
    base_model: str = Field(description="Empty when it is not known.")
    budget: BudgetNumbers | None = Field(description="In numbers; null until the search has begun.")
    objective: ObjectiveName | None = Field(description="Null when the spec cannot be read.")
    hypervolume: float | None
    trials: TrialCounts
    planned: int | None = Field(description="Trials that the spec asks for; null when the spec is not known.")
    progress: float = Field(ge=0, le=1, description="The share of the planned trials that have ended.")
    eta_seconds: float | None = Field(
        description="Seconds until its last trial ends, at the pace so far, without confirm. "
        "In a list, null for a search that was resumed."
    )
    best: FrontPoint | None = Field(
        default=None,
        description="The best point of the front; null when no trial beats the head alone, and in a list.",
    )
    knee: FrontPoint | None = Field(
        default=None, description="The point of best trade of the front; null where `best` is."
    )
    message: str | None = Field(default=None, description="The reason why it failed, or is tried again.")


class SearchPage(_Document):
    """Some searches of all, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [service_examples.PAGE]})

    searches: tuple[SearchStatus, ...]
    total: int = Field(description="All searches that match, on all pages.")
    limit: int
    offset: int


class CurveDocument(_Document):
    """The evaluations of one training, in order of steps."""

    model_config = ConfigDict(json_schema_extra={"examples": [service_examples.CURVE]})

    trial: str
    rungs: tuple[RungEntry, ...]


class ExportRequest(_Document):
    """The adapter that is wanted, and its form; by default the best of the front."""

    model_config = ConfigDict(json_schema_extra={"examples": [service_examples.EXPORT_REQUEST]})

    trial: str | None = Field(default=None, pattern=r"^[0-9]{4,9}$", description="This trial.")
    max_parameters: int | None = Field(default=None, ge=1, lt=WHOLE, description="The best with at most so many.")
    choice: Literal["best", "knee"] = Field(default="best", description="Of the front.")
    format: Format = Field(default="peft", description="As `paretune export --format`.")
    rank: float | None = Field(
        default=None,
        gt=0,
        le=10**6,
        description="Of format lora; below 1: the part of the squared singular values to keep.",
    )
    verification_rows: bool = Field(
        default=True, description="Keep the few rows of the validation split that it was verified with."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.trial is not None and (self.max_parameters is not None or self.choice != "best"):
            raise ValueError("trial excludes max_parameters and choice; allowed: one way to choose")
        return self

    @model_validator(mode="after")
    def _rank_of_lora(self) -> Self:
        if self.rank is not None:
            check_rank(self.rank, self.format)
        return self


def check_rank(rank: float, form: Format) -> None:
    """Refuse a rank that a low-rank stand-in cannot have.

    Raises:
        ValueError: for such a rank, and for any rank of another form.
    """
    if form != "lora":
        raise ValueError(f"rank {rank:g}: says nothing of format {form}; allowed: with format lora")
    if not (0 < rank < 1 or (rank >= 1 and rank.is_integer())):
        raise ValueError(
            f"rank {rank:g}: no rank; allowed: a whole number, or a part of the squared singular values, below 1"
        )


class ExportStatus(_Document):
    """One export. The same choice of the same search is the same export."""

    model_config = ConfigDict(json_schema_extra={"examples": [service_examples.EXPORT]})

    id: str
    search: str
    trial: str
    format: Format
    rank: float | None = Field(description="Of format lora; null for the default.")
    verification_rows: bool = Field(default=True, description="It has the rows that it was verified with.")
    state: Literal["queued", "running", "finished", "failed"]
    ahead: int | None = Field(default=None, description="The number of exports before it, while it is queued.")
    message: str | None = Field(description="The reason why it failed.")


class ProblemDocument(BaseModel):
    """An error in the form of RFC 9457."""

    model_config = ConfigDict(json_schema_extra={"examples": [service_examples.PROBLEM]})

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
