"""The names under which a search stands in MLflow, shared by its writer and its reader."""

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
# MLflow keeps params as strings and metrics as floats; these two hold a record as JSON, so its types survive.
FACTS = "paretune.facts"
PLAN = "paretune.plan"
ROW_VALUES = "paretune.row_values"

PARENT = "mlflow.parentRunId"
SPEC_FILE = "spec.yaml"
ADAPTER_FOLDER = "adapter"


class SearchFacts(BaseModel):
    """What is fixed when a search starts and its readers need."""

    model_config = ConfigDict(frozen=True)

    base_model: str
    base_parameters: int
    head_parameters: int
    budget: Budget
    metric: str
    mode: Mode
    perfect: float
    rows: dict[str, int] = {}
    """Of each split; an earlier version did not say."""

    @classmethod
    def of(
        cls,
        spec: SearchSpec,
        budget: Budget,
        base_parameters: int,
        head_parameters: int,
        rows: Mapping[str, int] | None = None,
    ) -> Self:
        """The facts of a search with `spec` on a model of these counts, and data of so many rows."""
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
        """What a user of MLflow may want to filter by."""
        return {
            "base_parameters": self.base_parameters,
            "head_parameters": self.head_parameters,
            "budget_parameters": self.budget.parameters,
            "budget_at_least": self.budget.at_least,
            "budget_bytes": self.budget.bytes,
        }
