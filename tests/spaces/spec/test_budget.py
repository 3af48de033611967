"""Percentages of the base, the lower end, and impossible budgets."""

from __future__ import annotations

import pytest

from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.spec.budget import resolve_budget
from spaces.spec.sections import BudgetSection


def test_a_percentage_is_of_the_base_without_the_head() -> None:
    budget = resolve_budget(BudgetSection(parameters="0.3%", at_least="0.001%"), 22_713_216, 770)
    assert (budget.parameters, budget.at_least) == (68_139, 227)


def test_left_out_the_lower_end_is_a_thousandth() -> None:
    assert resolve_budget(BudgetSection(parameters=50_000), 1_000_000, 0).at_least == 50


def test_a_budget_may_be_one_number_of_parameters_and_be_one() -> None:
    assert resolve_budget(BudgetSection(parameters=1), 1_000_000, 0) == Budget(1, 1)
    assert resolve_budget(BudgetSection(parameters=100, at_least=100), 1_000_000, 0) == Budget(100, 100)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (BudgetSection(parameters=2_000_000), "at most 1,000,000"),
        (
            BudgetSection(parameters=100, at_least=101),
            "at_least = 101: .*; allowed: at most the budget of 100",
        ),
        (BudgetSection(parameters="0.00001%"), "rounds to 0"),
    ],
)
def test_an_impossible_budget_is_refused(section: BudgetSection, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        resolve_budget(section, 1_000_000, 0)
