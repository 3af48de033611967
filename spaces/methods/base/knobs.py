"""What one knob of a configuration may be: a choice, or a range of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

Value = str | int | float | bool


class Suggester(Protocol):
    """The part of an Optuna trial that a space draws from."""

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...


@dataclass(frozen=True)
class Choice:
    """One of `values`, with no order among them."""

    values: tuple[Value, ...]

    def suggest(self, trial: Suggester, name: str) -> Value:
        if len(self.values) == 1:
            return self.values[0]
        value: Value = trial.suggest_categorical(name, self.values)
        return value


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; `log` spreads trials evenly over orders of magnitude."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: Suggester, name: str) -> Value:
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


Knob = Choice | Range


def extremes(knob: Knob) -> tuple[Value, ...]:
    """Values that stand for all of a knob: every choice, or both ends of a range."""
    return knob.values if isinstance(knob, Choice) else (knob.low, knob.high)


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4, without a point, as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def parse_knob(value: Any) -> Knob:
    """A knob as written in a spec: a value, a list of choices, or {low, high, log}.

    Raises:
        ValueError: when it is none of these, an empty list, or a range that is upside down.
    """
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
    values = tuple(_number(one) for one in value) if isinstance(value, list | tuple) else (_number(value),)
    if not values or any(not (isinstance(one, str) or _is_number(one)) for one in values):
        raise ValueError(f"{value!r} is not a knob; allowed: a value, a list of values, or {{low, high}}")
    return Choice(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 2**63  # so neither infinite nor NaN
