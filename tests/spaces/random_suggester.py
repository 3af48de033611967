"""Knob values from a plain random generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class RandomSuggester:
    """Draws every knob independently; `used` holds what was drawn."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self.used: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any:
        self.used[name] = choices[int(self._generator.integers(len(choices)))]
        return self.used[name]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        if log:
            value = math.exp(self._generator.uniform(math.log(low), math.log(high)))
        else:
            value = self._generator.uniform(low, high)
        self.used[name] = min(high, max(low, value))
        return float(self.used[name])

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        if log:
            self.used[name] = int(self.suggest_float(name, low, high + 0.999, log=True))
        else:
            self.used[name] = int(self._generator.integers(low, high + 1))
        return int(self.used[name])
