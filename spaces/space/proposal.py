"""What a search may train, with its count; and what it may not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaces.methods.base.method import Configuration
from spaces.model.budget import Count


def signature(method: str, settings: Mapping[str, Any]) -> str:
    """Equal for equal configurations."""
    return json.dumps([method, settings], sort_keys=True)


@dataclass(frozen=True)
class Proposal:
    """A configuration that may be trained."""

    method: str
    configuration: Configuration
    count: Count

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the method, as plain values."""
        return self.configuration.model_dump(mode="json")

    @property
    def signature(self) -> str:
        """Equal for equal trainings."""
        return signature(self.method, self.settings)


class Rejected(ValueError):
    """A configuration outside the budget; `excess` says by how many powers of ten."""

    def __init__(self, reason: str, excess: float) -> None:
        super().__init__(reason)
        self.excess = excess
