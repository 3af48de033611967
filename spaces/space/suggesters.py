"""A suggester beside Optuna's trials: one with fixed values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class FixedSuggester:
    """Suggests given values, and the first choice or the upper end where a knob has none that it allows.

    `used` holds the values of the knobs that were asked for.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.used: dict[str, Any] = {}

    def _take(self, name: str, fallback: Any, allowed: bool) -> Any:
        self.used[name] = self._values[name] if allowed else fallback
        return self.used[name]

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any:
        return self._take(name, choices[0], self._values.get(name) in choices)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self._take(name, high, self._within(name, low, high)))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return int(self._take(name, high, self._within(name, low, high)))

    def _within(self, name: str, low: float, high: float) -> bool:
        value = self._values.get(name)  # a text where another spec has a number: layers, block_size
        return isinstance(value, int | float) and low <= value <= high
