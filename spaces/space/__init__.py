"""The search space: which configurations fit the budget, and how one is drawn."""
