"""The durable record of trials: plan, rungs, result, and the ledger of a search."""
