"""Names of tags and artifacts of a search in MLflow, shared by writer and reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

from spaces.model.budget import Budget
from spaces.spec.metrics import Mode
from spaces.spec.spec import SearchSpec

KIND = "paretune.kind"
SEARCH = "paretune.search"
SEARCH_ID = "paretune.search_id"
TRIAL = "paretune.trial"
METHOD = "paretune.method"
STATE = "paretune.state"
REASON = "paretune.reason"
ON_FRONT = "paretune.on_front"
CONFIRMS = "paretune.confirms"
# MLflow keeps params as strings and metrics as floats; these two tags hold a record as JSON, which keeps its types.
FACTS = "paretune.facts"
PLAN = "paretune.plan"
ROW_VALUES = "paretune.row_values"
RUNGS = "paretune.rungs"

PARENT = "mlflow.parentRunId"
SPEC_FILE = "spec.yaml"
ADAPTER_FOLDER = "adapter"


class SearchFacts(BaseModel):
    """Facts of a search that are fixed when it starts, and that its readers need."""

    model_config = ConfigDict(frozen=True)

    base_model: str
    base_parameters: int
    head_parameters: int
    budget: Budget
    metric: str
    mode: Mode
    perfect: float
    rows: dict[str, int] = {}
    """Rows of each split; empty of an earlier version."""

    @classmethod
    def of(
        cls,
        spec: SearchSpec,
        budget: Budget,
        base_parameters: int,
        head_parameters: int,
        rows: Mapping[str, int] | None = None,
    ) -> Self:
        """Return the facts of a search with `spec`, on a model with these counts of parameters and data of `rows`."""
        metric = spec.metric
        return cls(
            base_model=spec.model.path,
            base_parameters=base_parameters,
            head_parameters=head_parameters,
            budget=budget,
            metric=metric.name,
            mode=metric.mode,
            perfect=metric.perfect,
            rows=dict(rows or {}),
        )

    def numbers(self) -> dict[str, float | None]:
        """Return the numbers that are logged as metrics too, so that users of MLflow can filter by them."""
        return {
            "base_parameters": self.base_parameters,
            "head_parameters": self.head_parameters,
            "budget_parameters": self.budget.parameters,
            "budget_at_least": self.budget.at_least,
            "budget_bytes": self.budget.bytes,
        }
