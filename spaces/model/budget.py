"""The budget in numbers, and what it says of a configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spaces.count import Count
from spaces.errors import RequestError
from spaces.spec.sections import BudgetSection


@dataclass(frozen=True)
class Budget:
    """Limits in trainable parameters and, where given, bytes of the native adapter."""

    parameters: int
    at_least: int
    bytes: int | None = None
    count_head: bool = False

    def trainable(self, count: Count) -> int:
        """The trainable parameters that are held against this budget, the head among them only if it counts."""
        return count.trainable_parameters + self.head(count)

    def head(self, count: Count) -> int:
        """The parameters of the task head that count: all or none."""
        return count.head_parameters if self.count_head else 0

    def excess(self, count: Count) -> float:
        """How far outside the budget a count lies, in powers of ten; 0 or less when it is within."""
        trainable = max(1, self.trainable(count))
        over = math.log10(trainable / self.parameters)
        under = math.log10(self.at_least / trainable)
        heavy = math.log10(max(1, count.adapter_bytes) / self.bytes) if self.bytes is not None else -math.inf
        return max(over, under, heavy)


def _amount(field: str, amount: int | str, base_parameters: int) -> int:
    if isinstance(amount, int):
        return amount
    count = int(base_parameters * float(amount.rstrip("%")) / 100)
    if count < 1:
        raise RequestError(
            f"budget.{field} = {amount}: rounds to 0 of {base_parameters:,} base parameters; allowed: at least one"
        )
    return count


def resolve_budget(section: BudgetSection, base_parameters: int, head_parameters: int) -> Budget:
    """Turn percentages into numbers.

    Raises:
        RequestError: when the budget exceeds the model, or lies under `at_least`.
    """
    parameters = _amount("parameters", section.parameters, base_parameters)
    limit = base_parameters + (head_parameters if section.count_head else 0)
    if parameters > limit:
        raise RequestError(
            f"budget.parameters = {section.parameters}: more than the model has; allowed: at most {limit:,}"
        )
    at_least = (
        max(1, parameters // 1000)
        if section.at_least is None
        else _amount("at_least", section.at_least, base_parameters)
    )
    if at_least > parameters:
        raise RequestError(
            f"budget.at_least = {section.at_least}: {at_least:,} parameters; "
            f"allowed: at most the budget of {parameters:,}"
        )
    return Budget(parameters, at_least, None if section.bytes is None else int(section.bytes), section.count_head)
