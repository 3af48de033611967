"""Knobs, the searched settings of a method: a choice among values, or a range of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from spaces.model.places import as_text, is_place

Value = str | int | float | bool


class Suggester(Protocol):
    """The methods of an Optuna trial that knobs use."""

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...


@dataclass(frozen=True)
class Choice:
    """One of `values`, which have no order."""

    values: tuple[Value, ...]

    def suggest(self, suggester: Suggester, name: str) -> Value:
        if len(self.values) == 1:
            return self.values[0]
        value: Value = suggester.suggest_categorical(name, self.values)
        return value


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; with `log` it is drawn evenly over orders of magnitude."""

    low: float
    high: float
    log: bool = False

    def suggest(self, suggester: Suggester, name: str) -> Value:
        if isinstance(self.low, int) and isinstance(self.high, int):
            return suggester.suggest_int(name, self.low, self.high, log=self.log)
        return suggester.suggest_float(name, self.low, self.high, log=self.log)


Knob = Choice | Range


def extremes(knob: Knob) -> tuple[Value, ...]:
    """Return every choice, or both ends of a range."""
    return knob.values if isinstance(knob, Choice) else (knob.low, knob.high)


def _number(value: Any) -> Any:
    """Return a number for text such as 1e-4, which YAML 1.1 does not read as a number without a point."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def parse_knob(value: Any) -> Knob:
    """Parse a knob as written in a spec: a value, a list of choices, or {low, high, log}.

    A place by names, pattern or numbers becomes a text, because samplers choose among texts and numbers.

    Raises:
        ValueError: when it is none of these, an empty list, or a range with `low` above `high`.

    Example:
        >>> parse_knob({"low": 1, "high": 64, "log": True})
        Range(low=1, high=64, log=True)
    """
    if isinstance(value, dict) and is_place(value):
        return Choice((as_text(value),))
    if isinstance(value, dict):
        unknown = set(value) - {"low", "high", "log"}
        if unknown or "low" not in value or "high" not in value:
            raise ValueError(f"{value} is not a range; allowed: {{low: number, high: number, log: true or false}}")
        low, high, log = _number(value["low"]), _number(value["high"]), value.get("log", False)
        if not (_is_number(low) and _is_number(high) and low <= high):
            raise ValueError(f"{value} is not a range; allowed: low at most high, both numbers")
        if not isinstance(log, bool):
            raise ValueError(f"{value} is not a range; allowed: log: true or false")
        if log and low <= 0:
            raise ValueError(f"{value} is not a range; allowed with log: low above 0")
        return Range(low, high, log)
    values = tuple(_choice(one) for one in value) if isinstance(value, list | tuple) else (_number(value),)
    if not values or any(not (isinstance(one, str) or _is_number(one)) for one in values):
        raise ValueError(f"{value!r} is not a knob; allowed: a value, a list of values, or {{low, high}}")
    return Choice(values)


def _choice(value: Any) -> Any:
    return as_text(value) if is_place(value) else _number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 2**63  # so neither infinite nor NaN
