"""A configuration that a search may train, with its count, and the error of one that it may not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from spaces.methods.base.knobs import Value
from spaces.methods.base.method import Configuration
from spaces.model.budget import Count


def signature(method: str, settings: Mapping[str, Any], training: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return a text that is equal for equal configurations; `training`: the fields of it that the search varies."""
    return json.dumps([method, settings, *([dict(training)] if training else [])], sort_keys=True)


@dataclass(frozen=True)
class Proposal:
    """A configuration within the budget, and the fields of `training` that the search varies."""

    method: str
    configuration: Configuration
    count: Count
    training: Mapping[str, Value] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the method, as plain values."""
        return self.configuration.model_dump(mode="json")

    @property
    def signature(self) -> str:
        """A text that is equal for equal configurations."""
        return signature(self.method, self.settings, self.training)


class Rejected(ValueError):
    """A configuration is outside the budget, by `excess` powers of ten, or cannot exist on the model."""

    def __init__(self, reason: str, excess: float) -> None:
        super().__init__(reason)
        self.excess = excess
