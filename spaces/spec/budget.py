"""The budget of a spec in numbers: percentages of the base become counts of parameters."""

from __future__ import annotations

from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.spec.sections import BudgetSection


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
    """Return the budget with percentages as numbers of parameters.

    Args:
        section: the budget as written in the spec.
        base_parameters: parameters of the base, to which percentages refer.
        head_parameters: parameters of the task head.

    Raises:
        RequestError: when the budget is larger than the model, or smaller than `at_least`.
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
