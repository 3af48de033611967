"""Trials as they are recorded: plan, rungs, result, and the ledger that keeps them."""
