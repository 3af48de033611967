"""The search space: configurations within the budget, and sampling them."""
