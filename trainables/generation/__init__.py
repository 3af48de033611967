"""Answers that a model writes, and their comparison with those of the data."""
