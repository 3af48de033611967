"""A configuration that a search may train, with its count, and the error of one that it may not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaces.methods.base.method import Configuration
from spaces.model.budget import Count


def signature(method: str, settings: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal configurations."""
    return json.dumps([method, settings], sort_keys=True)


@dataclass(frozen=True)
class Proposal:
    """A configuration within the budget."""

    method: str
    configuration: Configuration
    count: Count

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the method, as plain values."""
        return self.configuration.model_dump(mode="json")

    @property
    def signature(self) -> str:
        """A text that is equal for equal configurations."""
        return signature(self.method, self.settings)


class Rejected(ValueError):
    """A configuration is outside the budget, by `excess` powers of ten, or cannot exist on the model."""

    def __init__(self, reason: str, excess: float) -> None:
        super().__init__(reason)
        self.excess = excess
